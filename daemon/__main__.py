"""`python -m daemon` is `robotd`. A health check goes its own way, before anything else is loaded."""

import sys

if sys.argv[1:] == ["healthcheck"]:
    from daemon import healthcheck

    sys.exit(healthcheck.main())

from daemon.cli import main

main()
