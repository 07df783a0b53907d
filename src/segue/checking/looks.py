"""How pictures look: colours and contrast of each domain side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segue.checking.finding import Finding
from segue.checking.survey import Domain, Survey

ALIKE = 0.25
"""Domains whose looks differ by less than this, in standard deviations of single pictures, look alike."""

DARK = 30.0
"""Pictures of a lower mean, of 255, are dark."""


@dataclass(frozen=True)
class Looks:
    """Colours of a domain: means over its pictures, from 0 to 255.

    Attributes:
        mean: Of red, green and blue.
        contrast: The deviation within a picture.
        spread: How far the pictures' means of red, green and blue lie apart.
    """

    mean: tuple[float, ...]
    contrast: float
    spread: tuple[float, ...]


def looks_of(domain: Domain) -> Looks | None:
    """A domain's looks; None if no picture was decoded."""
    seen = [(one.mean, one.deviation) for _, _, one in domain.readable() if one.mean and one.deviation]
    if not seen:
        return None
    means = np.array([mean for mean, _ in seen])
    contrast = np.mean([deviation for _, deviation in seen])
    return Looks(tuple(means.mean(0).tolist()), float(contrast), tuple(means.std(0).tolist()))


def colours(survey: Survey) -> Iterator[Finding]:
    """Whether source and target differ in colour at all, and dark domains."""
    found = {role: looks_of(survey.domains[role]) for role in ("source", "target") if role in survey.domains}
    for role, looks in found.items():
        if survey.is_whole and looks is not None and np.mean(looks.mean) < DARK:
            text = (
                f"{survey.domains[role].place}: the pictures are dark: their mean is {np.mean(looks.mean):.0f} of 255;"
                " were they saved with the right number of bits?"
            )
            yield Finding("warning", role, text)
    source, target = found.get("source"), found.get("target")
    if not survey.is_whole or source is None or target is None:
        return
    spread = np.maximum(np.add(source.spread, target.spread) / 2, 1.0)
    apart = float(np.abs(np.subtract(source.mean, target.mean) / spread).mean())
    difference = np.subtract(target.mean, source.mean)
    text = (
        f"target pictures differ from source pictures by {', '.join(f'{part:+.0f}' for part in difference)} in the"
        f" mean of red, green and blue, which is {apart:.1f} times as much as pictures of one domain do"
    )
    if apart < ALIKE:
        text += ": the domains look alike in colour"
    yield Finding("note", "source and target", text)
