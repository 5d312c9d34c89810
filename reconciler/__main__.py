"""`python -m reconciler`: the same as the command `reconciler`."""

from reconciler.cli import main

main(prog_name="reconciler")
