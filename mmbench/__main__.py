"""`python -m mmbench`."""

from mmbench.cli import main

main()
