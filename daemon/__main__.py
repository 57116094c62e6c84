"""`python -m daemon` is `robotd`."""

from daemon.cli import main

main()
