import type { Flow } from "../api/shapes.ts";
import type { Connection } from "../api/stream.ts";

const OLD_AFTER_MS = 15_000;

/** Whether the picture of who waits for whom is of another time: then nothing in it may look as if it were so now. */
export function flowIsOld(flow: Flow | null, connection: Connection, nowMs: number): boolean {
  if (flow === null || connection === "lost" || connection === "silent") return true;
  return nowMs - Date.parse(flow.time) > OLD_AFTER_MS;
}
