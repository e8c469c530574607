"""Answers by a memory: labels, probabilities, nearest slots, and what is refused."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.memory.test_pictures import characters, make_memory, make_model
from vmacore.addressing import similarities
from vmacore.data.pictures import LEVELS
from vmacore.errors import VmaError
from vmacore.evaluation import identify
from vmacore.evaluation.identify import HEADER, Identifier, Unreadable, write_csv
from vmacore.memory import calibration


@pytest.mark.parametrize("view", ["pixels", "finer"])
def test_answers_are_those_of_the_formulas(view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (identify, calibration):
        monkeypatch.setattr(module, "BLOCK", 3)
    model, drawings = make_model(view), characters()
    asked = characters([2, 2], seed=5)
    memory = make_memory(model, drawings)
    memory = replace(memory, calibration=replace(memory.calibration, temperature=2.0))  # type: ignore[type-var]
    found = Identifier(model, memory, reject=0.3, top=4).drawings(asked.images, asked.files)
    slots, queries = (
        model.keys(seen.images[:, None].float() / seen.levels)
        if part is drawings
        else model.queries(seen.images[:, None].float() / seen.levels)
        for part in (drawings, asked)
        for seen in [part if view == "finer" else part.in_pixels()]
    )
    scores = similarities(slots, queries).double()
    log_q = torch.stack([scores[:, drawings.labels == c].exp().mean(1).log() for c in range(4)], 1)
    probability = (log_q / 2).softmax(1)
    cosines = F.normalize(queries, dim=1) @ F.normalize(slots, dim=1).T
    unit = F.normalize(slots, dim=1)
    means = F.normalize(torch.stack([unit[drawings.labels == c].mean(0) for c in range(4)]), dim=1)
    centres = (F.normalize(queries, dim=1) @ means.T).amax(1)
    assert memory.calibration is not None
    usual = memory.calibration.usual(memory.labels, 4)
    threshold = memory.calibration.threshold(memory.labels, 4, 0.3)
    assert [answer.file for answer in found] == list(asked.files)
    for row, answer in enumerate(found):
        label, nearest, known = answer.label, answer.nearest, answer.known
        assert answer.duplicates == ()
        assert answer.probability == pytest.approx(float(probability[row].max()), rel=1e-4)
        order = cosines[row].argsort(descending=True)[:4]
        assert [near.cosine for near in nearest] == pytest.approx(cosines[row][order].tolist(), abs=1e-5)
        assert [near.label for near in nearest] == [near.file[0] for near in nearest]
        first = int(order[0])
        excess = cosines[row, first] - usual[drawings.labels[first]]
        assert known == pytest.approx(float(excess + centres[row]), abs=1e-5)
        best = memory.classes[int(probability[row].argmax())]
        assert label == (None if known < threshold else best)


def test_keys_that_are_no_numbers_answer_nothing() -> None:
    model = make_model()
    memory = make_memory(model)
    memory = replace(memory, slots=replace(memory.slots, keys=memory.slots.keys * math.nan))
    with pytest.raises(VmaError, match="cosines of this memory are not finite"):
        Identifier(model, memory).drawings(characters().images, characters().files)


def test_a_class_with_many_slots_is_not_favoured() -> None:
    """Slots twice in memory change nothing."""
    model, drawings = make_model(), characters([2, 1, 2])
    memory = make_memory(model, drawings)
    copies = replace(drawings.select([0]), files=("x", "y"))
    more = memory.joined(make_memory(model, copies)).calibrated(model)
    queries = model.queries(characters([2, 2], seed=7).in_pixels().images[:, None].float())
    scores = [
        Identifier(model, replace(part, calibration=replace(part.calibration, temperature=1.0))).class_scores(queries)
        for part in (memory, more)
        if part.calibration
    ]
    torch.testing.assert_close(scores[0], scores[1])


def test_what_is_refused() -> None:
    model = make_model()
    memory = make_memory(model)
    asked = characters([20, 20], seed=9)
    refused = [
        sum(answer.label is None for answer in Identifier(model, memory, reject).drawings(asked.images, asked.files))
        for reject in (0.0, 0.2, 0.9)
    ]
    assert refused[0] == 0
    assert refused[0] <= refused[1] < refused[2]
    alone = make_memory(model, characters([1, 1, 1]))
    assert Identifier(model, alone, 0.9).threshold == -math.inf
    for reject, top in ((-0.1, 1), (1.0, 1), (0.1, 0)):
        with pytest.raises(VmaError, match="choose 0 to 1"):
            Identifier(model, memory, reject, top)


@pytest.mark.parametrize("view", ["pixels", "finer"])
def test_drawings_that_are_in_memory_are_told(view: str) -> None:
    model = make_model(view)
    drawings = characters([2, 2])
    other = drawings.images.clone()
    other[1, 2:4, 4:6] = LEVELS - 7 - other[1, 2:4, 4:6]
    memory = make_memory(model, drawings)
    found = Identifier(model, memory, top=4).drawings(torch.cat([drawings.images, other[1:2]]), (*drawings.files, "x"))
    assert [answer.duplicates for answer in found] == [*((file,) for file in drawings.files), ()]


def test_files_that_cannot_be_read_have_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "BATCH", 2)
    names = ["a.png", "b.png", "c.png", "d.png"]
    for name in names[:3]:
        image = Image.new("L", (30, 30), 255)
        image.paste(0, (8, 5, 14, 25))
        image.save(tmp_path / name)
    (tmp_path / "b.png").write_text("no picture")
    model = make_model()
    answers = list(Identifier(model, make_memory(model), reject=0).files([tmp_path / name for name in names]))
    assert [answer.file for answer in answers] == [str(tmp_path / name) for name in names]
    assert [isinstance(answer, Unreadable) for answer in answers] == [False, True, False, True]
    write_csv(tmp_path / "answers.csv", answers)
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert tuple(rows[0]) == HEADER
    assert rows[0]["label"] in "abcd"
    assert "no picture" in rows[1]["error"]
    with pytest.raises(VmaError, match="choose another --csv"):
        write_csv(tmp_path / "a.png" / "answers.csv", answers)
