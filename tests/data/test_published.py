"""Each published data set, from a server to its prepared file."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision.datasets import MNIST

from tests.data import test_binarized_mnist as amat
from tests.data import test_omniglot_burda as chardata
from tests.data import test_omniglot_gmn as gmn
from tests.data.drawings import ALPHABETS, drawing_files, part, zipped
from tests.data.server import Server
from vmacore.data.download import REMOTES, Remote, download
from vmacore.data.sets import binarized_mnist, mnist, omniglot, omniglot_gmn
from vmacore.data.sets import omniglot_burda as burda
from vmacore.errors import VmaError


class SmallOmniglot:
    def import_from(self, source: Path, data_dir: Path) -> Path:
        return omniglot.import_from(source, data_dir, ALPHABETS)

    def describe(self, data_dir: Path) -> str:
        return f"{omniglot.read(data_dir, ALPHABETS).n_classes} characters"


def test_omniglot_from_the_server_to_the_prepared_file(server: Server, tmp_path: Path) -> None:
    names = ("images_background", "images_evaluation")
    zips = {f"{name}.zip": zipped(part(drawing_files(), name)) for name in names}
    server.answers = {name: [content] for name, content in zips.items()}
    registry = {name: "md5:" + hashlib.md5(content).hexdigest() for name, content in zips.items()}
    small = Remote("Omniglot", server.url, REMOTES["omniglot"].folder, registry, SmallOmniglot())
    assert download("omniglot", tmp_path, remotes={"omniglot": small}).description == "5 characters"
    assert (tmp_path / omniglot.PREPARED).exists()


def test_only_the_published_zips_are_taken_from_a_server(server: Server, tmp_path: Path) -> None:
    server.answers = {"images_background.zip": [zipped(drawing_files())]}
    with pytest.raises(VmaError, match="what came is not the published file"):
        download("omniglot", tmp_path, base_url=server.url, retries=0)
    assert not os.listdir(tmp_path)


def test_the_gmn_omniglot_from_the_server_to_the_prepared_file(server: Server, tmp_path: Path) -> None:
    class Small:
        def import_from(self, source: Path, data_dir: Path) -> Path:
            return omniglot_gmn.import_from(source, data_dir, ALPHABETS)

        def describe(self, data_dir: Path) -> str:
            return omniglot.in_words(omniglot_gmn.read(data_dir, ALPHABETS))

    server.answers = {name: [content] for name, content in gmn.archives(gmn.arrays()).items()}
    small = {"omniglot-gmn": replace(REMOTES["omniglot-gmn"], base_url=server.url, reader=Small())}
    assert "5 characters, 100 drawings, 28×28" in download("omniglot-gmn", tmp_path, remotes=small).description
    assert server.asked == ["train_small.npz", "test_small.npz"]
    assert (tmp_path / omniglot_gmn.PREPARED).exists()


def test_burdas_omniglot_from_the_server_to_the_prepared_file(server: Server, tmp_path: Path) -> None:
    class Small:
        def import_from(self, source: Path, data_dir: Path) -> Path:
            return burda.import_from(source, data_dir, chardata.SIZES)

        def describe(self, data_dir: Path) -> str:
            return burda.describe(data_dir, chardata.SIZES)

    server.answers = {"chardata.mat": [b"<html>", chardata.FILES["chardata.mat"]]}
    small = {"omniglot-burda": replace(REMOTES["omniglot-burda"], base_url=server.url, reader=Small())}
    with pytest.raises(VmaError, match=r"chardata.mat can't be read as a MATLAB file"):
        download("omniglot-burda", tmp_path, remotes=small)
    assert "80 drawings, 28×28: 53 train" in download("omniglot-burda", tmp_path, remotes=small).description


def test_the_binarised_mnist_from_the_server_to_the_prepared_file(server: Server, tmp_path: Path) -> None:
    class Small:
        def import_from(self, source: Path, data_dir: Path) -> Path:
            return binarized_mnist.import_from(source, data_dir, amat.PUBLISHED)

        def describe(self, data_dir: Path) -> str:
            return binarized_mnist.describe(data_dir, amat.PUBLISHED)

    server.answers = {name: [content] for name, content in amat.FILES.items()}
    with pytest.raises(VmaError, match="what came is not the published file"):
        download("binarized-mnist", tmp_path, base_url=server.url, retries=0)
    registry = {name: f"sha256:{file.sha256}" for name, file in amat.PUBLISHED.items()}
    small = replace(REMOTES["binarized-mnist"], base_url=server.url, registry=registry, reader=Small())
    assert "11 binary digits" in download("binarized-mnist", tmp_path, remotes={"binarized-mnist": small}).description


def test_mnist_is_registered_as_torchvision_has_it() -> None:
    registry = {name: f"md5:{md5}" for name, md5 in MNIST.resources}
    assert REMOTES["mnist"].registry == registry
    assert REMOTES["mnist"].base_url in MNIST.mirrors
    assert {name.removesuffix(".gz") for name in registry} == set(mnist.FILES)
