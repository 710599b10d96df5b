/** UCUM codes as people write them. */
const SYMBOLS: Readonly<Record<string, string>> = {
  "1": "",
  Cel: "°C",
  deg: "°",
  "ug/m3": "µg/m³",
  "mg/m3": "mg/m³",
  "W/m2": "W/m²",
  "m3/h": "m³/h",
  "1/h": "/h",
  "[pH]": "pH",
};

export function unitSymbol(unit: string): string {
  return SYMBOLS[unit] ?? unit;
}
