"""Alerts reach Slack: each once it is committed, none so late that it is news of yesterday."""

from domain.alerts import EndOfQuiet, PostAlert, Slack, quiet_timer
from domain.outcome import Done, Outcome, Retry
from domain.ports import UnitOfWork
from domain.wire import milliseconds

WORTH_TELLING_MS = 3_600_000


class AlertHandlers:
    """The use cases of alerts. Without a `slack` nobody is told, and nothing piles up."""

    def __init__(self, slack: Slack | None = None) -> None:
        self._slack = slack

    async def post(self, timer: PostAlert, uow: UnitOfWork) -> Outcome:
        """Post one alert; a crash between the post and the commit makes it two posts, never none."""
        if self._slack is None:
            return Done("no slack")
        if uow.now_ms - milliseconds(timer.raised_at) > WORTH_TELLING_MS:
            return Done("too old")
        await uow.still_ours()
        if self._slack.is_busy:
            return Retry(None, "another alert is being posted", counts=False)
        await self._slack.post(timer.alert)
        if timer.alert.quiet_s:
            uow.schedule(quiet_timer(timer.alert, uow.now_ms))
        return Done("posted")

    async def quiet(self, _timer: EndOfQuiet, _uow: UnitOfWork) -> Outcome:
        """The timer's end is all there is: without it the same alert may be raised again."""
        return Done("quiet ends")
