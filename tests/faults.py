"""Faults that tests must notice: `python -m tests.faults [NAME…]` puts each into a copy of the tree and runs its test.

Run it by hand, after a change to the tests or to what the faults are in. It says `caught` where the test made for a
fault fails, and ends with 1 if one does not, if a fault's old text no longer stands exactly once in its file, or if a
test fails without any fault.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("vmacore", "vmacli", "tests", "pyproject.toml")
PASSED, FAILED = 0, 1  # exit codes of pytest; others mean that no test ran


@dataclass(frozen=True)
class Fault:
    """A text in a file that another one takes the place of, and the test made for it, as pytest names it."""

    file: str
    old: str
    new: str
    test: str


LATENTS, NETWORK, PATCHES = "vmacore/latents.py", "vmacore/networks/residual.py", "vmacore/networks/patches.py"
TRAINER, STREAMING = "vmacore/training/trainer.py", "vmacore/memory/streamed.py"
PLAIN, STEPS = "tests/models/test_reference_residual.py::test_", "tests/training/test_trainer.py::test_"
DENSITIES, SCORE = "tests/models/test_densities.py::test_", "tests/vmacli/test_score.py::test_"
LIKELIHOOD = "tests/evaluation/test_likelihood.py::test_"

SOUND = "q, p = gaussian(posterior(self.evidence[level])), gaussian(prior)\n"
LEAKING = "seen = posterior(self.evidence[level]); q, p = gaussian(seen), gaussian((prior + seen) / 2)\n"
FAULTS = {
    # The prior of a latent gets half of the correction that depends on x.
    "prior sees x": Fault(LATENTS, SOUND, LEAKING, PLAIN + "values_and_gradients_equal_the_reference"),
    "prior sees x, in sums": Fault(LATENTS, SOUND, LEAKING, DENSITIES + "probabilities_of_all_images_sum_to_one"),
    "prior sees x, in bounds": Fault(LATENTS, SOUND, LEAKING, DENSITIES + "lower_and_upper_bounds_are_in_order"),
    # Levels share their noise.
    "one noise for all levels": Fault(
        LATENTS, "self.left[:, size:]", "self.left", PLAIN + "values_and_gradients_equal_the_reference"
    ),
    "one noise for all levels, generating": Fault(
        LATENTS,
        "(p.mean.shape, self.generator, prior)",
        "(p.mean.shape, self.generator and self.generator.manual_seed(0), prior)",
        PLAIN + "generated_images_equal_the_reference",
    ),
    # The residual decoder drops the slot's maps.
    "no slot at 5x4": Fault(
        NETWORK,
        "x + rows(skips[at], slot)",
        "x + bool(at != 0) * rows(skips[at], slot)",
        PLAIN + "the_slot_reaches_the_pixels_at_this_size[5x4]",
    ),
    "no slot at 3x2": Fault(
        NETWORK,
        "x + rows(skips[at], slot)",
        "x + bool(at != 1) * rows(skips[at], slot)",
        PLAIN + "the_slot_reaches_the_pixels_at_this_size[3x2]",
    ),
    "no slot at 5x4 and 3x2": Fault(
        NETWORK,
        "x + rows(skips[at], slot)",
        "x + 0 * rows(skips[at], slot)",
        PLAIN + "values_and_gradients_equal_the_reference",
    ),
    # Validation.
    "best of the test split": Fault(
        TRAINER,
        "dataset.validation.binarised",
        "dataset.test.binarised",
        STEPS + "validation_is_of_the_validation_classes",
    ),
    "test split chooses": Fault(
        TRAINER, "dataset.validation.binarised", "dataset.test.binarised", STEPS + "the_test_classes_choose_nothing"
    ),
    "validation of raw weights": Fault(
        TRAINER,
        "config, model = self.run.config, self.averaged.module",
        "config, model = self.run.config, self.model",
        STEPS + "validation_is_of_the_averaged_weights",
    ),
    # Steps.
    "always episode 0": Fault(
        TRAINER, "sampler.at(self.step)", "sampler.at(0)", STEPS + "every_step_trains_on_its_own_episode"
    ),
    "always the same noise": Fault(
        TRAINER, "training.seed, self.step,", "training.seed, 0,", STEPS + "every_step_has_its_own_noise"
    ),
    # The command.
    "score ignores --seed": Fault(
        "vmacli/score.py", " seed=session.seed,\n", " seed=0,\n", SCORE + "the_seed_chooses_the_episodes_and_the_noise"
    ),
    "score ignores --split": Fault(
        "vmacli/score.py",
        "opened.with_at_least(split,",
        'opened.with_at_least("test",',
        SCORE + "the_split_chooses_the_classes",
    ),
    # The error over classes.
    "clusters of targets": Fault(
        "vmacore/evaluation/errors.py",
        "characters.labels[sampler.at(step).target_index]",
        "sampler.at(step).target_index",
        LIKELIHOOD + "the_error_over_classes_takes_targets_of_a_class_together",
    ),
    "clusters of numbers within episodes": Fault(
        "vmacore/evaluation/errors.py",
        "characters.labels[sampler.at(step).target_index]",
        "sampler.at(step).target_labels",
        LIKELIHOOD + "the_error_over_classes_takes_targets_of_a_class_together",
    ),
    # Residual networks.
    "addresses without a ReLU": Fault(
        PATCHES,
        "exact(self.out, F.relu(self.hidden(x)))",
        "exact(self.out, self.hidden(x))",
        PLAIN + "values_and_gradients_equal_the_reference",
    ),
    "top without a ReLU": Fault(
        PATCHES,
        "nhwc_flat(F.relu(maps[-1]))",
        "nhwc_flat(maps[-1])",
        PLAIN + "values_and_gradients_equal_the_reference",
    ),
    "evidence without a ReLU": Fault(
        NETWORK, "F.relu(stage).permute", "stage.permute", PLAIN + "values_and_gradients_equal_the_reference"
    ),
    "top not normalised": Fault(
        PATCHES,
        "return normal_rows(vectors) if self.normalised else vectors",
        "return vectors",
        PLAIN + "normalised_tops_have_mean_0_and_variance_1",
    ),
    # Drawing an address.
    "streamed fractions not of the total": Fault(
        STREAMING,
        "point = below(cumulative[:, -1:], fraction)",
        "point = fraction",
        "tests/memory/test_streamed.py::test_fractions_are_of_all_mass_whatever_it_is",
    ),
    "fractions not of the total": Fault(
        "vmacore/addressing.py",
        "torch.minimum(fraction * total,",
        "torch.minimum(fraction,",
        "tests/test_addressing.py::test_addresses_are_drawn_in_proportion_to_mass",
    ),
}


def main(names: list[str]) -> int:
    """Try the faults named, or all; 0 if every one is caught."""
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        print(f"there is no fault {', '.join(map(repr, unknown))}; known: {', '.join(map(repr, FAULTS))}")
        return 2
    chosen = {name: FAULTS[name] for name in names or FAULTS}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        code, output = run_tests(tree, sorted({fault.test for fault in chosen.values()}))
        if code != PASSED:
            print(f"{output}\nthese tests do not all pass without a fault: mend that first")
            return 1
        missed = [name for name, fault in chosen.items() if not _caught(tree, name, fault)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} faults are caught")
    return 1 if missed else 0


def _caught(tree: Path, name: str, fault: Fault) -> bool:
    """Whether an assertion of the fault's test fails with it; says so in a line."""
    file = tree / fault.file
    sound = file.read_text("utf-8") if file.exists() else ""
    if sound.count(fault.old) != 1:
        print(
            f"NOT CAUGHT  {name}: {fault.file} has {fault.old!r} {sound.count(fault.old)} times, not once", flush=True
        )
        return False
    file.write_text(sound.replace(fault.old, fault.new), "utf-8")
    code, output = run_tests(tree, [fault.test])
    file.write_text(sound, "utf-8")
    # Code that cannot run makes every test fail, and says nothing about this one.
    caught = code == FAILED and "AssertionError" in output
    why = "" if caught or code == PASSED else f"; no assertion failed, pytest ended with {code}"
    print(f"{'caught    ' if caught else 'NOT CAUGHT'}  {name}: {fault.test}{why}", flush=True)
    return caught


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """The exit code and output of pytest in a tree."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=native", "-p", "no:cacheprovider", *tests]
    # Two texts of one length within a second have one stamp: bytecode must not outlive a fault.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def copy_tree(tree: Path) -> None:
    """All that tests need, into an empty folder."""
    for part in COPIED:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, tree / part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
