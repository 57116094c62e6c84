"""The endpoint of docs/client.md over the database of a test's daemon: what the ops API mounts, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from daemon.command_outcome import PATH, outcome_of
from daemon.store.command_facts import SqlCommandFacts
from daemon.store.database import Database


@asynccontextmanager
async def command_api(database: Database) -> AsyncIterator[str]:
    """Serve it. Yields the base URL."""

    async def outcome(request: web.Request) -> web.Response:
        facts = await SqlCommandFacts(database).of(request.query["source"], request.match_info["id"])
        return web.Response(text=outcome_of(facts).model_dump_json(by_alias=True), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get(PATH, outcome)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
