"""The benchmarks of steps, attention, the bank, fusing and the loader measure what they name."""

import pytest
import torch

from segue.bench import attention, bank, beside_dacs, collaboration, fusion, loader, sam
from segue.bench.step import noise_batch, one_step
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS


@pytest.mark.slow
def test_attention() -> None:
    rows = attention.rows(encoders=("mit_nano",), size=64, repeats=1)
    assert [row["name"].removeprefix("mit_nano_") for row in rows] == [
        "semantic_bidirectional",
        "masked_bidirectional",
        "ungrouped_bidirectional",
        "joint_peak_memory",
        "joint_checkpointed_peak_memory",
    ]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)


@pytest.mark.slow
def test_bank() -> None:
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


@pytest.mark.slow
def test_collaboration() -> None:
    rows = collaboration.rows(teacher="mit_nano_deep", student="mit_nano", size=64, batch=1, repeats=1)
    assert [row["name"] for row in rows] == ["clda_moving_step", "clda_matching_step"]
    assert all(row["value"] > 0 and row["peer_value"] > 0 for row in rows)


@pytest.mark.slow
def test_regularizer() -> None:
    rows = {
        row["name"]: row
        for row in sam.rows(encoder="mit_nano", frozen="sam_tiny", size=64, batch=1, repeats=1)
    }
    assert list(rows) == [
        "ssr_step", "ssr_frozen_forward", "ssr_cross_attention_forward", "ssr_second_decoding_forward",
    ]  # fmt: skip
    parts = [row["value"] for name, row in rows.items() if name != "ssr_step"]
    assert min(parts) > 0 and rows["ssr_step"]["value"] > 0


def test_fusing() -> None:
    (row,) = fusion.rows(pictures=2, size=(64, 128), repeats=1)
    assert row["name"] == "fuse_four_members" and row["value"] > 0 and row["peer_value"] > 0


@pytest.mark.parametrize("workers", [0, 1])
def test_loader(workers: int) -> None:
    """It reads every batch and decodes as many pictures, with and without worker processes."""
    (row,) = loader.rows(pictures=2, size=(48, 64), crop=32, batch=2, steps=2, workers=workers, repeats=2)
    assert row["name"] == "loader" and row["peer"].endswith(f": {workers}") and row["unit"] == "ms"
    assert row["value"] > 0 and row["peer_value"] > 0
    low, high = row["spread"]  # type: ignore[typeddict-item]
    assert low <= high


@pytest.mark.slow
def test_any_recipe_is_compared_with_another() -> None:
    """Without files: a recipe in stages has the step of its own method."""
    small = {"network": {"encoder": "mit_nano"}, "data": {"crop": [64, 64], "batch": 1}}
    own, base = (experiment(name, PAIRS["street_scenes"], small) for name in ("sac", "dacs"))
    step_time, memory = beside_dacs.rows(own, base, repeats=1, device="cpu")
    assert step_time["name"] == "sac_mit_nano_step" and step_time["ratio"] > 0
    assert memory["unit"] == "MiB" and memory["value"] > 100 and memory["peer"].startswith("dacs")
