"""Files of Debian and npm packages, downloaded and unpacked; nothing is installed."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path


def debian(name: str, folder: Path) -> Path:
    """The files of a Debian package as `folder` holds them, or downloaded to it; `version` tells which these are."""
    files = folder / name
    if not files.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", "-qq", name], folder)
        (archive,) = folder.glob(f"{name}_*.deb")
        _run(["dpkg-deb", "-x", archive.name, f"{name}.part"], folder)
        (folder / f"{name}.part").rename(files)
    return files


def version(name: str, folder: Path) -> str:
    """Of a Debian package that `debian` unpacked."""
    (archive,) = folder.glob(f"{name}_*.deb")
    return _run(["dpkg-deb", "-f", archive.name, "Version"], folder).strip()


def npm(name: str, version: str, folder: Path) -> Path:
    """The files of an npm package as `folder` holds them, or downloaded to it."""
    files = unpacked(name, version, folder)
    if not files.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["npm", "pack", "--silent", f"{name}@{version}"], folder)
        part = Path(f"{files}.part")
        with tarfile.open(f"{files}.tgz") as archive:
            archive.extractall(part, filter="data")
        (part / "package").rename(files)
        part.rmdir()
    return files


def unpacked(name: str, version: str, folder: Path) -> Path:
    """Where the files of an npm package are."""
    return folder / f"{name.removeprefix('@').replace('/', '-')}-{version}"


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout
