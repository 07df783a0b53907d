"""Proves that the papers' pairs hold the papers' numbers, and that a sample of each trains from end to end."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import PIXEL_RECIPES, ready

from segue.cli.data import make_sample
from segue.data.published_layouts import LAYOUTS
from segue.engine.stages import train
from segue.recipes.catalogue import experiment
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS
from segue.trees import merge

TO_CITYSCAPES = ["gta5_to_cityscapes", "synthia_to_cityscapes"]
FROM_CITYSCAPES = ["cityscapes_to_acdc", "cityscapes_to_dark_zurich"]
TINY: dict[str, Any] = {
    "steps": 3,
    "network": {
        "encoder": "mit_nano", "head": "segformer", "channels": 16,
        "context": None, "auxiliary": None,  # which DeepLabV2 has
    },
    "data": {
        "source": {"resize": [72, 128]},
        "target": {"resize": [64, 128]},
        "evaluation": {"resize": [64, 128]},
        "crop": [64, 64],
        "workers": 0,
    },
    "run": {"log_every": 1, "draw_every": 2, "save_every": 3},
    "evaluation": {"pictures": 1},
    "evidence": {"pictures": 0},
}  # fmt: skip

TWO_PREDICTIONS = {"network": {"head": "deeplab_v2_se", "auxiliary": 0.5}}
TRANSLATOR = {"crop": [64, 64], "generators": {"channels": 4, "blocks": 1, "pool": 2}}
OWN: dict[str, dict[str, Any]] = {
    "corda": {"network": {"head": "segformer_tasks"}},
    **{name: {"method": {"translator": TRANSLATOR}} for name in ("dpl", "dpl_dual", "dpl_fda")},
    "mrnet": TWO_PREDICTIONS,
    "rmrnet": {**TWO_PREDICTIONS, "method": {"last": {"crop": [64, 64], "resize": [64, 128], "batch": 2}}},
}
"""What else a recipe's tiny run needs: networks as small that predict as its own do, and its last stage's sizes."""

EVERYWHERE = ("source_only", "daformer")
GUIDED = ("corda",)  # only some data sets come with depths
RUNS = [
    (name, recipe)
    for place, recipe in enumerate(PIXEL_RECIPES)
    for other, name in enumerate(CITYSCAPES_PAIRS)
    if recipe in EVERYWHERE
    or (name == TO_CITYSCAPES[0] if recipe in GUIDED else place % len(CITYSCAPES_PAIRS) == other)
]
"""Every recipe on one of the pairs in turn, two recipes on all of them."""


@pytest.mark.parametrize("name", TO_CITYSCAPES)
def test_only_the_cityscapes_car_has_margins(name: str) -> None:
    wanted = experiment("daformer", CITYSCAPES_PAIRS[name])
    margins = wanted.method.model_dump()["margins"]
    assert [round(512 * margins[side]) for side in ("top", "bottom", "left", "right")] == [15, 120, 0, 0]
    for other in FROM_CITYSCAPES:
        assert experiment("daformer", CITYSCAPES_PAIRS[other]).method.model_dump()["margins"] is None
    assert experiment("source_only", CITYSCAPES_PAIRS[name]).method.name == "source_only"


@pytest.mark.parametrize("name", list(CITYSCAPES_PAIRS))
def test_the_papers_values(name: str) -> None:
    data = experiment("daformer", CITYSCAPES_PAIRS[name]).data
    rows, columns = LAYOUTS[data.source.dataset].size
    assert data.rare_classes is not None
    assert (
        round(data.rare_classes.min_share * rows * columns) == 3000
        and data.rare_classes.min_crop_ratio == 0.5
    )
    assert len(data.classes) == 19 and data.crop == (512, 512) and data.batch == 2
    assert data.target.split == "train" and data.evaluation is not None and data.evaluation.split == "val"
    assert data.evaluation.resize == data.target.resize
    assert f"{data.source.dataset}_to_{data.target.dataset}" == name == data.pair


@pytest.mark.parametrize("name", list(CITYSCAPES_PAIRS))
def test_high_resolution_is_a_change_of_the_pair(name: str) -> None:
    pair = CITYSCAPES_PAIRS[name]
    assert experiment("daformer", pair).data.crop == (512, 512)
    wanted = experiment("hrda", pair)
    assert wanted.evaluation.mode == "sliding" and wanted.evaluation.blend == "mean"
    data = wanted.data
    assert data.crop == (1024, 1024) and data.target.resize is None
    assert data.evaluation is not None and data.evaluation.resize is None
    assert data.rare_classes is not None and data.rare_classes.min_crop_ratio == 2
    assert wanted.method.model_dump()["margins"] is None
    small = experiment("daformer", pair).data.source.resize
    if name in FROM_CITYSCAPES:
        assert data.source.resize is None and data.target.margins is None
    else:
        assert small is not None and data.source.resize == (2 * small[0], 2 * small[1])
        margins = data.target.margins
        assert margins is not None and (round(1024 * margins.top), round(1024 * margins.bottom)) == (30, 240)
        assert (round(2048 * margins.left), round(2048 * margins.right)) == (30, 30)


@pytest.mark.parametrize("recipe", ["mic", "daformer_mic"])
def test_sources_that_are_photographs_are_masked_too(recipe: str) -> None:
    for name, pair in CITYSCAPES_PAIRS.items():
        mask = experiment(recipe, pair).method.model_dump()["mask"]
        expected = ("both", False) if name in FROM_CITYSCAPES else ("target", True)
        assert (mask["pictures"], mask["augment"]) == expected
        assert (mask["block"] * experiment(recipe, pair).data.crop[0], mask["ratio"]) == (
            64 if recipe == "mic" else 32,
            0.7,
        )
        assert experiment("hrda", pair).method.model_dump()["mask"] is None


def test_synthia_is_scored_over_sixteen_and_thirteen_classes() -> None:
    for name, pair in CITYSCAPES_PAIRS.items():
        wanted = experiment("source_only", pair).evaluation
        expected = (16, {"13 classes": 13}) if name == "synthia_to_cityscapes" else (None, {})
        found = None if wanted.classes is None else len(wanted.classes)
        assert (found, {key: len(names) for key, names in wanted.also.items()}) == expected


@pytest.fixture(scope="module")
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "data"
    make_sample(request.param, folder, pictures=2, size="64x128")
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "recipe"), RUNS, indirect=["sample"])
def test_a_sample_trains_from_end_to_end(sample: tuple[str, Path], recipe: str, tmp_path: Path) -> None:
    name, folder = sample
    if (name, recipe) == ("cityscapes_to_dark_zurich", "target_supervised"):
        pytest.skip("Dark Zurich's training pictures come without labels: no oracle can be trained there")
    pair = merge(
        CITYSCAPES_PAIRS[name],
        {"when": {"terms.frozen_regularizer": {"terms": {"frozen_regularizer": {"encoder": "sam_tiny"}}}}},
    )
    wanted = ready(
        experiment(recipe, pair, TINY, OWN.get(recipe, {}), {"data": {"root": str(folder)}}),
        tmp_path / "large",
    )
    scores = train(wanted, tmp_path / "run", console=Console(file=io.StringIO()), cpu=True)
    assert scores is not None and 0 <= scores["mean_iou"] <= 1 and scores["per_class_iou"]["train"] is None
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
