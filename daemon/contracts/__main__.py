"""`python -m daemon.contracts write|check|release`, for `make docs`, `make check` and whoever makes a release."""

import sys

from daemon.contracts.command import FOLDER, check_contracts, export_contracts, release_contracts
from domain.errors import RobotdError

_VERBS = {"write": lambda: export_contracts(FOLDER), "check": check_contracts, "release": release_contracts}


def main(arguments: list[str]) -> int:
    """Run one verb. Returns the exit code: 2 for an unknown one."""
    if len(arguments) != 1 or arguments[0] not in _VERBS:
        print(f"usage: python -m daemon.contracts {'|'.join(_VERBS)}", file=sys.stderr)  # noqa: T201  a command line
        return 2
    try:
        return _VERBS[arguments[0]]()
    except RobotdError as error:
        print(error, file=sys.stderr)  # noqa: T201  a command line
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
