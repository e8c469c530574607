"""Configurations: recipes, TOML, overrides, and what is refused."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from vmacore.config import Config, DataConfig, ModelConfig, ObjectiveConfig, load_recipe, recipe_names
from vmacore.config.choosing import Wanted, configure
from vmacore.data import DATASETS
from vmacore.errors import VmaError
from vmacore.networks import residual

CONFIG = Config(data=DataConfig(dataset="glyphs"))


def _refused(*settings: str) -> str:
    with pytest.raises(VmaError) as caught:
        CONFIG.with_overrides(settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_defaults_are_the_papers() -> None:
    assert (CONFIG.episode.classes, CONFIG.episode.targets, CONFIG.episode.shots) == (8, 4, 4)
    assert (CONFIG.model.latent, CONFIG.model.embedding, len(CONFIG.model.channels)) == (64, 128, 6)
    assert (CONFIG.objective.estimator, CONFIG.objective.samples) == ("vimco", 4)
    assert CONFIG.optimiser.learning_rate == 3e-4


def test_there_is_a_recipe_for_every_data_set() -> None:
    named_otherwise = {"omniglot-oneshot", "all-symbols"}  # for tests alone; recipe symbols
    assert set(DATASETS) - named_otherwise <= set(recipe_names())


def test_h_alone_is_that_of_the_whole_recipe() -> None:
    """So that a run of either starts from weights of the other."""
    assert load_recipe("omniglot-addresses").model == load_recipe("omniglot-best").model


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_load_and_go_through_toml_unchanged(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.recipe == name
    assert recipe.data.dataset in DATASETS
    assert Config.from_toml(recipe.to_toml()) == recipe


def test_a_path_that_is_no_utf8_is_told() -> None:
    there = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"dataset": "pictures/na\udcffme"})})
    with pytest.raises(VmaError, match=r'dataset = "pictures/na.me" is not UTF-8, .* rename that folder'):
        there.to_toml()


def test_a_recipe_says_what_differs_from_the_defaults() -> None:
    assert load_recipe("mnist").model.channels == (16, 16, 24, 32, 32, 32)
    assert load_recipe("digits").model.channels == (32, 32, 32, 48, 48, 48)


def test_an_unknown_recipe() -> None:
    with pytest.raises(VmaError, match="no recipe 'nothing'; choose one of binarized-mnist, digits, glyphs"):
        load_recipe("nothing")


def test_what_is_unset_is_left_out_of_toml() -> None:
    document = tomllib.loads(CONFIG.to_toml())
    assert "protocol" not in document["data"]
    assert "clip" not in document["optimiser"]
    assert "recipe" not in document
    assert document["model"]["channels"] == [48, 48, 48, 64, 64, 64]


def test_toml_brings_everything_back() -> None:
    changed = CONFIG.with_overrides(
        ["data.protocol=45-5", "data.binarise=fixed", "optimiser.clip=1.5", "model.size=[28, 20]", "training.seed=7"]
    )
    again = Config.from_toml(changed.to_toml())
    assert again == changed
    assert again.model.size == (28, 20)
    assert Config.from_toml(again.to_toml()).to_toml() == changed.to_toml()


@pytest.mark.parametrize(
    ("setting", "section", "field", "value"),
    [
        ("model.latent=32", "model", "latent", 32),
        ("optimiser.learning_rate=1e-4", "optimiser", "learning_rate", 1e-4),
        ("optimiser.clip=2", "optimiser", "clip", 2.0),
        ("model.channels=[8, 16]", "model", "channels", (8, 16)),
        ("model.tied=true", "model", "tied", True),
        ("data.dataset=mnist", "data", "dataset", "mnist"),
        ('data.dataset="mnist"', "data", "dataset", "mnist"),
        (" model.similarity = cosine ", "model", "similarity", "cosine"),
        ("data.protocol=30-20", "data", "protocol", "30-20"),
    ],
)
def test_overrides(setting: str, section: str, field: str, value: Any) -> None:
    changed = CONFIG.with_overrides([setting])
    found = getattr(getattr(changed, section), field)
    assert found == value
    assert type(found) is type(value)
    kept = {name: part for name, part in CONFIG if name != section}
    assert {name: part for name, part in changed if name != section} == kept


def test_overrides_add_up_and_the_last_one_counts() -> None:
    changed = CONFIG.with_overrides(["model.latent=8", "training.steps=5", "model.latent=16"])
    assert (changed.model.latent, changed.training.steps) == (16, 5)
    assert CONFIG.model.latent == 64  # a copy was changed


def test_an_override_can_unset() -> None:
    changed = CONFIG.with_overrides(["optimiser.clip=3", "data.protocol=45-5"])
    assert changed.with_overrides(["optimiser.clip=none", "data.protocol=none"]) == CONFIG


def test_none_is_a_word_where_a_field_takes_it() -> None:
    learned = CONFIG.with_overrides(["model.learned_slots=5"])
    changed = learned.with_overrides(["episode.memory=none", "model.network=fully-connected", "model.skip=none"])
    assert (changed.episode.memory, changed.model.skip) == ("none", "none")
    assert learned.with_overrides(['episode.memory="none"']).episode.memory == "none"


@pytest.mark.parametrize(
    "setting", ["model.width=3", "latent=3", "model=3", "model.latent", "model.latent.x=3", "=3", "", "a.b.c=1"]
)
def test_overrides_of_what_does_not_exist(setting: str) -> None:
    message = _refused(setting)
    assert repr(setting) in message
    assert "model.latent=32" in message  # how to write one


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.latent=-1", "model.latent"),
        ("model.latent=many", "model.latent"),
        ("model.latent=2.5", "model.latent"),
        ("model.latent=", "model.latent"),
        ("model.latent=a\nb", "model.latent"),
        ("model.similarity=euclidean", "'normalised', 'inner' or 'cosine'"),
        ("model.network=recurrent", "choose one of convolutional, fully-connected, residual"),
        ("model.channels=[]", "model.channels: Tuple should have at least 1 item"),
        ("model.channels=[4, 0]", "model.channels.1: Input should be greater than or equal to 1"),
        ("model.latent=0", "latent must be at least 1"),
        ("model.size=[0, 8]", "size must be positive"),
        ("optimiser.learning_rate=0", "optimiser.learning_rate"),
        ("optimiser.learning_rate=nan", "optimiser.learning_rate"),
        ("optimiser.learning_rate=inf", "optimiser.learning_rate"),
        ("optimiser.average=1", "optimiser.average"),
        ("optimiser.clip=0", "optimiser.clip"),
        ("optimiser.weight_decay=-1", "optimiser.weight_decay"),
        ("episode.shots=0", "episode.shots"),
        ("training.steps=0", "training.steps"),
        ("training.seed=-1", "training.seed"),
        (f"training.seed={2**63}", "training.seed"),
        (f"data.seed={2**63}", "data.seed"),
        ("training.validation_episodes=1", "training.validation_episodes"),
        ("objective.estimator=reinforce", "objective.estimator"),
        ("data.dataset=none", "data.dataset"),
    ],
)
def test_overrides_with_a_value_that_is_not_taken(setting: str, named: str) -> None:
    assert named in _refused(setting)


def test_vimco_needs_two_samples() -> None:
    assert "leaves one sample out" in _refused("objective.samples=1")
    with pytest.raises(ValidationError, match="at least 2"):
        Config(data=DataConfig(dataset="glyphs"), objective=ObjectiveConfig(samples=1))
    assert CONFIG.with_overrides(["objective.samples=2"]).objective.samples == 2


@pytest.mark.parametrize("estimator", ["vimco-geometric", "rloo", "rws", "rws-pathwise", "top-k"])
def test_estimators_that_need_two_samples(estimator: str) -> None:
    one = CONFIG.with_overrides(["objective.samples=1", "objective.estimator=nvil"])
    with pytest.raises(VmaError, match=r"objective\.samples must be at least 2: "):
        one.with_overrides([f"objective.estimator={estimator}"])
    for other in ("nvil", "gumbel", "st-gumbel", "enumeration"):
        assert one.with_overrides([f"objective.estimator={other}"]).objective.samples == 1


def test_a_model_that_draws_no_address_has_no_choice_of_estimator() -> None:
    vae = CONFIG.with_overrides(["model.system=vae", "objective.samples=1"])
    with pytest.raises(VmaError, match="a vae model draws no address"):
        vae.with_overrides(["objective.estimator=rloo"])


def test_what_no_one_knows_is_forbidden() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ModelConfig(width=3)  # type: ignore[call-arg]
    with pytest.raises(VmaError, match=r"model\.width: there is no such setting"):
        Config.from_toml('[data]\ndataset = "glyphs"\n[model]\nwidth = 3\n')


def test_nothing_changes_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CONFIG.model.latent = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        CONFIG.recipe = "other"  # type: ignore[misc]


@pytest.mark.parametrize("text", ["", "[data", "data = 3", "[data]\n", "\x00"])
def test_text_that_is_no_configuration(text: str) -> None:
    with pytest.raises(VmaError) as caught:
        Config.from_toml(text)
    assert "\n" not in str(caught.value)
    assert "configuration" in str(caught.value)


@pytest.mark.parametrize("setting", ["model.system=vae", "model.tied=false", "model.learned_slots=4"])
def test_labels_teach_the_one_embedding_of_images(setting: str) -> None:
    config = Config.from_toml('[data]\ndataset = "glyphs"\n[model]\ntied = true\n[labels]\nweight = 1.0\n')
    with pytest.raises(VmaError, match="labels"):
        config.with_overrides([setting])


def test_toml_holds_what_the_kinds_read() -> None:
    def keys(*settings: str) -> dict[str, set[str]]:
        document = tomllib.loads(CONFIG.with_overrides(settings).to_toml())
        return {section: set(values) for section, values in document.items() if isinstance(values, dict)}

    plain = keys()
    assert {"channels", "hidden", "tied"} <= plain["model"]
    assert not {"stages", "layers", "hops", "read"} & plain["model"]
    assert "shots" in plain["episode"]
    assert not {"slots", "sequences"} & plain["episode"]
    assert "temperature" not in plain["objective"]
    assert "temperature" in keys("objective.estimator=gumbel")["objective"]
    assert {"stages", "hidden"} <= keys("model.network=residual")["model"]
    assert "channels" not in keys("model.network=residual")["model"]
    assert "hops" in keys("model.system=matching")["model"]


def test_keys_of_a_kind_are_set_with_it_in_any_order() -> None:
    settings = ["model.stages=[8, 8, 8]", "model.network=residual", "model.hidden=16"]
    changed = CONFIG.with_overrides(settings)
    assert changed == CONFIG.with_overrides(settings[::-1])
    assert residual.Options.of(changed.model).stages == (8, 8, 8)
    back = changed.with_overrides(["model.network=convolutional"])
    # What the old kind alone read is gone, what both read stays, and the rest has its default.
    assert back.model == ModelConfig(hidden=16)
    assert back.with_overrides(["model.network=residual"]).model == ModelConfig(network="residual", hidden=16)


@pytest.mark.parametrize(
    ("setting", "readers"),
    [
        ("model.stages=[8, 8, 8]", "stages is of network residual"),
        ("model.hops=2", "hops is of system matching"),
        ("episode.slots=9", "slots is of memory recall"),
        ("objective.temperature=1", "temperature is of estimator gumbel, estimator st-gumbel"),
    ],
)
def test_a_key_that_no_chosen_kind_reads(setting: str, readers: str) -> None:
    """Wherever it is written, a line says whose it is."""
    key, value = tomllib.loads(setting).popitem()[1].popitem()
    assert _refused(setting) == f"cannot set {setting!r}: {readers}: choose that, or leave {key} out"
    document = CONFIG.model_dump()
    document[setting.partition(".")[0]][key] = value
    with pytest.raises(ValidationError, match=readers):
        Config.model_validate(document)


def test_a_section_of_other_kinds() -> None:
    learned = ModelConfig(learned_slots=5)
    assert learned.changed(network="residual").learned_slots == 5  # type: ignore[attr-defined]
    assert learned.changed(system="vae").model_dump().keys() == ModelConfig(system="vae").model_dump().keys()
    with pytest.raises(ValidationError, match="learned_slots is of system vma"):
        learned.changed(system="vae", learned_slots=5)
    assert residual.Options.of(learned.changed(network="residual")).stages == (64, 96, 128)
    with pytest.raises(VmaError, match="system vma, network convolutional does not fit here: choose residual"):
        residual.Options.of(learned)


def test_addresses_alone_take_the_networks_of_the_weights_they_start_from() -> None:
    init = load_recipe("omniglot-addresses").with_overrides(["model.latent_maps=[1,2,3]", "model.latent_layers=[]"])
    alone = Wanted(recipe="omniglot-addresses", settings=["model.hidden=99"])
    assert configure(alone, init).model == init.model.model_copy(update={"hidden": 99})
    assert configure(Wanted(recipe="omniglot-best"), init).model == load_recipe("omniglot-best").model
