"""Batches depend on seed, step and slot alone, whoever reads them; errors arrive, and workers end without an abort."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from segue.classes import class_list
from segue.data.crop import RandomCrop
from segue.data.dataset import Dataset
from segue.data.folder import ImageFolder
from segue.data.loader import Failure, Loader, slot_generator
from segue.data.sampler import RareClassSampler
from segue.data.statistics import class_statistics
from segue.settings import Margins
from segue.types import IGNORE, Batch

MEAN, STD = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)


def loader(grid: Dataset, **more: Any) -> Loader:
    crop = RandomCrop((16, 24), fill=MEAN, scale=(0.5, 2.0), max_share=0.75)
    settings: dict[str, Any] = {
        "source_transform": crop, "batch": 2, "seed": 7, "mean": MEAN, "std": STD,
    }  # fmt: skip
    return Loader(grid, more.pop("target", grid), **{**settings, **more})


def tensors(batch: Batch) -> list[Tensor]:
    assert batch.target is not None and batch.target.valid is not None
    return [batch.source.image, batch.source.label, batch.target.image, batch.target.valid]


def assert_same(first: Batch, second: Batch) -> None:
    assert all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))
    assert first.source.names == second.source.names
    assert first.target is not None and second.target is not None
    assert first.target.names == second.target.names


@pytest.fixture
def no_process_is_left():
    yield
    for _ in range(1200):
        if not multiprocessing.active_children():
            return
        time.sleep(0.05)
    raise AssertionError(f"left behind: {multiprocessing.active_children()}")


def test_a_batch_is_what_a_step_receives(grid) -> None:
    (batch,) = loader(grid).steps(0, 1)
    assert batch.source.image.shape == (2, 3, 16, 24) and batch.source.image.dtype == torch.float32
    assert batch.source.label.shape == (2, 16, 24) and batch.source.label.dtype == torch.int64
    assert batch.target is not None and batch.target.valid is not None and batch.target.offline is None
    assert batch.target.valid.dtype == torch.bool
    for image in (batch.source.image, batch.target.image):
        assert image.is_contiguous(memory_format=torch.channels_last)


def test_pictures_are_normalised_channel_by_channel(grid) -> None:
    crop = RandomCrop((40, 60), fill=MEAN, flip=0)
    (batch,) = loader(grid, source_transform=crop, batch=1).steps(0, 1)
    index = int(batch.source.names[0].split("/")[1])
    expected = (grid.image(index).float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(
        3, 1, 1
    )
    torch.testing.assert_close(batch.source.image[0], expected)
    assert torch.equal(batch.source.label[0], grid.label(index).long())


def test_padding_is_neutral_everywhere(grid) -> None:
    crop = RandomCrop((50, 70), fill=MEAN)
    (batch,) = loader(grid, source_transform=crop).steps(0, 1)
    assert batch.target is not None and batch.target.valid is not None
    outside = ~batch.target.valid
    assert int(outside.sum()) == 2 * (50 * 70 - 40 * 60)
    assert float(batch.target.image.permute(0, 2, 3, 1)[outside].abs().max()) == 0
    assert int((batch.source.label == IGNORE).sum()) == 2 * (50 * 70 - 40 * 60)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(grid, workers: int, no_process_is_left: None) -> None:
    for first, second in zip(
        loader(grid).steps(0, 5), loader(grid, workers=workers).steps(0, 5), strict=True
    ):
        assert_same(first, second)


def test_resuming_is_starting_later(grid) -> None:
    whole = list(loader(grid).steps(0, 6))
    for first, second in zip(whole[4:], loader(grid).steps(4, 6), strict=True):
        assert_same(first, second)
    assert not torch.equal(whole[0].source.image, whole[1].source.image)


def test_two_ranks_see_what_one_sees(grid) -> None:
    (one,) = loader(grid, batch=4).steps(3, 4)
    parts = [next(loader(grid, batch=2, rank=rank, world=2).steps(3, 4)) for rank in (0, 1)]
    for whole, left, right in zip(tensors(one), *(tensors(part) for part in parts), strict=True):
        assert torch.equal(whole, torch.cat([left, right]))
    assert one.source.names == parts[0].source.names + parts[1].source.names


def test_seeds_domains_steps_and_slots_are_independent() -> None:
    keys = [
        (seed, domain, step, slot) for seed in (0, 1) for domain in "st" for step in (0, 1) for slot in (0, 1)
    ]
    draws = {float(torch.rand((), generator=slot_generator(*key))) for key in keys}
    assert len(draws) == len(keys)


def test_global_random_numbers_are_left_alone(grid) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(loader(grid, workers=1).steps(0, 1))
    assert torch.equal(torch.rand(2), expected)


def test_a_target_label_is_never_read(grid) -> None:
    class Unlabelled(type(grid)):
        def label(self, index: int) -> Tensor:
            raise AssertionError("a target label was read")

    (batch,) = loader(grid, target=Unlabelled()).steps(0, 1)
    assert batch.target is not None and batch.target.offline is None


def test_offline_labels_follow_their_pictures(grid) -> None:
    def by_name(name: str) -> Tensor:
        return grid.label(int(name.split("/")[1]))

    class Unlabelled(type(grid)):
        label = None

    crop = RandomCrop((16, 24), fill=MEAN)
    (batch,) = loader(grid, target=Unlabelled(), source_transform=crop, offline=by_name, batch=4).steps(0, 1)
    assert batch.target is not None and batch.target.offline is not None
    assert batch.target.offline.dtype == torch.int64
    places = batch.target.image * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    rows, columns, index = places.round().long().unbind(1)
    assert torch.equal(batch.target.offline, (rows // 8 + columns // 8 + index) % 3)


def test_supervised_batches_have_no_target(grid) -> None:
    (batch,) = loader(grid, target=None).steps(0, 1)
    assert batch.target is None


def test_the_sampled_class_is_looked_for(grid) -> None:
    class Dotted(type(grid)):
        def label(self, index: int) -> Tensor:
            label = torch.zeros(40, 60, dtype=torch.uint8)
            label[10 * (index % 4), 0:4] = 1 if index == 2 else 0
            return label

    dotted = Dotted()
    crop = RandomCrop((20, 30), fill=MEAN)
    sampler = RareClassSampler(class_statistics(dotted), temperature=0.01)
    batches = list(loader(dotted, source_transform=crop, source_sampler=sampler).steps(0, 10))
    assert {name for batch in batches for name in batch.source.names} == {"grid/2"}
    assert sum(int((batch.source.label == 1).flatten(1).any(1).sum()) for batch in batches) > 10


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [ValueError, OSError, FileNotFoundError])
def test_errors_arrive_in_one_line(
    grid, workers: int, kind: type[Exception], no_process_is_left: None
) -> None:
    class Broken(type(grid)):
        def image(self, index: int) -> Tensor:
            raise kind(f"pictures/{index}.png: is\nbad; mend it")

    with pytest.raises(kind if kind is ValueError else OSError) as caught:
        list(loader(Broken(), workers=workers).steps(0, 3))
    assert str(caught.value)[:9] == "pictures/" and str(caught.value)[10:] == ".png: is bad; mend it"


def test_a_file_that_breaks_during_a_run_is_named(write_folder, no_process_is_left: None) -> None:
    root = write_folder(["x"])
    folder = ImageFolder(root, classes=class_list(["a", "b"]), labelled=True)
    (root / "images/x.jpg").write_bytes((root / "images/x.jpg").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"x\.jpg: .*cut off: replace or remove it$"):
        list(loader(folder, target=None, workers=1).steps(0, 2))


def test_what_workers_need_can_be_sent_to_them(write_folder) -> None:
    folder = ImageFolder(write_folder(["x", "y"]), classes=class_list(["a", "b"]), labelled=True)
    batches = loader(folder).batches
    first, again = batches[3], pickle.loads(pickle.dumps(batches))[3]
    assert not isinstance(first, Failure) and not isinstance(again, Failure)
    assert first[0].names == again[0].names and torch.equal(first[0].image, again[0].image)


def test_a_mistake_of_ours_keeps_its_type(grid, no_process_is_left: None) -> None:
    class Mistaken(type(grid)):
        def image(self, index: int) -> Tensor:
            raise KeyError("not foreseen")

    for workers in (0, 1):
        with pytest.raises(KeyError, match="not foreseen"):
            next(loader(Mistaken(), workers=workers).steps(0, 1))


def test_a_worker_that_dies_is_explained(grid, no_process_is_left: None) -> None:
    class Deadly(type(grid)):
        def image(self, index: int) -> Tensor:
            os._exit(9)

    with pytest.raises(OSError, match="set workers to 0"):
        next(loader(Deadly(), workers=1).steps(0, 1))


def test_stopping_early_stops_the_workers(grid, no_process_is_left: None) -> None:
    steps = loader(grid, workers=2).steps(0, 1000)
    next(steps)
    assert len(multiprocessing.active_children()) == 2
    steps.close()


def test_no_steps_give_no_batches(grid) -> None:
    assert list(loader(grid, workers=2).steps(5, 5)) == []


@pytest.mark.parametrize("bad", [{"batch": 0}, {"workers": -1}, {"rank": 1}, {"rank": -1}])
def test_impossible_loaders_are_refused(grid, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        loader(grid, **bad)


def test_an_empty_target_is_refused(grid) -> None:
    empty = type(grid)(count=0)
    with pytest.raises(ValueError, match="empty"):
        loader(grid, target=empty)


INTERRUPTED = """
import signal, sys, torch
from segue.classes import class_list
from segue.data.crop import RandomCrop
from segue.data.dataset import Dataset
from segue.data.loader import Loader

class Black(Dataset):
    classes = class_list(["a"])
    def __len__(self): return 2
    def name(self, index): return "black"
    def image(self, index): return torch.zeros(3, 64, 64, dtype=torch.uint8)
    def label(self, index): return torch.zeros(64, 64, dtype=torch.uint8)
    def fingerprint(self): return "black"

# A shell that starts tests in the background has them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
loader = Loader(Black(), None, source_transform=RandomCrop((32, 32), fill=(0, 0, 0)), batch=1, seed=0,
                mean=(0, 0, 0), std=(1, 1, 1), workers=2)
try:
    for step, batch in enumerate(loader.steps(0, 10**9)):
        if step == 4:  # both workers have delivered
            print("ready", flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        try:
            assert run.stdout is not None and run.stdout.readline() == "ready\n"
            os.killpg(run.pid, signal.SIGINT)
            _, errors = run.communicate(timeout=300)
        finally:
            if run.poll() is None:  # leaving the block would wait for it
                os.killpg(run.pid, signal.SIGKILL)
    assert run.returncode == 130 and errors == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)


def test_pictures_decoded_smaller_are_cut_at_the_same_places(tmp_path: Path) -> None:
    """Image, label and valid area of a crop are those of the whole picture, but for a little of the colours."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name in ("x", "y"):
        drawn = np.random.default_rng(len(name)).integers(0, 256, (4, 6, 3), np.uint8)
        picture = Image.fromarray(drawn).resize((192, 128), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "images" / f"{name}.jpg", quality=95)
        areas = np.random.default_rng(1).integers(0, 3, (4, 6), np.uint8).repeat(32, 0).repeat(32, 1)
        Image.fromarray(areas).save(tmp_path / "labels" / f"{name}.png")
    folder = ImageFolder(tmp_path, classes=class_list(["a", "b", "c"]), labelled=True)
    crop = RandomCrop((24, 24), fill=MEAN, resize=(64, 96), flip=0.5, margins=Margins(bottom=0.25))
    whole = loader(folder, source_transform=crop, target_transform=crop)
    box = (64, 96)
    smaller = loader(folder, source_transform=crop, target_transform=crop, least=(box, box))
    assert smaller.batches.domains[0].image(0)[0].shape == (3, 64, 96)
    for one, other in zip(whole.steps(0, 4), smaller.steps(0, 4), strict=True):
        assert one.target is not None and other.target is not None
        assert torch.equal(one.source.label, other.source.label)
        assert torch.equal(one.target.valid, other.target.valid)
        for images in ((one.source.image, other.source.image), (one.target.image, other.target.image)):
            steps = (images[0] - images[1]).abs() * torch.tensor(STD).view(3, 1, 1)  # of 0 to 255
            assert 0 < float(steps.mean()) < 4


WORKER = """
import sys
from segue.data import loader


class Late:
    def __del__(self) -> None:
        print("torn down")


late = Late()
if len(sys.argv) > 1:
    loader._prepare_worker(0)
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_worker", [True, False])
def test_the_interpreter_of_a_worker_is_not_torn_down(is_worker: bool) -> None:
    """What is still there at the end goes unnoticed, as it would not in any other process."""
    arguments = [sys.executable, "-c", WORKER, *(["worker"] if is_worker else [])]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    said = ended.stdout.splitlines()
    assert "done" in said and ("torn down" in said) is not is_worker, ended
