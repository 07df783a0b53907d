"""Labels of rounds: seen mirrored and in a scale, with a prior, soft where asked for; numbers of the official code."""

import io
import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from tests.parity import numbers
from tests.tiny import tiny, write_model
from torch import Tensor

from segue import progress
from segue.classes import class_list
from segue.data.decoding import read_label
from segue.data.streets.dataset import StreetScenes
from segue.evaluation.labelling import (
    class_balanced,
    confidences,
    label_pictures,
    most_probable,
)
from segue.evaluation.model import Model, TrainedModel
from segue.evaluation.predictors import weighed
from segue.evaluation.soft_labels import open_soft_labels
from segue.methods import rounds
from segue.methods.rounds import RoundSettings
from segue.ops.balance import balanced_label, class_thresholds, regularised_soft_label
from segue.types import IGNORE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cbst(fixtures_dir: Path) -> dict[str, Tensor]:
    return numbers(fixtures_dir, "cbst_thresholds")


def told(cbst: dict[str, Tensor]) -> tuple[Model, dict[str, int]]:
    """Somebody who says of picture number n what the official network said of it."""
    probability = cbst["probabilities"].permute(0, 3, 1, 2)

    def predict(image: Tensor) -> Tensor:
        return probability[int(image[0, 0, 0, 0])][None]

    names = [str(number) for number in range(19)]
    return Model(predict, class_list(names), (0, 0, 0), (1, 1, 1), CPU), {"x": 0, "y": 1, "z": 2}


def looked(model: Model, image: Tensor) -> Tensor:
    return model.probabilities(image[None])[0]


def numbered(number: int) -> Tensor:
    return torch.full((3, 18, 22), number, dtype=torch.uint8)


def test_thresholds_mining_and_labels_of_a_folder_equal_the_official_code(
    cbst: dict[str, Tensor], tmp_path: Path
) -> None:
    model, pictures = told(cbst)
    balance = rounds.measure(model, pictures, read=numbered, every=4, portion=0.2)
    assert list(balance.thresholds.values()) == cbst["case/p20_ds4/threshold"].tolist()
    assert list(balance.predicted.values()) == cbst["pixels_per_class"].tolist()
    mined = cbst["case/p20_ds4_mine02/mine_id"]
    assert sorted(balance.rare(0.02)) == sorted(str(int(name)) for name in mined)
    rounds.keep(balance, tmp_path)
    assert rounds.kept(tmp_path) == balance and rounds.kept(tmp_path / "nothing") is None
    label_pictures(model, pictures, tmp_path, rule=balance.rule(None), read=numbered)
    for name, number in pictures.items():
        expected = cbst["case/p20_ds4/label"][number]
        assert torch.equal(torch.from_numpy(read_label(tmp_path / "index" / f"{name}.png")), expected)


def test_thresholds_and_labels_say_how_far_they_are(
    cbst: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By themselves, so that a run's stages do, too."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    (model, pictures), said = told(cbst), io.StringIO()
    with progress.showing(Console(file=said, width=200)):
        confidences(model, pictures, read=numbered)
        label_pictures(model, pictures, tmp_path, read=numbered)
    for title in ("looking for thresholds", "labelling"):
        assert f"{title}  1/3\n" in said.getvalue() and f"{title}  2/3\n" in said.getvalue()


def test_soft_labels_are_stored_in_full_size(cbst: dict[str, Tensor], tmp_path: Path) -> None:
    """What LRENT learns: the official soft labels, to half a byte's step, and the official ids beside them."""
    model, pictures = told(cbst)
    rule = class_balanced(cbst["case/lrent_p20_ds4/threshold"], alpha=0.25)
    label_pictures(model, pictures, tmp_path, rule=rule, read=numbered)
    read = pickle.loads(pickle.dumps(open_soft_labels(tmp_path, model.classes)))  # as it travels to a worker
    for name, number in pictures.items():
        expected = cbst["case/lrent_p20_ds4/label"][number]
        assert torch.equal(torch.from_numpy(read_label(tmp_path / "index" / f"{name}.png")), expected)
        kept = expected != IGNORE
        difference = read(name).float() / 255 - cbst["case/lrent_p20_ds4/soft_label"][number]
        assert float(difference[kept].abs().max()) <= 0.5 / 255 + 1e-4


def test_probabilities_that_are_no_soft_labels_are_refused(cbst: dict[str, Tensor], tmp_path: Path) -> None:
    model, pictures = told(cbst)
    label_pictures(model, pictures, tmp_path / "small", rule=most_probable(), read=numbered, soft=True)
    with pytest.raises(ValueError, match=r"x\.npz: probabilities of a smaller size"):
        open_soft_labels(tmp_path / "small", model.classes)("x")
    with pytest.raises(ValueError, match="other classes"):
        open_soft_labels(tmp_path / "small", class_list(["a", "b"]))
    label_pictures(model, pictures, tmp_path / "hard", rule=most_probable(), read=numbered)
    with pytest.raises(FileNotFoundError, match=r"no soft labels in it .* method\.soft=false"):
        open_soft_labels(tmp_path / "hard", model.classes)


def test_a_prior_counts_in_thresholds_and_in_labels(cbst: dict[str, Tensor], tmp_path: Path) -> None:
    """Both are made of probabilities times the prior, enlarged to the picture."""
    model, pictures = told(cbst)
    small = torch.rand(19, 6, 11, generator=torch.Generator().manual_seed(0))
    maps = F.interpolate(small[None], (18, 22), mode="bilinear", align_corners=False)
    product = cbst["probabilities"].permute(0, 3, 1, 2) * maps
    expecting = Model(weighed(model.predictor, small), model.classes, model.mean, model.std, CPU)
    found = confidences(expecting, pictures, read=numbered, every=1)
    assert found.pixels.tolist() == torch.bincount(product.argmax(1).flatten(), minlength=19).tolist()
    for name, values in enumerate(found.values()):
        torch.testing.assert_close(values, product.amax(1)[product.argmax(1) == name])
    thresholds = class_thresholds(found.values(), 0.5)
    label_pictures(expecting, pictures, tmp_path, rule=class_balanced(thresholds), read=numbered)
    expected = balanced_label(product, thresholds)
    for name, number in pictures.items():
        found = torch.from_numpy(read_label(tmp_path / "index" / f"{name}.png"))
        assert (
            float((found == expected[number]).float().mean()) > 0.999
        )  # rounding of a pixel at its threshold


def test_rounds_look_at_a_picture_mirrored_and_in_a_scale(tmp_path: Path) -> None:
    write_model(tiny("cbst"), tmp_path)
    scenes = StreetScenes("target", split="train", count=1)
    image = scenes.image(0)
    found = looked(rounds.round_model(tmp_path, RoundSettings(flip=True, scales=[0.5]), None, CPU), image)
    plain = TrainedModel.load(tmp_path, CPU)
    small = (round(0.5 * image.shape[1]), round(0.5 * image.shape[2]))

    def look(picture: Tensor) -> Tensor:
        levels = [torch.tensor(values).view(3, 1, 1) for values in (plain.mean, plain.std)]
        pixels = ((picture.float() - levels[0]) / levels[1])[None]
        shrunk = F.interpolate(pixels, small, mode="bilinear", align_corners=False, antialias=True)
        predicted = plain.predictor(shrunk)
        return F.interpolate(predicted, image.shape[1:], mode="bilinear", align_corners=False)[0]

    expected = (look(image) + look(image.flip(2)).flip(2)) / 2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, looked(plain, image), atol=1e-3)


def test_a_rule_says_what_it_is_made_of(cbst: dict[str, Tensor]) -> None:
    """Hard and soft rules of the same thresholds are the functions that were compared with the official code."""
    probability = cbst["probabilities"].permute(0, 3, 1, 2)[0]
    thresholds = cbst["case/p20_ds4/threshold"]
    hard = class_balanced(thresholds)(probability)
    assert hard.soft is None and torch.equal(hard.hard, balanced_label(probability[None], thresholds)[0])
    soft = class_balanced(thresholds, alpha=0.5)(probability)
    learnt, label = regularised_soft_label(probability[None], thresholds, alpha=0.5)
    assert soft.soft is not None and torch.equal(soft.soft, learnt[0]) and torch.equal(soft.hard, label[0])
    assert json.dumps(thresholds.tolist())  # thresholds survive being written as JSON
    assert torch.equal(torch.tensor(json.loads(json.dumps(thresholds.tolist()))), thresholds)
