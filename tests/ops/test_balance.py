"""Class balance: CBST's thresholds and labels, LRENT's soft labels and the hardest pixels equal the official code."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.parity import notes, numbers
from torch import Tensor

from segue.ops.balance import (
    BINS,
    balanced_label,
    bin_floors,
    binned,
    class_thresholds,
    hardest,
    rare_classes,
    regularised_soft_label,
    thresholds_of_bins,
)
from segue.types import IGNORE


@pytest.fixture(scope="module")
def cbst(fixtures_dir: Path) -> tuple[dict[str, Tensor], dict]:
    about = notes(fixtures_dir, "cbst_thresholds")
    settings = {name: json.loads(text) for name, text in about.items() if text.startswith('{"portion')}
    return numbers(fixtures_dir, "cbst_thresholds"), settings


def test_thresholds_and_labels_equal_the_official_code(cbst) -> None:
    tensors, about = cbst
    probability = tensors["probabilities"].permute(0, 3, 1, 2)
    for case, settings in about.items():
        every = settings.get("ds_rate", 4)
        counts = tensors[f"confidences_ds{every}/counts"].tolist()
        collected = tensors[f"confidences_ds{every}/values"].split(counts)
        found = class_thresholds(collected, float(settings["portion"]))
        assert torch.equal(found, tensors[f"case/{case}/threshold"]), case
        if "lr_weight_ent" in settings:
            soft, label = regularised_soft_label(probability, found, alpha=settings["lr_weight_ent"])
            key = f"case/{case}/soft_label"
            if key in tensors:
                expected = tensors[key].permute(0, 3, 1, 2)
                kept = (label != IGNORE)[:, None].expand_as(soft)
                torch.testing.assert_close(soft[kept], expected[kept], atol=1e-5, rtol=1e-4)
        else:
            label = balanced_label(probability, found)
        assert torch.equal(label, tensors[f"case/{case}/label"]), case


def test_mined_classes_equal_the_official_code(cbst) -> None:
    """Their order is only defined where shares differ, as the official one is not stable."""
    tensors, about = cbst
    pixels = tensors["pixels_per_class"].long()
    for case, settings in about.items():
        found = rare_classes(pixels, settings.get("mine_port", 1e-3))
        official = tensors[f"case/{case}/mine_id"].tolist()
        assert sorted(found) == sorted(official), case
        assert pixels[found].tolist() == pixels[official].tolist(), case
    assert rare_classes(pixels, 0.0) == []


def test_thresholds_and_labels_with_a_spatial_prior_equal_the_official_code(cbst) -> None:
    """The prior is multiplied to the probabilities before anything else.

    The original code's vectors of confidences hold one more zero than CRST's, which are followed otherwise.
    """
    tensors, _ = cbst
    product = tensors["probabilities"].permute(0, 3, 1, 2) * tensors["original/spatial_prior"]
    sure, label = product.max(1)
    zero = torch.zeros(1)
    values = [
        torch.cat([*(sure[i][label[i] == name][::4] for i in range(len(label))), zero]) for name in range(19)
    ]
    found = class_thresholds(values, 0.2)
    official = tensors["original/cb_prior_p20/threshold"].float()
    assert torch.equal(found, torch.where(official == 0, 1.0, official))
    assert torch.equal(balanced_label(product, found), tensors["original/cb_prior_p20/label"])


def test_a_share_of_every_class_is_kept(cbst) -> None:
    """Of the pixels that are predicted as a class, floor(n * portion) reach its threshold, and ties."""
    tensors, _ = cbst
    collected = tensors["confidences_ds1/values"].split(tensors["confidences_ds1/counts"].tolist())
    for portion in (0.1, 0.5, 0.9):
        for values, threshold in zip(collected, class_thresholds(collected, portion), strict=True):
            kept = int(len(values) * portion)
            assert 0 < float(threshold) <= 1
            if kept:
                assert int((values > threshold).sum()) < kept <= int((values >= threshold).sum())


@given(st.integers(0, 999), st.integers(0, 3), st.floats(0.25, 4))
def test_scaling_a_class_and_its_threshold_changes_nothing(seed: int, name: int, factor: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    probability = torch.rand(1, 4, 5, 6, generator=generator)
    thresholds = torch.rand(4, generator=generator) + 0.1
    power = 2.0 ** round(factor)  # exact in floating point
    other, scaled = probability.clone(), thresholds.clone()
    other[:, name] *= power
    scaled[name] *= power
    assert torch.equal(balanced_label(probability, thresholds), balanced_label(other, scaled))


def test_equal_thresholds_are_one_global_threshold() -> None:
    probability = torch.rand(2, 4, 5, 6).softmax(1)
    label = balanced_label(probability, torch.full((4,), 0.3))
    sure, expected = probability.max(1)
    assert torch.equal(label == IGNORE, sure < 0.3)
    assert torch.equal(label[sure >= 0.3].long(), expected[sure >= 0.3])


def test_the_hardest_pixels_are_kept() -> None:
    loss = torch.arange(10.0).view(1, 2, 5)
    label = torch.zeros(1, 2, 5, dtype=torch.int64)
    assert hardest(loss, label, percentile=80.0).flatten().tolist() == [IGNORE] * 8 + [0, 0]
    assert torch.equal(hardest(loss, label, percentile=0.0), label)
    for percentile in (13.0, 50.0, 77.7):
        limit = torch.quantile(loss, percentile / 100)
        assert torch.equal(hardest(loss, label, percentile=percentile) == IGNORE, loss < limit)


def crowded(seed: int, count: int = 20_000) -> Tensor:
    """Confidences of which most are close to 1, as a trained model's, and some are exactly 1, a half or nothing."""
    generator = torch.Generator().manual_seed(seed)
    near_one = torch.rand(count, generator=generator).pow(8)
    values = 1 - near_one * torch.rand(count, generator=generator)
    return torch.cat([values, torch.tensor([0.0, 1e-9, 0.5, 0.5, 1.0, 1.0]), 1 - torch.arange(9) / 2**24])


def test_bins_are_ordered_as_confidences_and_begin_with_their_floor() -> None:
    values = crowded(0).sort().values
    places = binned(values)
    assert bool((places.diff() >= 0).all()) and int(places[0]) == 0 and int(places[-1]) == BINS - 1
    floors = bin_floors()
    assert floors.shape == (BINS,) and bool((floors.diff() >= 0).all())
    assert bool((floors[places] <= values).all())
    further = places < BINS - 1
    assert bool((values[further] < floors[places[further] + 1]).all())
    usual = (values > 2**-25) & (values < 1)
    width = values[usual] - floors[places[usual]]
    assert bool((width <= torch.minimum(values, 1 - values)[usual] / 2000 + 1e-7).all())


def test_thresholds_of_a_histogram_are_the_exact_ones_to_a_bin() -> None:
    classes = [crowded(seed) for seed in range(3)] + [torch.zeros(0), torch.tensor([0.7])]
    counts = torch.stack([torch.bincount(binned(values), minlength=BINS) for values in classes])
    for portion in (0.05, 0.2, 0.5, 0.9):
        exact, found = class_thresholds(classes, portion), thresholds_of_bins(counts, portion)
        assert torch.equal(binned(exact), binned(found))
        for values, one, other in zip(classes[:3], exact, found, strict=False):
            assert float(other) <= float(one)
            wanted, reached = int(len(values) * portion), int((values >= other).sum())
            assert wanted <= reached <= wanted + int(counts.max())
    assert thresholds_of_bins(counts, 0.5)[3:].tolist() == [1.0, 1.0]
