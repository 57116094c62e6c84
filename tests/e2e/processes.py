"""`robotd` and the simulators as processes of their own, as a person at a terminal has them."""

import json
import os
import pty
import secrets
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 60.0
STEPS = """\
- {robotId: 61001, stepId: 88120, template: TOILET_VISIT, pastInterval: 3600, futureInterval: 7200}
- {robotId: 61001, stepId: 88130, template: TOILET_VISIT, pastInterval: 3600, futureInterval: 7200}
- {robotId: 61001, stepId: 88140, template: TOILET_VISIT, pastInterval: 3600, futureInterval: 7200}
"""


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without what a developer has set, and with the checkout to import from wherever the folder is."""
    dropped = ("ROBOTD_", "AWS_", "PYTHONDONTWRITEBYTECODE")  # without bytecode each start takes a second more
    kept = {name: text for name, text in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", **more}


def robotd(*arguments: str, folder: Path, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "daemon", *arguments],
        cwd=folder,
        env=environment(more or {}),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@contextmanager
def process(*arguments: str, folder: Path, more: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m` of something that runs until it is told to end; unbuffered, so that `line_with` can wait for it."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(  # noqa: S603  our own command
        command, cwd=folder, env=environment(more or {}), stdout=subprocess.PIPE, bufsize=0
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
            try:
                running.communicate(timeout=BOUND_S)
            except subprocess.TimeoutExpired:
                running.kill()
                raise


def line_with(running: subprocess.Popen[bytes], word: str) -> str:
    """The next line that holds `word`; fails when the process ends or the time is up before."""
    assert running.stdout is not None
    seen: list[str] = []
    deadline_s = time.monotonic() + BOUND_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        ready, _, _ = select.select([running.stdout], [], [], left_s)
        line = running.stdout.readline().decode() if ready else ""
        if word in line:
            return line.strip()
        if not line:
            break
        seen.append(line)
    raise AssertionError(f"no line with {word!r} in: {''.join(seen)}")


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The simulators as children, and the variables with which `robotd` finds them."""

    folder: Path
    sqs: str
    megazord: str
    micro_managers: str
    waha: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def robotd(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one command among the neighbours."""
        return robotd(*arguments, folder=self.folder, more={**self.variables, **more})

    def tell_waha(self, method: str, path: str, body: object) -> None:
        """One word to the control API of WAHA's simulator."""
        url, content = f"{self.waha}/_robotd/{path}", json.dumps(body).encode()
        request = urllib.request.Request(url, content, method=method)  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:  # noqa: S310  as above
            assert answer.status == 204

    def report(self, robot_id: int, event: str) -> None:
        """A sensor's event reaches Megazord."""
        body = json.dumps({"robotId": robot_id, "eventName": event}).encode()
        request = urllib.request.Request(f"{self.megazord}/_robotd/events", body, method="POST")  # noqa: S310  ours
        with urllib.request.urlopen(request, timeout=BOUND_S) as answer:  # noqa: S310  as above
            assert answer.status == 201


@contextmanager
def neighbours(folder: Path, *, waha: str = "", **more: str) -> Iterator[Neighbours]:
    """An SQS server, Megazord and Micro Managers, each on a free port; WAHA too where `waha` is its engine.

    `more` are variables that each command and the daemon gets.
    """
    steps = folder / "steps.yaml"
    steps.write_text(STEPS, encoding="utf-8")
    with ExitStack() as stack:

        def start(*arguments: str) -> str:
            child = stack.enter_context(process(*arguments, folder=folder))
            return line_with(child, " on http").rsplit(" on ", 1)[1]

        sqs = start("localstack.sqs", "--port", "0")
        megazord = start("localstack.megazord", "--sqs", sqs)
        micro_managers = start("localstack.micro_managers", "--steps", str(steps))
        variables = {
            "ROBOTD_ENVIRONMENT": "development",
            "ROBOTD_AWS__ENDPOINT_URL": sqs,
            "ROBOTD_AWS__ACCESS_KEY_ID": "test",
            "ROBOTD_AWS__SECRET_ACCESS_KEY": "test",
            "ROBOTD_CONSUMER__WAIT_S": "1",
            "ROBOTD_MEGAZORD__BASE_URL": megazord,
            "ROBOTD_MICRO_MANAGERS__BASE_URL": micro_managers,
            **more,
        }
        gateway, key = "", secrets.token_hex(8)
        if waha:
            gateway = start("localstack.waha", "--api-key", key, "--session", "default", "--engine", waha)
            variables |= {"ROBOTD_WAHA__BASE_URL": gateway, "ROBOTD_WAHA__API_KEY": key}
        yield Neighbours(folder, sqs, megazord, micro_managers, gateway, variables)


@contextmanager
def daemon(around: Neighbours) -> Iterator[subprocess.Popen[bytes]]:
    """`robotd run`, started when this returns, ended by SIGTERM."""
    with process("daemon", "run", folder=around.folder, more=around.variables) as running:
        line_with(running, "daemon.started")
        yield running


def on_a_terminal(around: Neighbours, *arguments: str, until: str = "", columns: str = "80") -> tuple[int, str]:
    """Run on a terminal, and press Ctrl-C once `until` is to be seen; (exit code, all that was written there)."""
    ours, theirs = pty.openpty()
    variables = {name: text for name, text in environment(around.variables).items() if name != "NO_COLOR"}
    call = [sys.executable, "-m", "daemon", *arguments]
    seen = b""
    with subprocess.Popen(  # noqa: S603  our own command
        call,
        cwd=around.folder,
        env={**variables, "TERM": "xterm-256color", "COLUMNS": columns},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as running:
        os.close(theirs)
        try:
            while part := os.read(ours, 65_536):
                seen += part
                if until and until.encode() in seen:
                    running.send_signal(signal.SIGINT)
                    until = ""
        except OSError:  # the terminal's other end is gone with the process
            running.wait(BOUND_S)
        finally:
            os.close(ours)
    return running.returncode, seen.decode()


def told(result: subprocess.CompletedProcess[str]) -> Any:
    """The JSON on stdout."""
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def until(look: Callable[[], Any], holds: Callable[[Any], bool]) -> None:
    """Look again and again: each look is a process, so nothing is busy."""
    for _ in range(100):
        if holds(look()):
            return
    raise AssertionError(f"not so after 100 looks: {look()}")


def all_of(text: str, words: Sequence[str]) -> bool:
    """Whether each word stands in the text."""
    return all(word in text for word in words)
