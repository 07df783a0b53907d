"""Names kept as flat bytes come back as they were, and cost a worker of either kind little at 200 000 pictures."""

import gc
import multiprocessing
import os
import pickle
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from segue.classes import class_list
from segue.data import picture_files
from segue.data.class_map import label_table, parse_label_classes
from segue.data.dataset import Dataset
from segue.data.file_names import FilesByName, Paths, Texts
from segue.data.part import Chosen
from segue.data.picture_files import PictureFiles
from segue.data.tar_member import Member, Shard

AB = class_list(["a", "b"])
MANY = 100_000
PER_MILLION = MANY / 1_000_000


def test_texts_come_back() -> None:
    texts = ["", "a", "Straße/ü", "x" * 300, os.fsdecode(b"\xff.png")]
    flat = Texts(texts)
    assert list(flat) == texts and flat[-1] == texts[-1] and len(flat) == 5
    for place in (5, -6):
        with pytest.raises(IndexError):
            flat[place]
    assert list(Texts([])) == []


PATHS = [
    ("a", "/data/a.png"),
    ("bonn/x", "/data/images/bonn/x_leftImg8bit.png"),
    ("train/bonn/x", "/data/train/images/bonn/x.png"),  # the split is part of the name, and stands elsewhere
    ("p", "p.png"),
    ("one", "/elsewhere/two.jpg"),
    ("day/one", "/elsewhere/two.jpg"),
]


def test_paths_come_back_whatever_they_are() -> None:
    names = Texts(name for name, _ in PATHS)
    paths = [Path(path) for _, path in PATHS]
    assert list(Paths(names, paths)) == paths
    with pytest.raises(ValueError):
        Paths(names, paths[1:])


def test_files_are_found_by_name() -> None:
    files = {name: Path(path) for name, path in PATHS}
    flat = FilesByName(files)
    assert dict(flat) == files and list(flat) == sorted(files) and dict(flat.items()) == files
    assert "nothing" not in flat and "zzz" not in flat and "" not in flat


def street(place: int) -> str:
    return f"town{place % 50:03}/sequence{place // 1000:05}_{place:07}"


def many(count: int, *, packed: bool = False) -> PictureFiles:
    names = [street(place) for place in range(count)]
    images = {name: Path(f"/data/streets/images/{name}.jpg") for name in names}
    labels = [Path(f"/data/streets/labels/{name}_labelIds.png") for name in names]
    if packed:
        shards = [Shard(f"/data/shards/{number:06}.tar", 10**10, 1) for number in range(200)]
        files = [(shards[i % 200], name, 10**6 * i) for i, name in enumerate(names)]
        images = {name: Member.of(shard, f"{name}.jpg", i, 10**5) for shard, name, i in files}
        labels = [Member.of(shard, f"{name}.label.png", i + 10**5, 10**4) for shard, name, i in files]
    own = parse_label_classes(["a", "b"], "here")
    table = label_table(own, AB, {}, place="here")
    return PictureFiles(images, classes=AB, labels=labels, table=table)


def private_bytes() -> int:
    """What this process alone holds in memory."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def forked(dataset: Dataset, answer: "Queue[int]") -> None:
    """A worker that draws pictures until it has seen all of them; they exist by name only."""
    picture_files.read_image = str  # type: ignore[assignment]
    gc.collect()  # which writes to every object that the fork shares, names or not
    before = 0
    for place in range(len(dataset)):
        if place == 1000:  # until then a fork copies what any process writes to
            before = private_bytes()
        dataset.name(place)
        dataset.image(place)
    answer.put(private_bytes() - before)


def fresh(path: Path, answer: "Queue[int]") -> None:
    """A worker that is not forked and gets a copy."""
    gc.collect()  # which writes to every object of the server that it comes from
    before = private_bytes()
    dataset = pickle.loads(path.read_bytes())
    assert dataset.name(MANY - 1) == street(MANY - 1)
    gc.collect()
    answer.put(private_bytes() - before)


def from_a_small_process(packed: bool, answer: "Queue[int]") -> None:
    """A fork of a process that has little else: a test's own writes to much that it shares."""
    every_second = list(range(0, MANY, 2))
    answer.put(growth("fork", forked, Chosen(many(MANY, packed=packed), every_second)))


def growth(method: str, task: Callable[..., None], *arguments: object) -> int:
    context = multiprocessing.get_context(method)
    answer = context.Queue()
    process = context.Process(target=task, args=(*arguments, answer))
    process.start()
    grown: int = answer.get(timeout=120)
    process.join()
    return grown


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["files", "archives"])
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux says what is private")
def test_a_worker_grows_by_less_than_100_mb_at_a_million(packed: bool, tmp_path: Path) -> None:
    dataset = many(MANY, packed=packed)
    allowed = 100e6 * PER_MILLION
    assert dataset.name(7) == street(7)
    grown = growth("forkserver", from_a_small_process, packed)
    assert grown < allowed
    path = tmp_path / "dataset.pickle"
    path.write_bytes(pickle.dumps(dataset))
    assert path.stat().st_size < allowed
    assert growth("forkserver", fresh, path) < allowed
