"""The benchmarks of a training step run for every recipe that they know, and their phases fill the step."""

import pytest

from segue.bench import beside_dacs, step, windows
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS


@pytest.mark.slow
@pytest.mark.parametrize("recipe", step.RECIPES)
def test_phases_of_a_step(recipe: str) -> None:
    rows = {row["name"]: row for row in step.rows(recipe, encoder="mit_nano", size=128, batch=1, repeats=1)}
    name = f"{recipe}_mit_nano"
    assert rows[f"{name}_step"]["ratio"] == 1
    passes = [view + way for view in ("source", "target") for way in ("_forward", "_backward")]
    if recipe == "mic":
        passes += ["masked_forward", "masked_backward"]
    assert 0 < sum(rows[f"{name}_{phase}"]["ratio"] for phase in passes) < 1


def test_a_recipe_that_is_not_timed() -> None:
    with pytest.raises(ValueError, match="daformer, hrda, mic can be timed"):
        step.rows("dacs")


@pytest.mark.slow
def test_any_recipe_is_compared_with_another() -> None:
    """Without files: a recipe in stages has the step of its own method."""
    small = {"network": {"encoder": "mit_nano"}, "data": {"crop": [64, 64], "batch": 1}}
    own, base = (experiment(name, PAIRS["street_scenes"], small) for name in ("sac", "dacs"))
    step_time, memory = beside_dacs.rows(own, base, repeats=1, device="cpu")
    assert step_time["name"] == "sac_mit_nano_step" and step_time["ratio"] > 0
    assert memory["unit"] == "MiB" and memory["value"] > 100 and memory["peer"].startswith("dacs")


@pytest.mark.slow
def test_the_peak_of_a_step_is_measured_for_both() -> None:
    (row,) = windows.rows("hrda", encoder="mit_nano", size=128, batch=1)
    assert row["name"] == "hrda_mit_nano_peak_memory" and row["unit"] == "MiB"
    assert 100 < row["value"] < 4000 and 100 < row["peer_value"] < 4000
