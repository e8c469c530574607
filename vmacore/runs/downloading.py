"""Weights that are published with a release: packed, fetched, and brought by hand; always checked."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmacore import __version__
from vmacore.data.archives import LARGEST, named_files
from vmacore.data.download import Downloaded, Remote, ReportProgress, download
from vmacore.errors import VmaError, reading, writing
from vmacore.files import content, new_folder, write
from vmacore.runs.finding import find_run
from vmacore.runs.shipped import DOWNLOADED, FILES, Published, published

# Where releases lie, v1.0.0 and so on, such as https://HOST/OWNER/vma/releases/download. The project has no address
# yet: weights come by --from or --url.
RELEASES = ""


def packed(name: str, files: Mapping[str, bytes]) -> bytes:
    """A zip of weights, NAME/FILE for each; equal files give equal bytes, whatever packed them and when."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for file in sorted(files):
            member = zipfile.ZipInfo(f"{name}/{file}")  # of 1980, uncompressed
            member.create_system, member.external_attr = 3, 0o644 << 16  # as on Unix
            zipped.writestr(member, files[file])
    return archive.getvalue()


def packed_folder(folder: Path) -> bytes:
    """The zip of a folder of weights, by the folder's name.

    Raises:
        VmaError: a file is missing, or cannot be read.
    """
    files = {}
    for file in FILES:
        with reading(folder / file, f"get it again (vma download weights {folder.name})"):
            files[file] = content(folder / file, LARGEST)
    return packed(folder.name, files)


@dataclass(frozen=True)
class Weights:
    """Published weights as what `download` asks about its files."""

    about: Published

    def import_from(self, source: Path, data_dir: Path) -> Path:
        """Take the files from a folder or a zip.

        Raises:
            VmaError: they are not there, are others than were published, or cannot be written.
        """
        name = self.about.name
        archive = source / f"{name}.zip"  # what lies beside it may be a damaged copy
        way_out = f"get {archive.name} of release {__version__}, or name other weights"
        members = [f"{name}/{file}" for file in FILES]
        found = named_files((archive if archive.is_file() else source).resolve(), members, name, way_out)
        files = {member.partition("/")[2]: stored for member, (_, stored) in found.items()}
        if hashlib.sha256(packed(name, files)).hexdigest() != self.about.sha256:
            raise VmaError(f"{source} holds other weights {name} than release {__version__}: {way_out}")
        folder = data_dir / DOWNLOADED / name
        with writing(folder, "choose another --data-dir"), new_folder(folder, replaces=True) as part:
            for file, stored in files.items():
                write(part / file, stored)
        return folder

    def describe(self, data_dir: Path) -> str:
        """What is in the data folder, in words.

        Raises:
            VmaError: nothing, or others than were published.
        """
        folder = data_dir / DOWNLOADED / self.about.name
        if hashlib.sha256(packed_folder(folder)).hexdigest() != self.about.sha256:
            raise VmaError(f"{folder} holds other weights than release {__version__}")
        step = find_run(folder, runs_dir=folder).step
        return f"step {step:,} on {self.about.dataset}, {self.about.bytes / 1e6:.1f} MB"


def download_weights(
    names: Sequence[str],
    data_dir: Path,
    source: Path | None = None,
    progress: ReportProgress | None = None,
    *,
    offline: bool = False,
    base_url: str | None = None,
) -> dict[str, Downloaded]:
    """Bring published weights into the data folder, where `shipped_weights` finds them; by name.

    names: none stands for all. source: a folder or zip that holds them, such as a release's NAME.zip. base_url: another
    place that has the zips. The others are as in `vmacore.data.download.download`.

    Raises:
        VmaError: weights that are not published; files missing or damaged; whatever a download may end in.
    """
    known = published()
    if unknown := [name for name in names if name not in known]:
        raise VmaError(
            f"weights {unknown[0]!r} can't be downloaded, they are in the package or unknown; "
            f"choose from {', '.join(known)}"
        )
    remotes = {
        f"weights {name}": Remote(
            title=f"{name}.zip",
            base_url=f"{RELEASES}/v{__version__}" if RELEASES else "",
            folder=DOWNLOADED,
            registry={f"{name}.zip": f"sha256:{known[name].sha256}"},
            reader=Weights(known[name]),
        )
        for name in names or known
    }
    got = {}
    for key in remotes:
        done = download(key, data_dir, source, progress, offline=offline, base_url=base_url, remotes=remotes)
        name = key.partition(" ")[2]
        got[name] = Downloaded(done.path / name, done.description)
    return got
