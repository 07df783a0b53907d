"""Each run's role on the page, and the colour in which it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segue.report.run_folder import RunFolder
from segue.scores import Scores

Role = Literal["baseline", "judged", "oracle", "other"]


@dataclass(frozen=True)
class ShownRun:
    """One run on the page.

    Attributes:
        name: What the page calls it.
        role: The baseline is the first run, with which the others are compared; the judged run is the last one
            that did not train on target labels.
        colour: A CSS colour; it follows light and dark.
    """

    name: str
    folder: RunFolder
    role: Role
    colour: str

    @property
    def scores(self) -> Scores | None:
        """Its evaluation on the target."""
        return self.folder.scores

    @property
    def mean_iou(self) -> float | None:
        """Its score on the target, in [0, 1]: mean IoU, or accuracy where whole pictures are named."""
        return self.scores.headline if self.scores else None

    @property
    def ious(self) -> dict[str, float | None]:
        """Its IoU, or accuracy, by class, on the target; empty without an evaluation."""
        return self.scores.by_class if self.scores else {}

    @property
    def called(self) -> str:
        """What its score is called."""
        return self.scores.called if self.scores else "mean IoU"

    @property
    def is_source_only(self) -> bool:
        """Whether it never saw the target, by its recipe or its name."""
        return "sourceonly" in {_plain(str(self.folder.experiment.get("recipe"))), _plain(self.name)}


def assign_roles(folders: Sequence[RunFolder], names: Sequence[str] | None = None) -> list[ShownRun]:
    """Give every run its name, role and colour; exactly one is the judged run.

    Without names, runs are called by their folders.

    Raises:
        ValueError: If there is no run, or names and runs differ in number.
    """
    if not folders:
        raise ValueError("a report needs at least one run folder")
    called = list(names) if names is not None else distinct_names(folders)
    if len(called) != len(folders):
        raise ValueError(f"{len(folders)} runs but {len(called)} names: give one name a run")
    oracle = next((i for i, name in enumerate(called) if _is_oracle(folders[i], name)), None)
    judged = max((i for i in range(len(called)) if i != oracle), default=0)
    runs: list[ShownRun] = []
    for i, (name, folder) in enumerate(zip(called, folders, strict=True)):
        role: Role = (
            "judged" if i == judged else "oracle" if i == oracle else "baseline" if i == 0 else "other"
        )
        others = sum(run.role == "other" for run in runs)
        runs.append(ShownRun(name, folder, role, _hue(others) if role == "other" else f"var(--{role})"))
    return runs


def judged_run(runs: Sequence[ShownRun]) -> ShownRun:
    """The run that the verdict is about."""
    return next(run for run in runs if run.role == "judged")


def _hue(number: int) -> str:
    """The colour of the n-th other run, unlike those before it and those of the named roles."""
    # Steps of the golden ratio spread any number of hues evenly; hues near the judged run's (186) and the
    # oracle's (72) are skipped.
    place = 240 * ((0.27 + 0.618034 * number) % 1)
    hue = (216 + place + (60 if place >= 186 else 0)) % 360
    return f"oklch(var(--run-lightness) .14 {hue:.0f})"


def distinct_names(folders: Sequence[RunFolder]) -> list[str]:
    """Folder names, with their parent's name where two are alike."""
    names = [folder.name for folder in folders]
    return [
        name if names.count(name) == 1 else f"{folder.path.resolve().parent.name}/{name}"
        for name, folder in zip(names, folders, strict=True)
    ]


def _is_oracle(folder: RunFolder, name: str) -> bool:
    return folder.reads_target_labels or _plain(name).startswith("oracle")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
