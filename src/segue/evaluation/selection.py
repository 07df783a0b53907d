"""Choosing among measured networks without target labels, and how far a few labelled pictures support the choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.evaluation.evidence import Row


@dataclass(frozen=True)
class Candidate:
    """A measured network.

    Attributes:
        run: What its run is called.
        row: What was measured of it.
        is_kept: Whether its weights are still there.
    """

    run: str
    row: Row
    is_kept: bool

    @property
    def name(self) -> str:
        """Run and step; step 0 is what training started from."""
        return f"{self.run} at {self.row.step}" if self.row.step else f"{self.run}, the start"


@dataclass(frozen=True)
class Ranking:
    """Candidates in the order of a choice.

    Attributes:
        ranks: By measure, the place of each candidate from 1, the mean place where several are equal; None where the
            measure says nothing of it.
        mean_rank: Of each candidate over the measures that vote; None where one of them is missing.
        chosen: The place of the chosen candidate in the list; None if there is none to choose.
    """

    candidates: list[Candidate]
    ranks: dict[str, list[float | None]]
    mean_rank: list[float | None]
    chosen: int | None

    def best_by(self, measure: str) -> int | None:
        """The candidate whose weights are kept that a measure prefers; the later of two equal ones."""
        return _least(self.ranks[measure], [one.is_kept for one in self.candidates])


def rank(candidates: Sequence[Candidate], measures: Mapping[str, Mapping[str, Any]]) -> Ranking:
    """Rank candidates by every measure that has a better side.

    The chosen one has the best mean rank over the measures that vote, among those whose weights are kept and of which
    no alarm stands, or among all kept ones if an alarm stands for every one.
    """
    ranks = {
        name: _ranks([one.row.values.get(name) for one in candidates], int(measure["better"]))
        for name, measure in measures.items()
        if measure["better"]
    }
    voting = [ranks[name] for name, measure in measures.items() if measure["votes"] and name in ranks]
    mean_rank = [_mean([own[place] for own in voting]) for place in range(len(candidates))]
    kept = [one.is_kept for one in candidates]
    calm = [one.is_kept and not one.row.alarms for one in candidates]
    chosen = _least(mean_rank, calm if any(calm) else kept)
    return Ranking(list(candidates), ranks, mean_rank, chosen)


def correlation(one: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    """Spearman's rank correlation over the pairs that are known; None for fewer than three or if one never changes."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if len(pairs) < 3:
        return None
    ranked = [np.array(_ranks([pair[side] for pair in pairs], 1), dtype=float) for side in (0, 1)]
    if any(float(np.ptp(own)) == 0 for own in ranked):
        return None
    return float(np.corrcoef(ranked[0], ranked[1])[0, 1])


def points_lost(ranks: Sequence[float | None], scores: Sequence[float | None]) -> float | None:
    """What choosing the best by a measure costs: the best score less that of the choice; None if nothing is known."""
    known = [score is not None for score in scores]
    choice = _least(ranks, known)
    if choice is None:
        return None
    chosen = scores[choice]
    assert chosen is not None, "only candidates with a score are chosen among"
    return max(score for score in scores if score is not None) - chosen


def _ranks(values: Sequence[float | None], better: int) -> list[float | None]:
    known = [value for value in values if value is not None]
    return [
        None
        if value is None
        else 1
        + sum((other - value) * better > 0 for other in known)
        + (sum(other == value for other in known) - 1) / 2
        for value in values
    ]


def _mean(ranks: Sequence[float | None]) -> float | None:
    known = [one for one in ranks if one is not None]
    return sum(known) / len(known) if known and len(known) == len(ranks) else None


def _least(ranks: Sequence[float | None], allowed: Sequence[bool]) -> int | None:
    """The place of the best rank among the allowed ones, the last of equal ones; None without any."""
    known = [(own, -place) for place, own in enumerate(ranks) if own is not None and allowed[place]]
    return -min(known)[1] if known else None


@dataclass(frozen=True)
class Probe:
    """What a few labelled pictures say of candidates.

    Attributes:
        scores: The mean IoU of each; None where it was not scored.
        again: How often each would have the best score if other pictures of the kind had been labelled (bootstrap).
    """

    scores: list[float | None]
    again: list[float]


REPEATS = 500


def probe(confusions: Sequence[np.ndarray | None], *, seed: int = 0) -> Probe:
    """Scores of candidates, and how sure their order is, from confusion matrices.

    Args:
        confusions: For each candidate those of the pictures (P,K,K), rows by label; None where it was not scored. All
            are of the same pictures.
    """
    scored = [place for place, one in enumerate(confusions) if one is not None]
    stacked = np.stack([one for one in confusions if one is not None])
    number = stacked.shape[1]
    generator = np.random.default_rng(seed)
    wins = np.zeros(len(scored))
    for _ in range(REPEATS):
        drawn = np.bincount(generator.integers(0, number, number), minlength=number)
        means = _mean_ious(np.einsum("cpij,p->cij", stacked, drawn))
        wins[int(np.argmax(means))] += 1
    scores: list[float | None] = [None] * len(confusions)
    again = [0.0] * len(confusions)
    for place, mean, won in zip(scored, _mean_ious(stacked.sum(1)), wins, strict=True):
        scores[place], again[place] = float(mean), float(won) / REPEATS
    return Probe(scores, again)


def _mean_ious(confusions: np.ndarray) -> np.ndarray:
    """The mean IoU (C) over the labelled classes of matrices (C,K,K)."""
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    labelled, predicted = confusions.sum(2), confusions.sum(1)
    ious = np.where(labelled > 0, hits / np.maximum(labelled + predicted - hits, 1), np.nan)
    return np.nanmean(ious, axis=1)
