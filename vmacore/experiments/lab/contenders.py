"""What an update of hard addressing and of soft attention needs in operations, and where one gets cheaper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmacore.bench.flops import Flops, Layers, Work, soft_attention_flops, total, vma_flops
from vmacore.config import Config
from vmacore.models import vma

COUNTED = 4096  # slots up to which operations are compared


@dataclass(frozen=True)
class Contender:
    """What is timed, with how many targets, and how it is drawn."""

    key: str
    label: str
    config: Config
    style: int
    targets: int

    @property
    def samples(self) -> int:
        """K."""
        return self.config.objective.samples

    def flops(self, slots: int) -> dict[str, Flops]:
        """Operations that an update needs, by part."""
        work = Work.expected(self.targets, slots, self.samples)
        return (vma_flops if self.config.model.system == "vma" else soft_attention_flops)(self.config.model, work)

    def needed(self, slots: int) -> float:
        """Operations that an update needs."""
        return total(self.flops(slots).values()).training


def crossing(slots: Sequence[int], hard: Sequence[float], soft: Sequence[float]) -> int | None:
    """The smallest number of slots from which on hard addressing is faster at all larger ones; None if it is not."""
    slower = [position for position, (ours, theirs) in enumerate(zip(hard, soft, strict=True)) if ours >= theirs]
    first = slower[-1] + 1 if slower else 0
    return slots[first] if first < len(slots) else None


def reasons(contenders: Sequence[Contender], sizes: Sequence[int], paper: int) -> list[str]:
    """Why lines need not cross where the paper's do, in operations: hard addressing, soft by features, by pixels."""
    hard, soft, pixels = contenders
    layers = Layers(hard.config.model)
    key = layers.embedding(vma.Options.of(hard.config.model).embedding).training / 1e6
    encoded = (layers.first + layers.template).training / 1e6
    drawn = hard.targets * hard.samples

    def anew(slots: int) -> float:
        """Soft attention that encodes every slot for every target."""
        parts = soft.flops(slots)
        return soft.needed(slots) + (hard.targets - 1) * parts["slots encoded"].training

    features, mixed, encoded_anew = (_cheaper(hard.needed, needed) for needed in (soft.needed, pixels.needed, anew))
    return [
        f"in operations needed, an update costs {_from(hard, sizes)} GFLOP by hard addressing, {_from(soft, sizes)} by "
        f"soft attention with K = 1, {_from(pixels, sizes)} where it mixes pixels",
        f"why not {paper}: every slot costs either system its key, {key:.0f} MFLOP; beyond that it costs soft "
        f"attention {encoded:.0f} MFLOP to encode with its gradient and what mixing takes, and hard addressing nothing "
        f"unless it is drawn, which at most {drawn} slots are; against that stand {hard.samples} samples decoded and "
        f"recognised for 1. By operations hard addressing is cheaper {features} where features are mixed, {mixed} "
        f"where pixels are, and {encoded_anew} if soft attention encoded every slot anew for every target. The paper "
        "does not say what its soft attention encodes",
    ]


def _from(contender: Contender, sizes: Sequence[int]) -> str:
    first, last = (contender.needed(slots) / 1e9 for slots in (sizes[0], sizes[-1]))
    return f"{first:.1f} ({sizes[0]} slots) to {last:.1f} ({sizes[-1]} slots)"


def _cheaper(hard: Callable[[int], float], soft: Callable[[int], float]) -> str:
    slots = range(1, COUNTED + 1)
    found = crossing(slots, [hard(size) for size in slots], [soft(size) for size in slots])
    return f"at no size up to {COUNTED} slots" if found is None else f"from {found} slots on"
