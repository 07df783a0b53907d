"""A plan becomes the right predictor, refuses nonsense, and says in plain values what it did."""

import json
from dataclasses import replace

import pytest
import torch

from segue.evaluate.plan import SMALLEST, Plan
from segue.evaluate.predict import whole


def sides(model) -> list[tuple[int, ...]]:
    return [shape[-2:] for shape in model.seen]


def test_auto_slides_over_pictures_more_than_twice_the_window(pixelwise, picture) -> None:
    model = pixelwise()
    predictor = Plan(window=(40, 40)).predictor(model)
    predictor(picture(80, 80))
    predictor(picture(40, 81))
    assert sides(model) == [(80, 80)] + [(40, 40)] * 4


def test_modes_are_what_they_say(pixelwise, picture) -> None:
    model = pixelwise()
    Plan(window=(40, 40), mode="whole").predictor(model)(picture(40, 90))
    Plan(window=(40, 40), mode="sliding", overlap=0.0).predictor(model)(picture(40, 80))
    assert sides(model) == [(40, 90), (40, 40), (40, 40)]


def test_test_time_augmentation_multiplies_the_passes(pixelwise, picture) -> None:
    model = pixelwise()
    predictor = Plan(window=(64, 64), flip=True, scales=(0.75, 1.0)).predictor(model)
    predictor(picture(64, 80))
    assert sides(model) == [(48, 60), (64, 80)] * 2


def test_resize_comes_first_and_the_answer_has_the_pictures_size(pixelwise, picture) -> None:
    model = pixelwise()
    probability = Plan(window=(64, 64), resize=(64, 128)).predictor(model)(picture(200, 300))
    assert sides(model) == [(64, 96)]
    assert probability.shape[-2:] == (200, 300)


def test_tiny_pictures_are_predicted(pixelwise, picture) -> None:
    model = pixelwise(stride=32)
    probability = Plan(window=(64, 64)).predictor(model)(picture(1, 3))
    assert sides(model) == [(SMALLEST, SMALLEST)]
    assert probability.shape == (1, 3, 1, 3)


def test_every_mode_of_a_pixelwise_network_is_the_same(pixelwise, picture) -> None:
    model, image = pixelwise(), picture(70, 90)
    for mode in ("auto", "whole", "sliding"):
        for flip in (False, True):
            found = Plan(window=(32, 32), mode=mode, flip=flip).predictor(model)(image)
            torch.testing.assert_close(found, whole(model)(image))


def test_protocol_is_plain_json() -> None:
    plan = Plan(window=(64, 96), overlap=0.25, scales=(1.0, 1.5), resize=(512, 1024), dtype=torch.bfloat16)
    assert json.loads(json.dumps(plan.protocol())) == {
        "mode": "auto",
        "window": [64, 96],
        "overlap": 0.25,
        "blend": "taper",
        "flip": False,
        "scales": [1.0, 1.5],
        "resize": [512, 1024],
        "precision": "bfloat16",
    }
    assert Plan.from_protocol(json.loads(json.dumps(plan.protocol()))) == replace(plan, dtype=None)
    with pytest.raises(ValueError, match="not a way to predict"):
        Plan.from_protocol({"windows": [1, 1]})
    assert plan.stride == (48, 72)
    assert Plan(window=(3, 3), overlap=0.99).stride == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "slide"}, "choose auto, whole or sliding"),
        ({"window": (0, 4)}, "sides from 1"),
        ({"overlap": 1.0}, "overlap from 0"),
        ({"overlap": -0.1}, "overlap from 0"),
        ({"scales": ()}, "at least one"),
        ({"scales": (1.0, -1.0)}, "each above 0"),
        ({"resize": (0, 10)}, "at least 1"),
    ],
)
def test_nonsense_is_refused(wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**{"window": (4, 4), **wrong})
