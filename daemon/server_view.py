"""What the command line reads of delivery servers and their tests: values, and the ports that are filled elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from daemon.journal_view import JournalEntry
from domain.delivery_server import DeliveryServer
from domain.server_cycle import RunLine, ServerCycle
from domain.server_ports import Candidate
from domain.server_run import ServerRun, Way
from domain.server_test import Verdict


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of MailWizz's history of tests; `started` as the database spells it."""

    server_id: int
    verdict: Verdict
    started: str
    error: str | None


class MailWizzLooks(Protocol):
    """MailWizz's database, for those who only read. Every method raises Unavailable."""

    async def server(self, server_id: int) -> DeliveryServer | None:
        """One server, whatever its status."""
        ...

    async def servers(self) -> list[DeliveryServer]:
        """All of them by id, whatever their status."""
        ...

    async def candidates(self, max_age_s: int) -> list[Candidate]:
        """Those that MailWizz sends through, and why a test is due, as a cycle has them."""
        ...

    async def last_lines(self) -> dict[int, HistoryLine]:
        """The newest line of the history of each server that has one."""
        ...

    async def history(self, server_id: int, limit: int) -> list[HistoryLine]:
        """The newest lines of one server."""
        ...


@dataclass(frozen=True, slots=True)
class ServerLooks:
    """MailWizz, and by which way a server can be tested with what is configured: None, and what is missing."""

    mailwizz: MailWizzLooks
    way_of: Callable[[DeliveryServer], tuple[Way | None, str]]


@dataclass(frozen=True, slots=True)
class ListedServer:
    """One line of a list of servers. `due`: why the next cycle tests it, empty where it does not.

    `line` is the newest in MailWizz's history, `run` the newest of our own, `run_id` the run that is under way. `way`
    is None where it can't be tested, and `missing` says why.
    """

    server: DeliveryServer
    due: str
    line: HistoryLine | None = None
    run: RunLine | None = None
    run_id: str | None = None
    way: Way | None = None
    missing: str = ""


class ServerReads(Protocol):
    """Runs and cycles in the database, for those who only read. Every method raises Unavailable."""

    async def run(self, run_id: str) -> ServerRun | None:
        """One run with its findings, or None."""
        ...

    async def runs(self, server_id: int, limit: int) -> list[ServerRun]:
        """The newest runs of one server, the newest first."""
        ...

    async def newest(self) -> dict[int, RunLine]:
        """The newest run of each server."""
        ...

    async def under_test(self) -> dict[int, str]:
        """The servers that are under test now, each with its run."""
        ...

    async def fingerprints(self) -> dict[int, str]:
        """What the last test of each server has tested."""
        ...

    async def running_cycle(self) -> str | None:
        """The cycle that is under way, or None."""
        ...

    async def next_cycle_ms(self) -> int | None:
        """When the next one begins by itself, or None where none does."""
        ...

    async def cycle(self, cycle_id: str) -> ServerCycle | None:
        """One cycle, or None."""
        ...

    async def lines(self, cycle_id: str) -> list[RunLine]:
        """All runs of a cycle, by server."""
        ...

    async def under_way(self, cycle_id: str, limit: int) -> list[ServerRun]:
        """The first of its runs that still take steps."""
        ...

    async def entries(self, source: str, message_id: str) -> list[JournalEntry]:
        """What became of each try of a command, oldest first."""
        ...
