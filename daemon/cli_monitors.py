"""`robotd monitors`: tools for the file of monitoring rules. None of them needs a queue or a database."""

from pathlib import Path
from typing import Annotated

import typer

# Each command imports what it needs when it runs, as in daemon/cli.py.
monitors_app = typer.Typer(
    help="Check the file of monitoring rules, and see the days that it makes.", no_args_is_help=True
)

FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The file; none: the one that monitors.file names.", show_default=False),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="YAML file that names it, if no FILE is given; see `robotd run`."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@monitors_app.command()
def lint(file: FileArgument = None, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with the file.

    Exit code 1 if it can't be used.
    """
    from daemon.monitor_report import show_problems  # noqa: PLC0415  see the comment above

    raise typer.Exit(show_problems(file, config, as_json=as_json))


@monitors_app.command()
def show(
    file: FileArgument = None,
    *,
    on: Annotated[str | None, typer.Option("--date", help="Local date, such as 2026-03-29; else today.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each rule's day in local time, and when its windows end if nothing happens.

    Exit code 1 if the file can't be used.
    """
    from daemon.monitor_report import show_days  # noqa: PLC0415  see the comment above

    raise typer.Exit(show_days(file, config, on, as_json=as_json))
