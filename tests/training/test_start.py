"""Where the weights of a new run come from: one run, h of another, idle parts drawn anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.small_runs import DATASET, create_run, metrics_of
from vmacore.errors import VmaError
from vmacore.runs.directory import WEIGHTS, RunDirectory
from vmacore.runs.finding import Location, find_run
from vmacore.runs.weights import read_tensors
from vmacore.training.loop import prepare, train
from vmacore.training.start import EMBEDDING, POINT, Start

RESIDUAL: dict[str, Any] = {
    "network": "residual", "stages": (6, 8), "blocks": (1, 1), "latent_maps": (2, 2), "tied": True,
}  # fmt: skip
STILL = {"training": {"steps": 1}, "optimiser": {"learning_rate": 1e-20}}  # shows the weights it starts from


def trained(path: Path, **sections: Any) -> Location:
    train(create_run(path, **sections), DATASET)
    return find_run(path, runs_dir=path.parent)


def weights(location: Location) -> dict[str, Tensor]:
    return read_tensors(location.path / WEIGHTS["averaged"])


def started(path: Path, start: Start, **sections: Any) -> Location:
    run = create_run(path, **{**STILL, **sections})
    train(RunDirectory(path, prepare(run.config, DATASET, start)), DATASET, start=start)
    return find_run(path, runs_dir=path.parent)


def test_addresses_come_from_another_run(tmp_path: Path) -> None:
    all_of_it = trained(tmp_path / "all", model=RESIDUAL)
    embedded = {**RESIDUAL, "normalised_embedding": True, "latent": 0}  # other latents matter not to h
    addresses = trained(
        tmp_path / "h", model=embedded, objective={"trains": "addresses", "labels": 2.0}, training={"seed": 1}
    )
    both = started(tmp_path / "both", Start(all_of_it, addresses), model={**RESIDUAL, "normalised_embedding": True})
    found, theirs, of_h = weights(both), weights(all_of_it), weights(addresses)
    for name, tensor in found.items():
        expected = of_h if name.startswith((*EMBEDDING, POINT)) else theirs
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-15, msg=name)
    assert not torch.equal(theirs["key_network.head.out.weight"], of_h["key_network.head.out.weight"])
    assert (both.config.init, both.config.addresses_from) == ("all, step 10", "h, step 10")
    assert not both.config.revived


def test_addresses_alone_are_enough_to_start_from(tmp_path: Path) -> None:
    addresses = trained(tmp_path / "h", model=RESIDUAL, objective={"trains": "addresses", "labels": 2.0})
    run = started(tmp_path / "run", Start(addresses=addresses), model=RESIDUAL)
    assert torch.equal(weights(run)["key_network.head.out.weight"], weights(addresses)["key_network.head.out.weight"])
    assert run.config.init is None


def test_a_revived_model_may_have_other_latents(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL)
    run = started(tmp_path / "run", Start(first, revive=True), model={**RESIDUAL, "latent": 0, "posterior_hidden": 4})
    found, theirs = weights(run), weights(first)
    assert "decoder.levels.1.meeting.weight" in found
    assert "decoder.start.weight" not in found
    for name in ("pixels.weight", "expansions.0.weight", "levels.0.both.weight"):
        assert torch.equal(found[f"decoder.{name}"], theirs[f"decoder.{name}"])
    # q began as p and ten steps have not moved the coarse one: it starts again.
    assert float(found["decoder.levels.1.both.weight"].abs().sum()) < 1e-15
    assert run.config.revived


@pytest.mark.parametrize(
    ("model", "start", "message"),
    [
        ({**RESIDUAL, "latent": 5}, {"init": True}, r"another model.latent: 4, not 5"),
        ({**RESIDUAL, "embedding": 5}, {"addresses": True}, r"another model.embedding: 8, not 5"),
        ({**RESIDUAL, "normalised": True}, {"addresses": True}, "another model.normalised_embedding"),
        ({**RESIDUAL, "stages": (6, 7)}, {"init": True, "revive": True}, "another model.stages"),
        (RESIDUAL, {"revive": True}, "name them with --init"),
        ({"system": "vae"}, {"addresses": True}, "take --addresses-from"),
        ({}, {"init": True, "revive": True}, "only residual networks"),
        ({**RESIDUAL, "hidden": 9}, {"init": True, "revive": True}, "another model.hidden"),
        ({**RESIDUAL, "address_prior": "flat"}, {"addresses": True}, "another model.address_prior"),
        ({**RESIDUAL, "learned_slots": 5, "tied": False}, {"init": True, "revive": True}, "no episodes to look"),
    ],
)
def test_what_cannot_be_taken(tmp_path: Path, model: dict[str, Any], start: dict[str, bool], message: str) -> None:
    location = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    given = {key: location if key != "revive" else True for key, wanted in start.items() if wanted}
    with pytest.raises(VmaError, match=message):
        prepare(create_run(tmp_path / "run", model=model).config, DATASET, Start(**given))  # type: ignore[arg-type]


def test_images_alone_need_addresses(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", model=RESIDUAL, objective={"trains": "images"})
    with pytest.raises(VmaError, match="would stay as they are drawn"):
        train(run, DATASET)


def test_none_stands_for_what_the_rest_has(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    run = started(tmp_path / "run", Start(first), model={**RESIDUAL, "normalised_embedding": False})
    assert run.config.init == "first, step 1"


def test_a_run_killed_before_its_weights_were_stored_is_not_resumed(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    run = create_run(tmp_path / "run", model=RESIDUAL)
    run.with_config(Start(first).recorded(run.config))
    with pytest.raises(VmaError, match="start a new run"):
        train(RunDirectory.open(run.path), DATASET, resume=True)


def test_what_was_drawn_anew_is_noted(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", model=RESIDUAL, training={"steps": 1})
    run = started(tmp_path / "run", Start(first, revive=True), model=RESIDUAL)
    (row,) = [row for row in metrics_of(RunDirectory.open(tmp_path / "run")) if row["kind"] == "revived"]
    assert row["latents"] == [1]
    assert row["units"] >= 0
    assert run.config.revived
