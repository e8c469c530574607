"""The one exception that a user is meant to see."""


class VmaError(Exception):
    """A failure that was foreseen. Its text is one line: what is wrong, and the way out."""
