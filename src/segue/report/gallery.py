"""The picture part of the page: scenes with every run's prediction, worst first, and what the student saw."""

from collections.abc import Sequence
from dataclasses import dataclass

from segue.report.lineup import Entry
from segue.report.pictures import Picture, class_map, photograph, sheet
from segue.report.run_folder import EvaluationPicture

SCENES = 12
"""So many evaluation pictures are shown at most."""


@dataclass(frozen=True)
class Layer:
    """One picture of a scene; it has no content if the file was missing or unreadable.

    Attributes:
        title: What it is: the photograph, the label, or the name of the run that predicted it.
        kind: "photograph", "label" or "prediction".
        picture: Its content.
        slot: The run colour's number, for predictions.
        mean_iou: The prediction's score on this picture, in [0, 1].
        is_judged: Whether the judged run made it.
    """

    title: str
    kind: str
    picture: Picture | None
    slot: int | None = None
    mean_iou: float | None = None
    is_judged: bool = False

    @property
    def alt(self) -> str:
        """What it shows, for those who do not see it."""
        if self.kind == "prediction":
            return f"Prediction of {self.title} in class colours"
        return {"photograph": "Photograph", "label": "Labels in class colours"}[self.kind]


@dataclass(frozen=True)
class Scene:
    """One evaluation picture with everything that is known about it."""

    name: str
    layers: list[Layer]


@dataclass(frozen=True)
class Gallery:
    """The scenes shown, how many there are in all, and by whose score they are ordered."""

    scenes: list[Scene]
    total: int
    judged: str


@dataclass(frozen=True)
class Sheet:
    """What the student of one run saw at one step."""

    step: int
    picture: Picture


def hang(entries: Sequence[Entry]) -> Gallery:
    """Choose and order the evaluation pictures: the judged run's worst come first, unscored ones last."""
    judged = next(entry for entry in entries if entry.role == "judged")
    by_run = [{picture.name: picture for picture in entry.folder.evaluation} for entry in entries]
    leading = (
        judged if judged.folder.evaluation else next((e for e in entries if e.folder.evaluation), judged)
    )
    worst_first = sorted(
        leading.folder.evaluation, key=lambda p: (p.mean_iou is None, p.mean_iou or 0.0, p.name)
    )
    scenes = [_scene(picture, entries, by_run) for picture in worst_first[:SCENES]]
    return Gallery(scenes, len(worst_first), leading.name)


def _scene(
    leading: EvaluationPicture, entries: Sequence[Entry], by_run: Sequence[dict[str, EvaluationPicture]]
) -> Scene:
    palette = next((list(entry.folder.palette.values()) for entry in entries if entry.folder.palette), [])
    layers = [
        Layer("picture", "photograph", photograph(leading.image)),
        Layer("label", "label", class_map(leading.label, palette)),
    ]
    for entry, pictures in zip(entries, by_run, strict=True):
        found = pictures.get(leading.name)
        drawn = class_map(found.prediction, palette) if found else None
        score = found.mean_iou if found else None
        layers.append(Layer(entry.name, "prediction", drawn, entry.slot, score, entry.role == "judged"))
    return Scene(leading.name, layers)


def sheets(entry: Entry) -> list[Sheet]:
    """What the run's student saw at the first and the last step that was drawn."""
    steps = list(entry.folder.views)
    chosen = dict.fromkeys((*steps[:1], *steps[-1:]))
    drawn = ((step, sheet(entry.folder.views[step])) for step in chosen)
    return [Sheet(step, picture) for step, picture in drawn if picture is not None]
