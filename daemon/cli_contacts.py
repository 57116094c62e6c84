"""`robotd contacts`: contact lists of campaigns, straight in the database. No queue is needed."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daemon.settings import Settings

# Each command imports what it needs when it runs, as in daemon/cli.py.
contacts_app = typer.Typer(help="Bring contacts in from files, and see the lists.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file that names the database; see `robotd run`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, with every bad row in it.")]


@contacts_app.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.csv", help="Header: phone_number, first_name, and fields.", show_default=False),
    ],
    *,
    list_name: Annotated[str, typer.Option("--list", help="The list; made if it is not there.")],
    owner: Annotated[str, typer.Option("--owner", help="The user to whom the list belongs.")],
    default_country: Annotated[
        str | None, typer.Option("--default-country", help="Country code for numbers with a leading 0, such as 31.")
    ] = None,
    errors: Annotated[Path | None, typer.Option("--errors", help="File for every bad row; overwritten.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add the contacts of a CSV file to a list.

    Who is in the list already stays as they are, so the same file can be imported again, also after a crash. Bad rows
    are told and left out: exit code 1 if there was one.
    """
    from daemon.contact_import import Wanted, import_contacts  # noqa: PLC0415  see the comment above

    wanted = Wanted(file, list_name, owner, default_country, errors, as_json)
    raise typer.Exit(asyncio.run(import_contacts(_settings(config), wanted)))


@contacts_app.command()
def lists(
    *,
    owner: Annotated[str | None, typer.Option("--owner", help="Only the lists of this user.")] = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show the lists and how many contacts each has."""
    from daemon.contact_import import show_lists  # noqa: PLC0415  see the comment above

    raise typer.Exit(asyncio.run(show_lists(_settings(config), owner, as_json=as_json)))


def _settings(config: Path | None) -> "Settings":
    from daemon import log  # noqa: PLC0415  see the comment above
    from daemon.cli_run import secrets_of  # noqa: PLC0415  see the comment above
    from daemon.settings import load_settings  # noqa: PLC0415  see the comment above

    settings = load_settings(config).settings
    log.configure("auto", "warning", sys.stderr, secrets=secrets_of(settings))
    return settings
