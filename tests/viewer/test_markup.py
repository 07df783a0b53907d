"""Names of files and classes come from strangers: none of them becomes markup; missing measures are said."""

from segue.classes import class_list
from segue.viewer import markup
from segue.viewer.gallery import Facts, Gallery, Wanted

HOSTILE = '"><img src=x onerror=alert(1)>'
CLASSES = class_list(["road", "<b>car</b>"])


def hostile() -> Gallery:
    gallery = Gallery([HOSTILE, "plain"])
    gallery.facts = {0: Facts(0.5, 0.1, 0.2, None, {"road": 0.2505, "<b>car</b>": 0.7495})}
    return gallery


def test_hostile_names_are_shown_not_run() -> None:
    gallery = hostile()
    gallery.unknown = {"lost": "rejected"}
    pages = [
        markup.heading(HOSTILE, gallery),
        markup.tiles(gallery, [0, 1], Wanted("entropy"), current=0, key="0123456789"),
        markup.comparison(0, HOSTILE, "before", "after", key="0123456789"),
        markup.facts(gallery, 0, CLASSES),
    ]
    for page in pages:
        assert "<img src=x" not in page and "<b>car" not in page
    assert "&lt;b&gt;car&lt;/b&gt; <b>75.0 %</b>" in pages[3] or "<b>74.9 %</b>" in pages[3]


def test_tiles_say_what_they_are_ordered_by_and_what_was_decided() -> None:
    gallery = hostile()
    gallery.decide(1, "rejected")
    told = markup.tiles(gallery, [0, 1], Wanted("entropy"), current=1, key="k")
    assert "50.0 %" in told and "not measured" in told and "<em>rejected</em>" in told
    assert told.count('aria-current="true"') == 1
    assert "No picture fits" in markup.tiles(gallery, [], Wanted(), current=0, key="k")


def test_a_comparison_lays_layers_over_the_photograph() -> None:
    told = markup.comparison(4, "x", "picture", "confidence", key="0123456789")
    assert told.count("/pictures/4/picture?01234567") == 2
    assert told.count("/pictures/4/confidence?01234567") == 1


def test_what_could_not_be_compared_is_not_told() -> None:
    told = markup.facts(hostile(), 0, CLASSES)
    assert "share that changed" not in told and "not decided yet" in told and "disagreement" in told
    assert markup.percent(0.0002) == "under 0.1 %" and markup.percent(0) == "0.0 %"
