"""A WhatsApp number as campaigns meet it: its pace and its breaker, read from one row and written back to it."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from domain.number_breaker import (
    BreakerRules,
    BreakerState,
    Decision,
    Go,
    Judged,
    Slow,
    Stop,
    judge_send,
    judge_session,
)
from domain.pace import NumberPace, PaceRules, next_send_ms
from domain.pace_estimate import estimate_end_ms
from domain.sending import PauseReason, SendAnswer, SessionState
from domain.sending_window import BothOpen, Opens, SendingWindow
from domain.wire import JsonObject


@dataclass(frozen=True, slots=True)
class NumberRules:
    """What holds for every number."""

    pace: PaceRules = field(default_factory=PaceRules)
    window: SendingWindow = field(default_factory=SendingWindow)
    breaker: BreakerRules = field(default_factory=BreakerRules)

    def opens(self, own: SendingWindow | None) -> Opens:
        """When messages of a campaign go out: in the number's window, and in its own if it has one."""
        return self.window if own is None else BothOpen(self.window, own)


@dataclass(frozen=True, slots=True)
class Number:
    """One number. `chance` (0 to 1) is drawn once for each gap, so that asking twice gives one answer.

    `version` is that of the row, 0 for a number that never sent; `decision` is what the last look or answer led to.
    """

    rules: NumberRules
    pace: NumberPace = field(default_factory=NumberPace)
    breaker: BreakerState = field(default_factory=BreakerState)
    chance: float = 0.5
    version: int = 0
    decision: Decision = field(default_factory=Go)

    @classmethod
    def of(cls, rules: NumberRules, pace: JsonObject, breaker: JsonObject, version: int) -> "Number":
        """From its row."""
        values: dict[str, Any] = dict(pace)
        chance = values.pop("chance")
        state = BreakerState(**breaker)
        stopped = None if state.stopped is None else PauseReason(state.stopped)
        return cls(rules, NumberPace(**values), replace(state, stopped=stopped), chance, version)

    @property
    def pace_row(self) -> JsonObject:
        """For its row."""
        return {**_flat(self.pace), "chance": self.chance}

    @property
    def breaker_row(self) -> JsonObject:
        """For its row."""
        return _flat(self.breaker)

    @property
    def stop(self) -> Stop | None:
        """Why all its campaigns must pause, if they must."""
        return self.decision if isinstance(self.decision, Stop) else None

    def next_send(self, now_ms: int, own: SendingWindow | None = None) -> tuple[int, str]:
        """When the next message of a campaign with this window of its own may go out, and what it waits for."""
        slowed = self.pace.slowed(self.breaker.factor(self.rules.breaker))
        found = next_send_ms(self.rules.pace, slowed, self.rules.opens(own), now_ms, self.chance)
        not_before_ms = self.breaker.wait_until_ms or 0
        if isinstance(self.decision, Slow):
            not_before_ms = max(not_before_ms, self.decision.not_before_ms or 0)
        if not_before_ms > found.at_ms:
            return not_before_ms, "BREAKER"
        return found.at_ms, str(found.because or "")

    def looked(self, session: SessionState, now_ms: int) -> "Number":
        """After a look at its session."""
        return self._judged(judge_session(self.rules.breaker, self.breaker, session, now_ms))

    def sending(self, now_ms: int, chance: float) -> "Number":
        """With one more message, whatever becomes of it, and a new chance for the gap after it.

        Of a number under suspicion it is the one that tries: no other campaign sends before its answer is known.
        """
        pace = self.pace.after_send(self.rules.pace, now_ms)
        return replace(self, pace=pace, breaker=self.breaker.tried(self.rules.breaker, now_ms), chance=chance)

    def saved(self) -> "Number":
        """The same as its row is after it was saved."""
        return replace(self, version=self.version + 1)

    def answered(self, answer: SendAnswer, chat_id: str, now_ms: int) -> "Number":
        """After the answer to a send: the gap counts from it, because a send may take long."""
        judged = self._judged(judge_send(self.rules.breaker, self.breaker, answer, chat_id, now_ms))
        last_ms = max(now_ms, self.pace.last_sent_at_ms or 0)
        return replace(judged, pace=replace(self.pace, last_sent_at_ms=last_ms))

    def resumed(self) -> "Number":
        """When it may go on: failures are forgotten, the first messages go out slowly; a lock stays until it ends."""
        return replace(self, breaker=self.breaker.resumed(self.rules.breaker), decision=Go())

    def estimate(self, count: int, now_ms: int, own: SendingWindow | None = None) -> int:
        """When `count` more messages will have gone out, in milliseconds since 1970."""
        slowed = self.pace.slowed(self.breaker.factor(self.rules.breaker))
        return estimate_end_ms(self.rules.pace, slowed, self.rules.opens(own), count, now_ms)

    def _judged(self, judged: Judged) -> "Number":
        return replace(self, breaker=judged.state, decision=judged.decision)


def _flat(row: NumberPace | BreakerState) -> JsonObject:
    """Its fields: both are flat, and `asdict` would copy each of them deeply, twice for each message."""
    return {name: getattr(row, name) for name in _NAMES[type(row)]}


_NAMES = {kind: tuple(one.name for one in fields(kind)) for kind in (NumberPace, BreakerState)}
