"""Memories of a thousand to a million slots: what building, a query and a bound cost, each size in its own process.

    python benchmarks/large_memory.py [--run omniglot-45-5] [--sizes 1000 10000 100000 1000000] [--cache DIR] [--json]

Slots are drawings of the test classes (or of made-up characters, --dataset glyphs) with random shifts and slants; no
slot is made from a target's own drawing. A memory that was built once is kept in the cache: the key network takes about
a millisecond a slot, so a million of them take a quarter of an hour on one core.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from vmacli.allocator import keep_freed_memory
from vmacore.bench.large_memory import Variants, query_times
from vmacore.data import load_dataset
from vmacore.errors import VmaError
from vmacore.evaluation.large_memory import classify_by_memory, score_memory
from vmacore.memory.large import fingerprint, open_memory, write_memory
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs.finding import find_run
from vmacore.runs.weights import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="omniglot-45-5", help="a few-shot run, or shipped weights")
    parser.add_argument("--dataset", default=None, help="whose test classes fill the memory; default: the run's own")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--targets", type=int, default=32, help="whose bound is estimated")
    parser.add_argument("--samples", type=int, default=100, help="K of the bound")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path("data/large-memory"))
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("VMA_DATA", "data")))
    parser.add_argument("--runs-dir", type=Path, default=Path(os.environ.get("VMA_RUNS", "runs")))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # one size, in this process, as one line of JSON
    options = parser.parse_args()
    if options.only:
        try:
            print(json.dumps(_measured(options, options.only)))
        except VmaError as error:
            sys.exit(f"error: {error}")
        return
    found = []
    for size in options.sizes:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", str(size)]
        # The parent's reports stay out of the child's standard output, which is one line of JSON.
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if answer.returncode:
            sys.exit(answer.returncode)
        found.append(json.loads(answer.stdout))
    if options.json:
        print(json.dumps({"run": options.run, "threads": options.threads, "results": found}, indent=1))
    else:
        _print(options, found)


def _measured(options: argparse.Namespace, size: int) -> dict:
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    location = find_run(options.run, runs_dir=options.runs_dir)
    model = load_model(location)
    if not isinstance(model, VariationalMemoryAddressing):
        raise VmaError(f"{location.run} draws no address: take a run of the vma system")
    trained = location.config.data
    named = options.dataset or trained.dataset
    protocol = {"protocol": trained.protocol} if named == trained.dataset else {}
    characters = load_dataset(named, data_dir=options.data_dir, **protocol).test.binarised(trained.seed)
    variants = Variants(characters, size)
    file = options.cache / f"{named}-{size}-{fingerprint(model)[:12]}.safetensors"
    built = _built(file, model, variants)

    start = time.perf_counter()
    memory = open_memory(file, model)
    opened = time.perf_counter() - start
    index = variants.target_index
    # Class by class in turns, so that the first targets are of many classes.
    index = index[torch.randperm(len(index), generator=torch.Generator().manual_seed(0))]
    targets, labels = characters.images[index].float()[:, None], characters.labels[index]
    times = [asdict(query_times(model, memory, targets[:count], rounds=options.rounds)) for count in (1, 32)]
    accuracy, half = classify_by_memory(model, targets, labels, memory)
    start = time.perf_counter()
    score = asdict(score_memory(model, targets[: options.targets], memory, samples=options.samples))
    scored = time.perf_counter() - start
    score.pop("per_target")
    return {
        "slots": size,
        "classes": memory.classes,
        "build_ms_per_slot": 1e3 * built,
        "bytes_per_slot": file.stat().st_size / size,
        "open_ms": 1e3 * opened,
        "queries": times,
        "accuracy": accuracy,
        "accuracy_ci95": half,
        "queries_classified": len(targets),
        "bound": {**score, "seconds": scored},
        # Kilobytes on Linux, bytes on macOS.
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    }


def _built(file: Path, model: VariationalMemoryAddressing, variants: Variants) -> float:
    """Seconds a slot that building took, now or when the file in the cache was built."""
    notes = file.with_suffix(".json")
    if not (file.exists() and notes.exists()):
        start = time.perf_counter()
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"{variants.slots} slots", total=variants.slots)
            write_memory(
                file,
                model,
                variants.parts(),
                variants.slots,
                labels=variants.labels,
                classes=variants.characters.n_classes,
                progress=lambda done, _: bar.update(task, completed=done),
            )
        seconds = (time.perf_counter() - start) / variants.slots
        notes.write_text(json.dumps({"seconds_per_slot": seconds}))
    return float(json.loads(notes.read_text())["seconds_per_slot"])


def _print(options: argparse.Namespace, found: list[dict]) -> None:
    console = Console()
    columns = [f"{row['slots']:,}" for row in found]
    table = Table(title=f"One memory of |M| slots, {options.run}, {options.threads} threads")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")

    def line(name: str, cells: list[str]) -> None:
        table.add_row(name, *cells)

    line("build, ms a slot", [f"{row['build_ms_per_slot']:.2f}" for row in found])
    line("file, bytes a slot", [f"{row['bytes_per_slot']:.0f}" for row in found])
    line("open, ms", [f"{row['open_ms']:.1f}" for row in found])
    for which, count in enumerate((1, 32)):
        table.add_section()
        times = [row["queries"][which] for row in found]
        line(f"query, B = {count}, ms", [f"{1e3 * time['query']:.2f}" for time in times])
        line("its matrix product, ms", [f"{1e3 * time['product']:.2f}" for time in times])
        line("ratio", [f"{time['ratio']:.2f}" for time in times])
        line("embedding the targets, ms", [f"{1e3 * time['embedding']:.2f}" for time in times])
    table.add_section()
    line("peak resident memory, MB", [f"{row['peak_mb']:.0f}" for row in found])
    classes = found[0]["classes"]
    line(
        f"accuracy, {classes}-way, %",
        [f"{100 * row['accuracy']:.1f} ± {100 * row['accuracy_ci95']:.1f}" for row in found],
    )
    line(f"NLL, K = {options.samples}", [f"{row['bound']['nll']:.2f} ± {row['bound']['nll_se']:.2f}" for row in found])
    line("KL_a", [f"{row['bound']['kl_address']:.2f}" for row in found])
    line("KL_z", [f"{row['bound']['kl_latent']:.2f}" for row in found])
    line("bound, s", [f"{row['bound']['seconds']:.1f}" for row in found])
    console.print(table)
    console.print(
        f"Slots: drawings of {classes} test classes with random shifts and slants, none of a target's own drawing; "
        f"bounds of {found[0]['bound']['targets']} targets; medians of {options.rounds} rounds in turns"
    )


if __name__ == "__main__":
    main()
