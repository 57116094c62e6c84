"""What the proofs of campaigns believe: WAHA's own record, the tables by a plain driver, the queue server's ledger.

No rule of the product takes part: what a state may mean is said here once more, by what WAHA had been told to do. An
exception is made nowhere but for an answer that lied: an error that WAHA told after it had sent is FAILED in the
ledger, because that is all that anybody was ever told.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from localstack.faults import FaultKind
from localstack.waha_script import TroubleKind
from tests.proof.campaign_home import TIMERS, Letter, Mailroom

SENT, FAILED, SKIPPED, UNKNOWN = "SENT", "FAILED", "SKIPPED", "UNKNOWN"
REFUSING = {TroubleKind.ENGINE_ERROR, TroubleKind.REACHOUT_LOCK, TroubleKind.BAD_REQUEST}
DOUBTFUL = {TroubleKind.BAD_GATEWAY}
DOUBTFUL_FAULTS = {FaultKind.RESET, FaultKind.HANG}
SENDS = {"sendText", "sendImage"}
# What a user asks for too late is refused, with a reason; nothing of robotd's own may ever be.
REFUSABLE = {f"campaign.{verb}" for verb in ("run", "pause", "resume", "retry")}


@dataclass(slots=True)
class Facts:
    """What is known of one campaign from outside."""

    letter: Letter
    rows: list[dict[str, Any]]
    accepted: Counter[str]
    refused: set[str]
    lied_about: set[str]
    left_open: set[str]

    @property
    def states(self) -> dict[str, str]:
        """By chat."""
        return {row["chat_id"]: row["state"] for row in self.rows}

    def chats(self, state: str) -> set[str]:
        """Who is in this state."""
        return {chat_id for chat_id, now in self.states.items() if now == state}


@dataclass(slots=True)
class Judge:
    """Looks at a mailroom in which everything is over.

    `opted_out` are the chats that the test has let opt out. `lookups_work`: WAHA was always able to tell what it has
    sent, so that nobody whom it did send to may be UNKNOWN. `slack`: how many sends under way the test may have missed
    when it killed one of two replicas.
    """

    room: Mailroom
    opted_out: set[str] = field(default_factory=set)
    lookups_work: bool = False
    slack: int = 0

    def violations(self, *letters: Letter) -> list[str]:
        """Everything that does not hold, as sentences."""
        facts = [self._facts(letter) for letter in letters]
        found = [f"letter {each.letter.number}: {what}" for each in facts for what in self._of_one(each)]
        if len(self.room.waha.accepted) != sum(each.accepted.total() for each in map(self._facts, self.room.letters)):
            found.append("WAHA has texts that no letter is")
        return [*found, *self._doubts(facts), *self._left(), *self._buried()]

    def _facts(self, letter: Letter) -> Facts:
        room = self.room
        struck = [
            (chat_id, trouble) for chat_id, trouble in room.waha.script.struck if trouble.session == letter.session
        ]
        refused = {chat_id for chat_id, trouble in struck if trouble.kind in REFUSING}
        return Facts(
            letter=letter,
            rows=room.ledger(letter),
            accepted=Counter(each.chat_id for each in room.waha.accepted if each.text.endswith(letter.ending)),
            refused=refused,
            lied_about={chat_id for chat_id, trouble in struck if trouble.kind in REFUSING and trouble.is_accepted},
            left_open={chat_id for chat_id, trouble in struck if trouble.kind in DOUBTFUL},
        )

    def _of_one(self, facts: Facts) -> Iterator[str]:
        yield from self._once(facts)
        yield from self._nobody_missing(facts)
        yield from self._states(facts)
        yield from self._told(facts)

    def _once(self, facts: Facts) -> Iterator[str]:
        """Nobody gets it twice, and everybody his own."""
        for chat_id, times in facts.accepted.items():
            if times != 1:
                yield f"DOUBLE SEND: {chat_id} got it {times} times, and is {facts.states.get(chat_id)}"
        texts, kind = facts.letter.texts, "image" if facts.letter.has_picture else "text"
        for message in self.room.waha.accepted:
            is_right = (message.session, message.kind) == (facts.letter.session, kind)
            if message.text.endswith(facts.letter.ending) and not (is_right and message.text == texts[message.chat_id]):
                yield f"{message.chat_id} got {message.text!r} by {message.session} as {message.kind}"

    def _nobody_missing(self, facts: Facts) -> Iterator[str]:
        wanted = set(facts.letter.texts)
        found = [row["chat_id"] for row in facts.rows]
        if lost := wanted - set(found):
            yield f"no recipients: {sorted(lost)}"
        if strays := set(found) - wanted:
            yield f"were not on the list: {sorted(strays)}"
        if [row["position"] for row in facts.rows] != list(range(len(facts.rows))) or len(found) != len(set(found)):
            yield f"positions or chats are not one each: {[(row['position'], row['chat_id']) for row in facts.rows]}"

    def _states(self, facts: Facts) -> Iterator[str]:
        accepted, skipped, failed = set(facts.accepted), facts.chats(SKIPPED), facts.chats(FAILED)
        not_over = {chat_id for chat_id, state in facts.states.items() if state not in (SENT, FAILED, SKIPPED, UNKNOWN)}
        wrong = {
            "not over": not_over,
            "SENT, but WAHA has it not": facts.chats(SENT) - accepted,
            "FAILED, but WAHA has sent it, and said so": failed & accepted - facts.lied_about,
            "FAILED without a word of WAHA": failed - facts.refused,
            "SKIPPED, but WAHA has sent it": skipped & accepted,
            "SKIPPED without having asked for it": skipped - self.opted_out,
        }
        if self.lookups_work:
            wrong["UNKNOWN, but WAHA could tell that it has sent it"] = facts.chats(UNKNOWN) & accepted
        yield from (f"{what}: {sorted(chats)}" for what, chats in wrong.items() if chats)

    def _told(self, facts: Facts) -> Iterator[str]:
        """The end is told once, with the counts of the rows."""
        results = self.room.home.results(facts.letter.robot_id)
        meanings: dict[str, list[Any]] = defaultdict(list)
        for result in results:
            meanings[result["id"]].append([result["type"], result["payload"]])
        for result_id, told in meanings.items():
            if any(one != told[0] for one in told):
                yield f"{result_id} was told with two meanings: {told}"
        ends = {result["id"]: result["payload"] for result in results if result["type"] == "campaign.completed"}
        campaign = self.room.campaign(facts.letter)
        if len(ends) != 1 or campaign["status"] != "Completed":
            yield f"the end was told by {sorted(ends)}; it is {campaign['status']}"
            return
        counts = Counter(facts.states.values())
        told_counts = next(iter(ends.values()))
        for state in (SENT, FAILED, SKIPPED, UNKNOWN, "PENDING"):
            if told_counts[f"{state.lower()}Count"] != counts[state]:
                yield f"told {told_counts}, counted {dict(counts)}"
        if told_counts["totalContacts"] != len(facts.rows) or campaign["last_processed_contact_index"] is not None:
            yield f"told {told_counts}; {len(facts.rows)} rows, index {campaign['last_processed_contact_index']}"

    def _doubts(self, facts: list[Facts]) -> Iterator[str]:
        """UNKNOWN is who was under way when a daemon was killed, or of whom WAHA spoke in riddles; nobody else."""
        groundless = [
            (each.letter.number, chat_id)
            for each in facts
            for chat_id in each.chats(UNKNOWN) - each.left_open
            if (each.letter.session, chat_id) not in self.room.doubted
        ]
        faults = [fault for route, fault in self.room.waha.faults.struck if route in SENDS]
        may_be = sum(fault.kind in DOUBTFUL_FAULTS for fault in faults) + self.slack
        if len(groundless) > may_be:
            yield f"UNKNOWN, although nothing was in doubt ({may_be} might be): {groundless}"

    def _left(self) -> Iterator[str]:
        home = self.room.home
        for table in (TIMERS, "outbox"):
            if rows := home.tables.dicts(table):
                yield f"left in {table.split()[0]}: {json.dumps(rows, default=str)[:400]}"
        for queue in home.consumed:
            if left := home.sqs.counts(queue).total:
                yield f"{left} messages left in {queue}"

    def _buried(self) -> Iterator[str]:
        for letter in self.room.home.dead_letters():
            kind, reason = letter.attributes.get("errorKind"), letter.attributes.get("errorMessage")
            asked = json.loads(letter.body).get("type")
            if asked not in REFUSABLE or kind != "wrong-state":
                yield f"dead-lettered: {letter.body[:200]}: {kind}, {reason}"
