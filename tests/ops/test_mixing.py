"""ClassMix pastes what the official code pastes, draws half of the classes, and never copies to the host."""

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.parity import numbers

from segue.ops import mixing


def table(*rows: list[int]) -> torch.Tensor:
    chosen = torch.zeros(len(rows), 256, dtype=torch.bool)
    for row, values in zip(chosen, rows, strict=True):
        row[values] = True
    return chosen


def test_mixed_images_labels_and_weights_equal_the_official_ones(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "classmix")
    label = data["label"].squeeze(1).long()
    mask = mixing.class_mask(label, table(data["chosen0"].tolist(), data["chosen1"].tolist()))
    image = mixing.paste(mask, data["img"], data["target_img"])
    mixed = mixing.paste(mask, label, data["target_label"].long())
    weight = mixing.paste(mask, torch.ones(label.shape), torch.full(label.shape, 0.37))
    for i in range(2):
        assert torch.equal(mask[i], data[f"mask{i}"].squeeze().bool())
        assert torch.equal(image[i : i + 1], data[f"mixed_img{i}"])
        assert torch.equal(mixed[i], data[f"mixed_label{i}"].squeeze().long())
        assert torch.equal(weight[i], data[f"mixed_weight{i}"].squeeze())


def test_batch_pool_is_the_union_that_the_official_code_draws_from(fixtures_dir: Path) -> None:
    data = numbers(fixtures_dir, "classmix")
    label = data["label"].squeeze(1).long()
    drawn = mixing.draw_classes(label, "batch", torch.Generator().manual_seed(0))
    union = set(label.unique().tolist())
    for i in range(2):
        official = data[f"seeded_choice{i}"].tolist()
        assert set(official) <= union
        assert int(drawn[i].sum()) == len(official) == (len(union) + 1) // 2
        assert set(drawn[i].nonzero().flatten().tolist()) <= union


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 3, 7, 18, 255]), min_size=12, max_size=12), st.integers(0, 1000))
def test_half_of_the_present_classes_rounded_up(values: list[int], seed: int) -> None:
    label = torch.tensor(values).view(2, 2, 3)
    drawn = mixing.draw_classes(label, "image", torch.Generator().manual_seed(seed))
    for i in range(2):
        present = set(label[i].unique().tolist())
        chosen = set(drawn[i].nonzero().flatten().tolist())
        assert chosen <= present
        assert len(chosen) == (len(present) + 1) // 2


def test_every_class_is_drawn_equally_often() -> None:
    label = torch.tensor([0, 1, 2, 3]).view(1, 2, 2).expand(4000, 2, 2)
    share = mixing.draw_classes(label, "image", torch.Generator().manual_seed(1))[:, :4].float().mean(0)
    assert torch.allclose(share, torch.full((4,), 0.5), atol=0.04)
