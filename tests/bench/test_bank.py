"""The benchmark of the instance bank measures a step with a full bank against one without."""

import pytest
import torch

from segue.bench import bank
from segue.bench.step import noise_batch, one_step


@pytest.mark.slow
def test_rows() -> None:
    rows = bank.rows(encoder="mit_nano", size=64, batch=1, instances=20, repeats=1)
    assert [row["name"] for row in rows] == ["dida_peak_memory", "dida_step_time"]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)


@pytest.mark.slow
def test_the_bank_is_full_when_it_is_measured() -> None:
    torch.manual_seed(0)
    method = bank._method("mit_nano", 128, 20).train()
    data = noise_batch(1, 128, torch.device("cpu"))
    for number in range(3):
        one_step(method, data, number)
    assert method.terms["instance_bank"].filled.all()
