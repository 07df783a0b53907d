"""How the page writes numbers: percent, points, durations, and what is not available."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

ABSENT = "n/a"
MINUS = "\N{MINUS SIGN}"


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as percent with one decimal, without the sign; n/a for None."""
    return ABSENT if fraction is None else f"{100 * fraction:.1f}".replace("-", MINUS)


def points(difference: float | None) -> str:
    """A difference of fractions in percentage points, signed; n/a for None."""
    if difference is None:
        return ABSENT
    rounded = round(100 * difference, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else "\N{PLUS-MINUS SIGN}"
    return f"{sign}{abs(rounded):.1f}"


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that say something: 41 s, 3 min 12 s, 2 h 5 min; n/a for None."""
    if seconds is None or not math.isfinite(seconds):
        return ABSENT
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands; n/a for None."""
    return ABSENT if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def significant(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:.3g}".replace("-", MINUS)


def listed(words: list[str]) -> str:
    """Words as a sentence has them: a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1] if words else "") if part)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as dotted keys and short texts, in order; an empty mapping says nothing."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def protocol_line(protocol: Mapping[str, Any]) -> str:
    """How a score was measured, in one line: classes, resolution, windows, averaging, network, pictures.

    Args:
        protocol: What stands beside the score; what is missing is left out.
    """
    classes, over = protocol.get("classes"), protocol.get("mean_over")
    words: list[str] = []
    if classes:
        words.append(f"{len(over)} of {len(classes)} classes" if over else f"{len(classes)} classes")
    words += _seen(protocol)
    if "flip" in protocol or "scales" in protocol:
        scales = [f"{scale:g}" for scale in protocol.get("scales", [1.0])]
        extra = (["mirrored"] if protocol.get("flip") else []) + (scales if scales != ["1"] else [])
        words.append(f"averaged over {', '.join(extra)}" if extra else "no test-time augmentation")
    words += [str(protocol[key]) for key in ("network", "precision") if protocol.get(key)]
    if protocol.get("batch_statistics"):
        words.append(f"batch statistics: {protocol['batch_statistics']}")
    if "pictures" in protocol:
        words.append(f"{count(protocol['pictures'])} pictures")
    return " \N{MIDDLE DOT} ".join(words)


def _seen(protocol: Mapping[str, Any]) -> list[str]:
    """What size pictures were predicted at, and in which pieces."""
    box, window = protocol.get("resize"), protocol.get("window")
    words = [f"fitted to {_size(box)}" if box else "own size"] if "resize" in protocol else []
    mode = protocol.get("mode")
    if mode == "whole":
        words.append("whole")
    elif mode and window:
        windows = f"windows of {_size(window)}, overlap {protocol.get('overlap')}, {protocol.get('blend')}"
        whole_up_to = f"whole up to {_size([2 * side for side in window])}, then "
        words.append(whole_up_to + windows if mode == "auto" else windows)
    return words


def _size(sides: Sequence[int]) -> str:
    return "x".join(str(side) for side in sides)


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in cast(list[object], value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in cast(dict[object, object], value).items()) or "none"
    return str(value)
