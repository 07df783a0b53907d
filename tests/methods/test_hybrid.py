"""Pairs: every grouping makes masks for both pictures, and a training step with them reaches the student."""

import pytest
import torch

from segue.methods.hybrid import HybridAttentionSettings, HybridPair
from segue.types import View


def views() -> tuple[View, View, View]:
    torch.manual_seed(0)
    source, pseudo, mixed = torch.randint(0, 5, (3, 2, 64, 64))
    image = torch.randn(2, 3, 64, 64)
    return View("source", image, source), View("target", image, pseudo), View("target", image, mixed)


def pair(**options: object) -> HybridPair:
    return HybridPair(HybridAttentionSettings(**options), (2, 2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("grouping", ["random", "hvh", "hvr", "cutout", "semantic"])
def test_masks(grouping) -> None:
    joint = pair(grouping=grouping, direction="s2t", resample="stage")(*views())
    assert joint.groups is not None and joint.groups.shape == (3, 2, 2, 64, 64)
    assert joint.groups.max() == 1
    assert not torch.equal(joint.groups[0], joint.groups[1])
    assert joint.rules.direction == "s2t" and joint.name == "source+target"


def test_no_grouping() -> None:
    assert pair(grouping="none")(*views()).groups is None


def test_what_divides_the_target() -> None:
    source, target, shown = views()
    for target_mask, label in (("source", source.label), ("pseudo", target.label), ("mixed", shown.label)):
        torch.manual_seed(4)
        groups = pair(target_mask=target_mask)(source, target, shown).groups
        assert groups is not None and label is not None and source.label is not None
        first = [source.label[0][groups[0, 0, 0] == 1].unique(), label[0][groups[0, 1, 0] == 1].unique()]
        assert torch.equal(first[0], first[1])
