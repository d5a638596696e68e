"""`python -m heli` is the `heli` command."""

from heli.cli.main import main

main()
