import type { LedgerRow, LedgerTotals } from "../api/shapes.ts";

export interface GatewayAccount {
  readonly gateway: string;
  readonly lives: number;
  readonly totals: LedgerTotals;
  readonly lastSeenMs: number | null;
}

/** Sums the lives (epochs) of each gateway; gateways by name. */
export function byGateway(rows: readonly LedgerRow[]): GatewayAccount[] {
  const lives = Map.groupBy(rows, (row) => row.gateway);
  return [...lives]
    .map(([gateway, of]) => ({
      gateway,
      lives: of.length,
      totals: of.reduce(add, NOTHING),
      lastSeenMs: of.reduce<number | null>((latest, row) => later(latest, row.last_seen), null),
    }))
    .sort((a, b) => a.gateway.localeCompare(b.gateway));
}

const NOTHING: LedgerTotals = {
  received: 0, stored: 0, duplicate: 0, dead_letter: 0, refused: 0, in_flight: 0, unaccounted: 0, redelivered: 0,
};

function add(a: LedgerTotals, b: LedgerTotals): LedgerTotals {
  return {
    received: a.received + b.received,
    stored: a.stored + b.stored,
    duplicate: a.duplicate + b.duplicate,
    dead_letter: a.dead_letter + b.dead_letter,
    refused: a.refused + b.refused,
    in_flight: a.in_flight + b.in_flight,
    unaccounted: a.unaccounted + b.unaccounted,
    redelivered: a.redelivered + b.redelivered,
  };
}

function later(known: number | null, time: string | null): number | null {
  if (time === null) return known;
  return known === null ? Date.parse(time) : Math.max(known, Date.parse(time));
}
