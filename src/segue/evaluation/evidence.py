"""What a run's measures without target labels say: its record, alarms while it trains, and a verdict at the end.

The record is ``evidence.json`` in the run folder. It describes itself, so that a report needs no table of measures.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from segue.files import write_text

RECORD_FILE = "evidence.json"
PICTURES = Path("pictures", "target")
"""The run's folder of target pictures with predictions before and after."""

PROGRESS = Path("pictures", "progress")
"""The run's folder of sheets that show how predictions of a few target pictures develop, by step."""


@dataclass(frozen=True)
class Row:
    """What was measured after so many steps.

    Attributes:
        values: By measure; None where it could not be taken.
        each: Of the measures that vote, the value on each target picture.
        shares: Of the target's pixels, by class.
        certainty: The mean probability of each class where it is named; None where it never is.
        alarms: What goes wrong, in words: classes that vanish, and collapses.
        collapsed: Whether one of them is a collapse.
    """

    step: int
    values: dict[str, float | None]
    each: dict[str, list[float | None]]
    shares: list[float]
    certainty: list[float | None]
    alarms: list[str] = field(default_factory=list[str])
    collapsed: bool = False


@dataclass(frozen=True)
class Record:
    """Everything measured of a run without target labels.

    Attributes:
        measures: For each its "title", whether higher is "better" (1, -1, or 0 for neither), and whether it "votes".
        adapted: Whether the run learnt from target pictures, and from no label of theirs.
        pictures: The names of the target pictures.
        set_aside: Whether the run did not train on them.
        source_pictures: How many labelled source pictures were looked at.
        source_trained_on: Whether the run trained on those.
        source_shares: Of the labelled pixels, by class; None without source pictures.
        start: The trained model that training started from; None for none, and then the first row says nothing.
        rows: In the order of steps.
    """

    measures: dict[str, dict[str, Any]]
    classes: list[str]
    adapted: bool
    pictures: list[str]
    set_aside: bool
    source_pictures: int
    source_trained_on: bool
    source_shares: list[float] | None
    start: str | None
    rows: list[Row]

    def counted(self) -> list[Row]:
        """The rows that something may be read from: not those before the network has learnt its classes."""
        is_raw = self.start is None and bool(self.rows) and self.rows[0].step == 0
        return self.rows[2:] or self.rows[-1:] if is_raw else self.rows


def write(folder: Path, record: Record) -> None:
    """Write a run folder's record, complete or not at all."""
    write_text(folder / RECORD_FILE, json.dumps(asdict(record), indent=1) + "\n")


def read(folder: Path) -> Record | None:
    """The record in a run folder; None if there is none.

    Raises:
        ValueError: If it is damaged.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(**row) for row in content.pop("rows")]
        record = Record(rows=rows, **content)
        _check(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read ({reason}): restore it, or remove it") from error
    return record


def begin_at(folder: Path, first: Path) -> None:
    """Let a run's record begin with the start of its first stage, which is what the whole run is compared with."""
    whole, begun = read(folder), read(first)
    if whole is None or begun is None or begun.start is None or whole.start is None:
        return
    if whole.pictures == begun.pictures:
        write(folder, replace(whole, start=begun.start, rows=[begun.rows[0], *whole.rows[1:]]))


def _check(record: Record) -> None:
    numbers = [*(record.source_shares or [])]
    for row in record.rows:
        numbers += [row.step, *row.shares]
        numbers += [value for value in row.values.values() if value is not None]
        numbers += [value for values in row.each.values() for value in values if value is not None]
        if len(row.shares) != len(record.classes) or len(row.certainty) != len(record.classes):
            raise ValueError("classes and shares differ in number")
    if any(isinstance(n, bool) or not isinstance(cast(object, n), int | float) for n in numbers):
        raise ValueError("something other than a number")
    if any({"title", "better", "votes"} - set(one) for one in record.measures.values()):
        raise ValueError("a measure is not described")


PRESENT, LEFT = 0.01, 0.05
"""A class has vanished if it covered at least the first share of the pixels, here and in the source's labels, and no
more than the second part of it is left."""

MOST, MORE = 0.5, 0.3
"""A class has taken over if it covers at least the first share, the second more than ever before and in the source."""

SURE, MOVED = 0.2, 0.2
"""Certainty is hollow if no more than the first part of the entropy is left, and the second share of pixels changed
class on balance."""


def watched(record: Record) -> Record:
    """The record with the alarms of its last row, which is compared with the rows before it."""
    *before, now = record.rows
    earlier = [row for row in record.counted() if row is not now]
    if not earlier or now not in record.counted():
        return record
    collapses = [*_taken_over(record, earlier, now), *_hollow(earlier, now)]
    alarms = [*collapses, *_vanished(record, earlier, now)]
    return replace(record, rows=[*before, replace(now, alarms=alarms, collapsed=bool(collapses))])


def _vanished(record: Record, earlier: Sequence[Row], now: Row) -> list[str]:
    source = record.source_shares or [1.0] * len(record.classes)
    said: list[str] = []
    for k, name in enumerate(record.classes):
        was = max(row.shares[k] for row in earlier)
        if min(was, source[k]) >= PRESENT and now.shares[k] <= LEFT * was:
            said.append(
                f"{name} is vanishing: {_percent(was)} of the target before, now {_percent(now.shares[k])}"
            )
    return said


def _taken_over(record: Record, earlier: Sequence[Row], now: Row) -> list[str]:
    source = record.source_shares or [0.0] * len(record.classes)
    said: list[str] = []
    for k, name in enumerate(record.classes):
        usual = max(source[k], *(row.shares[k] for row in earlier if not row.alarms), earlier[0].shares[k])
        if now.shares[k] >= max(MOST, usual + MORE):
            said.append(
                f"{name} takes over: {_percent(now.shares[k])} of the target, at most {_percent(usual)} before"
            )
    return said


def _hollow(earlier: Sequence[Row], now: Row) -> list[str]:
    was, entropy = earlier[0].values.get("entropy"), now.values.get("entropy")
    moved = sum(abs(a - b) for a, b in zip(earlier[0].shares, now.shares, strict=True)) / 2
    if was is None or entropy is None or entropy > SURE * was or moved < MOVED:
        return []
    return [
        f"hollow certainty: entropy fell from {was:.3f} to {entropy:.3f} while {_percent(moved)} of the target changed"
        " class on balance"
    ]


Finding: TypeAlias = Literal["helped", "no evidence", "hurt"]

CHANCE = 0.1
"""A measure votes where chance alone would be as one-sided over the pictures at most this often."""

FORGOTTEN = 0.1
"""The source is forgotten if the mean IoU on it falls by more than this; even good adaptation costs some of it."""


@dataclass(frozen=True)
class Verdict:
    """The answer to "did it help?" without target labels.

    Attributes:
        sure: How sure, in words.
        reasons: Sentences.
    """

    finding: Finding
    sure: str
    reasons: list[str]

    @property
    def headline(self) -> str:
        """The finding and how sure it is, in one line."""
        said = {"helped": "It helped", "no evidence": "No evidence that it helped", "hurt": "It hurt"}
        return f"{said[self.finding]}, by what can be told without target labels ({self.sure})."


@dataclass(frozen=True)
class Vote:
    """How a measure changed over the pictures: the numbers of pictures, and how often chance is as one-sided."""

    title: str
    better: int
    worse: int
    chance: float

    @property
    def side(self) -> int:
        """1 for better, -1 for worse, 0 for neither."""
        if self.chance > CHANCE:
            return 0
        return 1 if self.better > self.worse else -1


def votes(measures: Mapping[str, Mapping[str, Any]], before: Row, after: Row) -> list[Vote]:
    """How each measure that votes changed, picture by picture."""
    found: list[Vote] = []
    for name, measure in measures.items():
        pairs = zip(before.each.get(name, []), after.each.get(name, []), strict=False)
        changes = [(b - a) * measure["better"] for a, b in pairs if a is not None and b is not None]
        if measure["votes"] and changes:
            better, worse = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
            found.append(Vote(str(measure["title"]), better, worse, _by_chance(better, worse)))
    return found


def judge(record: Record, baseline: tuple[str, Record] | None = None) -> Verdict:
    """The verdict on a run from its last row.

    It is compared with a baseline of the same pictures, or else with the model that training started from. A class that
    vanishes counts against it as a measure does, and so does a source that is forgotten. It hurt if it has collapsed,
    or more is against it than for it; it helped if at least half of the measures are for it and nothing is against
    it; anything else is no evidence.

    Args:
        baseline: The name and the record of the run to compare with, such as a source-only one.
    """
    after = record.rows[-1]
    warned = [f"{alarm}." for alarm in after.alarms]
    if after.collapsed:
        return Verdict("hurt", "it has collapsed", warned)
    compared = compared_with(record, baseline)
    if compared is None:
        advice = (
            "There is no trained model to compare it with on the same pictures: start from one (network.start), or name"
            " a source-only run (--baseline)."
        )
        return Verdict("no evidence", "nothing to compare with", [advice, *warned])
    name, before = compared
    found = votes(record.measures, before, after)
    sides = [vote.side for vote in found]
    forgotten = _forgotten(before, after)
    for_it, against = sides.count(1), sides.count(-1) + len(forgotten) + len(warned)
    reasons = [
        f"Against {name}, on {len(record.pictures)} target pictures: "
        + "; ".join(f"{v.title}: better on {v.better}, worse on {v.worse}" for v in found)
        + ".",
        *forgotten,
        *warned,
    ]
    counted = f"{for_it} of {len(found)} measures for it, {_counted(against)} against"
    if against > for_it:
        return Verdict("hurt", counted, reasons)
    if for_it and 2 * for_it >= len(found) and not against:
        return Verdict("helped", counted, reasons)
    return Verdict("no evidence", counted, reasons)


def compared_with(record: Record, baseline: tuple[str, Record] | None = None) -> tuple[str, Row] | None:
    """The row that a run's last one is compared with, and its name; None if there is none, see :func:`judge`."""
    if baseline is not None:
        name, other = baseline
        if other.rows and other.pictures == record.pictures and other.classes == record.classes:
            return name, other.rows[-1]
    return None if record.start is None else ("the start", record.rows[0])


def _forgotten(before: Row, after: Row) -> list[str]:
    was, now = before.values.get("source_score"), after.values.get("source_score")
    if was is None or now is None or was - now <= FORGOTTEN:
        return []
    return [f"It forgets the source: mean IoU there fell from {_percent(was)} to {_percent(now)}."]


def _by_chance(better: int, worse: int) -> float:
    """The two-sided sign test: how often as many fair coins fall as one-sided."""
    coins = better + worse
    tail = sum(math.comb(coins, heads) for heads in range(min(better, worse) + 1)) / 2**coins
    return min(1.0, 2 * tail)


def _counted(number: int) -> str:
    return str(number) if number else "nothing"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
