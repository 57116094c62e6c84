"""Alerts: what operators are told on Slack. Raised with the change that they tell of, posted by a timer.

So whoever raises one waits for nobody, a rollback takes it back, and it is posted however often the process dies.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from domain.command_data import CommandData
from domain.ports import Timer, UnitOfWork
from domain.wire import WireTime

POST, QUIET = "alert.post", "alert.quiet"


class Severity(StrEnum):
    """How much it matters: somebody has to act (ERROR), to look (WARNING), or only to know (INFO)."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. Two with the same `key` are the same: they merge while one is not posted yet.

    For `quiet_s` after it was posted the same is not posted again; 0: a key that names its one occurrence needs none.
    Whole numbers in `fields` are shown as they are; in texts what looks like a phone number is masked.
    """

    key: str
    title: str
    text: str
    severity: Severity = Severity.WARNING
    fields: tuple[tuple[str, str | int], ...] = ()
    quiet_s: int = 0

    @property
    def timer_key(self) -> str:
        """The key as timers have it: short, whatever stands in it."""
        return hashlib.sha256(self.key.encode("utf-8", "backslashreplace")).hexdigest()[:32]


class PostAlert(CommandData):
    """Timer `alert.post`: one alert has to be told."""

    alert: Alert
    raised_at: WireTime


class EndOfQuiet(CommandData):
    """Timer `alert.quiet`: the alert of this key may be posted again. While it is planned, the same is not raised."""


class Slack(Protocol):
    """Where alerts are read."""

    @property
    def is_busy(self) -> bool:
        """Whether one is being posted: one at a time, so that a Slack that hangs takes one timer's slot, not all."""
        ...

    async def post(self, alert: Alert) -> None:
        """Post once. Raises Unavailable, after which it may have been posted, RuleViolation when Slack refuses."""
        ...


def alert_timer(alert: Alert, now_ms: int, call_ref: str | None = None) -> Timer:
    """The timer that posts an alert at once."""
    data = PostAlert(alert=alert, raisedAt=datetime.fromtimestamp(now_ms / 1000, UTC))
    return Timer(POST, alert.timer_key, now_ms, data, call_ref)


def quiet_timer(alert: Alert, now_ms: int) -> Timer:
    """The timer that stands for as long as the same alert is not wanted again."""
    return Timer(QUIET, alert.timer_key, now_ms + alert.quiet_s * 1000, EndOfQuiet())


async def raise_alert(alert: Alert, uow: UnitOfWork) -> None:
    """Collect an alert, to be committed with what it tells of.

    One with a quiet time is left out while the same is quiet, or waits to be posted: that one may be on its way to
    Slack, and put in its place this one would be the second.
    """
    if alert.quiet_s and await _is_known(alert, uow):
        return
    uow.schedule(alert_timer(alert, uow.now_ms, uow.call_ref))


async def _is_known(alert: Alert, uow: UnitOfWork) -> bool:
    return await uow.is_scheduled(QUIET, alert.timer_key) or await uow.is_scheduled(POST, alert.timer_key)
