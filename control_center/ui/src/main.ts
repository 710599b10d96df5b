import { fetchCity, fetchDevices, fetchFlow, fetchLedger, fetchLive, fetchNewestAlarms, fetchOpenAlarms, fetchSeries, fetchStatus } from "./api/client.ts";
import { Stream } from "./api/stream.ts";
import { CityMap } from "./map/city_map.ts";
import { remembered, rememberSelection } from "./state/address.ts";
import { CityState } from "./state/city_state.ts";
import { language, onLanguage, setLanguage } from "./text/catalogue.ts";
import { setZone } from "./text/times.ts";
import { AlarmList } from "./view/alarm_list.ts";
import { DevicePanel } from "./view/device_panel.ts";
import { DeviceSearch } from "./view/device_search.ts";
import { FlowChain } from "./view/flow_chain.ts";
import { showHeader } from "./view/header.ts";
import { LedgerPanel } from "./view/ledger.ts";
import { showTabs } from "./view/phone_tabs.ts";
import { showStaleness } from "./view/stale_banner.ts";
import { showStrip } from "./view/status_strip.ts";
import { report, solved, type Task } from "./view/trouble.ts";
import "./style/tokens.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/alarms.css";
import "./style/device.css";
import "./style/flow.css";
import "./style/ledger.css";
import "./style/map.css";
import "./style/phone.css";

const LEDGER_EVERY_S = 5;
const FLOW_EVERY_S = 2;
const CATALOGUE_AT_MOST_EVERY_MS = 10_000;
const RETRY_AFTER_MS = 5_000;
const NEWEST_ALARMS = 300;
const CLOCK_EVERY_S = 600;

const state = new CityState();

/** Runs a fetch until it succeeds; what is wrong stays on the screen meanwhile. */
async function insist(task: Task, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await work();
      solved(task);
      return;
    } catch (cause) {
      report(task, cause);
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    }
  }
}

async function loadCity(): Promise<void> {
  state.city = await fetchCity();
  setZone(state.city.time_zone);
  state.changed("city");
}

async function loadCatalogue(): Promise<void> {
  const [devices, series] = await Promise.all([fetchDevices(), fetchSeries()]);
  state.takeDevices(devices, series);
}

async function loadLive(): Promise<void> {
  const sentMs = Date.now();
  const snapshot = await fetchLive();
  state.clock.observe(snapshot.time, sentMs, Date.now());
  state.takeLive(snapshot.items);
}

async function loadAlarms(): Promise<void> {
  const newest = alarms.filter === "all" ? await fetchNewestAlarms(language(), NEWEST_ALARMS) : [];
  state.takeAlarms([...newest, ...(await fetchOpenAlarms(language()))]);
}

async function loadLedger(): Promise<void> {
  state.ledger = await fetchLedger();
  state.changed("ledger");
}

/** No answer is no trouble of its own: the picture then shows its age, and the stream says that the control center is silent. */
function loadFlow(): void {
  const asked = language();
  void fetchFlow(asked).then(
    (flow) => {
      if (asked !== language()) return;
      state.flow = flow;
      state.changed("flow");
    },
    () => undefined,
  );
}

/** Everything anew: at the start, and where the stream could not resume. */
function loadAll(): void {
  void insist("city", loadCity);
  void insist("alarms", loadAlarms);
  void insist("devices", loadCatalogue);
  void insist("live", loadLive);
  void insist("ledger", loadLedger);
  loadFlow();
  void fetchStatus().then((status) => state.takeStatus(status), () => undefined); // the stream brings the next one within a second
}

let catalogueAskedMs = 0;
let catalogueWanted = false;

/** A device nobody has seen before sends: ask who it is, but not once for each of a thousand. What may not be asked yet is asked later. */
function refreshCatalogue(): void {
  if (!catalogueWanted || Date.now() - catalogueAskedMs < CATALOGUE_AT_MOST_EVERY_MS) return;
  catalogueAskedMs = Date.now();
  catalogueWanted = false;
  void insist("devices", loadCatalogue);
}

const stream = new Stream(language, {
  live: (items) => {
    catalogueWanted = state.takeLive(items) || catalogueWanted;
    refreshCatalogue();
  },
  alarm: (alarm) => state.takeAlarm(alarm),
  status: (status) => state.takeStatus(status),
  reset: loadAll,
  connection: (connection) => {
    state.connection = connection;
    state.changed("connection");
  },
});

showHeader(state, () => stream.silenceMs());
showStrip(state);
showStaleness(state, () => stream.silenceMs());
new FlowChain(state);
const alarms = new AlarmList(state, () => void insist("alarms", loadAlarms));
new DevicePanel(state);
new LedgerPanel(state);
new DeviceSearch(state);
showTabs(state);
const map = new CityMap(state);
rememberSelection(state);
setLanguage(language());
onLanguage(() => {
  void insist("alarms", loadAlarms);
  loadFlow();
  stream.restart();
});

loadAll();
stream.start();
void map.open();

let seconds = 0;
setInterval(() => {
  seconds += 1;
  state.changed("tick");
  if (seconds % CLOCK_EVERY_S === 0) void insist("live", loadLive); // this workstation's clock may have been set meanwhile
  if (seconds % FLOW_EVERY_S === 0) loadFlow();
  if (seconds % LEDGER_EVERY_S === 0) void loadLedger().then(() => solved("ledger"), (cause: unknown) => report("ledger", cause));
}, 1000);

const before = remembered();
if (before !== null) {
  let done = false;
  state.on(["devices"], () => {
    if (!done && state.devices.has(before.device)) state.select(before.device, before.metric);
    done = true;
  });
}
