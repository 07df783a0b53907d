"""The pictures on the page: evaluated ones with every run's prediction, and what the student saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segue.report.data_uris import EmbeddedPicture, embed_labels, embed_photograph, embed_sheet
from segue.report.roles import ShownRun, judged_run
from segue.report.run_folder import EvaluatedPicture

MOST = 12
"""At most this many evaluated pictures are shown."""


@dataclass(frozen=True)
class GalleryItem:
    """One picture of a row.

    Attributes:
        title: "picture", "label", or the name of the run that predicted it.
        kind: "photograph", "label" or "prediction".
        picture: None if the file was missing or unreadable.
        mean_iou: The prediction's score on this picture, in [0, 1].
    """

    title: str
    kind: str
    picture: EmbeddedPicture | None
    run: ShownRun | None = None
    mean_iou: float | None = None


@dataclass(frozen=True)
class GalleryRow:
    """One evaluated picture: the photograph, its label and every run's prediction."""

    name: str
    items: list[GalleryItem]


@dataclass(frozen=True)
class Gallery:
    """The rows shown, how many there are in all, and the name of the run whose score orders them."""

    rows: list[GalleryRow]
    total: int
    ordered_by: str


def choose_pictures(runs: Sequence[ShownRun]) -> Gallery:
    """The pictures on which the judged run does worst, worst first; those without a score come last."""
    judged = judged_run(runs)
    kept = next((run for run in (judged, *runs) if run.folder.pictures), judged)
    worst_first = sorted(kept.folder.pictures, key=lambda p: (p.mean_iou is None, p.mean_iou or 0.0, p.name))
    rows = [_row(picture, runs) for picture in worst_first[:MOST]]
    return Gallery(rows, len(worst_first), kept.name)


def _row(chosen: EvaluatedPicture, runs: Sequence[ShownRun]) -> GalleryRow:
    palette = next((list(run.folder.palette.values()) for run in runs if run.folder.palette), [])
    items = [
        GalleryItem("picture", "photograph", embed_photograph(chosen.image)),
        GalleryItem("label", "label", embed_labels(chosen.label, palette)),
    ]
    for run in runs:
        own = next((picture for picture in run.folder.pictures if picture.name == chosen.name), None)
        drawn = embed_labels(own.prediction, palette) if own else None
        items.append(GalleryItem(run.name, "prediction", drawn, run, own.mean_iou if own else None))
    return GalleryRow(chosen.name, items)


def view_sheets(run: ShownRun) -> list[tuple[int, EmbeddedPicture]]:
    """What the run's student saw, by step: the first and the last step that was drawn."""
    steps = list(run.folder.views)
    return _embedded({step: run.folder.views[step] for step in (*steps[:1], *steps[-1:])})


def progress_sheets(run: ShownRun) -> list[tuple[int, EmbeddedPicture]]:
    """How the run's predictions of a few target pictures developed, by step."""
    return _embedded(run.folder.progress)


def _embedded(sheets: Mapping[int, Path]) -> list[tuple[int, EmbeddedPicture]]:
    drawn = [(step, embed_sheet(path)) for step, path in sheets.items()]
    return [(step, picture) for step, picture in drawn if picture is not None]
