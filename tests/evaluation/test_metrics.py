"""IoU by hand and by brute force; absent classes stay out of the mean; subsets; large pictures."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.classes import CITYSCAPES_19, SYNTHIA_13, SYNTHIA_16
from segue.evaluation.metrics import count, empty_confusion, iou_per_class, scores, total
from segue.types import IGNORE

NAMES = ("road", "car", "sky")


def confusion_of(prediction: torch.Tensor, label: torch.Tensor, classes: int = 3) -> torch.Tensor:
    confusion = empty_confusion(classes)
    count(confusion, prediction, label=label)
    return total(confusion)


def test_worked_by_hand() -> None:
    label = torch.tensor([[0, 0, 1], [1, IGNORE, 2]])
    prediction = torch.tensor([[0, 1, 1], [1, 0, 0]])
    found = scores(confusion_of(prediction, label), NAMES, protocol={"mode": "whole"})
    # road: 1 hit, 1 missed, 1 wrong; car: 2 hits, 1 wrong; sky: 1 missed
    assert found.per_class_iou == pytest.approx({"road": 1 / 3, "car": 2 / 3, "sky": 0.0})
    assert found.mean_iou == pytest.approx(1 / 3)
    assert (found.pixels, len(found.averaged)) == (5, 3)
    assert found.accuracy == pytest.approx(3 / 5)
    assert json.loads(json.dumps(found.to_json())) == {
        "mean_iou": found.mean_iou,
        "per_class_iou": found.per_class_iou,
        "classes_counted": 3,
        "pixels": 5,
        "accuracy": 0.6,
        "protocol": {"mode": "whole"},
    }


def test_class_absent_from_labels_and_predictions_is_not_applicable() -> None:
    found = scores(confusion_of(torch.tensor([[0, 1]]), torch.tensor([[0, 1]])), NAMES)
    assert found.per_class_iou == {"road": 1.0, "car": 1.0, "sky": None}
    assert (found.mean_iou, len(found.averaged)) == (1.0, 2)
    assert found.to_json()["per_class_iou"]["sky"] is None


def test_class_predicted_but_nowhere_labelled() -> None:
    matrix = confusion_of(torch.tensor([[0, 2]]), torch.tensor([[0, 0]]))
    assert iou_per_class(matrix) == [0.5, None, None]
    assert scores(matrix, NAMES).mean_iou == 0.5


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_equals_counting_pixel_by_pixel(data: st.DataObject) -> None:
    classes = data.draw(st.integers(1, 4))
    pixels = data.draw(st.integers(1, 30))
    label = data.draw(st.lists(st.sampled_from([*range(classes), IGNORE]), min_size=pixels, max_size=pixels))
    prediction = data.draw(st.lists(st.integers(0, classes - 1), min_size=pixels, max_size=pixels))
    matrix = confusion_of(torch.tensor([prediction]), torch.tensor([label]), classes)
    for k in range(classes):
        pairs = [(p, t) for p, t in zip(prediction, label, strict=True) if t != IGNORE]
        hits = sum(p == t == k for p, t in pairs)
        union = sum(k in pair for pair in pairs)
        labelled = any(t == k for _, t in pairs)
        assert iou_per_class(matrix)[k] == (pytest.approx(hits / union) if labelled else None)


def test_subset_is_the_mean_of_its_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 19, (40, 40), generator=generator)
    prediction = torch.where(torch.rand(40, 40, generator=generator) < 0.5, label, label.flip(1))
    found = scores(confusion_of(prediction, label, 19), CITYSCAPES_19.names)
    for subset in (SYNTHIA_16, SYNTHIA_13):
        iou_sum = 0.0
        for name in subset.names:
            k = CITYSCAPES_19.index(name)
            is_hit = (label == k) & (prediction == k)
            iou_sum += float(is_hit.sum() / ((label == k) | (prediction == k)).sum())
        assert found.mean_over(subset.names) == pytest.approx(iou_sum / len(subset), abs=1e-6)
    assert found.mean_over(CITYSCAPES_19.names) == pytest.approx(found.mean_iou)


def test_subset_errors_name_the_class() -> None:
    found = scores(confusion_of(torch.tensor([[0]]), torch.tensor([[0]])), NAMES)
    with pytest.raises(ValueError, match=r"unknown class 'cra'; did you mean 'car'"):
        found.mean_over(["cra"])
    with pytest.raises(ValueError, match="none of these classes was labelled: car, sky"):
        found.mean_over(["car", "sky"])


def test_nothing_labelled_is_an_error() -> None:
    with pytest.raises(ValueError, match="no labelled pixel"):
        scores(confusion_of(torch.zeros(2, 2).long(), torch.full((2, 2), IGNORE)), NAMES)
    with pytest.raises(ValueError, match="2 class names for a confusion matrix of 3"):
        scores(torch.eye(3).long(), ["a", "b"])


def test_one_class_and_eight_bit_labels() -> None:
    label = torch.tensor([[0, IGNORE]], dtype=torch.uint8)
    assert scores(confusion_of(torch.zeros(1, 2).byte(), label, 1), ["field"]).mean_iou == 1.0


def test_classes_whose_products_leave_eight_bits() -> None:
    label = torch.tensor([[199, 3]], dtype=torch.uint8)
    matrix = confusion_of(torch.tensor([[199, 198]], dtype=torch.uint8), label, 200)
    assert matrix[199, 199] == 1
    assert matrix[3, 198] == 1


@pytest.mark.slow
def test_deterministic_mode_neither_costs_gigabytes_nor_is_switched_off() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        label = torch.zeros(1024, 2048, dtype=torch.uint8)
        assert int(confusion_of(label, label, 19).sum()) == 1024 * 2048
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_pictures_add_up() -> None:
    confusion = empty_confusion(3)
    for _ in range(3):
        count(confusion, torch.tensor([[0, 1]]), label=torch.tensor([[0, 0]]))
    assert total(confusion).tolist() == [[3, 3, 0], [0, 0, 0], [0, 0, 0]]
    assert math.isclose(scores(total(confusion), NAMES).mean_iou, 0.5)


def test_a_process_without_pictures_may_be_asked() -> None:
    assert total(empty_confusion(2)).sum() == 0
