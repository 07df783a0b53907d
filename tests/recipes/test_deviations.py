"""What a pair or a user sets otherwise than a recipe is found; the papers' own pairs set nothing otherwise."""

import pytest
from tests.tiny import PIXEL_RECIPES

from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS
from segue.recipes.classification_pairs import CLASSIFICATION_PAIRS
from segue.recipes.deviations import as_in_paper, overridden
from segue.recipes.pairs import PAIRS, STREET_SCENES


@pytest.mark.parametrize("recipe", PIXEL_RECIPES)
def test_the_papers_pairs_leave_recipes_alone(recipe: str) -> None:
    for pair in CITYSCAPES_PAIRS.values():
        assert overridden(as_in_paper(recipe, pair), experiment(recipe, pair)) == {}


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.startswith("dida")])
def test_no_pair_touches_the_instance_bank(recipe: str) -> None:
    """Lambda, K and the momentum are the paper's on every pair."""
    for name, pair in PAIRS.items():
        if name in CLASSIFICATION_PAIRS:
            continue
        found = overridden(as_in_paper(recipe, pair), experiment(recipe, pair))
        assert not [key for key in found if key.startswith("terms.instance_bank")], name
    bank = experiment("dida", STREET_SCENES).terms.instance_bank
    assert bank is not None and (bank.share, bank.size, bank.momentum, bank.interval) == (1.0, 250, 0.999, 50)


def test_what_is_set_otherwise() -> None:
    own = as_in_paper("dida", STREET_SCENES, {"terms": {"instance_bank": {"share": 0.5}}})
    wish = {
        "seed": 3,
        "data": {"root": "elsewhere"},
        "run": {"log_every": 1},
        "optim": {"clip": 1.0},
        "network": {"start": "there"},
        "terms": {"instance_bank": {"share": 2.0}},
        "method": {"margins": {"top": 0.1}},
    }
    found = overridden(own, experiment("dida", STREET_SCENES, wish), but=["network.start"])
    assert found["terms.instance_bank.share"] == "2 instead of 0.5"
    assert found["optim.clip"] == "1 instead of none" and found["method.margins.top"] == "0.1"
    assert found["terms.feature_distance"] == "left out" and "terms.feature_distance.share" not in found
    assert not {"seed", "data.root", "run.log_every", "network.start"} & found.keys()


def test_what_a_pair_changes_for_two_resolutions_is_told_too() -> None:
    changed = {
        **STREET_SCENES,
        "when": {"network.multi_resolution": {"method": {"teacher": {"momentum": 0.5}}}},
    }
    found = overridden(as_in_paper("hrda", changed), experiment("hrda", changed))
    assert found["method.teacher.momentum"] == "0.5 instead of 0.999"
