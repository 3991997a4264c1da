"""`python -m uptake_cli` is the `uptake` command. Nothing else lives here."""

from uptake_cli.app import main

main(prog_name="uptake")
