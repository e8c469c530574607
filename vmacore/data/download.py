"""Where data sets come from: downloaded with their hashes checked, or brought by hand."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import pooch
import requests

from vmacore.errors import VmaError, reason
from vmacore.files import check_writable, no_empty_folders
from vmacore.shelf import DATASETS
from vmacore.spelling import choose_one_of

LARGEST = 2**28  # bytes of a file; the largest of those published has 79 million
LONGEST = 3600  # seconds that a file may take
LEFT = re.compile(r"tmp[a-z0-9_]{8}")  # what pooch calls a file until it is whole
ReportProgress = Callable[[int, int | None], None]  # bytes done, and in all if that is known


class Reader(Protocol):
    """A module that knows a data set's files."""

    def import_from(self, source: Path, data_dir: Path) -> Path: ...

    def describe(self, data_dir: Path) -> str: ...


@dataclass(frozen=True)
class Remote:
    """Published files and who reads them."""

    title: str
    base_url: str  # "": it is not known
    folder: Path  # below the data folder: where the files are put
    registry: Mapping[str, str | None]  # file → "md5:…", or None where no hash is published: contents are checked
    reader: Reader


def _remotes() -> dict[str, Remote]:
    """Every data set whose file says where it is published."""
    modules = {name: DATASETS[name] for name in DATASETS}
    return {
        name: Remote(module.TITLE, module.BASE_URL, module.FOLDER, module.REGISTRY, cast(Reader, module))
        for name, module in modules.items()
        if hasattr(module, "BASE_URL")
    }


REMOTES: Mapping[str, Remote] = _remotes()


@dataclass(frozen=True)
class Downloaded:
    path: Path  # what was made, or found, in the data folder
    description: str  # such as "1623 characters, 32,460 drawings, 26×26, ink 0.1378"


def download(
    name: str,
    data_dir: Path,
    source: Path | None = None,
    progress: ReportProgress | None = None,
    *,
    offline: bool = False,
    base_url: str | None = None,
    retries: int = 2,
    remotes: Mapping[str, Remote] = REMOTES,
) -> Downloaded:
    """Bring a data set into the data folder, ready to load. What is there and whole is not fetched again.

    source: files brought by hand, a folder or a zip; nothing is downloaded then.
    progress: called now and then while downloading, with bytes done and, if known, of how many; both start
        anew with each file.
    offline: refuse to download.
    base_url: another place to download the same files from.
    retries: how many times to try again, after 1, 2, … seconds, when a connection breaks or a hash is wrong.
    remotes: what can be had.

    Raises:
        VmaError: unknown name; no connection, wrong hash, no room; files missing or damaged. Nothing
            half-written is left, and what was there before stays.
    """
    if name not in remotes:
        raise VmaError(f"{name!r} can't be downloaded, it is built in or unknown; {choose_one_of(name, remotes)}")
    remote = remotes[name]
    folder = Path(data_dir) / remote.folder
    if source is None:
        try:
            return Downloaded(folder, remote.reader.describe(Path(data_dir)))
        except VmaError:
            pass  # missing or damaged: either way it is to be made anew
    with no_empty_folders(folder):
        if source is None:
            refused = [] if offline else _refused(remote, folder, Path(data_dir))
            with _set_aside(refused):
                _fetch(remote, name, folder, progress, offline, base_url or remote.base_url, retries)
        else:
            try:
                check_writable(folder / "any")
            except OSError as error:
                raise VmaError(f"can't write in {folder}: {reason(error)}; choose another --data-dir") from error
        remote.reader.import_from(Path(source or folder), Path(data_dir))
    return Downloaded(folder, remote.reader.describe(Path(data_dir)))


def _refused(remote: Remote, folder: Path, data_dir: Path) -> list[Path]:
    """Where no hash tells whether files that were fetched earlier are whole, their reader does: those that it refuses.

    Raises:
        VmaError: they could not be read, or what they make not be written, which says nothing of them.
    """
    unknown = [folder / file for file, known_hash in remote.registry.items() if known_hash is None]
    if not unknown or not all(path.is_file() for path in unknown):
        return []  # with some missing the reader could say nothing of the others
    try:
        remote.reader.import_from(folder, data_dir)
    except VmaError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise
        return unknown
    return []


@contextmanager
def _set_aside(files: Sequence[Path]) -> Iterator[None]:
    """Renames files while others are fetched; they come back unless their successor is there."""
    aside = {path: path.with_name(f"{path.name}.refused") for path in files}
    try:
        for path, kept in aside.items():
            try:
                path.rename(kept)
            except OSError as error:
                raise VmaError(f"can't replace {path}: {error.strerror or error}") from error
        yield
    finally:
        for path, kept in aside.items():
            with suppress(OSError):
                kept.unlink() if path.exists() else kept.rename(path)


def _fetch(
    remote: Remote,
    name: str,
    folder: Path,
    progress: ReportProgress | None,
    offline: bool,
    base_url: str,
    retries: int,
) -> None:
    """Download into the folder each file that is not there yet with the right hash, where one is known."""
    way_out = f"if you have the files, run `vma download {name} --from PATH`"
    store = pooch.create(path=folder, base_url=base_url, registry=dict(remote.registry), retry_if_failed=retries)
    _discard_leftovers(folder)
    for file, known_hash in remote.registry.items():
        url = store.get_url(file)
        try:
            if _has_hash(folder / file, known_hash):
                continue
            if offline:
                raise VmaError(f"{remote.title} is not in {folder} and --offline forbids downloading; {way_out}")
            if not base_url:
                raise VmaError(f"no address is known for {remote.title}: name one (--url), or {way_out}")
            with _silent_pooch():
                store.fetch(file, downloader=_Downloader(progress))
        except (requests.RequestException, _RefusedError) as error:
            raise VmaError(f"could not download {url}: {_reason(error)}; {way_out}") from error
        except ValueError as error:  # this is how pooch tells of a wrong hash
            why = "what came is not the published file"
            raise VmaError(f"could not download {url}: {why}; {way_out}") from error
        except OSError as error:
            why = error.strerror or getattr(error.__cause__, "strerror", None) or type(error).__name__
            raise VmaError(
                f"could not download {url}: can't write in {folder} ({why}); "
                f"make room or choose another --data-dir, or {way_out}"
            ) from error


def _discard_leftovers(folder: Path) -> None:
    """Remove what downloads left that were killed: no other has so old a file."""
    for left in folder.glob("tmp*"):
        with suppress(OSError):
            if LEFT.fullmatch(left.name) and time.time() - left.stat().st_mtime > LONGEST:
                left.unlink()


def _has_hash(path: Path, known_hash: str | None) -> bool:
    if known_hash is None:
        return path.is_file()
    algorithm, _, digest = known_hash.partition(":")
    return path.is_file() and str(pooch.file_hash(path, alg=algorithm)) == digest


class _RefusedError(Exception):
    """The server answered that it won't: not an error that pooch would try again on."""


class _Downloader:
    """What pooch calls to fetch one URL, as often as it retries."""

    def __init__(self, progress: ReportProgress | None) -> None:
        self.progress = progress

    def __call__(self, url: str, output_file: str, store: pooch.Pooch) -> None:
        answers: list[requests.Response] = []

        def keep(answer: requests.Response, **_: object) -> None:
            answers.append(answer)

        try:
            pooch.HTTPDownloader(progressbar=_Bar(self.progress), hooks={"response": keep})(url, output_file, store)
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code < 500:
                raise _RefusedError(str(error).partition(" for url")[0]) from error
            raise
        finally:
            for answer in answers:
                answer.close()  # pooch leaves it open where it fails


class _Bar:
    """A progress bar as pooch wants one, that passes numbers on, draws nothing, and ends what has no end.

    A server may send on for ever, or so slowly that each wait is short.
    """

    def __init__(self, report: ReportProgress | None) -> None:
        self.report = report
        self.began = time.monotonic()
        self.total = 0  # set by pooch; 0 where the server does not say
        self.came = self.done = 0

    def update(self, size: int) -> None:
        self.came += size
        # pooch counts whole chunks, and the last is smaller.
        self.done = min(self.came, self.total) if self.total else self.came
        if self.came > LARGEST:
            raise _RefusedError(f"it sends more than {LARGEST:,} bytes")
        if time.monotonic() - self.began > LONGEST:
            raise _RefusedError(f"it takes more than {LONGEST // 60} minutes")
        if self.report:
            self.report(self.done, self.total or None)

    def reset(self) -> None:
        self.came = self.done = 0

    def close(self) -> None:
        pass


@contextmanager
def _silent_pooch() -> Iterator[None]:
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    """What went wrong, without the pages that requests writes about it."""
    match error:
        case requests.Timeout():
            return "no answer in time"
        case requests.HTTPError():
            return str(error).partition(" for url")[0]
        case requests.ConnectionError():
            cause = getattr(error.args[0], "reason", error) if error.args else error
            return f"no connection, {str(cause).rpartition(': ')[2] or 'no reason given'}"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke before the end"
        case _:
            return " ".join(str(error).split()) or type(error).__name__
