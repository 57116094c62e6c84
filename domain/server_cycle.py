"""A cycle: all servers that need a test, each tested once, and no verdict carried out before all are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.server_ports import Candidate
from domain.server_run import Way, Wish
from domain.server_test import Verdict

SCHEDULE = "robotd"


@dataclass(frozen=True, slots=True)
class ServerCycle:
    """One cycle. `servers` are tested; `left_out` can't be tested by any way, `busy` were under test already.

    `outage` is why nothing was switched off, where many failed alike.
    """

    id: str
    began_at_ms: int
    force: bool = False
    dry_run: bool = False
    robot_id: int | None = None
    reply_to: str | None = None
    call_ref: str | None = None
    looked_at: int = 0
    servers: int = 0
    left_out: int = 0
    busy: int = 0
    outage: str = ""
    ended_at_ms: int | None = None
    version: int = 0

    def wish(self, server_id: int) -> Wish:
        """What is asked of one of its servers; the cycle answers for all."""
        return Wish(server_id, Way.AUTO, dry_run=self.dry_run, call_ref=self.call_ref, cycle_id=self.id)

    def with_outage(self, reason: str) -> "ServerCycle":
        """Nothing is switched off any more."""
        return replace(self, outage=reason)


@dataclass(frozen=True, slots=True)
class RunLine:
    """What became of one run, for lists; `verdict` is None while it is not judged."""

    run_id: str
    server_id: int
    name: str
    phase: str
    way: str
    verdict: Verdict | None
    step: str
    reason: str
    deactivated: bool
    kept: str
    dry_run: bool
    began_at_ms: int
    ended_at_ms: int | None


def due_for(candidates: Sequence[Candidate], fingerprints: Mapping[int, str], *, force: bool) -> list[Candidate]:
    """The servers to be tested, each once, in the order given. `fingerprints`: of the last test of each server."""
    found: dict[int, Candidate] = {}
    for candidate in candidates:
        server = candidate.server
        known = fingerprints.get(server.id)
        is_changed = known is not None and known != server.fingerprint
        if force or candidate.reason or is_changed:
            found.setdefault(server.id, candidate)
    return list(found.values())
