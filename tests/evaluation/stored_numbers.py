"""What the shipped weights give on a few made-up drawings, stored in stored_numbers.json.

    python -m tests.evaluation.stored_numbers                  compare, and show the largest differences
    python -m tests.evaluation.stored_numbers --write          store anew, after weights have been replaced
    python -m tests.evaluation.stored_numbers --write NAME …   the same for these weights alone

Numbers change only with the weights: whoever changes the code and must rewrite the file has changed the function.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import vmacore
from vmacore.data.sets.glyphs import SIZE, make_alphabets
from vmacore.objectives import importance_bound

FILE = Path(__file__).with_suffix(".json")
WEIGHTS = Path(vmacore.__file__).parent / "weights"
CLASSES, SHOTS, TARGETS, SAMPLES = 4, 2, 6, 4
CHUNK = 5  # samples decoded at a time, fewer than there are, as evaluation does
PICTURED = torch.tensor([0, 2, 4, 6]).repeat_interleave(4)  # slots, four images of each
PLACES = [(row, column) for row in (7, 13, 19) for column in (7, 13, 19)]

# Nats; probabilities for pixels. Processors sum in different orders, so that float32 rounds differently. Each tolerance
# is at least eight times the largest change seen from float32 to float64 and with older instructions (AVX2, SSE4.1):
# 3e-3 in log q(a|x), where large scores are subtracted from one another, 6e-4 in the NLL, which takes part in it, 3e-4
# in its KL, 1e-4 in the rest.
TOLERANCE = {"nll": 5e-3, "log_px": 1e-3, "kl_address": 3e-3, "kl_latent": 1e-3, "kl_levels": 1e-3, "log_q": 3e-2}
TOLERANCE_OF_PIXELS = 1e-3
# An address is the first slot at which the cumulative q(a|x) exceeds a uniform number. It changes by a whole slot where
# the two nearly meet, so the seed is one with which they keep this distance; rounding moves q by less than 1e-4.
MARGIN = 1e-3


def names() -> list[str]:
    """The shipped weights."""
    return sorted(folder.name for folder in WEIGHTS.iterdir() if (folder / "config.toml").exists())


def step_of(name: str) -> int:
    """The step at which the shipped weights were saved."""
    step: int = json.loads((WEIGHTS / name / "state.json").read_text("utf-8"))["step"]
    return step


def stored() -> dict[str, Any]:
    """What the file holds: images, and by name of weights their step, seed and numbers."""
    if FILE.exists():
        return dict(json.loads(FILE.read_text("utf-8")))
    return {"images": _made_up(), "weights": {}}


@torch.no_grad()
def numbers_of(name: str, images: list[str], seed: int) -> tuple[dict[str, Any], float]:
    """The numbers of shipped weights, and how near a uniform number comes to an edge of the cumulative q(a|x).

    This is the only place that calls the model.
    """
    model, config = vmacore.load(WEIGHTS / name)
    drawings = _pixels(images, config.model.size)
    if config.model.view == "finer":  # whose 2×2 by their maximum are the pixels
        drawings = drawings.repeat_interleave(2, 2).repeat_interleave(2, 3)
    targets, slots = drawings[:TARGETS], drawings[TARGETS:]
    memory = model.read(slots)
    addressing = model.address(targets, memory)
    rng = torch.Generator().manual_seed(seed)
    address = addressing.draw(SAMPLES, rng)
    terms = model.log_terms(targets, memory, address, rng, CHUNK)
    log_w = terms.log_weight + addressing.log_weight(address)
    means = model.generate(memory, PICTURED, torch.Generator().manual_seed(seed)).sigmoid()
    means = means.view(-1, *config.model.size)
    found = {
        "nll": -importance_bound(log_w),
        "log_px": terms.log_px,
        "kl_latent": terms.kl_z,
        "pixels": torch.stack([means[:, row, column] for row, column in PLACES], 1),
        "ink": means.mean((1, 2)),
    }
    if len(terms.kl) > 1:  # of the latents finer than z, finest first
        found["kl_levels"] = terms.kl[1:].flip(0)
    if model.addressed:
        found |= {"kl_address": addressing.kl(), "log_q": addressing.log_q, "address": address}
    uniform = torch.rand(TARGETS, SAMPLES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    beyond = uniform[:, :, None] - addressing.log_q.double().exp().cumsum(1)[:, None]
    assert torch.equal((beyond >= 0).sum(2), address), "addresses are drawn in another way: see MARGIN"
    margin = float(beyond.abs().min())
    return {key: _rounded(value) for key, value in sorted(found.items())}, margin


def differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, float]:
    """The largest difference in each of the numbers, as a share of what is tolerated; infinite where shapes differ."""
    largest = {}
    for key in sorted(before.keys() | now.keys()):
        old, new = (torch.tensor(numbers.get(key, []), dtype=torch.float64) for numbers in (before, now))
        tolerance = TOLERANCE.get(key, TOLERANCE_OF_PIXELS)
        largest[key] = float((old - new).abs().max()) / tolerance if old.shape == new.shape else float("inf")
    return largest


def write(chosen: list[str]) -> None:
    """Store the numbers of the weights chosen, and drop those of weights that are not shipped any more."""
    content = stored()
    for name in chosen:
        for seed in count():
            numbers, margin = numbers_of(name, content["images"], seed)
            if margin > MARGIN:
                break
        content["weights"][name] = {"step": step_of(name), "seed": seed, "numbers": numbers}
    content["weights"] = {name: content["weights"][name] for name in names() if name in content["weights"]}
    FILE.write_text(_text(content) + "\n", "utf-8")


def _made_up() -> list[str]:
    """Targets, then slots class by class: drawings of one made-up alphabet, eight pixels to a byte in hexadecimal."""
    characters = make_alphabets(1, CLASSES, 2 * SHOTS)
    drawings = characters.images.view(CLASSES, 2 * SHOTS, SIZE, SIZE).numpy()
    slots, others = drawings[:, :SHOTS], drawings[:, SHOTS:].swapaxes(0, 1)  # a drawing of every class comes first
    chosen = [*others.reshape(-1, SIZE, SIZE)[:TARGETS], *slots.reshape(-1, SIZE, SIZE)]
    return [np.packbits(image).tobytes().hex() for image in chosen]


def _pixels(images: list[str], size: tuple[int, int]) -> Tensor:
    """The drawings [N, 1, H, W], with a margin where the size is larger than theirs."""
    packed = np.array([list(bytes.fromhex(image)) for image in images], dtype=np.uint8)
    pixels = np.unpackbits(packed, axis=1)[:, : SIZE * SIZE].reshape(-1, 1, SIZE, SIZE)
    (above, left), (below, right) = ((side - SIZE) // 2 for side in size), ((side - SIZE + 1) // 2 for side in size)
    return F.pad(torch.from_numpy(pixels).float(), (left, right, above, below))


def _rounded(numbers: Tensor) -> Any:
    return np.round(numbers.double().numpy(), 4).tolist() if numbers.is_floating_point() else numbers.tolist()


def _text(value: Any, depth: int = 0) -> str:
    """JSON, with a line for each list of numbers and for each image."""
    outer, inner = "\n" + " " * depth, "\n" + " " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {_text(part, depth + 1)}" for key, part in value.items()]
        return "{" + inner + f",{inner}".join(lines) + outer + "}"
    if isinstance(value, list) and isinstance(value[0], str):
        return "[" + inner + f",{inner}".join(map(json.dumps, value)) + outer + "]"
    return json.dumps(value, separators=(",", ":"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", nargs="*", metavar="NAME", help="store anew; without names: of all weights")
    options = parser.parse_args()
    if options.write is not None:
        write(options.write or names())
        return
    content = stored()
    for name, entry in content["weights"].items():
        now, margin = numbers_of(name, content["images"], entry["seed"])
        shares = {key: round(share, 3) for key, share in differences(entry["numbers"], now).items()}
        sys.stdout.write(f"{name}, step {entry['step']}, margin {margin:.4f}; share of the tolerance: {shares}\n")


if __name__ == "__main__":
    main()
