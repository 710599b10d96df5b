import { locale, t } from "./catalogue.ts";
import { unitSymbol } from "./units.ts";

const SIGNIFICANT_DIGITS = 4;

/** A measured value with a sensible number of digits. */
export function formatValue(value: number): string {
  const options: Intl.NumberFormatOptions =
    Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: SIGNIFICANT_DIGITS };
  return new Intl.NumberFormat(locale(), options).format(value);
}

export function formatWithUnit(value: number, unit: string | null): string {
  const symbol = unitSymbol(unit ?? "");
  return symbol === "" ? formatValue(value) : `${formatValue(value)}\u202f${symbol}`;
}

export function formatCount(value: number): string {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: 0 }).format(value);
}

/** Rates: whole from ten on, one digit below. */
export function formatRate(value: number): string {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: Math.abs(value) >= 10 ? 0 : 1 }).format(value);
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Bytes in decimal units: 3.1 GB. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(bytes) / 3));
  const size = bytes / 1000 ** power;
  const digits = new Intl.NumberFormat(locale(), { maximumFractionDigits: power > 0 && size < 100 ? 1 : 0 });
  return `${digits.format(size)}\u202f${BYTE_UNITS[power] ?? ""}`;
}

/** "12 s", "3 min", "2 h 10 min", "4 d": two units at most. */
export function formatAge(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return t("age.s", { n: s });
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return t("age.min", { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return t("age.d", { n: Math.floor(hours / 24) });
  const rest = minutes % 60;
  return rest === 0 ? t("age.h", { n: hours }) : t("age.h_min", { h: hours, min: rest });
}
