"""`python -m daemon` is `robotd`. A health check goes its own way, before anything else is loaded."""

import sys

if sys.argv[1:] == ["healthcheck"]:
    from daemon.healthcheck import check

    sys.exit(check())

from daemon.cli import main

main()
