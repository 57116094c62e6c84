"""What the proofs of server tests believe: MailWizz's rows, the mailbox, the queue's ledger, and what is left.

No rule of the product takes part: what has to become of a server is what the test wrote down when it made it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.proof.server_home import TIMERS, Lab, Wanted

_KINDS = ("server.tested", "server.cycle-tested")


@dataclass(frozen=True, slots=True)
class Judge:
    """`servers` were tested once each. Of a campaign no second one may be made, whatever happened."""

    lab: Lab

    def violations(self, servers: Sequence[Wanted], cycle: str | None = None) -> list[str]:
        """Everything that does not hold, as sentences. `cycle`: the name of the one they were tested in, if any."""
        found = [*self._history(servers), *self._statuses(), *self._mails(servers), *self._left()]
        alone = [server for server in servers if server.id in self.lab.asked]
        found += [*self._meanings(), *(what for server in alone for what in self._told(server))]
        if cycle is not None:
            found += self._told_of_cycle([server for server in servers if server not in alone], cycle)
        return found

    def _history(self, servers: Sequence[Wanted]) -> Iterator[str]:
        """One line for each, none twice, none missing."""
        lines: dict[int, list[dict[str, Any]]] = {}
        for line in self.lab.history():
            lines.setdefault(line["delivery_server_id"], []).append(line)
        for server in servers:
            own = lines.get(server.id, [])
            if [line["status"] for line in own] != [server.verdict]:
                yield f"HISTORY of {server}: {own}"
        if strays := set(lines) - {server.id for server in self.lab.servers}:
            yield f"history of servers that nobody asked for: {strays}"

    def _statuses(self) -> Iterator[str]:
        tested = {line["delivery_server_id"] for line in self.lab.history()}
        for server in self.lab.servers:
            expected = server.status_then if server.id in tested else server.status
            if (shown := self.lab.statuses()[server.id]) != expected:
                yield f"WRONG STATUS: {server} is {shown}"

    def _mails(self, servers: Sequence[Wanted]) -> Iterator[str]:
        """A probe may be sent again by who goes on after a kill; a campaign is made once."""
        mails = self.lab.mails()
        for server in servers:
            most = 0 if server.is_bad else 1 if server.by_campaign else 1 + self.lab.kills
            if not (0 if server.is_bad else 1) <= mails[server.domain] <= most:
                yield f"{server} has {mails[server.domain]} mails in the mailbox"
        campaigns = Counter(row["subject"] for row in self.lab.tables.dicts("mw_campaign"))
        if twice := [subject for subject, count in campaigns.items() if count > 1]:
            yield f"DOUBLE CAMPAIGN: {twice}"

    def _meanings(self) -> Iterator[str]:
        """One id is told with one meaning, however often."""
        told: dict[str, Any] = {}
        for kind in _KINDS:
            for result in self.lab.told(kind):
                if told.setdefault(result["id"], result["payload"]) != result["payload"]:
                    yield f"told with two meanings: {told[result['id']]} and {result['payload']}"
        if errors := self.lab.told("error"):
            yield f"errors were told: {errors}"

    def _told(self, server: Wanted) -> Iterator[str]:
        ends = {
            one["id"]: one["payload"]
            for one in self.lab.told("server.tested")
            if one["payload"]["serverId"] == server.id
        }
        if len(ends) != 1:
            yield f"the end of {server} was told by {sorted(ends)}"
        for end in ends.values():
            is_off = server.is_bad and server.status == "active"
            if (end["verdict"], end["deactivated"]) != (server.verdict, is_off):
                yield f"told of {server}: {end}"

    def _told_of_cycle(self, servers: Sequence[Wanted], cycle: str) -> Iterator[str]:
        ids = {server.id for server in servers}
        ends = {
            one["id"]: one["payload"]
            for one in self.lab.told("server.cycle-tested")
            if one["payload"]["cycleId"].endswith(self._suffix(cycle))
        }
        if len(ends) != 1:
            yield f"the end of cycle {cycle} was told by {sorted(ends)}"
        bad = sum(server.is_bad for server in servers)
        wanted = {"tested": len(ids), "successful": len(ids) - bad, "failed": bad, "errors": 0, "deactivated": bad}
        for end in ends.values():
            if {name: end[name] for name in wanted} != wanted:
                yield f"told of cycle {cycle}: {end}"

    def _suffix(self, cycle: str) -> str:
        """Its id as robotd's own table has it: the test knows the one that is the newest."""
        del cycle
        rows = self.lab.home.tables.rows("SELECT id FROM server_test_cycle ORDER BY began_at_ms DESC LIMIT 1")
        return str(rows[0][0]) if rows else "?"

    def _left(self) -> Iterator[str]:
        home = self.lab.home
        if claims := self.lab.claims():
            yield f"NOT FREED: {claims}"
        for table in (TIMERS, "outbox", "server_test_run WHERE phase <> 'ENDED'"):
            if rows := home.tables.dicts(table):
                yield f"left in {table}: {str(rows)[:400]}"
        for queue in home.consumed:
            if left := home.sqs.counts(queue).total:
                yield f"{left} messages left in {queue}"
        for letter in home.dead_letters():
            yield f"dead-lettered: {letter.body[:200]}: {letter.attributes.get('errorMessage')}"
