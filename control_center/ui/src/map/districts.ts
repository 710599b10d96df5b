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

/** A rounded hull round the devices of each district. The margin is a share of the city's extent. */
export function districtsOf(devices: readonly Placed[], bounds: Bounds): District[] {
  const margin = Math.max(bounds.east - bounds.west, bounds.north - bounds.south) * MARGIN;
  const groups = Map.groupBy(
    devices.filter((device) => device.district !== "" && inside(device, bounds)),
    (device) => device.district,
  );
  return [...groups]
    .filter(([, members]) => members.length >= FEWEST_DEVICES)
    .map(([name, members]) => {
      const positions = members.map((member): Position => [member.longitude ?? 0, member.latitude ?? 0]);
      const ring = convexHull(positions.flatMap((at) => circle(at, margin)));
      return { name, top: northernmost(ring), ring };
    })
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** The extent of the devices near the city's centre: one with a mistyped position must not shrink the city to a dot. */
export function cityBounds(devices: readonly Placed[], city: { longitude: number; latitude: number } | null): Bounds | null {
  const placed = devices.filter((device) => device.longitude !== null && device.latitude !== null);
  const near = placed.filter(
    (device) =>
      city === null ||
      (Math.abs((device.longitude ?? 0) - city.longitude) < NEAR_CITY_DEG &&
        Math.abs((device.latitude ?? 0) - city.latitude) < NEAR_CITY_DEG),
  );
  const used = near.length > 0 ? near : placed;
  if (used.length === 0) {
    return city === null ? null : around(city.longitude, city.latitude, 0.05);
  }
  const longitudes = used.map((device) => device.longitude ?? 0);
  const latitudes = used.map((device) => device.latitude ?? 0);
  const room = 0.002;
  return {
    west: Math.min(...longitudes) - room,
    east: Math.max(...longitudes) + room,
    south: Math.min(...latitudes) - room,
    north: Math.max(...latitudes) + room,
  };
}

function around(longitude: number, latitude: number, by: number): Bounds {
  return { west: longitude - by, east: longitude + by, south: latitude - by, north: latitude + by };
}

function inside({ longitude, latitude }: Placed, bounds: Bounds): boolean {
  if (longitude === null || latitude === null) return false;
  return longitude >= bounds.west && longitude <= bounds.east && latitude >= bounds.south && latitude <= bounds.north;
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
