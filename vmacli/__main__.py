"""`python -m vmacli` is `vma`."""

from vmacli.main import run

run()
