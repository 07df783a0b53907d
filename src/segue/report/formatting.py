"""How the page writes numbers, lists and nested settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

ABSENT = "n/a"
MINUS = "\N{MINUS SIGN}"


def percent(fraction: float | None) -> str:
    """Percent with one decimal, without the percent sign; n/a for None."""
    return ABSENT if fraction is None else f"{100 * fraction:.1f}".replace("-", MINUS)


def points(difference: float | None) -> str:
    """A difference of fractions in percentage points, always signed; n/a for None."""
    if difference is None:
        return ABSENT
    rounded = round(100 * difference, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else "\N{PLUS-MINUS SIGN}"
    return f"{sign}{abs(rounded):.1f}"


def duration(seconds: float | None) -> str:
    """Seconds in at most two units: 41 s, 3 min 12 s, 2 h 5 min; n/a for None."""
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


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them: a, b and c."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def dotted_texts(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as dotted keys and short texts, in order; empty mappings are left out."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from dotted_texts(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, cast(list[object], value))) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_text(v)}" for k, v in cast(dict[object, object], value).items()) or "none"
    return str(value)
