"""Pictures: a grid of drawings generated from memory slots, as PNG and in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.utils import make_grid, save_image

from vmacore.addressing import Addressing, similarities
from vmacore.data.braille import braille
from vmacore.data.characters import Characters
from vmacore.data.views import finer_of
from vmacore.episodes.few_shot import EpisodeSampler
from vmacore.errors import VmaError, diverged, writing
from vmacore.evaluation.likelihood import check_size
from vmacore.files import check_writable, replacing
from vmacore.memory.encoded import EncodedMemory
from vmacore.models.base import GenerativeModel
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.networks.layers import rows as gather
from vmacore.seeds import Stream, generator

SCALE = 3  # screen pixels a drawn pixel takes in the PNG
GREY = 0.75  # of the lines between pictures
# Images tried for each that is kept, where the latent is a vector and where latents are maps, whose samples vary more:
# settled on Omniglot's validation classes, where those kept vary about as much as people's drawings of a class do
# (`vma reproduce samples`).
CANDIDATES, FINER_CANDIDATES = 4, 64
HOTTEST = 100.0  # beyond, latents are of no use and pixels no numbers


@dataclass(frozen=True, eq=False)
class Grid:
    """Drawings generated from slots: those of a row share its slot.

    slots: [R, H, W] in [0, 1]; NaN where a slot is no image, or no one slot is drawn.
    samples: [R, C, H, W], Bernoulli means or pixels of 0 and 1.
    addresses: int64 [R], the slot of each row; all 0 where no address is drawn.
    """

    slots: Tensor
    samples: Tensor
    addresses: Tensor


@torch.no_grad()
def sample_grid(
    model: GenerativeModel,
    characters: Characters | None,
    *,
    classes: int = 8,
    shots: int = 1,
    rows: int | None = None,
    columns: int = 8,
    seed: int = 0,
    device: torch.device | str = "cpu",
    address: str = "shared",
    pixels: str = "mean",
    temperature: float = 1.0,
    candidates: int | None = None,
) -> Grid:
    """Draw z ~ p(z|m_a) and x ~ p(x|z, m_a), `columns` times for each row's slot.

    A model that draws no address reads the whole memory for every image (soft attention), or none of it (the VAE): its
    rows have no slot, and there are 8 of them unless `rows` says otherwise.

    characters: the split that memory is drawn from, `classes` × `shots` slots; None: the model's learned memory.
    address: "shared" takes one slot a row, every class before a second one of any; "prior" draws each row's address
    from p(a|M). pixels: "mean" shows the Bernoulli means, "sample" draws them. rows: None is one a slot. temperature:
    factor of the standard deviation of every latent, 1 is the model. candidates: of so many images one is kept
    (`draw_means`), 1 is the model; None: `usual_candidates`.

    Raises:
        VmaError: an unknown choice, no learned memory, more than the split holds, candidates that nothing tells apart,
            or images of another size.
    """
    if address not in ("shared", "prior") or pixels not in ("mean", "sample"):
        raise VmaError(f"address is shared or prior, not {address!r}; pixels are mean or sample, not {pixels!r}")
    candidates = usual_candidates(model) if candidates is None else candidates
    if min(columns, classes, shots, candidates) < 1 or (rows is not None and rows < 1):
        raise VmaError("classes, shots, rows, columns and candidates must be at least 1")
    slots = _slots(model, characters, classes, shots, seed, device)
    memory = model.read(slots)
    noise = generator(seed, 0, Stream.NOISE, device)
    if not model.addressed:
        rows = rows or 8
        addresses = torch.zeros(rows, dtype=torch.int64, device=slots.device)
    elif address == "prior":
        rows = rows or len(slots)
        addresses = Addressing(memory.log_prior[None], memory.log_prior).draw_prior((rows,), noise)
    else:
        rows = rows or len(slots)
        if rows > len(slots):
            raise VmaError(f"{rows} rows asked for, but memory holds {len(slots)} slots: more --classes or --shots")
        addresses = torch.arange(rows, device=slots.device)

    row = addresses.repeat_interleave(columns)
    drawn = draw_means(model, memory, row, noise, temperature, candidates)
    if pixels == "sample":
        drawn = torch.bernoulli(drawn, generator=noise)
    shown = gather(model.pixels(slots), addresses)
    if shown.dim() != 4 or not model.addressed:
        shown = torch.full((rows, 1, *model.size), torch.nan, device=slots.device)
    return Grid(shown[:, 0].cpu(), drawn.view(rows, columns, *model.size).cpu(), addresses.cpu())


def usual_candidates(model: GenerativeModel) -> int:
    """How many images are drawn for each that is kept, unless another number is asked for."""
    if not varies_images(model):
        return 1
    return FINER_CANDIDATES if model.config.finer_latents else CANDIDATES


def varies_images(model: GenerativeModel) -> TypeGuard[VariationalMemoryAddressing]:
    """Whether a sample varies an image in memory, so that it can be asked whose it is."""
    return isinstance(model, VariationalMemoryAddressing) and not model.config.vector_slots


@torch.no_grad()
def draw_means(
    model: GenerativeModel,
    memory: EncodedMemory,
    address: Tensor,
    rng: torch.Generator,
    temperature: float = 1.0,
    candidates: int = 1,
) -> Tensor:
    """Bernoulli means [P, D] of images drawn from the slots at addresses [P] of a memory that was read.

    candidates: of so many images for each address that one is kept whose own slot gets most of q(a|x, M); of a memory
    of one slot, that with the largest S(m_a, x). x is 1 where a mean is above a half.

    Raises:
        VmaError: a temperature below 0 or above 100, several candidates of a model that does not vary images in memory,
            or means or addresses that are not finite.
    """
    if not 0 <= temperature <= HOTTEST:
        raise VmaError(f"the temperature is {temperature}: choose 0 to {HOTTEST}")
    if candidates > 1 and not varies_images(model):
        raise VmaError("nothing tells what this model draws apart, it varies no image in memory: choose 1 candidate")

    def drawn(of: Tensor) -> Tensor:
        means = model.generate(memory, of, rng, temperature).sigmoid()
        if not means.isfinite().all():
            raise diverged("what the model draws is")
        return means

    chunk = max(1, 2**28 // model.bytes_per_sample)
    if candidates == 1 or not varies_images(model):
        return torch.cat([drawn(part) for part in address.split(chunk)])
    kept = []
    for part in address.split(max(1, chunk // candidates)):
        tried = drawn(part.repeat_interleave(candidates))
        x = (tried > 0.5).to(tried.dtype).view(-1, 1, *model.size)
        seen = finer_of(x) if model.config.view == "finer" else x
        if len(memory) == 1:  # q(a|x, M) is 1
            own = similarities(memory.keys, model.queries(seen), model.config.similarity)
        else:
            own = model.address(seen, memory).posterior_at(part.repeat_interleave(candidates)[:, None])
        if not own.isfinite().all():
            raise diverged("q(a|x, M) is")
        best = own.view(len(part), candidates).argmax(1)[:, None, None]
        kept.append(tried.view(len(part), candidates, -1).take_along_dim(best, 1)[:, 0])
    return torch.cat(kept)


def _slots(
    model: GenerativeModel,
    characters: Characters | None,
    classes: int,
    shots: int,
    seed: int,
    device: torch.device | str,
) -> Tensor:
    """Slots with the first drawing of every class before the second of any."""
    if characters is None:
        if model.learned_memory is None:
            raise VmaError("this model has no learned memory: take --memory-from train, validation or test")
        learned: Tensor = model.learned_memory()
        return learned
    if model.learned_memory is not None:
        raise VmaError("this model's memory is learned: take --memory-from learned")
    check_size(model, characters)
    sampler = EpisodeSampler(characters, n_way=classes, n_shot=shots, n_target=0, seed=seed, device=device)
    slots = sampler.at(0).memory
    return slots.view(classes, shots, *slots.shape[1:]).transpose(0, 1).flatten(0, 1)


def check_picture(path: Path) -> None:
    """Find out, before anything is drawn, whether a picture can be written there.

    Raises:
        VmaError: it cannot.
    """
    if path.suffix.lower() != ".png":
        raise VmaError(f"{path}: pictures are written as PNG; choose a name that ends in .png")
    with writing(path, "choose another --out"):
        check_writable(path)


def save_grid(grid: Grid, path: Path) -> tuple[int, int]:
    """Write a PNG, dark ink on white, the slots in a left column set apart by a gap. Returns (rows, columns).

    Raises:
        VmaError: the file cannot be written.
    """
    R, C, H, W = grid.samples.shape
    slots = _framed((1 - grid.slots[:, None]).nan_to_num(nan=0.9), columns=1)
    drawn = _framed(1 - grid.samples.reshape(R * C, 1, H, W), columns=C)
    gap = torch.ones(3, slots.shape[1], W // 4)
    picture = torch.cat([slots, gap, drawn], 2)
    picture = picture.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)
    check_picture(path)
    with writing(path, "choose another --out"), replacing(path) as file:
        save_image(picture, file, format="png")
    return R, C


def _framed(images: Tensor, columns: int) -> Tensor:
    """Images [N, 1, H, W] in rows, with a grey line around each."""
    framed: Tensor = make_grid(images, nrow=columns, padding=1, pad_value=GREY)
    return framed if len(images) > 1 else F.pad(framed, (1, 1, 1, 1), value=GREY)  # make_grid leaves a single one bare


def preview(grid: Grid, width: int = 80) -> str:
    """The grid in Braille, 2 × 4 pixels a character, as many rows and columns as fit `width` and some thirty lines."""
    H, W = grid.samples.shape[2:]
    cell = (W + 1) // 2 + 1  # characters a picture takes, the space after it included
    columns = max(1, min(grid.samples.shape[1], (width - cell - 2) // cell))
    rows = max(1, min(len(grid.samples), 32 // ((H + 3) // 4)))
    lines = []
    for row in range(rows):
        pictures = [grid.slots[row].nan_to_num(nan=0.0), *grid.samples[row, :columns]]
        slot, *drawn = [braille(picture > 0.5) for picture in pictures]
        lines += [" ".join([left, "│", *rest]) for left, *rest in zip(slot, *drawn, strict=True)]
    return "\n".join(line.rstrip() for line in lines)
