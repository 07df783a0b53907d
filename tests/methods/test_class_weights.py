"""Class weights: every view's loss is the weighted mean over its labelled pixels that are hard."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.methods.building import context, self_training
from tests.methods.test_style import Bright

from segue.methods.class_weights import ClassWeightSettings
from segue.methods.method import Method
from segue.methods.several_views import SeveralViewsSettings
from segue.methods.source_only import SourceOnlySettings
from segue.types import IGNORE, Batch, Source, Target, View


def batch() -> Batch:
    torch.manual_seed(3)
    label = torch.randint(0, 3, (2, 16, 16))
    label[:, :3] = IGNORE
    label[0, 5, 5] = 7  # of a class that is rare
    names = ["one", "other"]
    return Batch(
        Source(torch.randn(2, 3, 16, 16), label, names), Target(torch.randn(2, 3, 16, 16), None, None, names)
    )


@pytest.mark.parametrize("percentile", [0.0, 80.0])
def test_every_view_is_weighed(percentile: float) -> None:
    options: dict[str, Any] = {"mix": "class_mix", "mask": {}, "threshold": 0.05, "source_mean": "labelled"}
    options |= {"weights": ClassWeightSettings(), "percentile": percentile}
    method = self_training(Bright(), **options)
    plain = ClassWeightSettings().build(19)
    names: list[str] = []
    for view in method.views(batch(), 0):
        assert isinstance(view, View) and view.label is not None
        names.append(view.name)
        found = method(view)[f"{view.name}/segmentation"]
        with torch.no_grad():
            loss = F.cross_entropy(
                method.student(view.image).logits, view.label, ignore_index=IGNORE, reduction="none"
            )
        known = view.label != IGNORE
        of_pixel = torch.where(known, plain(view.label)[view.label.clamp(max=18)], 0)
        kept = known & (loss * of_pixel >= (loss * of_pixel).quantile(percentile / 100))
        trusted = loss if view.weight is None else loss * view.weight
        expected = (trusted * of_pixel)[kept].sum() / of_pixel[kept].sum()
        torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-6)
        assert of_pixel.unique().numel() > 2, "a rare class weighs more"
    assert names == ["source", "target", "masked"]


@pytest.mark.parametrize("percentile", [0.0, 80.0])
def test_the_source_is_weighed_alike_in_every_method(percentile: float) -> None:
    options: dict[str, Any] = {"weights": ClassWeightSettings(), "percentile": percentile}
    alone = SourceOnlySettings(**options).build(context(Bright()), {})
    others: list[Method] = [self_training(alone.student, **options)]
    if percentile == 0:
        settings = SeveralViewsSettings(baseline=False, weights=ClassWeightSettings())
        others.append(settings.build(context(alone.student), {}))
    data = batch()
    expected = alone(next(alone.views(data, 0)))["source/segmentation"]
    for other in others:
        assert torch.equal(other(next(iter(other.views(data, 0))))["source/segmentation"], expected)
