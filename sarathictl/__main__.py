"""`python -m sarathictl`."""

from sarathictl.cli import main

main()
