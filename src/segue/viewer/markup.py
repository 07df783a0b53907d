"""The parts of the page that show pictures, as HTML; names come from strangers' folders and are escaped."""

from collections.abc import Sequence
from html import escape

from segue.classes import ClassList
from segue.viewer.gallery import MEASURES, Gallery, Wanted

KINDS = {
    "picture": "picture",
    "before": "before",
    "after": "after",
    "teacher": "teacher",
    "confidence": "confidence",
    "disagreement": "disagreement",
}
"""What can stand on either side of the slider, and what the page calls it."""

SAID = {None: "", "accepted": "accepted", "rejected": "rejected"}


def heading(run: str, gallery: Gallery) -> str:
    """The run's name, and how far the pictures have been measured and decided about."""
    decided = list(gallery.decisions.values())
    counts = [
        (len(gallery.names), "target pictures"),
        (len(gallery.facts), "measured"),
        (decided.count("accepted"), "accepted"),
        (decided.count("rejected"), "rejected"),
    ]
    told = "".join(f"<li><b>{number:,}</b> {what}</li>" for number, what in counts)
    lost = len(gallery.unknown)
    note = (
        f"<li>{lost:,} earlier decisions are about pictures that are not here; they are kept</li>"
        if lost
        else ""
    )
    return f"<header><h1>{escape(run)}</h1><ul>{told}{note}</ul></header>"


def tiles(gallery: Gallery, places: Sequence[int], wanted: Wanted, *, current: int, key: str) -> str:
    """The pictures of one page of the list, as buttons."""
    if not places:
        return (
            '<p class="empty">No picture fits. Measures are known only of pictures that were measured: measure more'
            " below, or ask for less.</p>"
        )
    return f'<div class="tiles">{"".join(_tile(gallery, p, wanted, current, key) for p in places)}</div>'


def _tile(gallery: Gallery, place: int, wanted: Wanted, current: int, key: str) -> str:
    name = gallery.names[place]
    decision = SAID[gallery.decisions.get(place)]
    value = gallery.value(place, wanted)
    told = "" if wanted.order == "name" else "not measured" if value is None else percent(value)
    state = ' aria-current="true"' if place == current else ""
    return (
        f'<button type="button" class="tile {decision}" data-place="{place}" title="{escape(name)}"{state}>'
        f'<img loading="lazy" src="{address(place, "thumbnail", key)}" alt="">'
        f'<span class="name"><bdi>{escape(name)}</bdi></span>'
        f'<span class="told">{told}{f"<em>{decision}</em>" if decision else ""}</span></button>'
    )


def comparison(place: int, name: str, left: str, right: str, *, key: str) -> str:
    """Two sides of one picture with a slider between them; layers are laid over the photograph."""
    sides = "".join(
        f'<div class="side {side}">{_layer(place, "picture", key)}'
        f"{_layer(place, kind, key) if kind != 'picture' else ''}</div>"
        for side, kind in (("left", left), ("right", right))
    )
    alternative = escape(f"{name}: {KINDS[left]} on the left, {KINDS[right]} on the right")
    return (
        f'<figure class="comparison"><div class="frame" role="img" aria-label="{alternative}">{sides}'
        f'<i class="line"></i><span class="label left">{KINDS[left]}</span>'
        f'<span class="label right">{KINDS[right]}</span></div>'
        '<label class="slide">slide<input type="range" min="0" max="100" step="0.5" value="50" data-sets="at"></label>'
        '<label class="slide">colours<input type="range" min="0" max="100" value="65" data-sets="strength"></label>'
        f"<figcaption><bdi>{escape(name)}</bdi></figcaption></figure>"
    )


def _layer(place: int, kind: str, key: str) -> str:
    return f'<img class="{"photograph" if kind == "picture" else "layer"}" src="{address(place, kind, key)}" alt="">'


def facts(gallery: Gallery, place: int, classes: ClassList) -> str:
    """What was decided and measured about a picture, and the classes in it, most of it first."""
    known, decision = gallery.facts.get(place), gallery.decisions.get(place)
    said = (
        f'<p class="decision {decision}">{decision}</p>'
        if decision
        else '<p class="decision">not decided yet</p>'
    )
    if known is None:
        return said
    values = {title: getattr(known, name) for name, title in MEASURES.items()}
    rows = "".join(
        f"<div><dt>{title}</dt><dd>{percent(value)}</dd></div>"
        for title, value in values.items()
        if value is not None
    )
    colours = dict(zip(classes.names, classes.colours, strict=True))
    shown = sorted(known.shares.items(), key=lambda pair: -pair[1])
    chips = "".join(
        f'<li><i style="background:rgb{tuple(colours.get(name, (0, 0, 0)))}"></i>{escape(name)}'
        f" <b>{percent(share)}</b></li>"
        for name, share in shown
    )
    return f'{said}<dl>{rows}</dl><ul class="classes">{chips}</ul>'


def address(place: int, kind: str, key: str) -> str:
    """Where the page finds a picture; the key makes browsers ask again when the networks are others."""
    return f"/pictures/{place}/{kind}?{key[:8]}"


def percent(share: float) -> str:
    """A share as a reader wants it."""
    return f"{100 * share:.1f} %" if share >= 0.001 or share == 0 else "under 0.1 %"
