"""`robotd contracts`, and `python -m daemon.contracts` for those who work on robotd itself."""

import json
from pathlib import Path

from rich.console import Console

from daemon.contracts.baseline import FILE, broken_promises
from daemon.contracts.export import export, release
from domain.errors import RobotdError

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "contracts"
"""Where a source checkout has them."""


def export_contracts(folder: Path, *, as_json: bool = False) -> int:
    """Write schemas, examples, the page and the AsyncAPI document. Raises RobotdError."""
    try:
        written = export(folder)
    except OSError as error:
        raise RobotdError(f"{folder}: {error.strerror}") from None
    _print(json.dumps({"folder": str(folder), "written": written}) if as_json else f"{len(written)} files written")
    return 0


def check_contracts(baseline: Path | None = None, *, as_json: bool = False) -> int:
    """Compare with the last released contract. Returns 1 where somebody would notice. Raises ConfigError."""
    problems = broken_promises(baseline or FOLDER / FILE)
    if as_json:
        _print(json.dumps({"breaking": problems}))
    else:
        _print("\n".join(problems) or "nothing breaks: senders and readers go on as they are")
    return 1 if problems else 0


def release_contracts(folder: Path = FOLDER) -> int:
    """Make today's contract the baseline. Returns 1 and changes nothing where that would hide what breaks."""
    if (folder / FILE).is_file() and check_contracts(folder / FILE):
        _print("raise VERSION in daemon/contracts/catalogue.py; a baseline that was never released may be deleted")
        return 1
    release(folder)
    return 0


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)
