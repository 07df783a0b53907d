"""Predictors keep size and sum, agree where they must, and leave the network as they found it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from segue.classes import class_list
from segue.evaluation.model import Model
from segue.evaluation.predictors import (
    averaged,
    evaluating,
    fitting,
    flipped,
    padded,
    resized,
    scaled,
    sliding,
    whole,
)
from segue.types import Output


class Neighbourhood(nn.Module):
    """A segmenter that looks five pixels wide, left and right alike if asked to."""

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        weight = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        self.weight = nn.Parameter((weight + weight.flip(-1)) / 2 if symmetric else weight)

    def forward(self, image):
        return Output(nn.functional.conv2d(image, self.weight, padding=2), [], image, [])


def test_whole_gives_probabilities_at_the_images_size(pixelwise, picture) -> None:
    probability = whole(pixelwise(stride=4))(picture(33, 50, 2))
    assert probability.shape == (2, 3, 33, 50)
    assert probability.dtype == torch.float32
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(2, 33, 50))
    assert probability.min() >= 0


def test_logits_are_enlarged_before_the_softmax(pixelwise, picture) -> None:
    model, image = pixelwise(stride=2).eval(), picture(8, 8)
    logits = nn.functional.interpolate(model(image).logits, size=(8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(whole(model)(image), logits.softmax(dim=1))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.integers(1, 17), st.data())
def test_sliding_a_pixelwise_network_changes_nothing(height, width, rows, columns, data) -> None:
    model = Neighbourhood(symmetric=True)
    model.weight.data[:, :, [0, 1, 3, 4]] = 0
    model.weight.data[:, :, :, [0, 1, 3, 4]] = 0
    stride = (data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns)))
    image = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    blend = data.draw(st.sampled_from(["taper", "mean"]))
    slid = sliding(model, window=(rows, columns), stride=stride, blend=blend)(image)
    torch.testing.assert_close(slid, whole(model)(image))


def test_sliding_averages_logits_not_probabilities() -> None:
    class Position(nn.Module):
        """Says how far a pixel is from the window's left side, and nothing of the second class."""

        def forward(self, image):
            place = torch.arange(image.shape[-1]).float().expand(len(image), 1, *image.shape[-2:])
            return Output(torch.cat([place, torch.zeros_like(place)], dim=1), [], image, [])

    image = torch.zeros(1, 3, 1, 3)
    slid = sliding(Position(), window=(1, 2), stride=(1, 1), blend="mean")(image)[0, 0, 0]
    torch.testing.assert_close(slid, torch.tensor([0.0, 0.5, 1.0]).sigmoid())


def test_sliding_shows_the_network_windows_only(pixelwise, picture) -> None:
    model = pixelwise()
    sliding(model, window=(16, 16), stride=(8, 8))(picture(20, 40, 2))
    assert model.seen == [(2, 3, 16, 16)] * 8
    model.seen.clear()
    sliding(model, window=(16, 64), stride=(8, 8))(picture(9, 40))
    assert model.seen == [(1, 3, 9, 40)]


@pytest.mark.parametrize("stride", [(9, 8), (8, 0)])
def test_impossible_windows_are_refused_at_once(pixelwise, stride) -> None:
    with pytest.raises(ValueError, match="stride must be 1 to the window's side"):
        sliding(pixelwise(), window=(8, 8), stride=stride)


def test_flip_averaging_a_symmetric_network_changes_nothing(picture) -> None:
    image = picture(9, 14)
    symmetric = whole(Neighbourhood(symmetric=True))
    torch.testing.assert_close(flipped(symmetric)(image), symmetric(image))
    lopsided = whole(Neighbourhood(symmetric=False))
    assert (flipped(lopsided)(image) - lopsided(image)).abs().max() > 0.01
    torch.testing.assert_close(flipped(lopsided)(image.flip(-1)).flip(-1), flipped(lopsided)(image))


def test_scaled_predicts_at_every_scale_and_returns_to_size(pixelwise, picture) -> None:
    model, image = pixelwise(), picture(10, 15)
    probability = scaled(whole(model), [0.5, 1.0, 2.0])(image)
    assert [shape[-2:] for shape in model.seen] == [(5, 8), (10, 15), (20, 30)]
    assert probability.shape == (1, 3, 10, 15)
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(1, 10, 15))
    torch.testing.assert_close(scaled(whole(model), [1.0])(image), whole(model)(image))


def test_a_uniform_image_is_the_same_at_any_scale(pixelwise) -> None:
    image = torch.full((1, 3, 12, 7), 0.3)
    predictor = whole(pixelwise())
    torch.testing.assert_close(scaled(predictor, [0.3, 1.7])(image), predictor(image))


def test_averaged_is_the_mean(pixelwise, picture) -> None:
    image, one, other = picture(4, 4), whole(pixelwise()), whole(Neighbourhood(symmetric=False))
    same = averaged([one, one, one])(image)
    torch.testing.assert_close(same, one(image))
    four = whole(pixelwise(4))
    torch.testing.assert_close(averaged([four, other])(image), (four(image) + other(image)) / 2)


def test_nothing_to_average_is_refused(pixelwise) -> None:
    with pytest.raises(ValueError, match="nothing to average"):
        averaged([])
    with pytest.raises(ValueError, match="at least one, each above 0"):
        scaled(whole(pixelwise()), [])
    with pytest.raises(ValueError, match="at least one, each above 0"):
        scaled(whole(pixelwise()), [1.0, 0.0])


def test_resized_predicts_at_the_other_size(pixelwise, picture) -> None:
    model, image = pixelwise(), picture(10, 20)
    probability = resized(whole(model), lambda size: (size[0] // 2, size[1] // 2))(image)
    assert model.seen == [(1, 3, 5, 10)]
    assert probability.shape == (1, 3, 10, 20)
    same = resized(whole(model), lambda size: size)(image)
    torch.testing.assert_close(same, whole(model)(image), rtol=0, atol=0)


def test_images_are_shrunk_as_data_sets_shrink_them() -> None:
    seen = []
    pixels = torch.randint(0, 256, (20, 31, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    image = pixels.permute(2, 0, 1)[None].float()
    resized(lambda small: (seen.append(small), small)[1], lambda _: (7, 12))(image)
    pillow = np.asarray(Image.fromarray(pixels.numpy()).resize((12, 7), Image.Resampling.BILINEAR))
    assert (seen[0][0].permute(1, 2, 0) - torch.from_numpy(pillow.copy())).abs().max() < 1.0


def test_small_images_are_padded_and_large_ones_are_not(pixelwise, picture) -> None:
    model = pixelwise()
    image = picture(1, 5)
    torch.testing.assert_close(padded(whole(model), least=8)(image), whole(model)(image))
    padded(whole(model), least=8)(picture(9, 3))
    padded(whole(model), least=8)(picture(8, 30))
    assert model.seen == [(1, 3, 8, 8), (1, 3, 1, 5), (1, 3, 9, 8), (1, 3, 8, 30)]


def test_fitting_chooses_by_both_sides(picture) -> None:
    choose = fitting(lambda image: image[:, :1], lambda image: image[:, :2], largest=(4, 6))
    assert [choose(picture(*size)).shape[1] for size in ((4, 6), (5, 6), (4, 7), (1, 1))] == [1, 2, 2, 1]


def test_every_module_returns_to_its_mode_even_after_an_error(pixelwise, picture) -> None:
    model = pixelwise().train()
    model.norm.eval()
    running = model.norm.running_mean.clone()
    first = whole(model)(picture(6, 6))
    torch.testing.assert_close(first, whole(model)(picture(6, 6)), rtol=0, atol=0)
    assert (model.training, model.norm.training, model.dropout.training) == (True, False, True)
    torch.testing.assert_close(model.norm.running_mean, running)
    with pytest.raises(RuntimeError, match="broken"), evaluating(model):
        assert not model.dropout.training
        raise RuntimeError("broken")
    assert model.dropout.training


def test_no_gradient_is_kept(pixelwise, picture) -> None:
    assert not whole(pixelwise())(picture(4, 4)).requires_grad
    assert not sliding(pixelwise(), window=(4, 4), stride=(2, 2))(picture(9, 9)).requires_grad


def test_half_precision_networks_give_float32_probabilities(pixelwise, picture) -> None:
    model, image = pixelwise(stride=2), picture(16, 16)
    for predictor in (
        whole(model, dtype=torch.bfloat16),
        sliding(model, window=(8, 8), stride=(4, 4), dtype=torch.bfloat16),
    ):
        probability = predictor(image)
        assert probability.dtype == torch.float32
        torch.testing.assert_close(probability.sum(dim=1), torch.ones(1, 16, 16))
    torch.testing.assert_close(
        whole(model, dtype=torch.bfloat16)(image), whole(model)(image), atol=0.03, rtol=0
    )


def test_pictures_are_normalised_in_grey_levels() -> None:
    image = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    model = Model(lambda image: image, class_list(["a"]), (0, 10, 20), (1, 2, 5), torch.device("cpu"))
    found = model.normalised(image)
    assert found.flatten().tolist() == [10.0, 5.0, 2.0]


def test_predictors_compose(pixelwise, picture) -> None:
    model = pixelwise(4, stride=4)
    predictor = flipped(scaled(sliding(model, window=(16, 16), stride=(12, 12)), [0.75, 1.25]))
    probability = averaged([predictor, whole(model)])(picture(37, 61, 2))
    assert probability.shape == (2, 4, 37, 61)
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(2, 37, 61))
