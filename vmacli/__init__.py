"""The command line: one command a file; `output` is the only module that prints."""
