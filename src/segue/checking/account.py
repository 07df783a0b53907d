"""What a check knows, as plain values: for the JSON file, the terminal and the page."""

from collections import Counter
from pathlib import Path
from typing import Any

from segue.checking.checks import findings
from segue.checking.finding import SEVERITIES
from segue.checking.looks import looks_of
from segue.checking.survey import Domain, Survey

MOST_SIZES = 5
"""At most so many sizes are listed, the most frequent first."""

SAMPLES = 6
"""So many pictures of a domain stand for it."""


def account_of(survey: Survey) -> dict[str, Any]:
    """Findings, domains and the classes' shares; shares are None where a domain has no labels to count."""
    found = findings(survey)
    shares = {role: _shares(domain, len(survey.classes)) for role, domain in survey.domains.items()}
    return {
        "counts": {kind: sum(one.severity == kind for _, one in found) for kind in SEVERITIES},
        "crop": list(survey.crop),
        "domains": {role: _described(domain) for role, domain in survey.domains.items()},
        "classes": [
            {
                "name": name,
                "colour": list(survey.palette[place]),
                "shares": {role: None if known is None else known[place] for role, known in shares.items()},
            }
            for place, name in enumerate(survey.classes)
        ],
        "findings": [one.to_json(kind) for kind, one in found],
    }


def _described(domain: Domain) -> dict[str, Any]:
    seen = [one for _, _, one in domain.readable()]
    looks = looks_of(domain)
    sizes = Counter(one.size for one in seen).most_common()
    return {
        "folder": str(domain.place),
        "pictures": len(domain.images),
        "labels": len(domain.labels) if domain.is_labelled else None,
        "sizes": [[*size, number] for size, number in sizes[:MOST_SIZES]],
        "different_sizes": len(sizes),
        "formats": dict(Counter(one.format for one in seen).most_common()),
        "mean": None if looks is None else [round(part, 2) for part in looks.mean],
        "spread": None if looks is None else [round(part, 2) for part in looks.spread],
        "samples": [str(path) for path in _samples(domain)],
        "contrast": None if looks is None else round(looks.contrast, 2),
    }


def _samples(domain: Domain) -> list[Path]:
    """Some readable pictures, evenly spread."""
    paths = [path for _, path, _ in domain.readable()]
    number = min(SAMPLES, len(paths))
    return [paths[place * len(paths) // number] for place in range(number)]


def _shares(domain: Domain, number: int) -> list[float] | None:
    """Each class's share of the labelled pixels."""
    pixels = domain.class_pixels(number)[1].sum(0)
    if not pixels.any():
        return None
    return (pixels / pixels.sum()).tolist()
