"""The benchmark of a training step compares any recipe with DACS, in time and memory."""

import pytest

from segue.bench import beside_dacs
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS


@pytest.mark.slow
def test_any_recipe_is_compared_with_another() -> None:
    """Without files: a recipe in stages has the step of its own method."""
    small = {"network": {"encoder": "mit_nano"}, "data": {"crop": [64, 64], "batch": 1}}
    own, base = (experiment(name, PAIRS["street_scenes"], small) for name in ("sac", "dacs"))
    step_time, memory = beside_dacs.rows(own, base, repeats=1, device="cpu")
    assert step_time["name"] == "sac_mit_nano_step" and step_time["ratio"] > 0
    assert memory["unit"] == "MiB" and memory["value"] > 100 and memory["peer"].startswith("dacs")
