"""An evaluation scores at label size, says how it measured, checks labels, and shares work over processes."""

import json
from pathlib import Path

import pytest
import torch
from tests.processes import MEETING, POSIX, on_two

from segue.classes import class_list
from segue.evaluation.kept_pictures import PictureKeeper
from segue.evaluation.model import Model
from segue.evaluation.predictors import classify, whole
from segue.evaluation.scoring import Compared, evaluate
from segue.ranks import join
from segue.types import IGNORE

CLASSES = class_list(["red", "green", "blue"])


def brightest(image):
    """The class of a pixel is its brightest colour."""
    return (image * 10).softmax(dim=1)


def model(predictor=brightest) -> Model:
    return Model(predictor, CLASSES, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), torch.device("cpu"))


def pictures_of_colours(ids: list[list[list[int]]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    labels = [torch.tensor(rows, dtype=torch.uint8) for rows in ids]
    images = [
        torch.nn.functional.one_hot(label.long(), 3).permute(2, 0, 1).mul(255).byte() for label in labels
    ]
    return images, labels


def test_scores_by_hand(in_memory) -> None:
    images, labels = pictures_of_colours([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
    labels[1] = torch.tensor([[1, 0], [0, IGNORE]], dtype=torch.uint8)
    found = evaluate(model(), in_memory(images, labels))
    assert found.per_class_iou == pytest.approx({"red": 3 / 4, "green": 3 / 4, "blue": None})
    assert found.pixels == 7
    assert json.loads(json.dumps(found.protocol)) == {
        "classes": ["red", "green", "blue"],
        "ignored_label": 255,
        "absent_classes": "left out",
        "scored_at": "label size",
        "label_size": [2, 2],
        "pictures": 2,
    }


def test_a_class_predicted_but_nowhere_labelled_is_left_out(in_memory) -> None:
    images, _ = pictures_of_colours([[[0, 2]]])
    dataset = in_memory(images, [torch.zeros(1, 2, dtype=torch.uint8)])
    found = evaluate(model(), dataset)
    assert found.mean_iou == 0.5
    assert found.protocol["label_size"] == [1, 2]


def test_probabilities_are_brought_to_the_labels_size(in_memory) -> None:
    images, labels = pictures_of_colours([[[0, 1], [2, 1]]])
    label = labels[0].repeat_interleave(3, 0).repeat_interleave(3, 1)
    found = evaluate(model(), in_memory(images, [label]))
    assert found.pixels == 36
    assert found.accuracy == 1.0
    probability = brightest(images[0][None].float() / 255)
    enlarged = torch.nn.functional.interpolate(probability, size=(5, 7), mode="bilinear", align_corners=False)
    assert torch.equal(classify(probability, (5, 7)), enlarged.argmax(dim=1).byte())


def test_every_picture_can_be_watched(in_memory) -> None:
    images, labels = pictures_of_colours([[[0, 1]], [[2, 2]]])
    seen: list[Compared] = []
    evaluate(model(), in_memory(images, labels), watch=seen.append)
    assert [(picture.index, picture.total, picture.name) for picture in seen] == [
        (0, 2, "town/0"),
        (1, 2, "town/1"),
    ]
    assert torch.equal(seen[1].prediction, labels[1])
    assert seen[1].prediction.dtype == torch.uint8


def test_label_outside_the_class_list_names_picture_and_value(in_memory) -> None:
    images, _ = pictures_of_colours([[[0, 1]]])
    dataset = in_memory(images, [torch.tensor([[0, 7]], dtype=torch.uint8)])
    with pytest.raises(ValueError, match=r"town/0: value 7, but the classes are 0 to 2 and 255 is ignored"):
        evaluate(model(), dataset)


def test_another_number_of_classes_is_refused(in_memory, pixelwise) -> None:
    dataset = in_memory(*pictures_of_colours([[[0, 1]]]))
    with pytest.raises(ValueError, match="predicts 5 classes, but 3 are named"):
        evaluate(model(whole(pixelwise(5))), dataset)


def test_a_perfect_network_of_mixed_sizes(in_memory) -> None:
    generator = torch.Generator().manual_seed(0)
    ids = [torch.randint(0, 3, size, generator=generator).tolist() for size in ((5, 7), (1, 1), (3, 11))]
    found = evaluate(model(), in_memory(*pictures_of_colours(ids)))
    assert found.mean_iou == found.accuracy == 1.0
    assert found.pixels == 35 + 1 + 33


class Part:
    """So many of the pictures in a file."""

    def __init__(self, path: Path, count: int) -> None:
        self.content = torch.load(path, weights_only=True)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> torch.Tensor:
        return self.content["images"][index]

    def label(self, index: int) -> torch.Tensor:
        return self.content["labels"][index]


def score_a_share(rank: int, folder: Path) -> None:
    join(cpu=True, timeout=MEETING)
    found = {}
    for count in (5, 1):
        seen = []
        keeper = PictureKeeper(folder / str(count), classes=CLASSES, count=4)

        def watch(picture, seen=seen, keeper=keeper) -> None:
            seen.append(picture.index)
            keeper(picture)

        scores = evaluate(model(), Part(folder / "data.pt", count), watch=watch)
        keeper.write()
        found[str(count)] = [seen, scores.to_json()]
    (folder / f"{rank}.json").write_text(json.dumps(found))


@pytest.mark.slow
@POSIX
def test_two_processes_find_what_one_finds(in_memory, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images, _ = pictures_of_colours(torch.randint(0, 3, (5, 6, 6), generator=generator).tolist())
    labels = list(torch.randint(0, 3, (5, 6, 6), generator=generator, dtype=torch.uint8))
    torch.save({"images": images, "labels": labels}, tmp_path / "data.pt")
    on_two(score_a_share, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    for count in (5, 1):
        alone = evaluate(model(), in_memory(images[:count], labels[:count])).to_json()
        assert first[str(count)][1] == second[str(count)][1] == alone
        assert sorted(first[str(count)][0] + second[str(count)][0]) == list(range(count))
        kept = json.loads((tmp_path / str(count) / "pictures/evaluation/index.json").read_text())
        assert sorted(entry["name"] for entry in kept) == ["0", "1", "2", "3"][: min(count, 4)]
