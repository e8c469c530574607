"""Configurations of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from vmacore.config import Config, ModelConfig
from vmacore.config.migration import migrated, migrated_weights
from vmacore.errors import VmaError
from vmacore.runs.shipped import PACKAGE

OLD: dict[str, Any] = {
    "data": {"dataset": "glyphs", "refit": False},
    "episode": {"alike": 0.0},
    "model": {"network": "residual", "normalised": False},
    "objective": {"samples": 4, "coarse_warmup": 600, "coarse_after": 0},
    "optimiser": {"name": "adam", "matrix_rate": 0.5, "matrix_decay": 0.0, "learning_rate": 0.1},
}


def test_what_is_gone_is_left_out_where_it_did_nothing() -> None:
    before = {section: dict(values) for section, values in OLD.items()}
    assert migrated(OLD) == {
        "data": {"dataset": "glyphs"},
        "episode": {},
        "model": {"network": "residual"},
        "objective": {"samples": 4},
        "optimiser": {"learning_rate": 0.1},
    }
    assert before == OLD  # what was given is left alone


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "refit", True),
        ("episode", "classes_between", [2, 4]),
        ("episode", "alike", 0.5),
        ("objective", "labels", 20.0),
        ("objective", "label_slots", True),
        ("objective", "slot_class_weight", 1.0),
        ("optimiser", "name", "muon"),
        ("optimiser", "matrix_decay", 0.1),
    ],
)
def test_a_run_that_used_what_is_gone_is_refused(section: str, key: str, value: object) -> None:
    with pytest.raises(VmaError, match=rf"{section}\.{key} = .* is of an earlier version"):
        migrated({section: {key: value}})


def test_settings_that_were_renamed() -> None:
    model = {"network": "residual", "finer_latents": [1, 0], "meeting": 4}
    old = {"model": model, "objective": {"part": "addresses"}}
    assert migrated(old) == {
        "model": {"network": "residual", "latent_maps": [1, 0], "posterior_hidden": 4},
        "objective": {"trains": "addresses"},
    }
    assert migrated(migrated(old)) == migrated(old)


def test_keys_of_kinds_that_are_not_chosen_are_left_out() -> None:
    """Files of earlier versions hold the keys of all kinds; one of no kind is not of an earlier version."""
    old = {
        "data": {"dataset": "glyphs"},
        "episode": {"memory": "recall", "slots": 9, "shots": 4, "sequences": 8},
        "model": {"network": "fully-connected", "layers": [4, 2], "channels": [1], "hidden": 3, "hops": 1},
        "objective": {"estimator": "gumbel", "temperature": 0.25},
    }
    assert migrated(old) == {
        **old,
        "episode": {"memory": "recall", "slots": 9},
        "model": {"network": "fully-connected", "layers": [4, 2]},
    }
    config = Config.from_toml(tomli_w.dumps(old))
    assert config.model == ModelConfig(network="fully-connected", layers=(4, 2))
    with pytest.raises(VmaError, match=r"model\.width: there is no such setting"):
        Config.from_toml(tomli_w.dumps({**old, "model": {"width": 3}}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("template.trunk.stem.weight", "slot_encoder.trunk.stem.weight"),
        ("key_network.template.stem.bias", "key_network.pyramid.stem.bias"),
        ("decoder.start.weight", "decoder.start.weight"),
        ("decoder.levels.1.both.bias", "decoder.stages.1.0.level.both.bias"),
        ("decoder.levels.1.meeting.weight", "decoder.stages.1.0.level.hidden_out.weight"),
        ("decoder.stages.2.1.first.bias", "decoder.stages.2.0.blocks.1.first.bias"),
        ("decoder.deeper.0.1.level.meeting.bias", "decoder.stages.0.2.level.hidden_out.bias"),
        ("decoder.deeper.0.1.block.second.weight", "decoder.stages.0.2.blocks.0.second.weight"),
    ],
)
def test_weights_that_were_renamed(old: str, new: str) -> None:
    assert migrated_weights({old: 1}) == {new: 1}
    assert migrated_weights({new: 1}) == {new: 1}


def test_weights_of_stages_that_no_latent_saw_are_left_out() -> None:
    trunk = [f"recognition.trunk.{part}.weight" for part in ("stages.0.0.first", "merges.0", "stages.1.0.first")]
    beyond = [f"recognition.trunk.{part}.weight" for part in ("merges.1", "stages.2.0.first", "stages.10.0.first")]
    levels = ["decoder.levels.0.both.weight", "decoder.deeper.1.0.level.both.weight"]
    stored = dict.fromkeys((*trunk, *beyond, *levels), 0)
    kept = {*trunk, "decoder.stages.0.0.level.both.weight", "decoder.stages.1.1.level.both.weight"}
    assert set(migrated_weights(stored)) == kept
    head = "recognition.head.out.weight"  # of a vector, which sees the coarsest stage
    assert set(migrated_weights({**stored, head: 0})) == {*kept, *beyond, head}
    assert set(migrated_weights(dict.fromkeys(trunk + beyond, 0))) == {*trunk, *beyond}


@pytest.mark.parametrize("folder", sorted(PACKAGE.glob("*/config.toml")), ids=lambda file: file.parent.name)
def test_shipped_configurations_are_read_and_stay_what_they_are(folder: Path) -> None:
    config = Config.from_toml(folder.read_text("utf-8"))
    assert Config.from_toml(config.to_toml()) == config
