"""Whom tests of servers ask, with a point before and after each question, and at each commit in MailWizz's database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

# Imported here, before the daemons are forked: each of them would need half a second for it.
import daemon.clients.canary
import daemon.clients.mail_checks
import daemon.clients.mailbox
import daemon.clients.smtp_probe  # noqa: F401  as said above
from daemon.probe import Probe
from daemon.servers import open_server_tests
from daemon.settings import Settings
from handlers.server_parts import ServerParts

_PARTS = ("mailwizz", "probe", "mailbox", "canary", "campaigns")


class Observed:
    """One of them. Its points are called `before_mailwizz.record` and `after_mailwizz.record`, for instance."""

    def __init__(self, part: Any, name: str, probe: Probe) -> None:
        self._part, self._name, self._probe = part, name, probe

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        """The method, between its points."""
        real = getattr(self._part, method)

        async def observed(*args: Any, **named: Any) -> Any:
            await self._probe(f"before_{self._name}.{method}")
            answer = await real(*args, **named)
            await self._probe(f"after_{self._name}.{method}")
            return answer

        return observed


@asynccontextmanager
async def observed_servers(settings: Settings, probe: Probe) -> AsyncIterator[ServerParts]:
    """As the daemon opens them, observed."""

    async def at_mailwizz(point: str) -> None:
        await probe(f"mailwizz_{point}")

    async with open_server_tests(settings, at_mailwizz) as parts:
        there = {name: part for name in _PARTS if (part := getattr(parts, name)) is not None}
        observed: dict[str, Any] = {name: Observed(part, name, probe) for name, part in there.items()}
        yield replace(parts, **observed)
