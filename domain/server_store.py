"""Tests of delivery servers as they are kept, as a Protocol: runs, claims, cycles."""

from collections.abc import Sequence
from typing import Protocol

from domain.server_cycle import RunLine, ServerCycle
from domain.server_rules import Judged
from domain.server_run import Phase, ServerRun

CYCLE = "cycle"


def server_claim(server_id: int) -> str:
    """The name under which one server is tested by one run at a time."""
    return f"server:{server_id}"


def list_claim(list_id: int) -> str:
    """The name under which one list is sent to by one run at a time."""
    return f"list:{list_id}"


class ServerTests(Protocol):
    """Runs, cycles, and claims: a name that one run or cycle holds, over all replicas."""

    async def get(self, run_id: str) -> ServerRun | None:
        """One run, or None."""
        ...

    async def holder(self, name: str) -> str | None:
        """The run or cycle that holds this name, or None."""
        ...

    async def held_servers(self) -> frozenset[int]:
        """The servers that are under test now."""
        ...

    async def judged(self, since_ms: int) -> list[Judged]:
        """The runs that were judged since then, SUCCESSFUL or failed at a step; no others."""
        ...

    async def fingerprints(self) -> dict[int, str]:
        """For each server the fingerprint that its last SUCCESSFUL or FAILED run has tested."""
        ...

    async def strays(self) -> list[ServerRun]:
        """Runs that need a timer and have none."""
        ...

    async def cycle(self, cycle_id: str) -> ServerCycle | None:
        """One cycle, or None."""
        ...

    async def stray_cycles(self) -> list[str]:
        """The cycles that are open, none of whose runs is under way, and that have no timer."""
        ...

    async def phases(self, cycle_id: str) -> dict[Phase, int]:
        """How many runs of a cycle are in each phase."""
        ...

    async def held(self, cycle_id: str) -> list[ServerRun]:
        """The runs of a cycle that have failed and wait, in the order in which they were judged."""
        ...

    async def judged_in(self, cycle_id: str) -> list[Judged]:
        """As `judged`, for one cycle."""
        ...

    async def was_counted(self, since_ms: int) -> bool:
        """Whether a test by campaign has succeeded since, so that MailWizz counts and reads what comes back."""
        ...

    async def lines(self, cycle_id: str) -> list[RunLine]:
        """Its runs, by server."""
        ...

    async def schedule_due_ms(self) -> int | None:
        """When the next cycle begins, or None where that is not planned."""
        ...

    def add(self, runs: Sequence[ServerRun]) -> None:
        """Collect new runs, each with the claim of its server; a Conflict where one is claimed already."""
        ...

    def save(self, run: ServerRun) -> None:
        """Collect a change; the commit raises Conflict if another writer saved this run since it was read."""
        ...

    def claim(self, name: str, holder: str) -> None:
        """Collect a claim; the commit raises Conflict where somebody has it."""
        ...

    def free_lists(self, holder: str) -> None:
        """Collect: what it holds is free, but for its server."""
        ...

    def free(self, holder: str) -> None:
        """Collect: all that it holds is free."""
        ...

    def add_cycle(self, cycle: ServerCycle) -> None:
        """Collect a new cycle; one that has not ended holds the name `cycle`, and a Conflict is another that runs."""
        ...

    def save_cycle(self, cycle: ServerCycle) -> None:
        """Collect a change; a Conflict as with `save`."""
        ...
