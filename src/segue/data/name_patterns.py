"""Which pictures of a folder are meant, by patterns of their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class NamePatterns:
    """Shell patterns (``*``, ``?``, ``[...]``) of the pictures to take and of those to leave out.

    A pattern is compared part by part with the end of a picture's path inside its folder, without extension:
    ``0001TP*`` with the file's own name in any sub-folder, ``night/*`` with the file and the sub-folder around it. No
    star spans a slash, and capital letters count.

    Attributes:
        include: A picture is taken if one of these fits it; all are if there is none.
        exclude: A picture that one of these fits is left out all the same.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def chosen(self, files: Mapping[str, Path], folder: Path) -> Mapping[str, Path]:
        """The files that are meant, in their order.

        Args:
            files: By the picture's path inside the folder, without extension; at least one.
            folder: Where they lie, for messages.

        Raises:
            ValueError: If a pattern fits no picture, or no picture is left.
        """
        if not (self.include or self.exclude):
            return files
        fitting = {pattern: _fitting(files, pattern) for pattern in (*self.include, *self.exclude)}
        idle = next((pattern for pattern, names in fitting.items() if not names), None)
        if idle is not None:
            raise ValueError(
                f"{folder}: no picture fits the pattern {idle!r}; names are compared without extension, as"
                f" {next(iter(files))!r}: change include or exclude"
            )
        taken = {name for pattern in self.include for name in fitting[pattern]} or set(files)
        taken -= {name for pattern in self.exclude for name in fitting[pattern]}
        if not taken:
            raise ValueError(f"{folder}: exclude {list(self.exclude)} leaves none of the pictures: change it")
        return {name: file for name, file in files.items() if name in taken}


def _fitting(names: Mapping[str, Path], pattern: str) -> list[str]:
    parts = PurePosixPath(pattern).parts
    return [name for name in names if parts and PurePosixPath(name).match(pattern)]


EVERY = NamePatterns()
"""All pictures."""
