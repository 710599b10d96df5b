"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_RUNS = 5


@dataclass(frozen=True)
class Size:
    """Rounds that count, and what each holds: messages of a gateway (`way_`: of ours on the whole way), rows of a batch, readings of
    the processor, probes of the latency, seconds of load in the
    backlog, series of the reading side, readings of the kernels, values of the sketch, readings and most series of the scale."""

    runs: int = LEAST_RUNS
    singles: int = 20_000
    packs: int = 5_000
    way_singles: int = 200_000
    way_packs: int = 50_000
    rows: int = 50_000
    processed: int = 1_000_000
    probes: int = 120
    backlog_s: int = 600
    series: int = 10_000
    readings: int = 10_000_000
    values: int = 300_000
    scaled: int = 300_000
    scale: int = 100_000

    def tenth(self) -> Size:
        """A tenth of the work: for a look, not for figures to keep."""
        return Size(
            self.runs,
            self.singles // 10,
            self.packs // 10,
            self.way_singles // 10,
            self.way_packs // 10,
            self.rows // 10,
            self.processed // 10,
            self.probes // 2,
            self.backlog_s // 10,
            self.series // 10,
            self.readings // 10,
            self.values // 10,
            self.scaled // 10,
            self.scale // 10,
        )
