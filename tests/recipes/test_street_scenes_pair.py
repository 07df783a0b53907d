"""Recipes of two resolutions see street scenes rendered at their size, the same streets with more in them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segue.data.crop import RandomCrop
from segue.data.streets.canvas import Dice
from segue.data.streets.dataset import DOMAINS, StreetScenes, render
from segue.data.streets.scene import draw_street
from segue.engine.build import build_loader
from segue.engine.domains import open_domain
from segue.engine.experiment import parse_assignments
from segue.engine.settings import DomainSettings, Experiment
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import STREET_SCENES

PARTS = ("source", "target", "source_evaluation", "evaluation")
LARGE = (256, 512)


def scenes(wanted: Experiment, part: str) -> StreetScenes:
    domain = getattr(wanted.data, part)
    assert isinstance(domain, DomainSettings)
    found = open_domain(wanted.data, domain, labelled=True)
    assert isinstance(found, StreetScenes)
    return found


def finest(picture: Tensor) -> float:
    """The energy of what a picture twice as small cannot hold: differences from the mean of 2 x 2 pixels."""
    picture = picture[None].float()
    return float((picture - F.interpolate(F.avg_pool2d(picture, 2), scale_factor=2)).square().mean())


@pytest.mark.parametrize("recipe", ["hrda", "mic", "clda_hrda"])
@pytest.mark.parametrize("part", PARTS)
def test_pictures_and_labels_hold_what_enlarged_ones_do_not(recipe: str, part: str) -> None:
    large, usual = (scenes(experiment(name, STREET_SCENES), part) for name in (recipe, "daformer"))
    assert large.size == LARGE and usual.size == (128, 256)
    assert len(large) == len(usual) and large.scene_seed(3) == usual.scene_seed(3)
    assert large.fingerprint() != usual.fingerprint()
    for index in range(4):
        image, label = large.image(index), large.label(index)
        direct, ids = render(large.scene_seed(index), large.domain, size=LARGE)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), direct) and np.array_equal(label.numpy(), ids)
        enlarged = F.interpolate(usual.image(index)[None].float(), size=LARGE, mode="bilinear")[0]
        assert finest(image) > 3 * finest(enlarged)
        repeated = usual.label(index).repeat_interleave(2, 0).repeat_interleave(2, 1)
        assert 0.95 < float((label == repeated).float().mean()) < 1.0


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_scene_is_the_same_street_at_both_sizes(domain: str) -> None:
    """Part by part: class, material, facing and tint, in the same order."""
    for seed in range(20):
        small, large = (
            draw_street(Dice((seed, DOMAINS.index(domain))), domain, size=size)  # type: ignore[arg-type]
            for size in ((128, 256), LARGE)
        )
        assert small.street == large.street
        assert [part[:4] for part in small.canvas.parts] == [part[:4] for part in large.canvas.parts]


@pytest.mark.slow
def test_crops_are_cut_from_the_rendered_pixels(tmp_path) -> None:
    """Nothing is resampled on the way into a batch."""
    wanted = experiment("hrda", STREET_SCENES)
    source = scenes(wanted, "source")
    loader = build_loader(
        wanted,
        source,
        None,
        statistics_cache=tmp_path / "statistics.json",
        device=torch.device("cpu"),
        reading=wanted.method.reading("hrda"),
    )
    transform = loader.batches.domains[0].transform
    assert isinstance(transform, RandomCrop)
    place = transform._place(*source.size, torch.Generator().manual_seed(0))
    assert (place.rows.resized, place.columns.resized) == source.size == LARGE


def test_rare_classes_are_asked_for_by_the_same_share_of_a_crop() -> None:
    """Pictures and crops grow alike, so that the ratio between them stays: HRDA's 2 is for enlarged pictures."""
    ratios: list[float] = []
    for recipe in ("hrda", "daformer"):
        data = experiment(recipe, STREET_SCENES).data
        assert data.rare_classes is not None
        rows, columns = data.source.size or (128, 256)
        needed = data.rare_classes.min_share * data.rare_classes.min_crop_ratio * rows * columns
        ratios.append(needed / (data.crop[0] * data.crop[1]))
    assert ratios[0] == pytest.approx(ratios[1])


def test_a_size_is_for_street_scenes_alone() -> None:
    wishes = parse_assignments(["data.source={dataset: folder, root: x, size: [64, 128]}"])
    data = experiment("daformer", STREET_SCENES, wishes).data
    with pytest.raises(ValueError, match="dataset folder: size is what street scenes are rendered at"):
        open_domain(data, data.source, labelled=True)
    small = experiment("daformer", STREET_SCENES, parse_assignments(["data.source.size=[8, 64]"])).data
    with pytest.raises(ValueError, match="size 8x64"):
        open_domain(small, small.source, labelled=True)
