"""All that is known of the files of a run's domains; the checks read it and nothing else."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segue.checking.look import Kind, Look, Task, look, look_at
from segue.classes import Colour

if TYPE_CHECKING:
    from segue.data.class_map import LabelTable


@dataclass
class Domain:
    """The files of a domain, and what was seen of them.

    Attributes:
        role: "source", "target", "evaluation" or "source evaluation".
        place: Its folder.
        images: Picture files by name.
        labels: Label files by the same names; empty for a domain whose labels are not read.
        pairing: What training says of pictures without a label; empty if all have one.
        unlabelled: Those pictures.
        surplus: Labels that belong to no picture.
        is_labelled: Whether labels are to be read.
        refusals: What else training says when it opens the domain.
        values: What label values mean; None if that is not known.
        value_names: The class of each label value.
        colours: The label value of each colour; empty if labels are not in colours.
        label_kind: How label files are decoded.
        resize: Rows and columns that pictures are resized to before cropping.
        pictures: By name, as far as they were looked at.
        truths: The labels, likewise.
        depths: Depth files by the names of pictures; empty if nobody asks for them.
        depths_seen: What was seen of them.
    """

    role: str
    place: Path
    images: Mapping[str, Path] = field(default_factory=dict)
    labels: Mapping[str, Path] = field(default_factory=dict)
    pairing: str = ""
    unlabelled: Sequence[Path] = ()
    surplus: Sequence[Path] = ()
    is_labelled: bool = False
    refusals: Sequence[str] = ()
    values: "LabelTable | None" = None
    colours: dict[Colour, int] = field(default_factory=dict)
    label_kind: Kind = "label"
    resize: tuple[int, int] | None = None
    pictures: dict[str, Look] = field(default_factory=dict)
    truths: dict[str, Look] = field(default_factory=dict)
    depths: Mapping[str, Path] = field(default_factory=dict)
    depths_seen: dict[str, Look] = field(default_factory=dict)

    def readable(self) -> Iterator[tuple[str, Path, Look]]:
        """The pictures that could be read."""
        return ((name, self.images[name], seen) for name, seen in self.pictures.items() if not seen.problem)

    def readable_labels(self) -> Iterator[tuple[str, Path, Look]]:
        """The labels that could be read."""
        return ((name, self.labels[name], seen) for name, seen in self.truths.items() if not seen.problem)

    def label_values(self, seen: Look) -> dict[int, int]:
        """How many pixels of a label have which value, in order; those in colours of no class are left out."""
        if seen.values is not None:
            return dict(sorted(seen.values.items()))
        found = {self.colours[c]: number for c, number in (seen.colours or {}).items() if c in self.colours}
        return dict(sorted(found.items()))

    def says_nothing(self, label: Look) -> bool:
        """Whether every pixel of a label is ignored."""
        present = self.label_values(label).keys()
        if self.values is None or not present <= self.values.known:
            return False
        return bool(present) and bool((self.values.ids[list(present)] == 255).all())

    def class_pixels(self, number: int) -> tuple[list[Path], np.ndarray]:
        """The labels that were decoded and understood, and the pixels (n, number) of so many classes in them."""
        files: list[Path] = []
        rows: list[np.ndarray] = []
        for _, path, seen in self.readable_labels():
            understood = seen.values is not None or (seen.colours is not None and bool(self.colours))
            if self.values is None or not understood:
                continue
            counts = np.zeros(256, dtype=np.int64)
            for value, pixels in self.label_values(seen).items():
                if value in self.values.known:
                    counts[self.values.ids[value]] += pixels
            files.append(path)
            rows.append(counts[:number])
        return files, np.array(rows, dtype=np.int64).reshape(-1, number)


@dataclass
class Survey:
    """The domains of a run, and what it will do with them.

    Attributes:
        domains: By role.
        classes: The training classes' names.
        palette: Their colours.
        crop: Rows and columns.
        is_whole: Whether every file was decoded; otherwise what is absent may be elsewhere.
    """

    domains: dict[str, Domain]
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    crop: tuple[int, int]
    is_whole: bool = True

    def look(self, *, workers: int, watch: Callable[[object], object] | None = None) -> None:
        """Decode every file of every domain, once even where domains share it."""
        self._take(list(dict.fromkeys(self._tasks())), workers, watch)

    def glance(self, *, headers: int, samples: int) -> None:
        """Look at some headers, decode a few labels and a few pictures of more than 8 bits, evenly spread.

        Labels are decoded until one of them has a pixel of a class.
        """
        self.is_whole = False
        for domain in self.domains.values():
            few = _spread(domain.images, headers)
            tasks = [Task(domain.images[name], "picture", pixels=False) for name in few]
            domain.pictures = dict(zip(few, look_at(tasks, workers=0), strict=True))
            domain.truths, says_something = {}, False
            for place, name in enumerate(dict.fromkeys((*_spread(domain.labels, samples), *domain.labels))):
                if place >= samples and says_something:
                    break
                domain.truths[name] = look(Task(domain.labels[name], domain.label_kind))
                says_something |= not domain.says_nothing(domain.truths[name])
            deep = [name for name, _, picture in domain.readable() if picture.bits > 8]
            again = [Task(domain.images[name], "picture") for name in _spread(deep, samples)]
            domain.pictures |= zip(_spread(deep, samples), look_at(again, workers=0), strict=True)

    @property
    def number_of_files(self) -> int:
        """How many files there are to look at."""
        return len(set(self._tasks()))

    def _tasks(self) -> Iterator[Task]:
        for domain in self.domains.values():
            yield from (Task(path, "picture") for path in domain.images.values())
            yield from (Task(path, domain.label_kind) for path in domain.labels.values())
            yield from (Task(path, "depth") for path in domain.depths.values())

    def _take(self, tasks: list[Task], workers: int, watch: Callable[[object], object] | None) -> None:
        seen = dict(zip(tasks, look_at(tasks, workers=workers, watch=watch), strict=True))
        for domain in self.domains.values():
            domain.pictures = {name: seen[Task(path, "picture")] for name, path in domain.images.items()}
            domain.truths = {
                name: seen[Task(path, domain.label_kind)] for name, path in domain.labels.items()
            }
            domain.depths_seen = {name: seen[Task(path, "depth")] for name, path in domain.depths.items()}


def _spread(names: Mapping[str, Path] | Sequence[str], most: int) -> list[str]:
    """At most so many of the names, evenly spread over all."""
    every = list(names)
    number = min(most, len(every))
    return [every[place * len(every) // number] for place in range(number)]
