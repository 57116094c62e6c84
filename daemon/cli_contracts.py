"""`robotd contracts`: the messages of robotd for other teams. Needs no queue and no database."""

from pathlib import Path
from typing import Annotated

import typer

# Each command imports what it needs when it runs, as in daemon/cli.py.
contracts_app = typer.Typer(
    help="Write the schemas and examples of all messages, and see what would break others.", no_args_is_help=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@contracts_app.command("export")
def export_to(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder; made where it is not there.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write JSON Schemas, an example of each message, the AsyncAPI document and a page into a folder."""
    from daemon.contracts.command import export_contracts  # noqa: PLC0415  see the comment above

    raise typer.Exit(export_contracts(folder, as_json=as_json))


@contracts_app.command()
def check(
    baseline: Annotated[
        Path | None,
        typer.Argument(metavar="[BASELINE]", help="A released contract; else docs/contracts/baseline.json."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare with the contract of the last release.

    Exit code 1 if a sender or a reader would notice and the version is the same.
    """
    from daemon.contracts.command import check_contracts  # noqa: PLC0415  see the comment above

    raise typer.Exit(check_contracts(baseline, as_json=as_json))
