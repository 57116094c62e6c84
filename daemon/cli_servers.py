"""`robotd servers`: MailWizz's delivery servers and their tests. Tests go over SQS, looks into both databases."""

import asyncio
import sys
from collections.abc import Coroutine
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daemon.command_sending import Sending
    from daemon.settings import Settings

# Each command imports what it needs when it runs, as in daemon/cli.py.
servers_app = typer.Typer(help="MailWizz's delivery servers: see, test and follow them.", no_args_is_help=True)

_MAX_ID = 2**63 - 1
IdArgument = Annotated[
    int, typer.Argument(metavar="ID", min=1, max=_MAX_ID, help="The server's id at MailWizz.", show_default=False)
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Follow it to its end; Ctrl-C leaves it to itself.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Write nothing to MailWizz: no history, no change of a server.")
]
WaitOption = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait until it has begun.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Send it and don't wait.")]
IdentityOption = Annotated[str | None, typer.Option("--id", help="Id of the command; a repeated id is done once.")]
CallRefOption = Annotated[str | None, typer.Option("--call-ref", help="Reference that every answer carries.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file that names queues and databases; see `robotd run`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class Way(StrEnum):
    """By which way a server is tested."""

    AUTO = "auto"
    DIRECT = "direct"
    CAMPAIGN = "campaign"


class Check(StrEnum):
    """What is checked besides what every test checks."""

    DKIM = "T9"
    SPF = "T10"
    DMARC = "T11"
    RESULTS_HEADER = "T12"
    ADDRESS = "T13"
    UNSUBSCRIBE = "T14"
    BOUNCE = "T16"


@servers_app.command("list")
def list_servers(
    *,
    everyone: Annotated[bool, typer.Option("--all", help="Also those through which MailWizz does not send.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The servers that MailWizz sends through: their last tests, and whether another is due."""
    from daemon.server_look import show_list  # noqa: PLC0415  see the comment above

    _end(show_list(_settings(config), everyone=everyone, as_json=as_json))


@servers_app.command("test")
def ask_for_test(  # noqa: PLR0913  one parameter for each option
    server_id: IdArgument,
    *,
    watch: WatchOption = False,
    path: Annotated[
        Way, typer.Option("--path", help="By which way; auto: directly where that is possible.")
    ] = Way.AUTO,
    check: Annotated[
        list[Check] | None,
        typer.Option(
            "--check",
            help="Check this too: DKIM T9, SPF T10, DMARC T11, results header T12, address T13, unsubscribe T14, "
            "bounce T16; repeatable.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test one server now; with --watch step by step, and exit code 0 only for a good one."""
    from daemon.server_command import WantedTest, begin_test  # noqa: PLC0415  see the comment above

    wanted = WantedTest(server_id, path.value, tuple(one.value for one in check or ()), dry_run)
    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    _end(begin_test(_settings(config), wanted, sending, watch=watch), f"the test: robotd servers history {server_id}")


@servers_app.command()
def cycle(  # noqa: PLR0913  one parameter for each option
    *,
    force: Annotated[bool, typer.Option("--force", help="Test every one, also those that need no test.")] = False,
    dry_run: DryRunOption = False,
    watch: WatchOption = False,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test all servers that need it now; with --watch exit code 0 only if all of them are good."""
    from daemon.server_command import begin_cycle  # noqa: PLC0415  see the comment above

    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    begun = begin_cycle(_settings(config), sending, force=force, dry_run=dry_run, watch=watch)
    _end(begun, "the cycle: robotd servers list")


@servers_app.command()
def history(
    server_id: IdArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many lines and runs.")] = 5,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What MailWizz's history says of a server, and robotd's own runs with each step."""
    from daemon.server_look import show_history  # noqa: PLC0415  see the comment above

    _end(show_history(_settings(config), server_id, limit, as_json=as_json))


def _sending(identity: str | None, call_ref: str | None, wait_s: float | None, *, as_json: bool) -> "Sending":
    from daemon.command_sending import Sending  # noqa: PLC0415  see the comment above

    return Sending(identity, call_ref, wait_s, as_json)


def _end(work: Coroutine[None, None, int], left: str = "") -> None:
    """`left`: what goes on when a person leaves, and where to look for it; its end is not known then."""
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        if left:
            sys.stderr.write(f"left, and nothing is stopped by that; what becomes of {left}\n")
        raise
    raise typer.Exit(code)


def _settings(config: Path | None) -> "Settings":
    from daemon import log  # noqa: PLC0415  see the comment above
    from daemon.cli_run import secrets_of  # noqa: PLC0415  see the comment above
    from daemon.settings import load_settings  # noqa: PLC0415  see the comment above

    settings = load_settings(config).settings
    log.configure("auto", "warning", sys.stderr, secrets=secrets_of(settings))
    return settings
