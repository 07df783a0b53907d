"""What `segue check` shows: crops of both domains, and how a method changes the colours of the target's."""

import numpy as np
import pytest
from tests.tiny import tiny

from segue.engine.domains import open_domain
from segue.engine.preview import draw_preview
from segue.recipes.catalogue import experiment
from segue.recipes.pairs import PAIRS

STRONG = {"strength": 0.5, "jitter_probability": 1.0, "blur_probability": 1.0}


@pytest.mark.parametrize(
    ("recipe", "method"),
    [
        ("daformer", {"augment": STRONG}),
        ("sac", {"augment": STRONG}),
        ("proda", {"strong": {"augment": STRONG}}),
    ],
)
def test_changed_colours_are_shown(recipe: str, method: dict) -> None:
    shown = draw_preview(tiny(recipe, {"method": method}))
    assert len(shown.changed) == len(shown.target) > 0
    assert not any(np.array_equal(one, other) for one, other in zip(shown.target, shown.changed, strict=True))


@pytest.mark.parametrize(("recipe", "method"), [("source_only", {}), ("daformer", {"augment": None})])
def test_where_none_are_changed_none_are_shown(recipe: str, method: dict) -> None:
    assert draw_preview(tiny(recipe, {"method": method})).changed == []


def test_a_class_map_of_a_list_of_numbers_is_refused_instead_of_ignored() -> None:
    target = {"dataset": "image_list", "class_map": {"car": "bus"}}
    data = experiment("cdan", PAIRS["visda_2017"], {"data": {"target": target}}).data
    with pytest.raises(
        ValueError, match=r"its numbers count data\.classes; leave out data\.target\.class_map"
    ):
        open_domain(data, data.target, labelled=False)
