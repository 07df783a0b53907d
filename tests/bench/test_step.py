"""The benchmarks of a training step run for every recipe that they know, and their phases fill the step."""

import pytest

from segue.bench import step, windows


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
def test_the_peak_of_a_step_is_measured_for_both() -> None:
    (row,) = windows.rows("hrda", encoder="mit_nano", size=128, batch=1)
    assert row["name"] == "hrda_mit_nano_peak_memory" and row["unit"] == "MiB"
    assert 100 < row["value"] < 4000 and 100 < row["peer_value"] < 4000
