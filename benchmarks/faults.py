"""The fault campaign: what happens to a run whose process, disk, files or clock fail (``make faults``).

Every case trains the same small run. It survives if, in the end, the same command arrives at a checkpoint that is
bit-equal to that of a run left alone; it is refused if the command ends with an error of one line instead; an input is
taken as it is where nothing tells it from a good one. Anything else is lost. Rows go to ``faults.json`` beside this
file, and from there into ``docs/reliability.md``.

    python benchmarks/faults.py [--kills 50] [--seconds 1800]
"""

import argparse
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from PIL import Image
from safetensors.torch import load_file

from segue import api
from segue.data.loader import Loader
from segue.data.streets.dataset import STREET_CLASSES, StreetScenes
from segue.machine import describe

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(__file__).with_suffix(".json")
PAGE = ROOT / "docs" / "reliability.md"
MARK = "<!-- made by benchmarks/faults.py -->"
STEPS = 8

SETTINGS = {
    "network": {"encoder": "mit_nano", "head": "segformer", "channels": 16},
    "data": {"crop": [64, 64], "batch": 2, "workers": 0},
    "run": {"log_every": 1, "draw_every": 0, "save_every": 2},
}

SURVIVED, REFUSED, TAKEN, LOST = "survived", "refused in one line", "taken as it is", "lost"
OUTCOMES = (SURVIVED, REFUSED, TAKEN, LOST)


class Campaign:
    """A run left alone, and others to compare with it.

    Attributes:
        rows: By fault, how often it was tried and how that ended.
    """

    def __init__(self, folder: Path, *, seconds: float) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.until = time.monotonic() + seconds
        self.rows: dict[str, dict[str, object]] = {}
        write_data(self.data)
        self.train(folder / "whole")

    def train(self, out: Path, data: Path | None = None) -> None:
        """The run, or what is left of it."""
        data = data or self.data
        api.train(
            "daformer", source=data / "source", target=data / "target", classes=data / "source" / "classes.json",
            out=out, cpu=True, quiet=True, steps=STEPS, settings=SETTINGS,
        )  # fmt: skip

    def started(self, out: Path) -> subprocess.Popen[bytes]:
        """The run in a process of its own."""
        command = [sys.executable, __file__, "--child", str(self.data), str(out)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    def is_whole(self, out: Path) -> bool:
        """Whether a run ended like the one that was left alone."""
        return all(
            same(self.folder / "whole" / f"checkpoints/{STEPS:07d}" / name, out / f"checkpoints/{STEPS:07d}" / name)
            for name in ("method.safetensors", "optimizer.safetensors")
        )  # fmt: skip

    def note(self, fault: str, outcome: str, said: str = "") -> None:
        """Count an outcome; what was lost is remembered in words."""
        row = self.rows.setdefault(fault, {"tried": 0, **dict.fromkeys(OUTCOMES, 0), "words": []})
        row["tried"] += 1  # type: ignore[operator]
        row[outcome] += 1  # type: ignore[operator]
        if outcome == LOST:
            row["words"].append(said)  # type: ignore[attr-defined]
        print(f"{fault}: {outcome} {said}", flush=True)

    def attempt(
        self,
        fault: str,
        out: Path,
        harm: Callable[[], None],
        mended: Callable[[], None],
        unhurt: str = SURVIVED,
    ) -> None:
        """Train under a fault, mend it, train again and compare; ``unhurt`` is what no error means."""
        outcome = unhurt
        try:
            harm()
        except (ValueError, OSError) as error:
            outcome = REFUSED
            if "\n" in str(error).strip():
                self.note(fault, LOST, f"several lines: {str(error)[:200]}")
                return
        except BaseException as error:
            self.note(fault, LOST, f"{type(error).__name__}: {str(error)[:200]}")
            return
        try:
            mended()
            self.train(out)
            self.note(
                fault, outcome if self.is_whole(out) else LOST, "" if self.is_whole(out) else "not bit-equal"
            )
        except BaseException as error:
            self.note(fault, LOST, f"afterwards {type(error).__name__}: {str(error)[:200]}")

    @property
    def has_time(self) -> bool:
        """Whether there is time for another case."""
        return time.monotonic() < self.until


def write_data(data: Path) -> None:
    """A few street scenes as folders of files."""
    for domain in ("source", "target"):
        scenes = StreetScenes(domain, split="train", count=4, size=(96, 128), seed=0)
        for kind in ("images", "labels"):
            (data / domain / kind).mkdir(parents=True)
        for index in range(len(scenes)):
            picture = Image.fromarray(scenes.image(index).permute(1, 2, 0).contiguous().numpy())
            picture.save(data / domain / "images" / f"{index}.png")
            Image.fromarray(scenes.label(index).numpy()).save(data / domain / "labels" / f"{index}.png")
        names = json.dumps(list(STREET_CLASSES.names))
        (data / domain / "classes.json").write_text(names, encoding="utf-8")


def same(one: Path, other: Path) -> bool:
    """Whether two files of tensors are bit-equal."""
    if not other.is_file():
        return False
    mine, theirs = load_file(one), load_file(other)
    return mine.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name]) for name, value in mine.items()
    )


def signals(campaign: Campaign, number: int, count: int, name: str) -> None:
    """Stop a run again and again, every other time inside a save, then let it end."""
    out, dice, done = campaign.folder / name, random.Random(0), 0
    while done < count and campaign.has_time:
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(min(4, count - done)):
            process = campaign.started(out)
            in_save = done % 2 == 1
            rows = out / "metrics.jsonl"
            before = rows.stat().st_size if rows.is_file() else 0
            while process.poll() is None:
                if in_save and list((out / "checkpoints").glob(".*.part")):
                    break
                if not in_save and rows.is_file() and rows.stat().st_size != before:
                    time.sleep(dice.random() * 0.5)
                    break
                time.sleep(0.001)
            if process.poll() is None:
                os.killpg(process.pid, number)
            process.wait()
            done += 1
            campaign.attempt(
                f"{name}{' inside a save' if in_save else ''}",
                campaign.folder / "copy",
                lambda: copied(out, campaign.folder / "copy"),
                lambda: None,
            )


def copied(out: Path, goal: Path) -> None:
    """A copy of what a stopped run left, so that the run itself can be stopped again."""
    shutil.rmtree(goal, ignore_errors=True)
    if out.is_dir():
        shutil.copytree(out, goal)


@contextmanager
def full_disk(at: int) -> Iterator[list[int]]:
    """Within, the disk is full from a certain write on."""
    seen = [0]
    real = os.fsync

    def fsync(file: int) -> None:
        seen[0] += 1
        if seen[0] >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with mock.patch("os.fsync", fsync):
        yield seen


def disk_full(campaign: Campaign) -> None:
    """The disk is full at each write in turn."""
    with full_disk(10**9) as seen:
        campaign.train(campaign.folder / "counted")
    for at in range(1, seen[0] + 1):
        if not campaign.has_time:
            return
        out = campaign.folder / "full"
        shutil.rmtree(out, ignore_errors=True)

        def harm(at: int = at, out: Path = out) -> None:
            with full_disk(at):
                campaign.train(out)

        campaign.attempt("disk full", out, harm, lambda: None)


HARMS: dict[str, Callable[[Path, Path], object]] = {
    "truncated": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path, other: path.write_bytes(b""),
    "unreadable": lambda path, other: (path.unlink(), path.mkdir()),
    "swapped": lambda path, other: shutil.copyfile(other, path),
}


def bad_inputs(campaign: Campaign) -> None:
    """Each kind of input file is spoilt in each way, before a run begins."""
    inputs = ("source/images/0.png", "source/labels/0.png", "target/images/0.png", "source/classes.json")
    for place, name in enumerate(inputs):
        for how, harm in HARMS.items():
            if not campaign.has_time:
                return
            data, out = campaign.folder / "spoilt", campaign.folder / "bad"
            shutil.rmtree(data, ignore_errors=True)
            shutil.rmtree(out, ignore_errors=True)
            shutil.copytree(campaign.data, data)
            harm(data / name, data / inputs[(place + 1) % len(inputs)])
            campaign.attempt(
                f"input {how}",
                out,
                lambda data=data, out=out: campaign.train(out, data),
                lambda out=out: shutil.rmtree(out, ignore_errors=True),
                unhurt=TAKEN,
            )


def bad_run_files(campaign: Campaign) -> None:
    """Each file of an interrupted run is spoilt in each way, before it goes on."""
    newest = f"checkpoints/{STEPS:07d}"
    inner = [f"{newest}/{name}" for name in ("method.safetensors", "optimizer.safetensors", "state.json")]
    names = [*inner, "experiment.yaml", "class_statistics.json", "metrics.jsonl", "timing.jsonl"]
    for place, name in enumerate(names):
        for how, harm in HARMS.items():
            out = campaign.folder / "again"
            copied(campaign.folder / "whole", out)
            if not campaign.has_time or not (out / name).is_file():
                continue
            harm(out / name, out / names[(place + 1) % len(names)])

            def mend(out: Path = out, name: str = name) -> None:  # what the message says
                if name.startswith(newest):
                    shutil.rmtree(out / newest)
                elif (out / name).is_dir():
                    (out / name).rmdir()
                else:
                    (out / name).unlink(missing_ok=True)

            campaign.attempt(f"run's file {how}", out, lambda out=out: campaign.train(out), mend)


def not_a_number(campaign: Campaign) -> None:
    """A picture holds NaN in one step."""
    real = Loader.steps

    def spoilt(loader: Loader, start: int, stop: int):  # type: ignore[no-untyped-def]
        for step, batch in enumerate(real(loader, start, stop), start):
            if step == STEPS // 2:
                batch.source.image.mul_(float("nan"))
            yield batch

    out = campaign.folder / "nan"

    def harm() -> None:
        with mock.patch.object(Loader, "steps", spoilt):
            campaign.train(out)

    campaign.attempt("NaN in a picture", out, harm, lambda: None)


def clock(campaign: Campaign) -> None:
    """The clock jumps by a year, forth or back, between any two looks at it."""
    real = time.time
    for years in (1, -1):
        out = campaign.folder / f"clock{years}"
        looks = [0]

        def jumping(years: int = years, looks: list[int] = looks) -> float:
            looks[0] += 1
            return real() + years * looks[0] * 3e7

        def harm(out: Path = out, jumping: Callable[[], float] = jumping) -> None:
            with mock.patch("time.time", jumping):
                campaign.train(out)

        campaign.attempt("clock jumps", out, harm, lambda: None)


def table(record: dict[str, object]) -> str:
    """The rows as a table of the page."""
    rows = record["rows"]
    assert isinstance(rows, dict)
    lines = ["| fault | tried | " + " | ".join(OUTCOMES) + " |", "|---|---|" + "---|" * len(OUTCOMES)]
    lines += [
        f"| {name} | " + " | ".join(str(row[key]) for key in ("tried", *OUTCOMES)) + " |"
        for name, row in rows.items()
    ]
    lost = [f"- {name}: {words}" for name, row in rows.items() for words in dict.fromkeys(row["words"])]
    return "\n".join(
        [
            *lines,
            "",
            f"Measured on {record['machine']}, torch {record['torch']}.",
            *(["", "Lost:", "", *lost] if lost else []),
        ]
    )


def write_page(record: dict[str, object]) -> None:
    """Put the table in place of the page's older one."""
    before = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(f"{before}{MARK}\n\n{table(record)}\n", encoding="utf-8")


def main() -> None:
    """Run all cases that there is time for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--child", nargs=2, type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if given.child:
            campaign = Campaign.__new__(Campaign)
            campaign.data = given.child[0]
            campaign.train(given.child[1])
            return
        campaign = Campaign(Path(folder), seconds=given.seconds)
        for case in (not_a_number, clock, bad_run_files, bad_inputs, disk_full):
            case(campaign)
        signals(campaign, signal.SIGTERM, 4, "SIGTERM")
        signals(campaign, signal.SIGKILL, given.kills, "kill -9")
    record = {"machine": describe(), "torch": torch.__version__, "rows": campaign.rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_page(record)


if __name__ == "__main__":
    main()
