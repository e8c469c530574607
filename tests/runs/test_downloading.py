"""Published weights: packed the same everywhere, fetched from a server or brought by hand, and refused if altered."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest

import vmacore
from tests.data.server import Server
from tools import weights as tool
from vmacore.errors import VmaError
from vmacore.runs.downloading import download_weights, packed, packed_folder
from vmacore.runs.finding import find_run
from vmacore.runs.shipped import CATALOGUE, published

CHECKOUT = Path(vmacore.__file__).parent / "weights"
NAME = "omniglot-vae"  # the smallest


def test_the_catalogue_is_of_the_weights_in_the_checkout() -> None:
    assert CATALOGUE.read_text("utf-8") == tool.catalogue(), "weights were replaced: run `make weights-hashes`"


def test_equal_files_are_packed_to_equal_bytes() -> None:
    """Whichever Python packs them."""
    files = {"b": b"two", "a": b"one"}
    assert packed("name", files) == packed("name", dict(sorted(files.items())))
    digest = hashlib.sha256(packed("name", files)).hexdigest()
    assert digest == "f274ba1f3359e13742c95bebff8af6b5c3b02421070283a245b63a45f4135da7"
    with zipfile.ZipFile(io.BytesIO(packed("name", files))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {"name/a": b"one", "name/b": b"two"}


def test_from_a_server(server: Server, tmp_path: Path) -> None:
    server.answers = {f"{NAME}.zip": [b"another", packed_folder(CHECKOUT / NAME)]}
    got = download_weights([NAME], tmp_path, base_url=server.url)
    assert got[NAME].path == tmp_path / "weights" / NAME
    assert got[NAME].description == "step 65,000 on omniglot, 1.7 MB"
    assert server.asked == [f"{NAME}.zip"] * 2  # the first was not what is published
    for file in (CHECKOUT / NAME).iterdir():
        assert (got[NAME].path / file.name).read_bytes() == file.read_bytes()
    assert find_run(got[NAME].path, runs_dir=tmp_path).step == 65_000
    assert download_weights([NAME], tmp_path, offline=True) == got
    (got[NAME].path / "config.toml").write_text("damaged")
    assert download_weights([NAME], tmp_path, offline=True) == got  # from the zip that was fetched
    assert server.asked == [f"{NAME}.zip"] * 2


def test_all_of_them(server: Server, tmp_path: Path) -> None:
    server.answers = {f"{name}.zip": [packed_folder(CHECKOUT / name)] for name in published()}
    assert list(download_weights([], tmp_path, base_url=server.url)) == list(published())


@pytest.mark.parametrize("how", ["folder", "folder of all", "zip", "folder of zips", "zip of a zip"])
def test_brought_by_hand(how: str, tmp_path: Path) -> None:
    zipped = packed_folder(CHECKOUT / NAME)
    source = {"folder": CHECKOUT / NAME, "folder of all": CHECKOUT}.get(how, tmp_path / "brought")
    if how == "folder of zips":
        source.mkdir()
        (source / f"{NAME}.zip").write_bytes(zipped)
    elif how == "zip":
        source = source.with_suffix(".zip")
        source.write_bytes(zipped)
    elif how == "zip of a zip":
        source = source.with_suffix(".zip")
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"all/{NAME}.zip", zipped)
    got = download_weights([NAME], tmp_path / "data", source, offline=True)
    assert {file.name for file in got[NAME].path.iterdir()} == {file.name for file in (CHECKOUT / NAME).iterdir()}


@pytest.mark.parametrize("file", ["averaged.safetensors", "config.toml", "state.json", "README.md"])
def test_one_bit_makes_them_others(file: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKOUT / NAME, tmp_path / NAME))
    stored = bytearray((folder / file).read_bytes())
    stored[len(stored) // 2] ^= 1
    (folder / file).write_bytes(stored)
    with pytest.raises(VmaError, match=rf"holds other weights {NAME} than release 1"):
        download_weights([NAME], tmp_path / "data", folder)
    assert not list((tmp_path / "data").rglob("*.*"))


def test_files_that_are_missing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKOUT / NAME, tmp_path / NAME))
    (folder / "state.json").unlink()
    with pytest.raises(VmaError, match=rf"not whole: no {NAME}/state.json; get {NAME}.zip of release"):
        download_weights([NAME], tmp_path / "data", folder)


def test_without_an_address_the_line_tells_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmaError, match=rf"name one \(--url\), or .* `vma download weights {NAME} --from PATH`"):
        download_weights([NAME], tmp_path)


def test_the_zips_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["weights", "pack", str(tmp_path)])
    tool.main()
    lines = dict(reversed(line.split("  ")) for line in capsys.readouterr().out.splitlines())
    assert lines == {str(tmp_path / f"{name}.zip"): about.sha256 for name, about in published().items()}
    for name, about in published().items():
        assert (tmp_path / f"{name}.zip").stat().st_size == about.bytes
