"""The one exception that a user is meant to see, and how whatever goes wrong with a file becomes one line of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 200  # letters of somebody else's that an error repeats
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


class Blank(VmaError):
    """Nothing in a picture stands out from its paper."""


class Diverged(VmaError):
    """Numbers that are not finite, of weights that are."""


class Gone(VmaError):
    """The folder of a file is there no longer: another process has removed it since it was found."""


@contextmanager
def reading(file: Path | str, way_out: str, verdict: str = "is missing or damaged") -> Iterator[None]:
    """Turns anything that goes wrong with a file in the block into one line: file, verdict, reason and way out.

    Raises:
        Gone: the folder that holds the file has gone.
        VmaError: whatever else is wrong; one raised inside passes as it is.
    """
    try:
        yield
    except VmaError:
        raise
    except Exception as error:
        kind = Gone if isinstance(file, Path) and not file.parent.is_dir() else VmaError
        raise kind(f"{file} {verdict} ({reason(error)}): {way_out}") from error


@contextmanager
def writing(path: Path, way_out: str) -> Iterator[None]:
    """Turns what the system refuses in the block into one line: the path, the reason and the way out.

    Raises:
        VmaError: something could not be written.
    """
    try:
        yield
    except OSError as error:
        raise VmaError(f"cannot write {path}: {reason(error)}; {way_out}") from error


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    match error:
        case OSError():
            words = error.strerror or str(error)
        case RecursionError():
            words = "it is nested too deeply"
        case MemoryError():
            words = "it needs more memory than there is"
        case UnicodeDecodeError():
            words = "it is not text in UTF-8"
        case KeyError():
            words = f"no {error}"
        case ValueError() if "integer string conversion" in str(error):
            words = "it holds a number of too many digits"
        case _:
            words = str(error)
    return cut(words) or type(error).__name__


def cut(text: str, most: int = LONGEST) -> str:
    """A text on one line that is printable and not long: its beginning and its end, where messages tell what to do."""
    text = text if len(text) <= 8 * most else f"{text[: 4 * most]}{text[-4 * most :]}"
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - most // 3]}…{line[-(most // 3) :]}"


def diverged(what: str) -> Diverged:
    """The error about numbers that are not finite, which finite weights give after a training that went astray."""
    return Diverged(
        f"{what} not finite, as after a training that diverged: take another checkpoint, or train again with a lower "
        "optimiser.learning_rate or a clip"
    )
