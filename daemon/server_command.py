"""`robotd servers test` and `cycle`: sent over SQS like a program's command, then followed in the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.command_sending import Became, Order, Sending, hand_over, tell
from daemon.opening import open_server_reads
from daemon.server_view import ServerReads
from daemon.server_watch import watch_cycle, watch_run
from daemon.settings import Settings
from domain.errors import MessageError
from domain.messages import reply_id
from domain.wire import JsonObject

_OPTIONS = {"serverId": "ID", "path": "--path", "checks": "--check", "dryRun": "--dry-run", "force": "--force"}


@dataclass(frozen=True, slots=True)
class WantedTest:
    """A test as it is asked for on the command line."""

    server_id: int
    path: str
    checks: Sequence[str]
    dry_run: bool


async def begin_test(settings: Settings, wanted: WantedTest, sending: Sending, *, watch: bool) -> int:
    """Send `server.test`; with `watch` follow it to its verdict."""
    data = {
        "serverId": wanted.server_id,
        "path": wanted.path,
        "checks": list(dict.fromkeys(wanted.checks)) or None,
        "dryRun": wanted.dry_run,
    }
    async with open_server_reads(settings) as reads:
        became = await _sent(settings, reads, Order("server.test", data, _OPTIONS), sending, watch=watch)
        if watch and became.is_done:
            return await watch_run(reads, reply_id(became.source, became.id), as_json=sending.as_json)
    run_id = reply_id(became.source, became.id)
    return tell(became, "server.test", sending, lambda _note: {"runId": run_id})


async def begin_cycle(settings: Settings, sending: Sending, *, force: bool, dry_run: bool, watch: bool) -> int:
    """Send `server.test-cycle`; with `watch` follow it to its end."""
    order = Order("server.test-cycle", {"force": force, "dryRun": dry_run}, _OPTIONS)
    async with open_server_reads(settings) as reads:
        became = await _sent(settings, reads, order, sending, watch=watch)
        if watch and became.is_done:
            return await watch_cycle(reads, reply_id(became.source, became.id), as_json=sending.as_json)

    def about(_note: str) -> JsonObject:
        return {"cycleId": reply_id(became.source, became.id)}

    return tell(became, order.type, sending, about)


async def _sent(settings: Settings, reads: ServerReads, order: Order, sending: Sending, *, watch: bool) -> Became:
    if watch and sending.wait_s is None:
        raise MessageError("name either --watch or --no-wait")
    return await hand_over(settings, reads, order, sending)
