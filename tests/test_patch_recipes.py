"""The papers' recipes train three steps with a plain ViT, and each does with it what it is there for."""

import io
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from segue.engine.stages import train
from segue.models.weights import load_model
from tests.tiny import ready, tiny

QUIET = Console(file=io.StringIO())
SEEN = {
    "daformer": "source/feature_distance",
    "daformer_mic": "masked/segmentation",
    "stct_mha": "target/segmentation",
    "clda": "target/segmentation",
    "ssr": "target/frozen_regularizer",
}
"""By recipe, what its log has to name."""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", list(SEEN))
def test_three_steps(recipe: str, tmp_path: Path) -> None:
    wishes = {
        "daformer": {"terms": {"feature_distance": {"classes": ["road"]}}},
        "stct_mha": {"method": {"pair": {"resample": "block"}}},
        "ssr": {"terms": {"frozen_regularizer": {"encoder": "vit_nano_deep", "image_size": 96}}},
    }
    network = {"encoder": "vit_nano", "drop_path": 0.1}
    wanted = ready(tiny(recipe, {"network": network}, wishes.get(recipe, {})), tmp_path / "large")
    scores = train(wanted, tmp_path / "run", console=QUIET, cpu=True)
    assert scores is not None and 0 <= scores["mean_iou"] <= 1
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2] and SEEN[recipe] in rows[0]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    loaded, card = load_model(tmp_path / "run" / "model")
    assert card.network["encoder"] == "vit_nano" and not any("frozen" in name for name in loaded.state_dict())
    with torch.no_grad():
        assert loaded(torch.rand(1, 3, 50, 70)).logits.isfinite().all()
    if recipe == "clda":
        moved = _moved_blocks(tmp_path)
        content = json.loads((tmp_path / "run" / "teacher_layers.json").read_text())
        assert [len(stage) for stage in content["saliency"]["stages"]] == [2, 2, 2, 2]
        assert moved and all(name.startswith("encoder.vit.blocks.") for name in moved)


def _moved_blocks(folder: Path) -> set[str]:
    """The large teacher's tensors that are no longer those that it began with."""
    last = sorted((folder / "run" / "checkpoints").iterdir())[-1]
    before, after = load_file(folder / "large" / "model.safetensors"), {}
    for file in last.glob("*.safetensors"):
        after |= {
            name.removeprefix("teacher.network."): value
            for name, value in load_file(file).items()
            if name.startswith("teacher.network.")
        }
    assert after.keys() == before.keys()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}
