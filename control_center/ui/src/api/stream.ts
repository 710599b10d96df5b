import type { Alarm, LiveItem, Status } from "./shapes.ts";

/** connecting: before the first event. live: events arrive. silent: open, but nothing came. lost: closed, being tried again. */
export type Connection = "connecting" | "live" | "silent" | "lost";

export interface StreamEvents {
  live(items: readonly LiveItem[]): void;
  alarm(alarm: Alarm): void;
  status(status: Status): void;
  /** The server could not resume where we were: everything must be fetched anew. */
  reset(): void;
  connection(state: Connection): void;
}

// `status` comes every second, so silence is a fault, not a quiet city.
const SILENT_AFTER_MS = 5_000;
const HANGS_AFTER_MS = 12_000;
const TRY_EVERY_MS = 5_000;
const WATCH_EVERY_MS = 1_000;

/**
 * Server-sent events with resume. EventSource repeats Last-Event-ID by itself after a drop. Where it gives up (an answer other than
 * 200), hangs on a half-open connection, or the language changes, a new one is opened that names the last event in its address.
 */
export class Stream {
  private source: EventSource | null = null;
  private heardAt = Date.now();
  private triedAt = Date.now();
  private lastEventId = "";
  private state: Connection = "connecting";
  private readonly language: () => string;
  private readonly events: StreamEvents;

  constructor(language: () => string, events: StreamEvents) {
    this.language = language;
    this.events = events;
  }

  start(): void {
    this.open();
    setInterval(() => this.watch(), WATCH_EVERY_MS);
  }

  /** Goes on in the language chosen now. */
  restart(): void {
    this.open();
  }

  /** Milliseconds since the last event of any kind. */
  silenceMs(): number {
    return Date.now() - this.heardAt;
  }

  private open(): void {
    this.source?.close();
    this.triedAt = Date.now();
    const parameters = new URLSearchParams({ lang: this.language() });
    if (this.lastEventId !== "") parameters.set("last_event_id", this.lastEventId);
    const source = new EventSource(`/api/v1/stream?${parameters}`);
    this.source = source;
    this.on(source, "live", (data) => this.events.live((data as { items: LiveItem[] }).items));
    this.on(source, "alarm", (data) => this.events.alarm(data as Alarm));
    this.on(source, "status", (data) => this.events.status(data as Status));
    this.on(source, "reset", () => this.events.reset());
    source.onerror = () => this.become("lost");
  }

  private on(source: EventSource, name: string, handle: (data: unknown) => void): void {
    source.addEventListener(name, (event: MessageEvent<string>) => {
      this.heardAt = Date.now();
      if (event.lastEventId !== "") this.lastEventId = event.lastEventId;
      this.become("live");
      handle(event.data === "" ? {} : JSON.parse(event.data));
    });
  }

  private watch(): void {
    const silence = this.silenceMs();
    if (silence > SILENT_AFTER_MS && this.state === "live") this.become("silent");
    const gaveUp = this.source?.readyState === EventSource.CLOSED;
    const hangs = this.source?.readyState === EventSource.OPEN && silence > HANGS_AFTER_MS;
    if ((gaveUp || hangs) && Date.now() - this.triedAt >= TRY_EVERY_MS) this.open();
  }

  private become(state: Connection): void {
    if (state === this.state) return;
    this.state = state;
    this.events.connection(state);
  }
}
