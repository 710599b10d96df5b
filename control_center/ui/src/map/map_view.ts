import type { Bounds, District } from "./districts.ts";
import type { MapPoint } from "./points.ts";

/** What both maps (WebGL and plain) can do. */
export interface MapView {
  /** Draws the ground: districts, grid; and shows the whole city the first time. */
  ground(bounds: Bounds, districts: readonly District[]): void;
  points(points: readonly MapPoint[]): void;
  lookAt(longitude: number, latitude: number): void;
  wholeCity(): void;
  /** +1 in, -1 out. */
  zoom(by: 1 | -1): void;
}

export interface MapEvents {
  choose(device: string): void;
  hover(device: string | null, x: number, y: number): void;
}
