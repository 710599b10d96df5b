/** How current a value is. Pure: time is an argument. */

/** fresh: solid. behind: part of a backlog being worked off, current for the moment shown, not for now. stale: grey. never: no value yet. */
export type Freshness = "fresh" | "behind" | "stale" | "never";

/**
 * A catch-up. `toMs`: the event time it has reached. `slackMs`: event time that passes in three seconds of it; values and watermark
 * come separately, and a day replayed in three minutes passes three intervals between the two.
 */
export interface Backlog {
  readonly toMs: number;
  readonly slackMs: number;
}

export const STALE_AFTER_INTERVALS = 3;

/**
 * Judges a value by its event time. `intervalS`: expected seconds between readings. `backlog`: the running catch-up,
 * null when the city is live (then only now counts).
 */
export function freshness(timeMs: number | null, intervalS: number, nowMs: number, backlog: Backlog | null): Freshness {
  if (timeMs === null) return "never";
  const allowedMs = STALE_AFTER_INTERVALS * intervalS * 1000;
  if (nowMs - timeMs <= allowedMs) return "fresh";
  if (backlog !== null && Math.abs(backlog.toMs - timeMs) <= allowedMs + backlog.slackMs) return "behind";
  return "stale";
}

interface Mark {
  readonly wallMs: number;
  readonly watermarkMs: number;
}

const MEMORY_MS = 10_000;
const BEHIND_MS = 120_000;
const CATCHING_UP_SPEED = 2;
const SLACK_MS = 3_000;

/**
 * Tells a backlog being worked off (a replay, the hours after an outage) from a city that has stopped: the watermark is far behind
 * and runs at least twice as fast as the clock.
 */
export class BacklogDetector {
  private marks: Mark[] = [];

  /** Takes the newest watermark; returns the catch-up, or null where there is none. */
  observe(watermarkMs: number, nowMs: number): Backlog | null {
    this.marks = this.marks.filter((mark) => nowMs - mark.wallMs <= MEMORY_MS);
    this.marks.push({ wallMs: nowMs, watermarkMs });
    const oldest = this.marks[0];
    if (oldest === undefined || nowMs - watermarkMs < BEHIND_MS) return null;
    const elapsedMs = nowMs - oldest.wallMs;
    const movedMs = watermarkMs - oldest.watermarkMs;
    const catchingUp = elapsedMs > 0 && movedMs >= CATCHING_UP_SPEED * elapsedMs;
    return catchingUp ? { toMs: watermarkMs, slackMs: (movedMs / elapsedMs) * SLACK_MS } : null;
  }
}
