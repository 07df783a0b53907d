"""Patches are described by the classes of their quarters alone, and groups of them are found whatever their order."""

import torch

from segue.ops.patches import k_means, nearest, patch_grid, patch_histograms

GENERATOR = torch.Generator().manual_seed(0)


def test_pixels_may_change_places_within_a_quarter() -> None:
    label = torch.randint(0, 3, (1, 8, 16), generator=GENERATOR)
    shares, labelled = patch_histograms(label, (2, 2), 3)
    assert shares.shape == (1, 2, 2, 12) and bool(labelled.all())
    assert torch.allclose(shares.view(1, 2, 2, 4, 3).sum(-1), torch.ones(()))
    swapped = label.clone()
    swapped[0, 0, 0], swapped[0, 1, 3] = label[0, 1, 3].item(), label[0, 0, 0].item()  # both in 2 x 4 pixels
    assert torch.equal(patch_histograms(swapped, (2, 2), 3)[0], shares)
    mirrored = patch_histograms(label.flip(-1), (2, 2), 3)[0]
    assert not torch.equal(mirrored, shares)


def test_by_hand_with_ignored_pixels() -> None:
    label = torch.tensor([[[0, 1, 255, 255], [0, 0, 255, 255]]])
    shares, labelled = patch_histograms(label, (1, 2), 2)
    # Quarters of the first patch, row by row: class 0; class 1; class 0; class 0.
    assert shares[0, 0, 0].tolist() == [1, 0, 0, 1, 1, 0, 1, 0]
    assert labelled.tolist() == [[[True, False]]] and not shares[0, 0, 1].any()


def test_the_grid_has_whole_patches() -> None:
    assert patch_grid((512, 1024), (32, 64)) == (16, 16)
    assert patch_grid((224, 288), (32, 64)) == (7, 4)
    assert patch_grid((16, 32), (32, 64)) == (1, 1)


def test_groups_that_are_apart_are_found() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    group = torch.randint(0, 3, (300,), generator=GENERATOR)
    points = centres[group] + 0.1 * torch.randn(300, 2, generator=GENERATOR)
    found = k_means(points, 3, generator=torch.Generator().manual_seed(1))
    same = nearest(centres, found)
    assert sorted(same.tolist()) == [0, 1, 2]
    assert torch.equal(nearest(points, found), same[group])
    assert torch.allclose(found[same], centres, atol=0.1)


def test_fewer_points_than_groups() -> None:
    points = torch.eye(2).repeat(3, 1)
    found = k_means(points, 4, generator=torch.Generator().manual_seed(1))
    assert found.shape == (4, 2) and torch.allclose(found[nearest(points, found)], points)
