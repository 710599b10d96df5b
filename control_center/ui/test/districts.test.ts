import assert from "node:assert/strict";
import { test } from "node:test";
import { cityBounds, convexHull, districtsOf, graticule } from "../src/map/districts.ts";

const place = (longitude: number | null, latitude: number | null, district = "A") => ({ longitude, latitude, district });

test("the hull goes round the outer points and is closed", () => {
  const ring = convexHull([[0, 0], [2, 0], [1, 1], [2, 2], [0, 2], [1, 0.5]]);
  assert.deepEqual(ring, [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]);
});

test("a device with a mistyped position does not shrink the city to a dot", () => {
  const bounds = cityBounds([place(108.2, 16), place(108.3, 16.1), place(0, 0)], { longitude: 108.2, latitude: 16 });
  assert.ok(bounds !== null && bounds.west > 108 && bounds.south > 15.9);
});

test("without any position the city's centre is shown, without a city nothing", () => {
  assert.ok(cityBounds([place(null, null)], { longitude: 10, latitude: 50 }) !== null);
  assert.equal(cityBounds([place(null, null)], null), null);
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
