"""The command line. Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 stopped with work handed back.

Each command imports what it needs when it runs: `--help` and completion must not pay for AWS's libraries.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from daemon.cli_campaigns import campaign_app
from daemon.cli_contacts import contacts_app
from daemon.cli_contracts import contracts_app
from daemon.cli_monitors import monitors_app
from daemon.cli_servers import servers_app
from daemon.cli_templates import templates_app
from domain.errors import ConfigError, MessageError, RobotdError

if TYPE_CHECKING:
    from daemon.settings import LoadedSettings, Settings

FAILED, USAGE, CONFIGURATION = 1, 2, 3

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, passwords among them
    help="One daemon that turns SQS commands and Megazord events into answers for care robots.",
)
queues_app = typer.Typer(help="See the queues, and create the missing ones.", invoke_without_command=True)
app.add_typer(queues_app, name="queues")
app.add_typer(templates_app, name="templates")
app.add_typer(monitors_app, name="monitors")
app.add_typer(contacts_app, name="contacts")
app.add_typer(campaign_app, name="campaign")
app.add_typer(servers_app, name="servers")
app.add_typer(contracts_app, name="contracts")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file; else the one that ROBOTD_CONFIG names, else ./robotd.yaml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def run(config: ConfigOption = None) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from daemon.cli_run import run_daemon  # noqa: PLC0415  see the module's docstring

    loaded = _load(config)
    raise typer.Exit(_finish(run_daemon(loaded.settings)))


@app.command()
def demo(
    *,
    as_json: JsonOption = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's database file and say where it is.")] = False,
) -> None:
    """Show a day of a robot's life on one machine: no AWS, no MySQL, no Docker. Ends by itself."""
    from daemon.cli_show import load_demo  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(_finish(load_demo()(as_json=as_json, keep=keep)))


@app.command("check-config")
def check_config(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting, its value and where it came from; secrets are masked."""
    from daemon.cli_show import show_config  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(show_config(config, os.environ, as_json=as_json))


@app.command()
def healthcheck(
    *,
    host: Annotated[str | None, typer.Option(help="Address; else the variable of ops.host, else loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; else the variable of ops.port.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the answer.")] = 5.0,
) -> None:
    """Ask a running daemon whether it is ready; exit 0 or 1."""
    from daemon.healthcheck import check  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(check(os.environ, host, port, timeout_s))


@app.command()
def migrate(
    *,
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if something is pending.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the database up to date."""
    from daemon.cli_show import show_migrations  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(_finish(show_migrations(_load_quietly(config), check=check, as_json=as_json)))


@app.command()
def send(  # noqa: PLR0913  one parameter for each option
    *,
    command_type: Annotated[str, typer.Argument(metavar="TYPE", help="Such as status-check.create.")] = "",
    field: Annotated[
        list[str] | None, typer.Option("--field", "-f", help="A field of the data, NAME=VALUE; repeat it for more.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="JSON file with the data, or the whole envelope.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print an example of TYPE and send nothing.")] = False,
    identity: Annotated[str | None, typer.Option("--id", help="Id of the command; a repeated id is done once.")] = None,
    call_ref: Annotated[str | None, typer.Option("--call-ref", help="Reference that every answer carries.")] = None,
    wait_s: Annotated[
        float | None, typer.Option("--wait", help="Seconds to wait for the robot's answer; it stays in its queue.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a command, checked before it is sent."""
    from daemon.cli_send import Wanted, send_command, show_example  # noqa: PLC0415  see the module's docstring

    if example:
        raise typer.Exit(show_example(command_type))
    wanted = Wanted(command_type, tuple(field or ()), file, identity, call_ref, wait_s, as_json)
    raise typer.Exit(_finish(send_command(_load_quietly(config), wanted)))


@queues_app.callback()
def queues(context: typer.Context, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """How full each queue is."""
    if context.invoked_subcommand is not None:
        return
    from daemon.cli_show import show_queues  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(_finish(show_queues(_load_quietly(config), as_json=as_json)))


@queues_app.command()
def ensure(
    *,
    config: ConfigOption = None,
    robot: Annotated[list[int] | None, typer.Option("--robot", help="This robot's queue too; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Create missing queues with their dead-letter queues, and correct what differs."""
    from daemon.cli_show import ensure_queues  # noqa: PLC0415  see the module's docstring

    raise typer.Exit(_finish(ensure_queues(_load_quietly(config), tuple(robot or ()), as_json=as_json)))


def _load(config: Path | None) -> "LoadedSettings":
    from daemon.settings import load_settings  # noqa: PLC0415  see the module's docstring

    return load_settings(config, os.environ)


def _load_quietly(config: Path | None) -> "Settings":
    """For commands that answer on stdout: what is logged meanwhile goes to stderr, and only if it is a warning."""
    from daemon import log  # noqa: PLC0415  see the module's docstring
    from daemon.cli_run import secrets_of  # noqa: PLC0415  see the module's docstring

    settings = _load(config).settings
    log.configure("auto", "warning", sys.stderr, secrets=secrets_of(settings))
    return settings


def _finish(work: Coroutine[None, None, int]) -> int:
    return asyncio.run(work)


def main() -> None:
    """The console script: errors of ours end as one sentence and an exit code, never as a traceback."""
    try:
        app()
    except ConfigError as error:
        _fail(str(error), CONFIGURATION)
    except MessageError as error:
        _fail(f"robotd: {error}", USAGE)
    except RobotdError as error:
        _fail(f"robotd: {error}", FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(sentence: str, code: int) -> NoReturn:
    """A program that asked for JSON gets JSON; a person gets the sentence."""
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": sentence, "exitCode": code}) + "\n")
    else:
        sys.stderr.write(f"{sentence}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
