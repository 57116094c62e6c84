"""`robotd healthcheck` against real processes, as an image and a person run it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scrape import looked_at, looking
from tests.world import World, world

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (sys.executable, "-I", "-S", str(ROOT / "daemon" / "healthcheck.py"))
MODULE = (sys.executable, "-m", "daemon", "healthcheck")


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "robotd.db") as opened:
        yield looked_at(opened)


async def asked(command: tuple[str, ...], **variables: str) -> tuple[int, str]:
    """Exit code and what it said."""
    own = {"PATH": os.environ["PATH"], **variables}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode().strip()


@pytest.mark.parametrize("command", [SCRIPT, MODULE], ids=["script", "module"])
async def test_it_says_what_the_daemon_says(home: World, command: tuple[str, ...]) -> None:
    """0 while it is ready; 1 when it drains, and when nobody listens any more."""
    async with home.running() as daemon, looking(daemon) as operator:
        port = str(operator.http.base_url.port)
        await operator.until("/readyz", (200, "ready"))
        assert await asked(command, ROBOTD_OPS__PORT=port, ROBOTD_OPS__HOST="0.0.0.0") == (0, "ready")  # noqa: S104  as an image sets it
        assert daemon.ops is not None
        daemon.ops.health.drain()
        assert await asked(command, ROBOTD_OPS__PORT=port) == (1, "draining")
    code, said = await asked(command, ROBOTD_OPS__PORT=port)
    assert code == 1
    assert said.startswith("no answer")


async def test_without_a_port_there_is_nothing_to_check() -> None:
    """An image whose robotd listens nowhere is not called sick for it; a port that is none is a mistake."""
    assert (await asked(SCRIPT))[0] == 0
    assert (await asked(SCRIPT, ROBOTD_OPS__PORT="0x50"))[0] == 2
    assert (await asked((*MODULE, "--port", "1", "--timeout", "2")))[0] == 1


def test_it_loads_nothing_of_robotd() -> None:
    """Neither form imports any module of ours, or of a library, before it has asked."""
    code = (
        "import runpy, sys; sys.argv = ['robotd', 'healthcheck']\n"
        "try: runpy.run_module('daemon', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in "
        "('daemon', 'domain', 'handlers', 'typer', 'pydantic', 'asyncio', 'aiohttp')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603  our own interpreter
    assert told.stdout.splitlines()[-1] == "['daemon', 'daemon.healthcheck']"
