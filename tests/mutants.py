"""How many small changes tests notice: `python -m tests.mutants MODULE… [--sample N] [--seed S]`.

Run it by hand. In a copy of the tree it changes each module named at one place at a time (`tests.mutations`), and runs
the tests that matter to the module until one fails. It prints every change that no test noticed, and the share noticed;
it ends with 1 if tests fail without any change. A change is noticed, too, if tests take much longer with it.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import difflib
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.faults import PASSED, ROOT, copy_tree, run_tests
from tests.mutations import mutants_of

# For each module the tests that matter, what fails soonest first.
TESTS = {
    "vmacore/addressing.py": (
        "tests/test_addressing.py",
        "tests/test_addressing_properties.py",
        "tests/estimators/test_unbiased.py",
        "tests/memory/test_encoded.py",
        "tests/evaluation/test_rules.py",
    ),
    "vmacore/objectives.py": ("tests/test_objectives.py", "tests/estimators"),
    "vmacore/evaluation/likelihood.py": (
        "tests/evaluation/test_likelihood.py",
        "tests/evaluation/test_large_memory.py",
    ),
    "vmacore/latents.py": (
        "tests/test_latents.py",
        "tests/models/test_reference_residual.py",
        "tests/models/test_densities.py",
        "tests/models/test_draws.py",
        "tests/models/test_vma.py",
        "tests/estimators/test_rws.py",
    ),
    "vmacore/memory/encoded.py": (
        "tests/memory/test_encoded.py",
        "tests/memory/test_streamed.py",
        "tests/models/test_vma.py",
        "tests/evaluation/test_likelihood.py",
    ),
    "vmacore/models/vma.py": (
        "tests/models/test_vma.py",
        "tests/models/test_draws.py",
        "tests/models/test_levels.py",
        "tests/models/test_densities.py",
        "tests/training/test_graphs.py",
        "tests/evaluation/test_sampling.py",
        "tests/test_shelf.py",
    ),
    "vmacore/evaluation/classification.py": (
        "tests/evaluation/test_classification.py",
        "tests/evaluation/test_classification_rules.py",
        "tests/evaluation/test_few_shot_task.py",
        "tests/evaluation/test_clusters.py",
    ),
    "vmacore/evaluation/rules.py": (
        "tests/evaluation/test_rules.py",
        "tests/evaluation/test_classification_rules.py",
        "tests/evaluation/test_classification.py",
    ),
    "vmacore/episodes/few_shot.py": (
        "tests/episodes/test_episodes.py",
        "tests/episodes/test_varying_episodes.py",
        "tests/episodes/test_properties.py",
        "tests/episodes/test_augmentation.py",
        "tests/test_shelf.py",
    ),
    "vmacore/data/splits.py": (
        "tests/data/test_splits.py",
        "tests/data/test_omniglot.py",
        "tests/data/test_omniglot_gmn.py",
    ),
    "vmacore/training/step.py": (
        "tests/training/test_step.py",
        "tests/training/test_trainer.py",
        "tests/training/test_parts.py",
        "tests/training/test_labels.py",
    ),
    "vmacore/training/trainer.py": (
        "tests/training/test_trainer.py",
        "tests/training/test_graphs.py",
        "tests/training/test_averages.py",
        "tests/training/test_parts.py",
        "tests/training/test_labels.py",
        "tests/training/test_resuming.py",
        "tests/training/test_loop.py",
        "tests/test_distributed.py",
    ),
}
# Imported once for all mutants, since tests spend most of their time on it: nothing of these depends on a mutant.
IMPORTED = (
    "torch", "torch.distributions", "torchvision", "scipy.stats", "sklearn.cluster", "hypothesis", "pydantic", "pytest",
    "safetensors.torch", "tomli_w", "rich.console", "typer", "PIL.Image",
)  # fmt: skip
MEMORY = 16 * 2**30  # bytes of address space that a mutant may ask for


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants of the modules named; 0 if the tests pass without any."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Count the mutants that tests notice.")
    parser.add_argument("modules", nargs="+", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn at random; all by default")
    parser.add_argument("--seed", type=int, default=0, help="what draws them")
    chosen = parser.parse_args(arguments)
    unknown = [module for module in chosen.modules if module not in TESTS]
    if unknown:
        parser.error(f"no tests are listed for {', '.join(unknown)}; known: {', '.join(TESTS)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONWARNINGS"] = "ignore"
    totals = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        tests = list(dict.fromkeys(test for module in chosen.modules for test in TESTS[module]))
        code, output = run_tests(tree, tests)
        if code != PASSED:
            print(f"{output}\nthese tests do not all pass without a mutant: mend that first")
            return 1
        # Compiled once, too. Two texts of one length within a second have one stamp; their hashes differ.
        for part in ("vmacore", "vmacli"):
            compileall.compile_dir(tree / part, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        for name in IMPORTED:
            importlib.import_module(name)
        for module in chosen.modules:
            killed, count = _try_all(tree, module, chosen.sample, chosen.seed)
            totals = [totals[0] + killed, totals[1] + count]
    print(f"all: {totals[0]} of {totals[1]} mutants killed, {100 * totals[0] / max(1, totals[1]):.1f} %")
    return 0


def _try_all(tree: Path, module: str, sample: int | None, seed: int) -> tuple[int, int]:
    """How many mutants of a module are killed, and how many were tried; prints those that were not."""
    file = tree / module
    sound = file.read_text("utf-8")
    mutants = mutants_of(sound)
    every = len(mutants)
    if sample is not None and sample < every:
        drawn = sorted(random.Random(seed).sample(range(every), sample))
        mutants = [mutants[index] for index in drawn]
    started = time.monotonic()
    if not _pass(tree, module, timeout=600):
        print(f"{module}: its tests fail in a process that has imported torch before; none was tried")
        return 0, 0
    timeout = 10 + 3 * (time.monotonic() - started)
    killed = 0
    for mutant in mutants:
        file.write_text(mutant.of(sound), "utf-8")
        survived = _pass(tree, module, timeout)
        killed += not survived
        if survived:
            lines = difflib.unified_diff(sound.splitlines(), mutant.of(sound).splitlines(), n=0, lineterm="")
            print(f"survived  {module}", *list(lines)[2:], sep="\n", flush=True)
    file.write_text(sound, "utf-8")
    share = 100 * killed / max(1, len(mutants))
    print(
        f"{module}: {killed} of {len(mutants)} mutants killed, {share:.1f} % (of {every}, seed {seed}; "
        f"{time.monotonic() - started:.0f} s)",
        flush=True,
    )
    return killed, len(mutants)


def _pass(tree: Path, module: str, timeout: float) -> bool:
    """Whether all tests of a module pass, each file within the time, in seconds.

    A fork for each file: a mutant that the first one notices is spared what the others import, and Hypothesis draws
    other examples when pytest runs in a process again.
    """
    return all(_forked(tree, test, timeout) == PASSED for test in TESTS[module])


def _forked(tree: Path, test: str, timeout: float) -> int:
    """The exit code of a file of tests in a fork of this process, with nothing of the tree imported; −9 if late."""
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            os._exit(_tests_here(tree, test))
        except BaseException:  # whatever a mutant does, the child must not go on as its parent
            os._exit(99)
    until = time.monotonic() + timeout
    try:
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return -signal.SIGKILL
    finally:  # what tests have started, and they themselves if they are late or this process is interrupted
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _tests_here(tree: Path, test: str) -> int:
    import pytest

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(tree)
    os.environ["PYTHONPATH"] = str(tree)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "vmacore", "vmacli")]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, test]))


if __name__ == "__main__":
    sys.exit(main())
