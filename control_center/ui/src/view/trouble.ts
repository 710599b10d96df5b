import { ApiError } from "../api/client.ts";
import { onLanguage, t, type Key } from "../text/catalogue.ts";
import { byId } from "./element.ts";

/** What was being done when it failed. */
export type Task = "city" | "devices" | "alarms" | "ledger" | "acknowledge" | "trend" | "live";

const current = new Map<Task, unknown>();

/** One sentence: what failed, why, and what to do. */
export function explain(task: Task, cause: unknown): string {
  return t("trouble.sentence", { task: t(`trouble.task.${task}`), remedy: remedy(cause) });
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
  bar.textContent = [...current].map(([task, cause]) => explain(task, cause)).join(" ");
}

onLanguage(show);
