"""Pictures with their depth, from a folder of files with the same names."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from segue.data.dataset import Dataset
from segue.data.decoding import alike, shape_complaint
from segue.data.depth_file import DepthSettings, read_depth, require_depth
from segue.data.file_names import Paths, Texts
from segue.data.folder_files import find_files
from segue.data.part import Chosen
from segue.data.picture_files import PictureFiles, in_threads
from segue.progress import counting


class WithDepth(Chosen):
    """Pictures of a data set, and how near what they show is.

    A depth may be of another size than its picture, if it shows all of it.

    Args:
        files: By the names of pictures, and perhaps more.
    """

    def __init__(self, whole: Dataset, files: Mapping[str, Path], settings: DepthSettings) -> None:
        super().__init__(whole, range(len(whole)))
        self.has_depth = True
        names = Texts(whole.name(index) for index in range(len(whole)))
        self._files = Paths(names, (files[name] for name in names))
        self._settings = settings

    def depth(self, index: int) -> Float[Tensor, "dh dw"]:
        """What the file's values stand for."""
        return torch.from_numpy(self._settings.nearness()[read_depth(self._files[index])])

    @property
    def depth_files(self) -> dict[str, Path]:
        """The files, by the names of pictures."""
        return dict(zip(self._files.names, self._files, strict=True))

    def check(self) -> None:
        """As the whole does, and that each depth is a file of the right kind and of its picture's shape."""
        super().check()
        with counting("checking depth", len(self)) as done:
            for place in in_threads(self._check, len(self)):
                done(place)

    def _check(self, index: int) -> None:
        path = self._files[index]
        own, whole = require_depth(path), self.whole
        while isinstance(whole, Chosen):
            index, whole = whole.places[index], whole.whole
        if isinstance(whole, PictureFiles) and not alike(whole.size(index), own):
            raise ValueError(shape_complaint(path, whole.size(index), own))


def with_depth(whole: Dataset, settings: DepthSettings | None, root: Path, role: str) -> Dataset:
    """A data set with the depth that settings name; as it is if it knows depth by itself.

    Args:
        root: The domain's folder.
        role: The domain, for messages.

    Raises:
        FileNotFoundError: If the folder of depth files, or one of them, is missing.
        ValueError: If nobody knows how far things are.
    """
    if settings is None and whole.has_depth:
        return whole
    if settings is None:
        raise ValueError(
            f"this recipe learns how far things are, which the {role} does not say: name a folder of 16-bit depth files"
            f" by data.{role}.depth.folder=DIR; `segue depth` makes one from left and right pictures"
        )
    folder = (root / settings.folder.expanduser()).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; correct data.{role}.depth.folder, or see `segue depth`"
        )
    found = find_files(folder, suffix=settings.suffix)
    names = [whole.name(index) for index in range(len(whole))]
    lost = [name for name in names if name not in found]
    if lost:
        raise FileNotFoundError(
            f"{folder}: no depth {lost[0]}{settings.suffix}.png; {len(lost)} of {len(names)} pictures have none: make"
            f" them, or correct data.{role}.depth.folder or .suffix"
        )
    return WithDepth(whole, found, settings)
