import type { CityState, Selection } from "./city_state.ts";

/** The chosen series stands in the address, so that a reload or a sent link shows it again. */
export function rememberSelection(state: CityState): void {
  state.on(["selection"], () => {
    const { device, metric } = state.selection ?? { device: null, metric: null };
    const parameters = new URLSearchParams();
    if (device !== null) parameters.set("device", device);
    if (metric !== null) parameters.set("metric", metric);
    const hash = parameters.toString();
    history.replaceState(null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
  });
}

export function remembered(): Selection | null {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const device = parameters.get("device");
  return device === null ? null : { device, metric: parameters.get("metric") };
}
