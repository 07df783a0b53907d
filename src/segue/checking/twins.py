"""The same picture twice: equal files, and pictures whose fingerprints differ in a few bits."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from segue.checking.finding import Finding, Severity, counted
from segue.checking.survey import Survey

NEAR = 16
"""Fingerprints of 256 bits that differ in at most so many are of near-duplicates."""

BLOCK = 1024
"""Fingerprints that are compared with all others at once."""

KEPT = 500
"""At most so many pairs of near-duplicates are listed for each pair of domains."""

CONSEQUENCES: dict[tuple[str, str], tuple[Severity, str]] = {
    ("source", "target"): ("warning", "adaptation then looks easier than it is"),
    ("source", "evaluation"): ("warning", "scores are then of pictures whose labels were trained on"),
    ("source", "source evaluation"): ("warning", "scores are then of pictures that were trained on"),
    ("target", "evaluation"): (
        "note",
        "scores are then of pictures that were adapted to, though without their labels",
    ),
}
"""What it means that two domains share pictures."""


@dataclass(frozen=True)
class Print:
    """A picture that is compared."""

    role: str
    path: Path
    length: int
    bits: bytes


def duplicates(survey: Survey) -> Iterator[Finding]:
    """Equal files within a domain and in two domains."""
    alike: dict[tuple[bytes, int], list[Print]] = defaultdict(list)
    for one in _prints(survey):
        alike[one.bits, one.length].append(one)
    found: dict[tuple[str, str], list[tuple[Path, ...]]] = defaultdict(list)
    for twins in (equal for group in alike.values() for equal in _equal(group)):
        by_role: dict[str, list[Path]] = defaultdict(list)
        for one in twins:
            by_role[one.role].append(one.path)
        for role, paths in by_role.items():
            if len(paths) > 1:
                found[role, role].append(tuple(paths))
        for role, other in combinations(by_role, 2):
            found[role, other].append((by_role[role][0], by_role[other][0]))
    for roles, groups in found.items():
        yield _said(survey, roles, groups, "the same file", len(groups))


def near_duplicates(survey: Survey) -> Iterator[Finding]:
    """Pictures that look the same, but are not equal files: saved anew, resized, or frames of a film."""
    prints = _prints(survey)
    if len(prints) < 2:
        return
    pairs, involved = _near(prints)
    for roles, listed in pairs.items():
        yield _said(survey, roles, listed, "nearly the same picture", len(involved[roles]))


def _prints(survey: Survey) -> list[Print]:
    return [
        Print(domain.role, path, seen.length, seen.fingerprint)
        for domain in survey.domains.values()
        for _, path, seen in domain.readable()
        if seen.fingerprint is not None and not seen.is_blank
    ]


def _equal(group: list[Print]) -> Iterator[list[Print]]:
    """The prints of equal files; a file that is in two domains is read once."""
    if len(group) < 2:
        return
    contents: dict[bytes, list[Print]] = defaultdict(list)
    read = {path: path.read_bytes() for path in {one.path for one in group}}
    for one in group:
        contents[read[one.path]].append(one)
    yield from (twins for twins in contents.values() if len(twins) > 1)


def _near(
    prints: list[Print],
) -> tuple[dict[tuple[str, str], list[tuple[Path, ...]]], dict[tuple[str, str], set[int]]]:
    """Pairs by their domains, KEPT of each at most, and all later pictures of such pairs.

    The number of bits in which two prints differ follows from the product of two vectors of plus and minus one, so that
    one matrix product compares a block with all others.
    """
    bits = np.unpackbits(np.frombuffer(b"".join(one.bits for one in prints), np.uint8)).reshape(
        len(prints), -1
    )
    signs = 2 * bits.astype(np.float32) - 1
    least = signs.shape[1] - 2 * NEAR
    pairs: dict[tuple[str, str], list[tuple[Path, ...]]] = defaultdict(list)
    involved: dict[tuple[str, str], set[int]] = defaultdict(set)
    for start in range(0, len(prints), BLOCK):
        block = signs[start : start + BLOCK]
        alike = np.triu(block @ signs[start:].T >= least, 1)
        for row, column in np.argwhere(alike).tolist():
            one, other = prints[start + row], prints[start + column]
            if one.path == other.path or (one.bits, one.length) == (other.bits, other.length):
                continue  # the same file, or equal ones
            roles = (one.role, other.role)
            involved[roles].add(start + column)
            if len(pairs[roles]) < KEPT:
                pairs[roles].append((one.path, other.path))
    return pairs, involved


def _said(
    survey: Survey, roles: tuple[str, str], groups: list[tuple[Path, ...]], kind: str, number: int
) -> Finding:
    if roles[0] == roles[1]:
        text = (
            f"{groups[0][1]}: {kind} as {groups[0][0].name}; {counted(number, 'such picture')} of"
            f" {len(survey.domains[roles[0]].pictures)} in the {roles[0]}"
        )
        return Finding("note", roles[0], text, tuple(groups))
    severity, consequence = CONSEQUENCES.get(roles, ("note", "they are counted twice"))
    one, other = groups[0]
    where = "is itself in both" if one == other else f"{kind} as {one}"
    text = f"{other}: {where}; {counted(number, 'such picture')} in {roles[0]} and {roles[1]}: {consequence}"
    return Finding(severity, f"{roles[0]} and {roles[1]}", text, tuple(groups))
