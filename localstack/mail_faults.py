"""What may go wrong at a delivery server: at which command, how often; and what becomes of a mail that it took."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from localstack.bell import Bell
from localstack.faults import When


class Stage(StrEnum):
    """Where in a talk a fault strikes."""

    CONNECT = "CONNECT"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "CONTENT"  # the mail has come, its answer is due
    QUIT = "QUIT"


class SmtpFaultKind(StrEnum):
    """What happens there."""

    ANSWER = "answer"  # `answer` instead of what is due; 421, and any at CONNECT, ends the talk
    CUT = "cut"  # the connection is reset
    SILENT = "silent"  # nothing, until the other side gives up
    GARBAGE = "garbage"  # at CONNECT and STARTTLS: bytes that are no TLS
    HIDE_STARTTLS = "hide-starttls"  # at CONNECT: this talk offers none
    HIDE_AUTH = "hide-auth"  # at CONNECT: this talk offers none


@dataclass(frozen=True, slots=True)
class SmtpFault:
    """One rule. `times` None means until cleared; the first `skip` are spared; `delay_ms` passes on the clock.

    `of`: only for this sender at MAIL, this recipient at RCPT. `when` AFTER, at CONTENT alone: the mail was taken.
    """

    kind: SmtpFaultKind
    stage: Stage
    answer: str = ""
    times: int | None = None
    skip: int = 0
    delay_ms: int = 0
    of: str | None = None
    when: When = When.BEFORE


@dataclass(slots=True)
class _Rule:
    fault: SmtpFault
    skip: int
    left: int | None

    def strikes(self, stage: Stage, of: str | None, when: When) -> bool:
        fault = self.fault
        if self.left == 0 or fault.stage is not stage or fault.when is not when or fault.of not in (None, of):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class SmtpFaults:
    """The rules of one delivery server; the first that strikes decides. `struck` tells judges which did."""

    def __init__(self) -> None:
        self.struck: list[SmtpFault] = []
        self._rules: list[_Rule] = []
        self._bell = Bell()

    def add(self, fault: SmtpFault) -> None:
        """Add a rule behind those that are there."""
        self._rules.append(_Rule(fault, fault.skip, fault.times))

    def answer(
        self, stage: Stage, answer: str, times: int | None = None, delay_ms: int = 0, of: str | None = None
    ) -> None:
        """Answer this at a stage: `451 4.7.1 Greylisted` n times, `535 5.7.8 Rejected` after a delay, and so on."""
        self.add(SmtpFault(SmtpFaultKind.ANSWER, stage, answer, times, delay_ms=delay_ms, of=of))

    def cut(self, stage: Stage, times: int | None = None, when: When = When.BEFORE) -> None:
        """Reset the connection at a stage."""
        self.add(SmtpFault(SmtpFaultKind.CUT, stage, times=times, when=when))

    def silent(self, stage: Stage, times: int | None = None) -> None:
        """Say nothing any more."""
        self.add(SmtpFault(SmtpFaultKind.SILENT, stage, times=times))

    def garbage(self, stage: Stage, times: int | None = None) -> None:
        """Say something that is no TLS where a handshake is due."""
        self.add(SmtpFault(SmtpFaultKind.GARBAGE, stage, times=times))

    def hide(self, kind: SmtpFaultKind, times: int | None = None) -> None:
        """Don't offer what is expected: HIDE_STARTTLS or HIDE_AUTH."""
        self.add(SmtpFault(kind, Stage.CONNECT, times=times))

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def draw(self, stage: Stage, of: str | None = None, when: When = When.BEFORE) -> SmtpFault | None:
        """Decide about one moment of a talk."""
        for rule in self._rules:
            if rule.strikes(stage, of, when):
                self.struck.append(rule.fault)
                self._bell.ring()
                return rule.fault
        return None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as `condition` holds; it is looked at again each time that a fault strikes."""
        await self._bell.until(condition)


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of a mail that a delivery server took with 250.

    `results` is the header that our own mail exchanger writes, topmost; `forged_results` one that came with the mail.
    """

    is_lost: bool = False
    late_ms: int = 0  # on the clock
    to_junk: bool = False
    sends_no_dsn: bool = False
    from_header: str | None = None  # rewritten
    drops_reply_to: bool = False
    sender_header: str | None = None  # added
    forged_results: str | None = None
    results: str | None = None
    breaks_signature: bool = False  # DKIM: the body changes after signing
