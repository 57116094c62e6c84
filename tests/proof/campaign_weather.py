"""What goes wrong at WAHA while a campaign runs, drawn by chance: answers, connections, sessions, look-ups.

WAHA may be late, mute or wrong, but never by more than LATE_S, and it never says "not sent" of what it has sent except
by an engine's error. Whoever hangs is let go in time; a session that stopped works again after a while.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localstack.faults import Fault, FaultKind, When
from localstack.waha import IdShape
from localstack.waha_answers import NOT_WORKING
from localstack.waha_records import WORKING
from localstack.waha_script import Trouble, TroubleKind
from tests.proof.campaign_home import LATE_S, Letter, Mailroom

ENGINES = ("NOWEB", "NOWEB", "GOWS", "WEBJS")
Rule = Trouble | Fault
_STOPS = ("STOPPED", "FAILED", "SCAN_QR_CODE")
_WORST = 10


@dataclass(slots=True)
class Weather:
    """The trouble of one mailroom."""

    room: Mailroom
    chance: random.Random

    def gather(self, letter: Letter) -> None:
        """Let trouble come over a campaign that is about to start."""
        self._make_lookups_odd(letter)
        rules = [self.chance.choice(_MENU)(self, letter) for _ in range(self.chance.randint(_WORST // 3, _WORST))]
        if self.chance.random() < 0.3:
            rules.append(self._trouble(letter, TroubleKind.REACHOUT_LOCK))  # a second one would be a lock for a day
        for rule in rules:
            if isinstance(rule, Trouble):
                self.room.waha.script.add(rule)
            else:
                self.room.waha.faults.add(rule)
        for _ in range(self.chance.randint(0, 2)):
            after = self.chance.randrange(1, len(letter.people))
            self.room.waha.plan_status(letter.session, self.chance.choice(_STOPS), after_accepted=after)

    def _make_lookups_odd(self, letter: Letter) -> None:
        waha, chance = self.room.waha, self.chance
        waha.records.lookup_lag_ms = chance.choice((0, 0, 200, round(LATE_S * 800)))
        waha.behaviour.has_store = chance.random() > 0.15
        waha.behaviour.unknown_message_status = chance.choice((404, 200, 500))
        waha.behaviour.no_new_ids_status = chance.choice((501, 404, 422))
        waha.behaviour.id_shape = chance.choice(tuple(IdShape))
        some = [number for number in letter.people if chance.random() < 0.5]
        self.room.remember_older_texts(letter, *some)

    def _trouble(self, letter: Letter, kind: TroubleKind, when: When = When.BEFORE, text: str | None = None) -> Trouble:
        skip = self.chance.randrange(len(letter.people))
        return Trouble(kind, session=letter.session, times=1, skip=skip, when=when, text=text)

    def either(self, kind: TroubleKind) -> Callable[[Letter], Trouble]:
        """Before it is sent, or after."""
        return lambda letter: self._trouble(letter, kind, self.chance.choice(tuple(When)))

    def of_a_send(self, letter: Letter, kind: FaultKind) -> Fault:
        """The connection of one send."""
        route = "sendImage" if letter.has_picture else "sendText"
        skip = self.chance.randrange(len(letter.people))
        return Fault(kind, route, self.chance.choice(tuple(When)), times=1, skip=skip, delay_ms=300)

    def of_a_question(self, kind: FaultKind, routes: Sequence[str]) -> Fault:
        """One or a few questions in a row."""
        route, times = self.chance.choice(routes), self.chance.randint(1, 4)
        skip = self.chance.randrange(30)
        return Fault(kind, route, times=times, skip=skip, status=self.chance.choice((500, 503)), delay_ms=100)

    def hang_the_next_send(self, letter: Letter) -> None:
        """The next send gets no answer until it is let go: it may have been carried out, or be carried out then."""
        route = "sendImage" if letter.has_picture else "sendText"
        self.room.waha.faults.hang(route, times=1, when=self.chance.choice(tuple(When)))

    async def let_go(self) -> None:
        """For ever: what hangs goes on after a while."""
        faults = self.room.waha.faults
        while True:
            await faults.until(lambda: faults.hanging > 0)
            is_long = self.chance.random() < 0.5  # long enough for an heir to have looked before it is carried out
            await self.room.pause_for(self.chance.uniform(0.5, 0.8) * LATE_S if is_long else 0.1)
            faults.release()

    async def mend_sessions(self) -> None:
        """For ever: a session that has stopped works again after a while."""
        while True:
            await self.room.pause_for(self.chance.uniform(0.2, 0.6))
            self._mend()

    def _mend(self) -> None:
        for session in {letter.session for letter in self.room.letters}:
            if self.room.waha.history(session)[-1].status != WORKING:
                self.room.waha.set_status(session, WORKING)

    def clear(self) -> None:
        """Everything is well from now on; nothing that hangs is forgotten."""
        self.room.waha.faults.clear()
        self.room.waha.script.clear()
        self.room.waha.faults.release()
        self._mend()


def _told(kind: TroubleKind, text: str | None = None) -> Callable[[Weather, Letter], Rule]:
    return lambda weather, letter: weather._trouble(letter, kind, text=text)


def _told_any_time(kind: TroubleKind) -> Callable[[Weather, Letter], Rule]:
    return lambda weather, letter: weather.either(kind)(letter)


def _sends(kind: FaultKind) -> Callable[[Weather, Letter], Rule]:
    return lambda weather, letter: weather.of_a_send(letter, kind)


def _questions(kind: FaultKind, *routes: str) -> Callable[[Weather, Letter], Rule]:
    return lambda weather, _letter: weather.of_a_question(kind, routes)


_QUESTIONS = ("session.read", "message-id.new", "message.read", "message.list")
_MENU: Sequence[Callable[[Weather, Letter], Rule]] = (
    _told_any_time(TroubleKind.ENGINE_ERROR),
    _told_any_time(TroubleKind.BAD_GATEWAY),
    _told(TroubleKind.EMPTY),
    _told(TroubleKind.ODD_JSON),
    _told(TroubleKind.ODD_JSON, '{"id": 4'),
    _told(TroubleKind.BAD_REQUEST),
    _told(TroubleKind.TOO_MANY_REQUESTS),
    _told(TroubleKind.RATE_OVERLIMIT),
    _told(TroubleKind.UNAUTHORIZED),
    _told(TroubleKind.UNPROCESSABLE, NOT_WORKING),
    _sends(FaultKind.RESET),
    _sends(FaultKind.RESET),
    _sends(FaultKind.HANG),
    _sends(FaultKind.HANG),
    _sends(FaultKind.SLOW),
    _questions(FaultKind.STATUS, *_QUESTIONS),
    _questions(FaultKind.RESET, *_QUESTIONS),
    _questions(FaultKind.SLOW, *_QUESTIONS),
)
