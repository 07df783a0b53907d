"""``python -m segue`` is the command ``segue``."""

from segue.cli.main import main

main()
