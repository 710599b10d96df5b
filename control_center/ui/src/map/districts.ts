/** District shapes drawn from the devices themselves: the control room has no map tiles. Pure. */

export type Position = readonly [longitude: number, latitude: number];

export interface Placed {
  readonly longitude: number | null;
  readonly latitude: number | null;
  readonly district: string;
}

export interface District {
  readonly name: string;
  /** The northernmost corner of the ring: the name stands on it, clear of the devices. */
  readonly top: Position;
  /** Closed ring, counter-clockwise. */
  readonly ring: readonly Position[];
}

export interface Bounds {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

const FEWEST_DEVICES = 3;
const CORNERS = 24;
const MARGIN = 0.022;
const NEAR_CITY_DEG = 1;
const FEW_DEVICES = 20;
const TRIMMED = 0.05;
const WIDENED = 0.2;

/** A device with its position. */
type At = Placed & { readonly longitude: number; readonly latitude: number };

/** The devices near the city's centre: one with a mistyped position belongs nowhere. Where none is near, all that have a position. */
export function nearCity(devices: readonly Placed[], city: { longitude: number; latitude: number } | null): At[] {
  const placed = devices.filter((device): device is At => device.longitude !== null && device.latitude !== null);
  if (city === null) return placed;
  const near = placed.filter(
    ({ longitude, latitude }) =>
      Math.abs(longitude - city.longitude) < NEAR_CITY_DEG && Math.abs(latitude - city.latitude) < NEAR_CITY_DEG,
  );
  return near.length > 0 ? near : placed;
}

/** A rounded hull round the devices of each district, the largest district first. The margin is a share of the city's extent. */
export function districtsOf(devices: readonly At[], bounds: Bounds): District[] {
  const margin = Math.max(bounds.east - bounds.west, bounds.north - bounds.south) * MARGIN;
  const groups = Map.groupBy(devices, (device) => device.district);
  groups.delete("");
  return [...groups]
    .filter(([, members]) => members.length >= FEWEST_DEVICES)
    .sort(([nameA, a], [nameB, b]) => b.length - a.length || nameA.localeCompare(nameB))
    .map(([name, members]) => {
      const ring = convexHull(members.flatMap(({ longitude, latitude }) => circle([longitude, latitude], margin)));
      return { name, top: northernmost(ring), ring };
    });
}

/**
 * The extent of the city: of nine tenths of its devices, and a little more. A few stations in the country round it, which every city
 * has, would else make the city a dot on the first view.
 */
export function cityBounds(devices: readonly At[], city: { longitude: number; latitude: number } | null): Bounds | null {
  if (devices.length === 0) return city === null ? null : around(city.longitude, city.latitude, 0.05);
  const [west, east] = extent(devices.map((device) => device.longitude));
  const [south, north] = extent(devices.map((device) => device.latitude));
  const room = 0.002;
  return { west: west - room, east: east + room, south: south - room, north: north + room };
}

function extent(values: number[]): [number, number] {
  values.sort((a, b) => a - b);
  const last = values.length - 1;
  const trimmed = values.length < FEW_DEVICES ? 0 : TRIMMED;
  const [low, high] = [values[Math.floor(last * trimmed)] ?? 0, values[Math.ceil(last * (1 - trimmed))] ?? 0];
  const room = trimmed === 0 ? 0 : (high - low) * WIDENED;
  return [Math.max(low - room, values[0] ?? 0), Math.min(high + room, values[last] ?? 0)];
}

function around(longitude: number, latitude: number, by: number): Bounds {
  return { west: longitude - by, east: longitude + by, south: latitude - by, north: latitude + by };
}

function northernmost(ring: readonly Position[]): Position {
  return ring.reduce((top, at) => (at[1] > top[1] ? at : top), ring[0] ?? [0, 0]);
}

function circle([longitude, latitude]: Position, radius: number): Position[] {
  const squeeze = Math.cos((latitude * Math.PI) / 180);
  return Array.from({ length: CORNERS }, (_, corner): Position => {
    const angle = (corner / CORNERS) * 2 * Math.PI;
    return [longitude + (radius * Math.cos(angle)) / squeeze, latitude + radius * Math.sin(angle)];
  });
}

/** Andrew's monotone chain; the ring is closed. */
export function convexHull(positions: readonly Position[]): Position[] {
  const sorted = [...positions].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const chain = (points: readonly Position[]): Position[] => {
    const kept: Position[] = [];
    for (const point of points) {
      while (kept.length >= 2 && turn(kept.at(-2) as Position, kept.at(-1) as Position, point) <= 0) kept.pop();
      kept.push(point);
    }
    return kept.slice(0, -1);
  };
  const ring = [...chain(sorted), ...chain(sorted.reverse())];
  const first = ring[0];
  return first === undefined ? [] : [...ring, first];
}

function turn(a: Position, b: Position, c: Position): number {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

const STEPS_DEG = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const LINES_ACROSS = 8;
const BEYOND = 2;

/** Lines of a quiet grid through round coordinates, reaching beyond the city on all sides. */
export function graticule(bounds: Bounds): Position[][] {
  const width = bounds.east - bounds.west;
  const height = bounds.north - bounds.south;
  const step = STEPS_DEG.find((one) => width / one <= LINES_ACROSS) ?? 10;
  const [west, east] = [bounds.west - BEYOND * width, bounds.east + BEYOND * width];
  const [south, north] = [bounds.south - BEYOND * height, bounds.north + BEYOND * height];
  const lines: Position[][] = [];
  for (let n = Math.ceil(west / step); n * step <= east; n += 1) lines.push([[n * step, south], [n * step, north]]);
  for (let n = Math.ceil(south / step); n * step <= north; n += 1) lines.push([[west, n * step], [east, n * step]]);
  return lines;
}
