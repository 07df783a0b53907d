"""How much of the labels each class covers: classes that nothing shows, labels that say nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from segue.checking.finding import Finding, alone, counted
from segue.checking.survey import Survey

RARE = 1e-4
"""A class with a smaller share of the labelled pixels is named."""

UNLIKE = 5.0
"""Shares of a class in two domains that differ by this factor are named, if the larger one is a hundredth."""


def all_ignored(place: object, number: int) -> str:
    """What is said of labels of which no pixel is of a class."""
    return (
        f"{place}: every pixel of all {counted(number, 'label')} is ignored, so there is nothing to learn; mend the"
        " class list, its key 'ignore' or the class map"
    )


def without_pixel(place: object, names: Sequence[str]) -> str:
    """What is said of classes that no label shows."""
    classes = "class" if len(names) == 1 else "classes"
    return (
        f"{place}: no pixel of the {classes} {', '.join(names)} in any label, so the network will not learn"
        f" {'it' if len(names) == 1 else 'them'}; leave {'it' if len(names) == 1 else 'them'} out of the class list, or"
        " check what the label values mean"
    )


def absent(survey: Survey) -> Iterator[Finding]:
    """Labels of which all is ignored, classes without one pixel and very rare ones."""
    for domain in survey.domains.values():
        files, pixels = domain.class_pixels(len(survey.classes))
        if not files:
            continue
        total = pixels.sum(0)
        if not total.any():
            if len(files) == len(domain.labels):
                yield Finding("error", domain.role, all_ignored(domain.place, len(files)), alone(files))
            continue
        if not survey.is_whole:
            continue
        yield from _empty(domain.role, files, pixels)
        lost = [name for name, number in zip(survey.classes, total, strict=True) if not number]
        if lost:
            yield Finding("warning", domain.role, without_pixel(domain.place, lost))
        shares = total / total.sum()
        rare = [
            f"{name} ({100 * share:.2g} %)"
            for name, share in zip(survey.classes, shares.tolist(), strict=True)
            if 0 < share < RARE
        ]
        if rare and domain.role == "source":
            yield Finding(
                "note",
                domain.role,
                f"hardly any pixels of {', '.join(rare)}: data.rare_classes draws them more often",
            )


def unlike(survey: Survey) -> Iterator[Finding]:
    """Classes that are much more frequent in one domain than in the other, as far as labels say."""
    found = {
        role: survey.domains[role].class_pixels(len(survey.classes))[1].sum(0)
        for role in ("source", "evaluation")
        if role in survey.domains
    }
    if len(found) < 2 or not survey.is_whole or not all(pixels.any() for pixels in found.values()):
        return
    source, target = (pixels / pixels.sum() for pixels in found.values())
    apart = [
        f"{name} {100 * one:.2g} % and {100 * other:.2g} %"
        for name, one, other in zip(survey.classes, source.tolist(), target.tolist(), strict=True)
        if max(one, other) >= 0.01 and max(one, other) > UNLIKE * min(one, other)
    ]
    if apart:
        text = f"shares of classes differ between source and evaluation: {'; '.join(apart)}"
        yield Finding("note", "source and evaluation", text)


def _empty(role: str, files: list[Path], pixels: np.ndarray) -> Iterator[Finding]:
    bad = [path for path, row in zip(files, pixels, strict=True) if not row.any()]
    if bad:
        text = f"{bad[0]}: every pixel is ignored ({counted(len(bad), 'such label')} of {len(pixels)})"
        yield Finding("warning", role, text, alone(bad))
