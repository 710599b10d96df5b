import { ApiError } from "../api/client.ts";
import { onLanguage, t, type Key } from "../text/catalogue.ts";
import { byId } from "./element.ts";

/** What was being done when it failed. */
export type Task = "city" | "devices" | "alarms" | "ledger" | "acknowledge" | "trend" | "live";

const current = new Map<Task, unknown>();

/** One sentence: what failed, why, and what to do. */
export function explain(task: Task, cause: unknown): string {
  return sentence([task], remedy(cause));
}

function sentence(tasks: readonly Task[], what: string): string {
  return t("trouble.sentence", { task: tasks.map((task) => t(`trouble.task.${task}`)).join("; "), remedy: what });
}

function remedy(cause: unknown): string {
  if (!(cause instanceof ApiError)) return t("trouble.page", { detail: String(cause) });
  const detail = cause.message;
  const keys: Readonly<Record<number, Key>> = {
    0: "trouble.no_answer",
    404: "trouble.not_found",
    409: "trouble.conflict",
    422: "trouble.refused",
    400: "trouble.refused",
  };
  return t(keys[cause.status] ?? "trouble.server", { status: cause.status, detail });
}

/** Shows the trouble until the same task succeeds (`solved`). */
export function report(task: Task, cause: unknown): void {
  current.set(task, cause);
  show();
}

export function solved(task: Task): void {
  if (current.delete(task)) show();
}

function show(): void {
  const bar = byId("trouble");
  bar.hidden = current.size === 0;
  // a database that is away fails three tasks at once: its remedy is said once
  const byRemedy = Map.groupBy([...current], ([, cause]) => remedy(cause));
  bar.textContent = [...byRemedy].map(([what, failed]) => sentence(failed.map(([task]) => task), what)).join(" ");
}

onLanguage(show);
