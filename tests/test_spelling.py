"""The names that are offered for one that there is not."""

from __future__ import annotations

import pytest

from vmacore.config import Config, DataConfig
from vmacore.errors import VmaError
from vmacore.spelling import choose_one_of, did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("glyfs", ["glyphs"]),
        ("Omniglot", ["omniglot"]),
        ("omniglot-", ["omniglot"]),
        ("digit", ["digits"]),
        ("mnsit", ["mnist"]),
        ("cifar", []),
        ("", []),
        ("glyphs" * 100_000, []),
    ],
)
def test_names_spelled_nearly_so(name: str, near: list[str]) -> None:
    assert nearest(name, ("digits", "glyphs", "mnist", "omniglot", "omniglot-gmn", "omniglot-burda")) == near


def test_capitals_of_the_name_that_is_meant_are_kept() -> None:
    assert nearest("greek/alfa", ["Greek/alpha", "Greek/beta"])[0] == "Greek/alpha"


def test_how_an_error_ends() -> None:
    assert choose_one_of("glyfs", ("digits", "glyphs")) == "did you mean 'glyphs'? choose one of digits, glyphs"
    assert choose_one_of("other", ("digits", "glyphs")) == "choose one of digits, glyphs"
    assert did_you_mean(["a", "b"]) == "did you mean 'a' or 'b'? "
    assert did_you_mean([]) == ""


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("model.latnt=3", "'model.latent'"),
        ("modle.latent=3", "'model.latent'"),
        ("latent=3", "'model.latent'"),
        ("sed=3", "'data.seed' or 'training.seed'"),
        ("labels.wieght=3", "'labels.weight'"),
        ("Training.Steps=3", "'training.steps'"),
    ],
)
def test_keys_of_settings(setting: str, meant: str) -> None:
    with pytest.raises(VmaError) as caught:
        Config(data=DataConfig(dataset="glyphs")).with_overrides([setting])
    assert str(caught.value).startswith(f"cannot set {setting!r}: did you mean {meant}? write section.field=value")


def test_keys_are_those_of_the_kind_that_is_chosen() -> None:
    config = Config(data=DataConfig(dataset="glyphs"))
    with pytest.raises(VmaError, match=r"did you mean 'model\.stages'\?"):
        config.with_overrides(["model.network=residual", "model.stagse=[4]"])
    with pytest.raises(VmaError) as caught:
        config.with_overrides(["model.stagse=[4]"])
    assert "did you mean" not in str(caught.value)
