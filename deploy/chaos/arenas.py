"""One arena at a time, of the kind the next fault needs: two stacks at once would measure each other."""

from types import TracebackType
from typing import Self

from deploy.chaos.arena import Arena
from deploy.chaos.faults import FAULTS
from deploy.chaos.trial import Plan, Result, Trials
from deploy.local.progress import say


def grouped(names: list[str]) -> list[str]:
    """The same faults, those of one kind of arena together, so that each kind is built once."""
    kinds = list(dict.fromkeys(FAULTS[name].arena for name in names))
    return sorted(names, key=lambda name: kinds.index(FAULTS[name].arena))


class Arenas:
    """Throws faults, each at its kind of arena, for the `with` statement. An arena with a failed trial leaves its logs and ledgers."""

    def __init__(self) -> None:
        self._arena: Arena | None = None
        self._trials: Trials | None = None
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, kind: type[Arena]) -> Arena:
        """The arena of this kind; one of another kind is closed first. Raises Trouble where it does not come up."""
        if type(self._arena) is not kind:
            self.close()
            self._arena = kind().__enter__()
            self._trials = Trials(self._arena)
        assert self._arena is not None  # noqa: S101 - narrows for mypy: it is of this kind
        return self._arena

    def run(self, name: str, plan: Plan) -> Result:
        """Throw one fault at an arena of its kind. After a failed trial the next gets a new one."""
        self.open(FAULTS[name].arena)
        assert self._trials is not None  # noqa: S101 - narrows for mypy: it comes with the arena
        result = self._trials.run(name, plan)
        if not result.passed:
            self._failed = True
            self.close()  # a cluster that a failed trial left in pieces made the next one fail too
        return result

    def close(self) -> None:
        """Stop what is there."""
        arena, self._arena = self._arena, None
        if arena is None:
            return
        if self._failed:
            arena.keep()
            say(f"the logs and the ledgers of what failed stay in {arena.folder}")
        self._failed = False
        arena.close()
