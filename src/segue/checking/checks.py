"""The table of checks: each reads a survey and says what it found."""

from collections.abc import Callable, Iterator

from segue.checking import files, geometry, labels, looks, opening, shares, twins
from segue.checking.finding import SEVERITIES, Finding
from segue.checking.survey import Survey

CHECKS: dict[str, Callable[[Survey], Iterator[Finding]]] = {
    "folders and class lists": opening.folders,
    "pictures and labels": opening.pairs,
    "unreadable files": files.unreadable,
    "kinds of labels": labels.kinds,
    "label values": labels.values,
    "labelled pixels": shares.absent,
    "sizes": geometry.sizes,
    "upright": geometry.orientation,
    "bits": files.depth,
    "blank pictures": files.blank,
    "crops and scales": geometry.crops,
    "duplicates": twins.duplicates,
    "near-duplicates": twins.near_duplicates,
    "class shares": shares.unlike,
    "looks": looks.colours,
}
"""By what they are about, in the order in which they are told."""


def findings(survey: Survey) -> list[tuple[str, Finding]]:
    """Everything that the checks find, with the check's name: errors first, then by the table's order."""
    found = [(kind, finding) for kind, check in CHECKS.items() for finding in check(survey)]
    return sorted(found, key=lambda pair: SEVERITIES.index(pair[1].severity))
