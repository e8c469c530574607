"""`python -m vmacli` is `vma`."""

from vmacli.start import run

run()
