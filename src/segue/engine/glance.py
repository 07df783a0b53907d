"""The cheap half of ``segue check``, which every training runs before it begins."""

from pathlib import Path

from rich.console import Console

from segue.checking.checks import findings
from segue.checking.shares import without_pixel
from segue.data.dataset import Dataset
from segue.data.statistics import class_statistics
from segue.engine.inventory import take_inventory
from segue.engine.settings import Experiment

HEADERS = 400
"""Of so many pictures of each domain the header is looked at, beside what :meth:`Dataset.check` looks at."""

SAMPLES = 8
"""So many labels of the source are decoded, and as many pictures of more than 8 bits."""


def glance(experiment: Experiment, *, target: bool, console: Console) -> None:
    """Run the checks on some headers and on a sample of source labels; warnings are printed.

    Labels of the target or for scoring are not opened.

    Args:
        target: Whether the target's pictures are trained on.

    Raises:
        ValueError: With the first error's words, as ``segue check`` says them.
    """
    survey = take_inventory(experiment.data, only=("source", "target") if target else ("source",))
    survey.glance(headers=HEADERS, samples=SAMPLES)
    found = [finding for _, finding in findings(survey)]
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        others = f" (and {len(errors) - 1} more: `segue check` shows all)" if len(errors) > 1 else ""
        raise ValueError(errors[0].text + others)
    for finding in found:
        if finding.severity == "warning":
            console.print(finding.text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def check_counted_classes(experiment: Experiment, source: Dataset, cache: Path, console: Console) -> None:
    """Say which classes no pixel of the source shows, by the count that the run keeps, if it made one."""
    if not cache.is_file():
        return
    absent = class_statistics(source, cache=cache).absent
    if absent:
        place = experiment.data.root / (experiment.data.source.root or "")
        said = without_pixel(place, absent)
        console.print(said, style="yellow", markup=False, highlight=False, soft_wrap=True)
