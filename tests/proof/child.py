"""The real daemon in a process of its own, with one point of a message's path armed; started by the proofs alone.

`python -m tests.proof.child CONFIG.json` runs one daemon. `--nursery` imports everything once and then forks a daemon
for each line `CONFIG.json` on stdin, which is ten times cheaper than a fresh interpreter; the forks are processes like
any other, and their ends are told on stdout. What is armed comes from the file: the daemon itself knows no switch.
"""

import asyncio
import gc
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from daemon.app import Outside, build
from daemon.cli_run import run_until_signalled, signals
from daemon.clock import SystemClock
from daemon.log import configure
from daemon.settings import Settings
from tests.proof.leaping_clock import LeapingClock
from tests.proof.observed_servers import observed_servers

_OTHERS_END_S = 0.05
SIGKILL, RAISE, CANCEL, PAUSE = "sigkill", "raise", "cancel", "pause"


class Planted(RuntimeError):  # noqa: N818  what happened, as elsewhere in the project
    """The fault that the test asked for."""


@dataclass(frozen=True, slots=True)
class Armed:
    """At the `hit`-th time that `point` is reached, `fault` happens, once."""

    point: str
    fault: str
    hit: int = 1


def tell(pid: int, what: str, code: int | None = None) -> None:
    """One line for the test: short enough to reach a shared pipe in one piece."""
    line = json.dumps({"pid": pid, "is": what, "code": code})
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


class Tracer:
    """A probe that writes down every point, and does harm at one of them."""

    def __init__(self, armed: Armed | None, trace: Path) -> None:
        self._armed = armed
        self._hits = 0
        self._file = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, point: str) -> None:
        known = structlog.contextvars.get_contextvars()
        line = {"at_s": time.time(), "pid": os.getpid(), "point": point, "id": known.get("message_id")}
        os.write(self._file, f"{json.dumps(line)}\n".encode())

    async def __call__(self, point: str) -> None:
        self.note(point)
        if self._armed is None or point != self._armed.point:
            return
        self._hits += 1
        if self._hits == self._armed.hit:
            tell(os.getpid(), "hit")
            await _harm(self._armed.fault)


async def _harm(fault: str) -> None:
    if fault == SIGKILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == PAUSE:
        # Who else is within a transaction gets to its end: its locks would stop the heir, and prove nothing.
        await asyncio.sleep(_OTHERS_END_S)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault == RAISE:
        raise Planted
    elif fault == CANCEL:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


async def live(config: Mapping[str, Any]) -> int:
    """Run one daemon to its end; the exit code is its own."""
    armed = Armed(**config["armed"]) if config["armed"] else None
    tracer = Tracer(armed, Path(config["trace"]))
    settings = Settings.model_validate(config["settings"])
    with signals() as asked:
        async with build(settings, _outside(config, tracer)) as daemon:
            stop = daemon.stop

            def noted() -> None:
                tracer.note("signal")
                stop()

            daemon.stop = noted  # type: ignore[method-assign]
            # Told at the loop's next turn: by then the daemon runs.
            asyncio.get_running_loop().call_soon(tell, os.getpid(), "ready")
            return await run_until_signalled(daemon, asked)


def _outside(config: Mapping[str, Any], tracer: Tracer) -> Outside:
    """`clock`: the file of a clock that the test may let leap; then tests of servers are observed too."""
    if "clock" not in config:
        return Outside(SystemClock(), tracer)
    return Outside(LeapingClock(Path(config["clock"])), tracer, partial(observed_servers, probe=tracer))


def run(config_file: Path) -> int:
    """Run the daemon that a file describes; its log goes where the file says."""
    tell(os.getpid(), f"started {config_file}")
    config = json.loads(config_file.read_text())
    with Path(config["log"]).open("a", buffering=1) as log:
        configure("json", "info", log)
        try:
            return int(asyncio.run(live(config)))
        except BaseException:  # noqa: BLE001  whatever killed it is told, and its code says that it failed
            traceback.print_exc(file=log)
            return 1


@contextmanager
def _bell_for_ended_children() -> Iterator[int]:
    ears, mouth = os.pipe()
    for end in (ears, mouth):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    try:
        yield ears
    finally:
        signal.set_wakeup_fd(-1)


def _fork(work: Callable[[], int]) -> None:
    if os.fork():
        return
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        code = work()
    finally:
        os._exit(code)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        tell(pid, "ended", os.waitstatus_to_exitcode(status))


def _fork_each(lines: list[str]) -> None:
    for line in lines:
        _fork(partial(run, Path(line)))


def nursery() -> None:
    """Fork a daemon for each line on stdin until it closes."""
    gc.freeze()  # what is shared with the forks stays shared: a collection would touch, so copy, every page
    with _bell_for_ended_children() as ears, selectors.DefaultSelector() as waits:
        waits.register(0, selectors.EVENT_READ)
        waits.register(ears, selectors.EVENT_READ)
        rest = ""
        while True:
            for key, _ in waits.select():
                heard = os.read(key.fd, 65536)
                if key.fd == ears:
                    _reap()
                    continue
                if not heard:
                    return
                *lines, rest = (rest + heard.decode()).split("\n")
                _fork_each(lines)


if __name__ == "__main__":
    if sys.argv[1] == "--nursery":
        nursery()
    else:
        sys.exit(run(Path(sys.argv[1])))
