"""What the command line shows of a configuration, a database and the queues: a table for people, JSON for programs."""

import importlib
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from daemon import settings_report, topology
from daemon.opening import apply_migrations, open_sqs, pending_migrations
from daemon.settings import Settings, load_settings
from daemon.settings_sources import SettingsError
from domain.errors import ConfigError

_CONFIGURATION = 3


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def show_config(config: Path | None, environ: Mapping[str, str], *, as_json: bool) -> int:
    """Print the settings, or all that is wrong with them."""
    try:
        loaded = load_settings(config, environ)
    except SettingsError as error:
        if not as_json:
            raise
        _print(settings_report.problems_as_json(error))
        return _CONFIGURATION
    if as_json:
        _print(settings_report.as_json(loaded))
    else:
        settings_report.print_table(loaded, Console())
    return 0


async def show_migrations(settings: Settings, *, check: bool, as_json: bool) -> int:
    """Apply what is pending, or with `check` only name it and fail if there is something."""
    names = await (pending_migrations(settings) if check else apply_migrations(settings))
    if as_json:
        _print(json.dumps({"pending" if check else "applied": names}))
    elif names:
        _print("\n".join(f"{'pending' if check else 'applied'} {name}" for name in names))
    else:
        _print("the database is up to date")
    return int(check and bool(names))


async def show_queues(settings: Settings, *, as_json: bool) -> int:
    """Print the counts of every queue of the topology; a missing queue is a failure."""
    async with open_sqs(settings) as sqs:
        found = await topology.states(sqs, topology.topology(settings))
    missing = any(state.ready is None for state in found)
    if as_json:
        _print(json.dumps([asdict(state) for state in found]))
        return int(missing)
    table = Table(box=None, header_style="bold")
    for title in ("queue", "what for"):
        table.add_column(title)
    for title in ("ready", "in flight", "delayed"):
        table.add_column(title, justify="right")
    for state in found:
        counts = [str(count) for count in (state.ready, state.in_flight, state.delayed) if count is not None]
        table.add_row(state.name, state.purpose, *(counts or ["missing", "", ""]))
    Console().print(table)
    if missing:
        _print("`robotd queues ensure` creates what is missing")
    return int(missing)


async def ensure_queues(settings: Settings, robots: tuple[int, ...], *, as_json: bool) -> int:
    """Create and correct; say what was done."""
    async with open_sqs(settings) as sqs:
        done = await topology.ensure(sqs, topology.topology(settings))
        for robot_id in robots:
            destination = f"{settings.queues.robot_prefix}{robot_id}"
            await topology.create_robot_queue(sqs, destination)
            done.append(f"the queue of robot {robot_id} is there: {destination}")
    _print(json.dumps(done) if as_json else "\n".join(done) or "every queue is as it should be")
    return 0


def load_demo() -> Callable[..., Coroutine[None, None, int]]:
    """The demo, which lives beside the simulators and is not part of the installed package."""
    try:
        module = importlib.import_module("localstack.demo")
    except ModuleNotFoundError as error:
        raise ConfigError(f"the demo needs a source checkout as the current folder ({error})") from error
    demo: Callable[..., Coroutine[None, None, int]] = module.demo
    return demo
