"""A small Omniglot of made-up drawings, written as files or zips."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ALPHABETS = {"Greek": 2, "Tengwar": 3}  # one of either zip


def png(ink: np.ndarray, mode: str = "1") -> bytes:
    """Ink [H, W] as a PNG, dark on light."""
    file = io.BytesIO()
    Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def drawing_files(seed: int = 0) -> dict[str, bytes]:
    """Path → PNG of five characters, 20 drawings each, with paths as in the official zips."""
    rng = np.random.default_rng(seed)
    files = {}
    for part, alphabet in (("images_background", "Greek"), ("images_evaluation", "Tengwar")):
        for character in range(1, ALPHABETS[alphabet] + 1):
            for drawing in range(1, 21):
                path = f"{part}/{alphabet}/character{character:02}/{character:04}_{drawing:02}.png"
                files[path] = png(rng.random((105, 105)) < 0.01)
    return files


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def part(files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    return {path: content for path, content in files.items() if path.startswith(name)}
