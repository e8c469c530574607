"""Harm on purpose: `python -m tests.torture [--small] [NAME…]` kills, damages, races and counts.

Each part prints a line of figures; the exit code is 1 where a promise is broken. It needs a system that forks.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.data.drawings import ALPHABETS, drawing_files
from tests.data.test_omniglot_burda import SIZES, matrices
from tests.data.test_omniglot_burda import mat as mat_file
from tests.hostile_commands import command_lines
from tests.memory.test_pictures import characters, make_memory, make_model
from tests.small_runs import DATASET, create_run, files_of, metrics_of, save_weights
from tests.soak import soak
from vmacore.config import Config
from vmacore.data.pictures import Preparation
from vmacore.data.prepared import read_prepared, write_prepared
from vmacore.data.sets import omniglot, omniglot_burda
from vmacore.errors import VmaError
from vmacore.evaluation.identify import Identifier
from vmacore.experiments.lab import page
from vmacore.experiments.lab.result import Result, Row, write
from vmacore.memory.pictures import open_pictures
from vmacore.models.vma import VariationalMemoryAddressing
from vmacore.runs import metrics
from vmacore.runs.directory import STATE, WEIGHTS, RunDirectory, read_state
from vmacore.runs.finding import find_run, list_runs, settled
from vmacore.runs.weights import read_tensors, weights_file
from vmacore.training.loop import train

TRAINING = {"steps": 12, "validate_every": 4, "checkpoint_every": 3, "metrics_every": 2}
PATIENCE = 30  # seconds that one input may take
FILE_EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")


def trained(path: Path) -> None:
    """Train a small run, or go on with it."""
    if (path / "config.toml").exists():
        train(RunDirectory.open(path), DATASET, resume=True)
    else:
        train(create_run(path, training=TRAINING), DATASET)


def child(work: Callable[[], None]) -> int:
    """Start a process that does it: 0 done, 1 a foreseen failure, 2 another."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except (VmaError, OSError):
        os._exit(1)
    except BaseException as error:  # a traceback in the command
        os.write(2, f"  {type(error).__name__}: {error}\n".encode())
        os._exit(2)


def ended(process: int) -> int:
    """The exit code of a process; minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def at_event(number: int, path: Path, harm: Callable[[], None]) -> Callable[[], int]:
    """Do harm in this process before its file operation of that number on a run; how many there were so far.

    Operations before the folder has its name count, too.
    """
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in FILE_EVENTS and path.name in str(arguments[0]):
            count += 1
            if count == number:
                harm()

    sys.addaudithook(hook)
    return lambda: count


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Bench:
    """What a harmed run is compared with, and what was found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        trained(folder / "straight")
        self.straight = RunDirectory.open(folder / "straight")

    def outcome(self, path: Path) -> str:
        """How a run stands that was harmed and then trained to its end; "" where it is what it should be."""
        if ended(child(lambda: trained(path))) != 0:
            return "not resumed"
        run = RunDirectory.open(path)
        left = [file.name for file in self.folder.rglob("*.tmp")]
        same = files_of(run) == files_of(self.straight) and metrics_of(run) == metrics_of(self.straight)
        shutil.rmtree(path)
        return ("" if same else "other bits") or (f"left {left[0]}" if left else "")


def kills(bench: Bench, small: bool) -> tuple[int, list[str]]:
    """kill −9 at random instants, several times a run; a run that ended before is not counted."""
    wrong, count, draw = [], 0, random.Random(0)
    while count < (9 if small else 300):
        path = bench.folder / f"killed-after-{count}"
        for _ in range(3):
            process = child(lambda path=path: trained(path))  # type: ignore[misc]
            time.sleep(draw.uniform(0.02, 0.6))
            os.kill(process, signal.SIGKILL)
            count += ended(process) == -signal.SIGKILL
        wrong += filter(None, [bench.outcome(path)])
    return count, wrong


def events(bench: Bench, small: bool, harm: Callable[[], None]) -> tuple[int, list[str]]:
    """Harm before each file operation of a run in turn."""
    wrong: list[str] = []

    def harmed(path: Path, number: int) -> None:
        operations = at_event(number, path, harm)
        trained(path)
        (bench.folder / "operations").write_text(str(operations()))

    ended(child(lambda: harmed(bench.folder / "counted", 0)))
    numbers = range(1, int((bench.folder / "operations").read_text()) + 1, 31 if small else 1)
    for number in numbers:
        path = bench.folder / f"event-{number}"
        code = ended(child(lambda path=path, number=number: harmed(path, number)))  # type: ignore[misc]
        wrong += filter(None, [bench.outcome(path), "traceback" if code == 2 else ""])
    return len(numbers), wrong


def flips(bench: Bench, small: bool) -> tuple[int, list[str]]:
    """Single bits of weights, at random."""
    draw, count = random.Random(0), 30 if small else 300
    file = bench.straight.checkpoint(12) / WEIGHTS["averaged"]
    whole, wrong = file.read_bytes(), []
    for _ in range(count):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        file.write_bytes(bytes(damaged))
        try:
            read_tensors(file)
            wrong.append("not noticed")
        except VmaError:
            pass
    file.write_bytes(whole)
    return count, wrong


def readers(bench: Bench, small: bool) -> tuple[int, list[str]]:
    """Weights read beside a process that saves without a pause."""
    run = create_run(bench.folder / "busy", training=TRAINING)
    save_weights(run, 0)

    def saves() -> None:
        for step in range(1, 10**6):
            save_weights(run, step, best=step - step % 5)

    process, wrong, count = child(saves), [], 100 if small else 3000
    for _ in range(count):
        try:
            settled(lambda: read_tensors(weights_file(find_run(run.path, runs_dir=bench.folder), "averaged")))
            list_runs(bench.folder)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
    os.kill(process, signal.SIGKILL)
    ended(process)
    return count, wrong


def fuzz(bench: Bench, small: bool) -> tuple[int, list[str]]:
    """Damaged files of every kind, each to its reader: VmaError in one line, or an answer, within PATIENCE."""
    folder = bench.folder / "fuzz"
    run = create_run(folder / "runs" / "a", training=TRAINING)
    save_weights(run, 3, best=3)
    metrics.append(run.path, "train", {"step": 3, "nll": 1.5})
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in drawing_files().items():
            archive.writestr(name, content)
    (folder / "omniglot").mkdir()
    (folder / "omniglot" / "all.zip").write_bytes(zipped.getvalue())
    (folder / "burda").mkdir()
    (folder / "burda" / "chardata.mat").write_bytes(mat_file(matrices()))
    write_prepared(folder / "prepared", DATASET.train, "p")
    model = make_model()
    make_memory(model).save(folder / "memory")
    Image.linear_gradient("L").save(folder / "picture.png")
    write(folder / "result", Result([Row("a", 1.0)], [], [folder / "a.png"]), {"id": "a", "title": "A"}, "vma")
    checkpoint = run.checkpoint(3)
    targets: dict[Path, tuple[Callable[[], object], int]] = {
        run.path / "config.toml": (lambda: list_runs(folder / "runs") and find_run("a", runs_dir=folder / "runs"), 4),
        run.path / "latest": (lambda: find_run("a", runs_dir=folder / "runs"), 4),
        checkpoint / STATE: (lambda: read_state(checkpoint), 12),
        checkpoint / WEIGHTS["averaged"]: (lambda: read_tensors(checkpoint / WEIGHTS["averaged"]), 12),
        run.path / metrics.FILE: (lambda: metrics.rows(run.path), 12),
        folder / "prepared": (lambda: read_prepared(folder / "prepared", "p", "again"), 12),
        folder / "omniglot" / "all.zip": (
            lambda: omniglot.import_from(folder / "omniglot", folder / "data", ALPHABETS),
            1,
        ),
        folder / "memory": (lambda: asked(folder / "memory", model), 4),
        folder / "picture.png": (lambda: Preparation().read(folder / "picture.png"), 4),
        folder / "result" / "result.json": (lambda: page.read(folder / "result" / "result.json"), 4),
        folder / "burda" / "chardata.mat": (lambda: omniglot_burda.import_from(folder / "burda", folder, SIZES), 1),
    }
    draw, count, wrong = random.Random(0), 0, []
    for path, (read, weight) in targets.items():
        whole = path.read_bytes()
        for _ in range(weight * (4 if small else 1700)):
            path.write_bytes(mutated(whole, draw))
            count += 1
            wrong += filter(None, [_reads(read)])
        path.write_bytes(whole)
    for _ in range(100 if small else 10_000):
        text = mutated(b"model.channels=[4,4,{a=1}]", draw).decode("utf-8", "replace")
        count += 1
        wrong += filter(None, [_reads(lambda text=text: run.config.with_overrides([text]))])  # type: ignore[misc]
        wrong += filter(None, [_reads(lambda text=text: Config.from_toml(text))])  # type: ignore[misc]
    return count, wrong


def asked(file: Path, model: VariationalMemoryAddressing) -> object:
    """Ask a memory in a file."""
    memory = open_pictures(file)
    memory.check(model, file)
    return Identifier(model, memory).drawings(characters().images, characters().files)


def _reads(read: Callable[[], object]) -> str:
    signal.alarm(PATIENCE)
    try:
        read()
    except VmaError as error:
        return "two lines" if "\n" in str(error) else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return ""


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """The content with some bytes changed, a part cut, doubled, or something odd put in."""
    content = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(content) + 1), draw.choice((1, 1, 2, 4, 16, 200))
        match draw.randrange(5):
            case 0:
                content[place : place + length] = draw.randbytes(length)
            case 1:
                del content[place : place + length]
            case 2:
                content[place:place] = content[place : place + length]
            case 3:
                content[place:place] = draw.choice(
                    (b"[" * 5000, b"9" * 5000, b"-1", b"NaN", b"1e999", b"null", b"\xff")
                )
            case 4:
                content[place : place + length] = bytes([draw.choice((0, 127, 255))]) * length
    return bytes(content)


PARTS: dict[str, Callable[[Bench, bool], tuple[int, list[str]]]] = {
    "kills": kills,
    "kills at file events": lambda bench, small: events(bench, small, die),
    "full disk at file events": lambda bench, small: events(bench, small, refuse),
    "flipped bits": flips,
    "readers beside saves": readers,
    "damaged files": fuzz,
    "command lines": lambda bench, small: command_lines(bench.folder, small),
    "soak": lambda bench, small: soak(bench.folder, small),
}


def main(arguments: list[str]) -> int:
    """Do all parts, or those named; 0 where every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="A tenth of it, or less.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Some of: {', '.join(PARTS)}.")
    asked = parser.parse_args(arguments)
    broken = 0
    for name in asked.names or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            count, wrong = PARTS[name](Bench(Path(folder)), asked.small)
        print(f"{name}: {count} tries, {len(wrong)} wrong, {time.monotonic() - began:.0f} s", flush=True)
        for line in list(dict.fromkeys(wrong))[:10]:
            print(f"  {line[:300]}")
        broken += len(wrong)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
