import type { Severity } from "../api/shapes.ts";

/** Colours of device kinds: none is red or amber, those belong to alarms. */
const KIND_COLOURS: Readonly<Record<string, string>> = {
  air_quality: "#45d1bd",
  noise: "#b69cff",
  traffic: "#5aa9ff",
  water_level: "#4c7dff",
  street_light: "#e8e0b8",
  weather: "#9bdc6b",
  parking: "#e58fd0",
  energy: "#c9d3de",
};

export const OTHER_KIND = "#93a5b7";
export const STALE = "#68788a";
export const GROUND = "#0b1118";
export const SELECTED = "#ffffff";

export const SEVERITY_COLOURS: Readonly<Record<Severity, string>> = { critical: "#ff5d52", warning: "#ffb938", info: "#7cc0ff" };

export const kindColour = (kind: string): string => KIND_COLOURS[kind] ?? OTHER_KIND;
