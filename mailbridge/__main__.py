"""``python -m mailbridge`` is the ``mailbridge`` command."""

from mailbridge.cli.main import main

main()
