import assert from "node:assert/strict";
import { test } from "node:test";
import { cityBounds, convexHull, districtsOf, graticule, nearCity } from "../src/map/districts.ts";

const place = (longitude: number | null, latitude: number | null, district = "A") => ({ longitude, latitude, district });

test("the hull goes round the outer points and is closed", () => {
  const ring = convexHull([[0, 0], [2, 0], [1, 1], [2, 2], [0, 2], [1, 0.5]]);
  assert.deepEqual(ring, [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]);
});

const CITY = { longitude: 108.2, latitude: 16 };

test("a device with a mistyped position belongs nowhere", () => {
  const near = nearCity([place(108.2, 16), place(108.3, 16.1), place(0, 0), place(null, null)], CITY);
  assert.deepEqual(near.map(({ longitude }) => longitude), [108.2, 108.3]);
});

test("a few stations in the country do not shrink the city to a dot", () => {
  const city = Array.from({ length: 580 }, (_, n) => place(108.15 + (n % 25) * 0.004, 15.96 + (n % 17) * 0.005));
  const country = Array.from({ length: 20 }, (_, n) => place(107.6 + n * 0.06, 15.6 + n * 0.04));
  const bounds = cityBounds(nearCity([...city, ...country], CITY), CITY);
  assert.ok(bounds !== null && bounds.east - bounds.west < 0.16 && bounds.north - bounds.south < 0.16, JSON.stringify(bounds));
  assert.ok(bounds.west < 108.15 && bounds.east > 108.245, "all of the city itself is in it");
});

test("a handful of devices is shown whole", () => {
  const bounds = cityBounds(nearCity([place(108.1, 16), place(108.2, 16.1), place(108.9, 16.4)], CITY), CITY);
  assert.ok(bounds !== null && bounds.east >= 108.9);
});

test("without any position the city's centre is shown, without a city nothing", () => {
  assert.ok(cityBounds(nearCity([place(null, null)], CITY), CITY) !== null);
  assert.equal(cityBounds(nearCity([place(null, null)], null), null), null);
});

test("a district needs three devices, and its name stands on its northern edge", () => {
  const devices = [place(0, 0), place(1, 0), place(0.5, 1), place(0.2, 0.2, "B")];
  const bounds = { west: -1, south: -1, east: 2, north: 2 };
  const districts = districtsOf(devices, bounds);
  assert.deepEqual(districts.map(({ name }) => name), ["A"]);
  assert.ok((districts[0]?.top[1] ?? 0) > 1);
});

test("the grid stands on round coordinates and does not flood the map with lines", () => {
  const lines = graticule({ west: 3.6, south: 50.9, east: 3.8, north: 51.1 });
  assert.ok(lines.length > 10 && lines.length < 120, String(lines.length));
});
