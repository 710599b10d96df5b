import type { AddLayerObject, ExpressionSpecification } from "maplibre-gl";
import { GROUND, kindColour, OTHER_KIND, SELECTED, SEVERITY_COLOURS, STALE } from "./palette.ts";

const KINDS = ["air_quality", "noise", "traffic", "water_level", "street_light", "weather", "parking", "energy"];

const KIND_COLOUR = ["match", ["get", "kind"], ...KINDS.flatMap((kind) => [kind, kindColour(kind)]), OTHER_KIND] as unknown as ExpressionSpecification;
const SEVERITY_COLOUR = [
  "match", ["get", "severity"], ...Object.entries(SEVERITY_COLOURS).flat(), "transparent",
] as unknown as ExpressionSpecification;
const FRESHNESS: ExpressionSpecification = ["get", "freshness"];
const RADIUS: ExpressionSpecification = ["interpolate", ["linear"], ["zoom"], 10, 2.2, 13, 4.2, 16, 7];

/** From the ground up. A fresh device is a solid disc, one in a backlog a coloured ring, a stale one a grey ring. */
export function layers(): AddLayerObject[] {
  return [
    { id: "ground", type: "background", paint: { "background-color": GROUND } },
    {
      id: "graticule", type: "line", source: "ground", filter: ["==", ["geometry-type"], "LineString"],
      paint: { "line-color": "#9fb6cc", "line-opacity": 0.07, "line-width": 1 },
    },
    {
      id: "districts", type: "fill", source: "ground", filter: ["==", ["geometry-type"], "Polygon"],
      paint: { "fill-color": "#7fa3c7", "fill-opacity": 0.07 },
    },
    {
      id: "district-edges", type: "line", source: "ground", filter: ["==", ["geometry-type"], "Polygon"],
      paint: { "line-color": "#9fc0e0", "line-opacity": 0.22, "line-width": 1 },
    },
    {
      id: "devices", type: "circle", source: "devices",
      layout: { "circle-sort-key": ["match", FRESHNESS, "fresh", 3, "behind", 2, "stale", 1, 0] },
      paint: {
        "circle-radius": RADIUS,
        "circle-color": ["match", FRESHNESS, "fresh", KIND_COLOUR, GROUND],
        "circle-opacity": ["match", FRESHNESS, "fresh", 0.92, 0.6],
        "circle-stroke-color": ["match", FRESHNESS, "fresh", GROUND, "behind", KIND_COLOUR, STALE],
        "circle-stroke-width": ["match", FRESHNESS, "fresh", 0.8, 1.4],
      },
    },
    {
      id: "alarm-glow", type: "circle", source: "devices", filter: ["!=", ["get", "severity"], "none"],
      paint: { "circle-radius": 24, "circle-color": SEVERITY_COLOUR, "circle-opacity": 0.28, "circle-blur": 1 },
    },
    {
      id: "selected", type: "circle", source: "devices", filter: ["get", "selected"],
      paint: {
        "circle-radius": 15, "circle-opacity": 0, "circle-color": GROUND,
        "circle-stroke-color": SELECTED, "circle-stroke-width": 2,
      },
    },
    {
      id: "signs", type: "symbol", source: "devices", filter: ["!=", ["get", "severity"], "none"],
      layout: {
        "icon-image": ["get", "sign"], "icon-allow-overlap": true, "icon-ignore-placement": true,
        "symbol-sort-key": ["match", ["get", "severity"], "critical", 3, "warning", 2, 1],
      },
    },
  ];
}
