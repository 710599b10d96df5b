import type { Severity } from "../api/shapes.ts";
import type { CityState } from "../state/city_state.ts";
import type { Freshness } from "../state/freshness.ts";

/** A device as the map draws it. */
export interface MapPoint {
  readonly device: string;
  readonly longitude: number;
  readonly latitude: number;
  readonly kind: string;
  readonly freshness: Freshness;
  readonly severity: Severity | null;
  readonly acknowledged: boolean;
  readonly selected: boolean;
}

/** The devices that have a position and whose kind is not hidden. */
export function mapPoints(state: CityState, hiddenKinds: ReadonlySet<string>): MapPoint[] {
  const worst = state.worstAlarms();
  const points: MapPoint[] = [];
  for (const { device, longitude, latitude, kind } of state.devices.values()) {
    if (longitude === null || latitude === null) continue;
    const alarm = worst.get(device);
    if (hiddenKinds.has(kind) && alarm === undefined) continue;
    points.push({
      device, longitude, latitude, kind,
      freshness: state.deviceFreshness(device),
      severity: alarm?.severity ?? null,
      acknowledged: alarm?.state === "acknowledged",
      selected: state.selection?.device === device,
    });
  }
  return points;
}

/** Equal for two lists that draw alike. */
export function pointsFingerprint(points: readonly MapPoint[]): string {
  return points
    .map((one) => [one.device, one.longitude, one.latitude, one.kind, one.freshness, one.severity, one.acknowledged, one.selected].join())
    .join(";");
}
