"""`robotd templates`: the tools for authors of status-check templates.

None of them needs a queue, and only `explain` with an id needs a database.
"""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import MessageError

if TYPE_CHECKING:
    from daemon.settings import Settings

_DIGITS_OF_AN_ID = 19

# Each command imports what it needs when it runs, as in daemon/cli.py.
templates_app = typer.Typer(help="Write and check the templates of status checks.", no_args_is_help=True)

Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Files or folders; none: the configured folder.", show_default=False),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file that names the folder, if no PATH is given; see `robotd run`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for each file, one in a line.")]
TimeZoneOption = Annotated[
    str, typer.Option("--timezone", help="IANA zone of times that name none, and of times of day in expressions.")
]


@templates_app.command()
def lint(paths: Paths = None, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say what is wrong with templates, and what is probably not meant.

    Exit code 1 if a file can't be used; warnings don't count.
    """
    from daemon.cli_authors import show_problems  # noqa: PLC0415  see the comment above

    raise typer.Exit(show_problems(paths or [_folder(config)], as_json=as_json))


@templates_app.command("test")
def rehearse(paths: Paths = None, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Rehearse the examples of templates, and show what decided each.

    Exit code 1 if an example comes out differently, or a file can't be used.
    """
    from daemon.cli_authors import show_examples  # noqa: PLC0415  see the comment above

    raise typer.Exit(show_examples(paths or [_folder(config)], as_json=as_json))


@templates_app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What scripts call it, such as TEA_TIME.")],
    *,
    folder: Annotated[
        Path | None, typer.Option("--folder", "-f", help="Where it is written; else the configured folder.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write a template to begin with: commented, with examples that pass. Never overwrites a file."""
    from daemon.cli_authors import write_new  # noqa: PLC0415  see the comment above

    raise typer.Exit(write_new(name, folder or _folder(config)))


@templates_app.command()
def schema() -> None:
    """Print the JSON Schema of template files.

    Editors with YAML support complete and check by it. Save it beside your templates, and begin each of them with:

    # yaml-language-server: $schema=status-check-template.schema.json
    """
    from daemon.cli_authors import show_schema  # noqa: PLC0415  see the comment above

    raise typer.Exit(show_schema())


@templates_app.command()
def replay(  # noqa: PLR0913  one parameter for each option
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE.yaml", show_default=False)],
    events: Annotated[
        Path, typer.Argument(metavar="EVENTS.csv", help="Header: createdAt,eventName,level.", show_default=False)
    ],
    *,
    at: Annotated[list[str] | None, typer.Option("--at", help="A check starts then; repeat it for more.")] = None,
    every: Annotated[str, typer.Option("--every", help="A check starts so often, such as 30m, 1h or 1d.")] = "",
    first: Annotated[str, typer.Option("--from", help="First moment of --every; else the first event.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last moment of --every; else the last event.")] = "",
    time_zone: TimeZoneOption = "UTC",
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Show only PASS, FAIL or UNKNOWN; repeat it for more.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each moment, one in a line.")
    ] = False,
) -> None:
    """Say how checks would have ended, had they started at moments of a past that a file of events holds.

    Where the file ends, silence begins. Exit code 1 if a file can't be used: then nothing is decided.
    """
    from daemon.cli_replay import Wanted, replay  # noqa: PLC0415  see the comment above

    wanted = Wanted(tuple(at or ()), every, first, last, time_zone, tuple(only or ()))
    raise typer.Exit(replay(template, events, wanted, as_json=as_json))


@templates_app.command()
def explain(
    subject: Annotated[
        str, typer.Argument(metavar="ID|TEMPLATE.yaml", help="A check of the database, or a template with --events.")
    ],
    *,
    events: Annotated[Path | None, typer.Option("--events", help="CSV file, see `replay`.", show_default=False)] = None,
    at: Annotated[
        str,
        typer.Option(
            "--at", help="The check starts then; else at the last event, or the first if it never looks back."
        ),
    ] = "",
    time_zone: TimeZoneOption = "UTC",
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file, see `robotd run`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say why a check says what it says: every event, every decision, every expression with its values."""
    from daemon.cli_explain import Wanted, explain_rehearsed, explain_stored  # noqa: PLC0415  see the comment above

    if events is not None:
        raise typer.Exit(explain_rehearsed(Wanted(Path(subject), events, at, time_zone), as_json=as_json))
    if not (subject.isascii() and subject.isdigit() and len(subject) <= _DIGITS_OF_AN_ID):
        raise MessageError("name a check by its id, or a template together with --events")
    if at:
        raise MessageError("--at belongs to --events")
    raise typer.Exit(asyncio.run(explain_stored(_settings(config), int(subject), as_json=as_json)))


def _settings(config: Path | None) -> "Settings":
    from daemon import log  # noqa: PLC0415  see the comment above
    from daemon.cli_run import secrets_of  # noqa: PLC0415  see the comment above
    from daemon.settings import load_settings  # noqa: PLC0415  see the comment above

    settings = load_settings(config).settings
    log.configure("auto", "warning", sys.stderr, secrets=secrets_of(settings))
    return settings


def _folder(config: Path | None) -> Path:
    from daemon.settings import load_settings  # noqa: PLC0415  see the comment above

    return load_settings(config).settings.templates.folder
