"""`python -m sarathid`."""

from sarathid.cli import main

main()
