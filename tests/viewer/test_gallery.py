"""What is listed, in what order, and what is decided: all without a network, a file or a page."""

import time

import pytest

from segue.data.review import Review, digest_of
from segue.viewer.gallery import PAGE, Facts, Gallery, Wanted

NAMES = [f"city/{number:04d}" for number in range(60)]


def known(changed: float | None, entropy: float = 0.5, **shares: float) -> Facts:
    return Facts(entropy, 0.2, 0.1, changed, shares)


def measured() -> Gallery:
    gallery = Gallery(NAMES)
    gallery.facts = {
        7: known(0.1, 0.9, car=0.4, road=0.6),
        3: known(0.8, 0.2, road=1.0),
        9: known(0.3, 0.4, car=0.1),
    }
    return gallery


def test_the_largest_come_first_and_those_not_measured_last() -> None:
    gallery = measured()
    assert gallery.listed(Wanted()) == list(range(60))
    assert gallery.listed(Wanted("changed"))[:5] == [3, 9, 7, 0, 1]
    assert gallery.listed(Wanted("entropy"))[:3] == [7, 9, 3]
    assert len(gallery.listed(Wanted("changed"))) == 60
    gallery.facts[4] = known(None)  # without a model before, nothing changed
    assert gallery.listed(Wanted("changed"))[:4] == [3, 9, 7, 0]


def test_filters_by_measure_class_name_and_decision() -> None:
    gallery = measured()
    assert gallery.listed(Wanted("changed", least=0.2)) == [3, 9]
    assert gallery.listed(Wanted("changed", least=0.2, shows="car")) == [9]
    assert gallery.listed(Wanted("share", shows="car")) == [7, 9]
    assert gallery.listed(Wanted(shows="bus")) == []
    assert gallery.listed(Wanted(text="CITY/005")) == list(range(50, 60))
    gallery.decide(7, "rejected")
    gallery.decide(9, "accepted")
    assert gallery.listed(Wanted(decided="rejected")) == [7]
    assert gallery.listed(Wanted(decided="accepted")) == [9]
    assert gallery.listed(Wanted(shows="car", decided="undecided")) == []
    gallery.decide(7, None)
    assert gallery.listed(Wanted(shows="car", decided="undecided")) == [7]


def test_pages_and_neighbours_end_where_the_list_ends() -> None:
    gallery = measured()
    assert gallery.page(Wanted(), 0) == (list(range(PAGE)), 0, 60)
    assert gallery.page(Wanted(), 99) == (list(range(48, 60)), 2, 60)
    assert gallery.page(Wanted(), -1)[1] == 0
    assert gallery.page(Wanted(text="nowhere"), 3) == ([], 0, 0)
    assert gallery.next_to(3, Wanted("changed")) == 9
    assert gallery.next_to(3, Wanted("changed"), -1) == 3
    assert gallery.next_to(59, Wanted()) == 59
    assert gallery.next_to(5, Wanted(text="nowhere")) == 5
    assert gallery.next_to(5, Wanted(shows="car")) == 7


def test_what_is_measured_next_is_spread_evenly_and_never_measured_twice() -> None:
    gallery = measured()
    first = gallery.unmeasured(3)
    assert first == [0, 22, 41] and not set(first) & gallery.facts.keys()
    assert len(gallery.unmeasured(1000)) == 57
    gallery.facts = dict.fromkeys(range(60), known(0.1))
    assert gallery.unmeasured(3) == []


def test_a_review_says_what_was_decided_and_keeps_what_it_does_not_know() -> None:
    gallery = Gallery(NAMES)
    for place, decision in ((5, "rejected"), (2, "rejected"), (8, "accepted")):
        gallery.decide(place, decision)  # pyright: ignore[reportArgumentType]
    review = gallery.review()
    assert review == Review(60, digest_of(NAMES), [NAMES[8]], [NAMES[2], NAMES[5]])
    fewer = Gallery(NAMES[3:], review)
    assert fewer.decisions == {2: "rejected", 5: "accepted"} and fewer.unknown == {NAMES[2]: "rejected"}
    assert set(fewer.review().rejected) == {NAMES[2], NAMES[5]}
    assert fewer.review().digest != review.digest
    with pytest.raises(ValueError, match="there is no picture 60: the last is 59"):
        gallery.decide(60, "rejected")


def test_ten_thousand_pictures_are_listed_in_seconds() -> None:
    gallery = Gallery([f"{number}" for number in range(10_000)])
    gallery.facts = {place: known(place / 10_000, car=0.1) for place in range(10_000)}
    began = time.process_time()
    assert gallery.page(Wanted("changed", 0.1, "car"), 2)[2] == 9000
    assert time.process_time() - began < 10  # a tenth of a second when the machine is quiet
