"""A protocol becomes the right predictor, refuses nonsense, and says in plain values what it did."""

import json

import pytest
import torch

from segue.evaluation.predictors import SMALLEST, predictor_of, whole
from segue.protocol import PredictionProtocol


def sides(model) -> list[tuple[int, ...]]:
    return [shape[-2:] for shape in model.seen]


def test_auto_slides_over_pictures_more_than_twice_the_window(pixelwise, picture) -> None:
    model = pixelwise()
    predictor = predictor_of(model, PredictionProtocol(window=(40, 40)))
    predictor(picture(80, 80))
    predictor(picture(40, 81))
    assert sides(model) == [(80, 80)] + [(40, 40)] * 4


def test_modes_are_what_they_say(pixelwise, picture) -> None:
    model = pixelwise()
    predictor_of(model, PredictionProtocol(window=(40, 40), mode="whole"))(picture(40, 90))
    predictor_of(model, PredictionProtocol(window=(40, 40), mode="sliding", overlap=0.0))(picture(40, 80))
    assert sides(model) == [(40, 90), (40, 40), (40, 40)]


def test_test_time_augmentation_multiplies_the_passes(pixelwise, picture) -> None:
    model = pixelwise()
    predictor = predictor_of(model, PredictionProtocol(window=(64, 64), flip=True, scales=(0.75, 1.0)))
    predictor(picture(64, 80))
    assert sides(model) == [(48, 60), (64, 80)] * 2


def test_resize_comes_first_and_the_answer_has_the_pictures_size(pixelwise, picture) -> None:
    model = pixelwise()
    probability = predictor_of(model, PredictionProtocol(window=(64, 64), resize=(64, 128)))(
        picture(200, 300)
    )
    assert sides(model) == [(64, 96)]
    assert probability.shape[-2:] == (200, 300)


def test_tiny_pictures_are_predicted(pixelwise, picture) -> None:
    model = pixelwise(stride=32)
    probability = predictor_of(model, PredictionProtocol(window=(64, 64)))(picture(1, 3))
    assert sides(model) == [(SMALLEST, SMALLEST)]
    assert probability.shape == (1, 3, 1, 3)


def test_every_mode_of_a_pixelwise_network_is_the_same(pixelwise, picture) -> None:
    model, image = pixelwise(), picture(70, 90)
    for mode in ("auto", "whole", "sliding"):
        for flip in (False, True):
            found = predictor_of(model, PredictionProtocol(window=(32, 32), mode=mode, flip=flip))(image)
            torch.testing.assert_close(found, whole(model)(image))


def test_protocol_is_plain_json() -> None:
    protocol = PredictionProtocol(
        window=(64, 96), overlap=0.25, scales=(1.0, 1.5), resize=(512, 1024), precision="bfloat16"
    )
    assert json.loads(json.dumps(protocol.to_json())) == {
        "mode": "auto",
        "window": [64, 96],
        "overlap": 0.25,
        "blend": "taper",
        "flip": False,
        "scales": [1.0, 1.5],
        "resize": [512, 1024],
        "precision": "bfloat16",
    }
    assert PredictionProtocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol
    with pytest.raises(ValueError, match="not a way to predict"):
        PredictionProtocol.from_json({"windows": [1, 1]})
    assert PredictionProtocol.from_json({"window": [1, 1]}).precision == "float32"  # what old cards leave out
    assert protocol.stride == (48, 72)
    assert PredictionProtocol(window=(3, 3), overlap=0.99).stride == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "slide"}, "choose auto, whole, sliding"),
        ({"precision": "fp8"}, "choose float32, bfloat16, float16"),
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
        PredictionProtocol(**{"window": (4, 4), **wrong})
