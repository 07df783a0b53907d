"""Which target pictures are shown, and in what order: their names, what was measured, what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from segue.data.review import Decision, Review, digest_of

PAGE = 24
"""So many pictures stand on one page of the list."""

Shown: TypeAlias = Literal["all", "undecided", "accepted", "rejected"]


@dataclass(frozen=True)
class Facts:
    """What was measured on one picture, each in [0, 1].

    Attributes:
        entropy: The mean entropy of the model's probabilities; 1 is a guess among all classes.
        doubt: What the mean highest probability lacks of one.
        disagreement: The share of pixels that the teacher names otherwise, or, without a teacher, that the model itself
            names otherwise on the mirrored picture.
        changed: The share of pixels that the model before named otherwise; None without one.
        shares: Of the picture's pixels, by the name of the class; classes that are not named are not there.
    """

    entropy: float
    doubt: float
    disagreement: float
    changed: float | None
    shares: dict[str, float]


MEASURES = {
    "changed": "share that changed",
    "disagreement": "disagreement",
    "entropy": "entropy",
    "doubt": "lack of confidence",
}
"""What pictures can be ordered by besides their names, and what the page calls it."""

SHARE = "share"
"""The order by the share of the class that is asked for."""


@dataclass(frozen=True)
class Wanted:
    """What is to be listed.

    Attributes:
        order: "name", one of :data:`MEASURES`, or "share"; the largest come first, and those not measured last.
        least: With another order than by name: what a picture has at least. Above 0, pictures that were not measured
            are not listed.
        shows: A class that is named somewhere in the picture; None for any. Pictures not measured are not listed.
        decided: What was decided about it.
        text: A part of its name, in any case.
    """

    order: str = "name"
    least: float = 0.0
    shows: str | None = None
    decided: Shown = "all"
    text: str = ""


class Gallery:
    """The pictures by place, with what is known of them.

    Attributes:
        names: Of all pictures, in order.
        facts: What was measured, by place.
        decisions: What was decided, by place.
        unknown: Decisions of an earlier review about pictures that are not here; they are kept.
    """

    def __init__(self, names: Sequence[str], review: Review | None = None) -> None:
        self.names = list(names)
        self.facts: dict[int, Facts] = {}
        self.decisions: dict[int, Decision] = {}
        self.unknown: dict[str, Decision] = {}
        if review is None:
            return
        places = {name: place for place, name in enumerate(self.names)}
        earlier: list[tuple[Decision, list[str]]] = [
            ("accepted", review.accepted),
            ("rejected", review.rejected),
        ]
        for decision, decided in earlier:
            for name in decided:
                if name in places:
                    self.decisions[places[name]] = decision
                else:
                    self.unknown[name] = decision

    def listed(self, wanted: Wanted) -> list[int]:
        """The places of the pictures that are wanted, in the order wanted."""
        found = [place for place in range(len(self.names)) if self._fits(place, wanted)]
        if wanted.order == "name":
            return found
        values = {place: self.value(place, wanted) for place in found}
        return sorted(found, key=lambda place: (values[place] is None, -(values[place] or 0.0), place))

    def value(self, place: int, wanted: Wanted) -> float | None:
        """What a picture is ordered by; None in order of names, or if it is not known."""
        facts = self.facts.get(place)
        if facts is None or wanted.order == "name":
            return None
        if wanted.order == SHARE:
            return facts.shares.get(wanted.shows or "", 0.0)
        return getattr(facts, wanted.order)

    def page(self, wanted: Wanted, number: int) -> tuple[list[int], int, int]:
        """The places on one page of the list, the page's number within the list's pages, and how many are listed."""
        found = self.listed(wanted)
        number = max(0, min(number, (len(found) - 1) // PAGE))
        return found[number * PAGE : (number + 1) * PAGE], number, len(found)

    def next_to(self, place: int, wanted: Wanted, step: int = 1) -> int:
        """The place so many pictures further in the list; the same at its ends, the first if it is not listed."""
        found = self.listed(wanted)
        if place not in found:
            return found[0] if found else place
        return found[max(0, min(found.index(place) + step, len(found) - 1))]

    def unmeasured(self, count: int) -> list[int]:
        """At most ``count`` places of pictures not measured yet, evenly spread."""
        left = [place for place in range(len(self.names)) if place not in self.facts]
        wanted = min(count, len(left))
        return [left[number * len(left) // wanted] for number in range(wanted)]

    def decide(self, place: int, decision: Decision | None) -> None:
        """Accept or reject a picture, or take that back."""
        if not 0 <= place < len(self.names):
            raise ValueError(f"there is no picture {place}: the last is {len(self.names) - 1}")
        if decision is None:
            self.decisions.pop(place, None)
        else:
            self.decisions[place] = decision

    def review(self) -> Review:
        """The decisions as training reads them."""

        def named(decision: Decision) -> list[str]:
            here = [
                self.names[place] for place in sorted(self.decisions) if self.decisions[place] == decision
            ]
            return here + [name for name, known in self.unknown.items() if known == decision]

        return Review(len(self.names), digest_of(self.names), named("accepted"), named("rejected"))

    def _fits(self, place: int, wanted: Wanted) -> bool:
        decided = self.decisions.get(place, "undecided")
        if wanted.decided not in ("all", decided):
            return False
        if wanted.text.lower() not in self.names[place].lower():
            return False
        facts = self.facts.get(place)
        if wanted.shows is not None and (facts is None or not facts.shares.get(wanted.shows)):
            return False
        if wanted.order == "name" or wanted.least <= 0:
            return True
        value = self.value(place, wanted)
        return value is not None and value >= wanted.least
