"""``python -m jecur`` is the command line."""

from jecur.cli import main

main()
