"""As many of the known are refused as were asked for, however few pictures say what is usual."""

import pytest
import torch
import torch.nn.functional as F

from vmacore.memory.calibration import calibrate, class_means, known
from vmacore.memory.large import LargeMemory, pack

MEMORIES, ASKED, WIDTH = 150, 20, 16


def _pictures(centres: torch.Tensor, each: int, spread: float, draw: torch.Generator) -> torch.Tensor:
    """Embeddings [C · each, E] around the centres of classes."""
    around = centres.repeat_interleave(each, 0)
    return around + spread * torch.randn(around.shape, generator=draw)


def _refused(classes: int, shots: int, spread: float, reject: float, draw: torch.Generator) -> float:
    """The part refused of new pictures of the classes in one memory."""
    centres = torch.randn(classes, WIDTH, generator=draw)
    keys, labels = _pictures(centres, shots, spread, draw), torch.arange(classes).repeat_interleave(shots)
    memory = LargeMemory(
        slots=pack(torch.zeros(len(keys), 2, 2)),
        keys=keys,
        log_prior=torch.zeros(len(keys)),
        size=(2, 2),
        labels=labels.int(),
        classes=classes,
    )
    found = calibrate(memory, lambda slot: keys[slot], "normalised")
    asked = F.normalize(_pictures(centres, ASKED, spread, draw), dim=1)
    cosine, slot = (asked @ F.normalize(keys, dim=1).T).max(1)
    centre = (asked @ class_means(keys, labels, classes).T).amax(1)
    scores = known(cosine, found.usual(labels, classes)[labels[slot]], centre)
    return float((scores < found.threshold(labels, classes, reject)).double().mean())


@pytest.mark.parametrize(("classes", "shots"), [(5, 5), (20, 5), (8, 3), (3, 40)])
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_as_many_are_refused_as_were_asked_for(classes: int, shots: int, spread: float) -> None:
    draw = torch.Generator().manual_seed(0)
    rates = torch.tensor([_refused(classes, shots, spread, 0.05, draw) for _ in range(MEMORIES)])
    assert 0.035 < float(rates.mean()) < 0.055
