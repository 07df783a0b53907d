"""The street scenes are reproducible, exactly labelled, balanced like streets, and differ between domains."""

import pickle
import time

import numpy as np
import pytest
import torch

from segue.data.dataset import Dataset
from segue.data.streets import dataset as streets
from segue.data.streets.canvas import STREET_CLASSES, Dice
from segue.data.streets.dataset import StreetScenes, render
from segue.data.streets.scene import draw_street
from segue.data.streets.style import Domain

BOTH: tuple[Domain, ...] = ("source", "target")


def shares(domain: Domain) -> np.ndarray:
    """Each class's share of the pixels of 40 scenes."""
    labels = np.stack([render(seed, domain)[1] for seed in range(40)])
    return np.bincount(labels.ravel(), minlength=len(STREET_CLASSES)) / labels.size


@pytest.mark.parametrize("domain", BOTH)
@pytest.mark.parametrize("size", [(128, 256), (96, 96), (64, 200), (600, 640)])
def test_any_size(domain: Domain, size: tuple[int, int]) -> None:
    picture, label = render(5, domain, size=size)
    assert picture.shape == (*size, 3)
    assert label.shape == size
    assert picture.dtype == label.dtype == np.uint8
    assert label.max() < len(STREET_CLASSES)


@pytest.mark.parametrize("domain", BOTH)
def test_a_seed_is_a_scene(domain: Domain) -> None:
    picture, label = render(11, domain)
    render(12, domain)
    again, label_again = render(11, domain)
    assert np.array_equal(picture, again)
    assert np.array_equal(label, label_again)
    assert not np.array_equal(label, render(12, domain)[1])


def test_a_scene_keeps_its_plan_at_another_size() -> None:
    small, large = (
        np.bincount(render(3, "source", size=size)[1].ravel()) for size in ((128, 256), (256, 512))
    )
    assert large / large.sum() == pytest.approx(small / small.sum(), abs=0.01)


@pytest.mark.parametrize("domain", BOTH)
def test_the_label_is_the_class_of_the_part_at_every_pixel(domain: Domain) -> None:
    seed = 7
    scene = draw_street(Dice((seed, BOTH.index(domain))), domain, size=(128, 256))
    classes = np.array([part[0] for part in scene.canvas.parts], dtype=np.uint8)
    assert np.array_equal(classes[scene.canvas.pixels()[0]], render(seed, domain)[1])


@pytest.mark.parametrize("domain", BOTH)
def test_shares_are_those_of_a_street(domain: Domain) -> None:
    share = dict(zip(STREET_CLASSES.names, shares(domain), strict=True))
    assert 0.25 < share["road"] < 0.4
    assert 0.15 < share["building"] < 0.45
    assert all(0.002 < share[name] < 0.01 for name in ("traffic light", "traffic sign"))
    assert all(0.002 < share[name] < 0.03 for name in ("bicycle", "person", "pole", "fence"))


def test_domains_look_different() -> None:
    source, target = (np.stack([render(seed, domain)[0] for seed in range(20)]) / 255 for domain in BOTH)

    def saturation(pictures: np.ndarray) -> float:
        return float((pictures.max(axis=-1) - pictures.min(axis=-1)).mean())

    def spread(pictures: np.ndarray) -> float:
        return float(pictures.mean(axis=(1, 2, 3)).std())

    assert saturation(source) > 1.2 * saturation(target)
    assert spread(target) > 1.2 * spread(source)


def test_domains_splits_and_seeds_share_no_scene() -> None:
    sets = [
        StreetScenes(domain, split=split, count=20, seed=seed)
        for domain in BOTH
        for split in streets.SPLITS
        for seed in (0, 1)
    ]
    seeds = {(scenes.domain, scenes.scene_seed(index)) for scenes in sets for index in range(20)}
    assert len(seeds) == 20 * len(sets)
    assert len({scenes.fingerprint() for scenes in sets}) == len(sets)


def test_a_longer_set_begins_with_a_shorter_one() -> None:
    short, long = StreetScenes("target", count=3), StreetScenes("target", count=9)
    assert torch.equal(short.image(2), long.image(2))
    assert short.fingerprint() != long.fingerprint()


def test_it_is_a_data_set() -> None:
    scenes = StreetScenes("source", split="val", count=4, size=(64, 96))
    assert isinstance(scenes, Dataset)
    assert len(scenes) == 4
    assert scenes.name(3) == "source_val_00003"
    image, label = scenes.image(3), scenes.label(3)
    assert image.shape == (3, 64, 96)
    assert label.shape == (64, 96)
    assert image.dtype == label.dtype == torch.uint8
    assert image.is_contiguous()
    picture, ids = render(scenes.scene_seed(3), "source", size=(64, 96))
    assert np.array_equal(image.permute(1, 2, 0).numpy(), picture)
    assert np.array_equal(label.numpy(), ids)


def test_image_and_label_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(seed: int, domain: Domain, *, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        calls.append(seed)
        return render(seed, domain, size=size)

    monkeypatch.setattr(streets, "render", counted)
    scenes = StreetScenes("source", count=2, seed=99)
    first = scenes.image(0).clone()
    # What a caller does to its tensor must not reach the kept scene.
    scenes.image(0).zero_()
    scenes.label(0).zero_()
    assert torch.equal(scenes.image(0), first)
    assert scenes.label(0).any()
    assert len(calls) == 1


def test_a_copy_in_another_process_sees_the_same() -> None:
    scenes = StreetScenes("target", count=2)
    copy = pickle.loads(pickle.dumps(scenes))
    assert torch.equal(copy.image(1), scenes.image(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": "sauce", "count": 1}, "unknown domain 'sauce'"),
        ({"domain": "source", "count": 0}, "count 0"),
        ({"domain": "source", "count": 1, "split": "test"}, "unknown split 'test'"),
        ({"domain": "source", "count": 1, "seed": -1}, "seed -1"),
        ({"domain": "source", "count": 1, "size": (8, 64)}, "size 8x64"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StreetScenes(**arguments)  # type: ignore[arg-type]


def test_an_index_beyond_the_end() -> None:
    with pytest.raises(IndexError):
        StreetScenes("source", count=2).name(2)


@pytest.mark.slow
@pytest.mark.parametrize("domain", BOTH)
def test_rendering_keeps_up_with_training(domain: Domain) -> None:
    """Meant to be above 200 a second; the best of a few turns is not a busy machine's, and a fifth still tells."""
    render(0, domain)
    seconds = []
    for turn in range(4):
        start = time.process_time()
        for seed in range(15):
            render(15 * turn + seed, domain)
        seconds.append(time.process_time() - start)
    assert 15 / min(seconds) > 40
