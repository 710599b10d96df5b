/**
 * The server's clock as this browser sees it. Ages are measured with it: on a workstation whose own clock is an hour slow,
 * a value of an hour ago would otherwise look new.
 */
export class ServerClock {
  private offsetMs = 0;

  /** Takes one observation: the server said `serverTime` between our `sentMs` and `receivedMs`. */
  observe(serverTime: string, sentMs: number, receivedMs: number): void {
    const server = Date.parse(serverTime);
    if (Number.isFinite(server)) this.offsetMs = server - (sentMs + receivedMs) / 2;
  }

  nowMs(): number {
    return Date.now() + this.offsetMs;
  }
}
