"""`robotd campaign`: campaigns made, changed and looked at by people. Changes go over SQS, looks into the database."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daemon.command_sending import Sending
    from daemon.settings import Settings

# Each command imports what it needs when it runs, as in daemon/cli.py.
campaign_app = typer.Typer(help="Campaigns on WhatsApp: make, follow, change and export them.", no_args_is_help=True)

_MAX_ID = 2**63 - 1
IdArgument = Annotated[int, typer.Argument(metavar="ID", min=1, max=_MAX_ID, help="The campaign.", show_default=False)]
OwnerOption = Annotated[str | None, typer.Option("--user", help="Only if it is this user's campaign.")]
UserOption = Annotated[str | None, typer.Option("--user", help="In whose name; without it in that of its user.")]
WaitOption = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait for what becomes of it.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Send it and don't wait.")]
IdentityOption = Annotated[str | None, typer.Option("--id", help="Id of the command; a repeated id is done once.")]
CallRefOption = Annotated[str | None, typer.Option("--call-ref", help="Reference that every answer carries.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file that names queues and database; see `robotd run`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class Scope(StrEnum):
    """Whom a retry sends to again."""

    FAILED = "failed"
    UNKNOWN = "unknown"
    PENDING = "pending"


class Format(StrEnum):
    """How a ledger is written."""

    CSV = "csv"
    JSONL = "jsonl"


@campaign_app.command()
def create(  # noqa: PLR0913  one parameter for each option
    *,
    user: Annotated[str, typer.Option("--user", help="The user to whom it belongs.")],
    name: Annotated[str, typer.Option("--name", help="What people call it.")],
    contact_list: Annotated[str, typer.Option("--list", help="Id or name of the user's contact list.")],
    at: Annotated[str, typer.Option("--at", help="When it starts: now, or a time such as 2025-11-25T09:00:00Z.")],
    text: Annotated[str | None, typer.Option("--text", help="The text; {Name} and {Field} are filled in.")] = None,
    text_file: Annotated[Path | None, typer.Option("--text-file", help="File with the text, UTF-8.")] = None,
    default_name: Annotated[str | None, typer.Option("--default-name", help="For contacts without a name.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="The number's session at WAHA; else the user's first.")
    ] = None,
    media: Annotated[str | None, typer.Option("--media", help="A file of campaigns.media_folder.")] = None,
    expires_after_s: Annotated[
        int | None, typer.Option("--expires-after", help="Seconds after its time when it does not start any more.")
    ] = None,
    robot: Annotated[int | None, typer.Option("--robot", help="This robot is told how it goes.")] = None,
    field: Annotated[list[str] | None, typer.Option("--field", "-f", help="Another field, NAME=VALUE.")] = None,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a campaign and say its id."""
    from daemon.campaign_command import New  # noqa: PLC0415  see the comment above
    from daemon.campaign_command import create as send  # noqa: PLC0415  see the comment above

    data: dict[str, object] = {
        "name": name,
        "session": session,
        "defaultNameValue": default_name,
        "mediaFile": media,
        "expiresAfterS": expires_after_s,
        "robotId": robot,
    }
    new = New(user, contact_list, text, text_file, at, data, tuple(field or ()))
    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    _end(send(_settings(config), new, sending))


@campaign_app.command()
def schedule(  # noqa: PLR0913  one parameter for each option
    campaign_id: IdArgument,
    *,
    at: Annotated[str, typer.Option("--at", help="When it starts: now, or a time such as 2025-11-25T09:00:00Z.")],
    user: UserOption = None,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move the start of a campaign that has not begun."""
    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    _change("schedule", campaign_id, user, sending, config, at=at)


def _add_change(verb: str, said: str) -> None:
    """A command that has nothing but the campaign to say."""

    @campaign_app.command(verb, help=said)
    def change(  # noqa: PLR0913  one parameter for each option
        campaign_id: IdArgument,
        *,
        user: UserOption = None,
        identity: IdentityOption = None,
        call_ref: CallRefOption = None,
        wait_s: WaitOption = 15,
        no_wait: NoWaitOption = False,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
        _change(verb, campaign_id, user, sending, config)


_add_change("run", "Start a scheduled campaign now.")
_add_change("pause", "Stop before the next message, also inside a wait.")
_add_change("resume", "Go on with exactly the contact that is next.")
_add_change("cancel", "End it for good; what was sent stays in the ledger.")


@campaign_app.command()
def retry(  # noqa: PLR0913  one parameter for each option
    campaign_id: IdArgument,
    *,
    scope: Annotated[
        Scope, typer.Option("--scope", help="Whom: unknown may get it twice, say it only if you looked.")
    ] = Scope.FAILED,
    user: UserOption = None,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send again to those who failed, or of whom nobody knows."""
    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    _change("retry", campaign_id, user, sending, config, scope=scope.value)


@campaign_app.command("test-send")
def send_test(  # noqa: PLR0913  one parameter for each option
    campaign_id: IdArgument,
    *,
    to: Annotated[str, typer.Option("--to", help="Phone number with its country code, or a chat id.")],
    first_name: Annotated[str | None, typer.Option("--first-name", help="For {Name}; else the default.")] = None,
    user: UserOption = None,
    identity: IdentityOption = None,
    call_ref: CallRefOption = None,
    wait_s: WaitOption = 15,
    no_wait: NoWaitOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send its message to one person, who need not be on the list."""
    sending = _sending(identity, call_ref, None if no_wait else wait_s, as_json=as_json)
    person = {"chatId" if "@" in to else "phoneNumber": to, "firstName": first_name}
    _change("test-send", campaign_id, user, sending, config, **person)


@campaign_app.command()
def status(
    campaign_id: IdArgument,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew each second, until it is over or Ctrl-C.")
    ] = False,
    user: OwnerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How far it is, how fast, what went wrong and what to do."""
    from daemon.campaign_status import Which, show_status, watch_status  # noqa: PLC0415  see the comment above

    show = watch_status if watch else show_status
    with suppress(*((KeyboardInterrupt,) if watch else ())):  # Ctrl-C is how a person leaves
        _end(show(_settings(config), Which(campaign_id, user), as_json=as_json))


@campaign_app.command("list")
def list_campaigns(
    *,
    user: Annotated[str | None, typer.Option("--user", help="Only campaigns of this user.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="At most so many, the newest.")] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The newest campaigns and how far each is."""
    from daemon.campaign_status import show_list  # noqa: PLC0415  see the comment above

    _end(show_list(_settings(config), user, limit, as_json=as_json))


@campaign_app.command()
def preview(
    campaign_id: IdArgument, *, user: OwnerOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """To whom it would go, who is left out, with which words and until when; nothing is sent."""
    from daemon.campaign_status import Which, show_preview  # noqa: PLC0415  see the comment above

    _end(show_preview(_settings(config), Which(campaign_id, user), as_json=as_json))


@campaign_app.command()
def export(
    campaign_id: IdArgument,
    *,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option("--out", help="File, replaced once all is written; else stdout.")] = None,
    user: OwnerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What became of each contact, as CSV or JSON lines."""
    from daemon.campaign_export import Wanted  # noqa: PLC0415  see the comment above
    from daemon.campaign_export import export as write  # noqa: PLC0415  see the comment above
    from daemon.campaign_status import Which  # noqa: PLC0415  see the comment above

    _end(write(_settings(config), Wanted(Which(campaign_id, user), form.value, out, as_json)))


def _sending(identity: str | None, call_ref: str | None, wait_s: float | None, *, as_json: bool) -> "Sending":
    from daemon.command_sending import Sending  # noqa: PLC0415  see the comment above

    return Sending(identity, call_ref, wait_s, as_json)


def _change(
    verb: str, campaign_id: int, user: str | None, sending: "Sending", config: Path | None, **data: str | None
) -> None:
    from daemon.campaign_command import change  # noqa: PLC0415  see the comment above
    from daemon.campaign_status import Which  # noqa: PLC0415  see the comment above

    _end(change(_settings(config), verb, Which(campaign_id, user), sending, **data))


def _end(work: Coroutine[None, None, int]) -> None:
    raise typer.Exit(asyncio.run(work))


def _settings(config: Path | None) -> "Settings":
    from daemon import log  # noqa: PLC0415  see the comment above
    from daemon.cli_run import secrets_of  # noqa: PLC0415  see the comment above
    from daemon.settings import load_settings  # noqa: PLC0415  see the comment above

    settings = load_settings(config).settings
    log.configure("auto", "warning", sys.stderr, secrets=secrets_of(settings))
    return settings
