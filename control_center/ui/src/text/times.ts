import { locale } from "./catalogue.ts";

let zone: string | undefined;

/** Every time on the page is the city's, wherever the operator sits. */
export function setZone(timeZone: string): void {
  zone = timeZone;
}

export const cityZone = (): string | undefined => zone;

function format(timeMs: number, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(locale(), { timeZone: zone, hourCycle: "h23", ...options }).format(timeMs);
}

export const clockTime = (timeMs: number): string => format(timeMs, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const hourMinute = (timeMs: number): string => format(timeMs, { hour: "2-digit", minute: "2-digit" });
export const dayMonth = (timeMs: number): string => format(timeMs, { day: "2-digit", month: "2-digit" });

export function longDate(timeMs: number): string {
  const zoned = new Intl.DateTimeFormat(locale(), { timeZone: zone, timeZoneName: "short" }).formatToParts(timeMs);
  const zoneName = zoned.find((part) => part.type === "timeZoneName")?.value ?? "";
  return `${format(timeMs, { weekday: "short", day: "numeric", month: "short" })} · ${zoneName}`;
}

const sameDay = (a: number, b: number): boolean => dayMonth(a) === dayMonth(b);

/** The hour, and the day too where it is not today's. */
export function moment(timeMs: number, nowMs: number): string {
  return sameDay(timeMs, nowMs) ? hourMinute(timeMs) : `${dayMonth(timeMs)} ${hourMinute(timeMs)}`;
}

/** With seconds, for single readings. */
export function exactMoment(timeMs: number, nowMs: number): string {
  return sameDay(timeMs, nowMs) ? clockTime(timeMs) : `${dayMonth(timeMs)} ${clockTime(timeMs)}`;
}
