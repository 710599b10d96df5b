/** How current a value is. Pure: time is an argument. */

/** fresh: solid. behind: part of a backlog being worked off, current for the moment shown, not for now. stale: grey. never: no value yet. */
export type Freshness = "fresh" | "behind" | "stale" | "never";

export const STALE_AFTER_INTERVALS = 3;

/**
 * Judges a value by its event time. `intervalS`: expected seconds between readings. `backlogToMs`: event time a running catch-up has
 * reached, null when the city is live (then only now counts).
 */
export function freshness(timeMs: number | null, intervalS: number, nowMs: number, backlogToMs: number | null): Freshness {
  if (timeMs === null) return "never";
  const allowedMs = STALE_AFTER_INTERVALS * intervalS * 1000;
  if (nowMs - timeMs <= allowedMs) return "fresh";
  if (backlogToMs !== null && Math.abs(backlogToMs - timeMs) <= allowedMs) return "behind";
  return "stale";
}

interface Mark {
  readonly wallMs: number;
  readonly watermarkMs: number;
}

const MEMORY_MS = 10_000;
const BEHIND_MS = 120_000;
const CATCHING_UP_SPEED = 2;

/**
 * Tells a backlog being worked off (a replay, the hours after an outage) from a city that has stopped: the watermark is far behind
 * and runs at least twice as fast as the clock.
 */
export class BacklogDetector {
  private marks: Mark[] = [];

  /** Takes the newest watermark; returns the event time the catch-up has reached, or null where there is none. */
  observe(watermarkMs: number, nowMs: number): number | null {
    this.marks = this.marks.filter((mark) => nowMs - mark.wallMs <= MEMORY_MS);
    this.marks.push({ wallMs: nowMs, watermarkMs });
    const oldest = this.marks[0];
    if (oldest === undefined || nowMs - watermarkMs < BEHIND_MS) return null;
    const elapsedMs = nowMs - oldest.wallMs;
    const movedMs = watermarkMs - oldest.watermarkMs;
    return elapsedMs > 0 && movedMs >= CATCHING_UP_SPEED * elapsedMs ? watermarkMs : null;
  }
}
