"""The one exception that a user is meant to see, and how torch says that memory is short."""

MEMORY_WORDS = (
    "can't allocate memory", "out of memory", "not enough memory", "Storage size calculation overflowed",
    "Overflow when unpacking long",
)  # fmt: skip


class VmaError(Exception):
    """A failure that was foreseen. Its text is one line: what is wrong, and the way out."""


def short_of_memory(error: BaseException) -> bool:
    """Whether more was asked for than there is; torch says so in words, not by a class of its own."""
    if isinstance(error, RuntimeError | TypeError):
        return any(word in str(error) for word in MEMORY_WORDS)
    return isinstance(error, MemoryError | OverflowError)
