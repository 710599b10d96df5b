import type { Alarm, City, DeadLetterReason, Device, Flow, Ledger, LiveSnapshot, Page, Reading, Series, Status, WindowRow, WindowSize, WrongClock } from "./shapes.ts";

const REQUEST_DEADLINE_MS = 15_000;
const PAGE_SIZE = 1000;
const MAX_PAGES = 60;

/** What the server answered instead of data. `status` 0: no answer at all (network, deadline). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface ErrorBody {
  readonly error?: { readonly code?: string; readonly message?: string };
}

async function request<Body>(path: string, init: RequestInit = {}): Promise<Body> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal: AbortSignal.timeout(REQUEST_DEADLINE_MS), cache: "no-store" });
  } catch (cause) {
    throw new ApiError(0, "no_answer", String(cause));
  }
  if (response.ok) return (await response.json()) as Body;
  const body = (await response.json().catch(() => ({}))) as ErrorBody;
  throw new ApiError(response.status, body.error?.code ?? "", body.error?.message ?? response.statusText);
}

function query(path: string, parameters: Readonly<Record<string, string | number>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) search.set(name, String(value));
  return `${path}?${search}`;
}

/** Follows the cursor to the end. Throws where the list is longer than a page can hold, rather than show part of it as the whole. */
async function everyPage<Item>(path: string, parameters: Readonly<Record<string, string | number>>): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer: Page<Item> = await request(query(path, cursor === null ? parameters : { ...parameters, cursor }));
    items.push(...answer.items);
    cursor = answer.next_cursor;
    if (cursor === null) return items;
  }
  throw new ApiError(0, "too_long", `${path}: > ${MAX_PAGES} pages`);
}

export const fetchCity = (): Promise<City> => request("/api/v1/city");
export const fetchStatus = (): Promise<Status> => request("/api/v1/status");
export const fetchLive = (): Promise<LiveSnapshot> => request("/api/v1/live");
export const fetchFlow = (language: string): Promise<Flow> => request(query("/api/v1/flow", { lang: language }));
export const fetchLedger = (): Promise<Ledger> => request(query("/api/v1/ledger", { limit: PAGE_SIZE }));
export const fetchDevices = (): Promise<Device[]> => everyPage("/api/v1/devices", { limit: PAGE_SIZE });
export const fetchSeries = (): Promise<Series[]> => everyPage("/api/v1/series", { limit: PAGE_SIZE });

/** All open alarms: their number is shown, so it must be the whole of them. */
export function fetchOpenAlarms(language: string): Promise<Alarm[]> {
  return everyPage("/api/v1/alarms", { state: "open", lang: language, limit: PAGE_SIZE });
}

export const fetchWrongClocks = (language: string): Promise<WrongClock[]> =>
  everyPage("/api/v1/device-clocks", { lang: language, limit: PAGE_SIZE });

/** What was set aside in the last days, by reason. */
export async function fetchDeadLetterReasons(days: number): Promise<readonly DeadLetterReason[]> {
  const page: Page<DeadLetterReason> = await request(query("/api/v1/deadletters/reasons", { days }));
  return page.items;
}

/** The newest alarms of any state. */
export async function fetchNewestAlarms(language: string, limit: number): Promise<readonly Alarm[]> {
  const page: Page<Alarm> = await request(query("/api/v1/alarms", { state: "all", lang: language, limit }));
  return page.items;
}

export function fetchReadings(device: string, metric: string, from: Date, to: Date): Promise<Reading[]> {
  return everyPage("/api/v1/readings", { device, metric, from: from.toISOString(), to: to.toISOString(), limit: 10_000 });
}

export function fetchWindows(device: string, metric: string, size: WindowSize, from: Date, to: Date): Promise<WindowRow[]> {
  return everyPage("/api/v1/windows", { device, metric, size, from: from.toISOString(), to: to.toISOString(), limit: 10_000 });
}

export function acknowledgeAlarm(alarmId: number, by: string, language: string): Promise<Alarm> {
  return request(query(`/api/v1/alarms/${alarmId}/acknowledge`, { lang: language }), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ by, comment: "" }),
  });
}
