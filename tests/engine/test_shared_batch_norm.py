"""Shared batch norms of a process alone; what two processes learn with them is in ``test_two_equal_one.py``."""

import torch
from torch import nn

from segue.models.batch_norms import share_statistics


def test_alone_it_is_a_plain_batch_norm() -> None:
    plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    share_statistics(nn.Sequential(shared))
    maps = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(maps), shared(maps)) and torch.equal(plain.running_var, shared.running_var)
