"""Pictures whose pixels say where they are, as a data set and as files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from segue.classes import class_list
from segue.data.dataset import Dataset

ABC = class_list(["a", "b", "c"])


class Grid(Dataset):
    """Red is the row, green the column, blue the picture; the label is a function of row and column."""

    def __init__(self, count: int = 5, height: int = 40, width: int = 60) -> None:
        self.classes = ABC
        self.count, self.height, self.width = count, height, width

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"grid/{index}"

    def image(self, index: int) -> Tensor:
        rows = torch.arange(self.height, dtype=torch.uint8).view(-1, 1).expand(self.height, self.width)
        columns = torch.arange(self.width, dtype=torch.uint8).view(1, -1).expand(self.height, self.width)
        return torch.stack([rows, columns, torch.full_like(rows, index)])

    def label(self, index: int) -> Tensor:
        image = self.image(index).int()
        return ((image[0] // 8 + image[1] // 8 + index) % 3).to(torch.uint8)

    def fingerprint(self) -> str:
        return f"grid {self.count} {self.height} {self.width}"


@pytest.fixture
def grid() -> Grid:
    return Grid()


WriteFolder = Callable[..., Path]


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Writes images and labels of given names, 6 x 8 pixels, label values 0 and 1 in two halves."""

    def write(
        names: list[str],
        *,
        root: str = "set",
        images: str = "images",
        labels: str | None = "labels",
        classes: object = ("a", "b"),
    ) -> Path:
        folder = tmp_path / root
        label = np.zeros((6, 8), dtype=np.uint8)
        label[3:] = 1
        for number, name in enumerate(names):
            save(np.full((6, 8, 3), number, dtype=np.uint8), folder / images / f"{name}.jpg")
            if labels is not None:
                save(label, folder / labels / f"{name}.png")
        if classes is not None:
            (folder / "classes.json").write_text(json.dumps(classes))
        return folder

    return write


@pytest.fixture
def save_picture() -> Callable[..., Path]:
    return save


def save(pixels: np.ndarray, path: Path, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path)
    return path
