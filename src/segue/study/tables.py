"""The tables of a study, drawn from its record: Markdown for files, rich tables for terminals."""

import statistics
from collections.abc import Sequence

from rich.table import Table

from segue.scores import CALLED
from segue.study.record import Record, Variant

HEADINGS = ("variant", "paper", "here", "± seeds", "to baseline", "p", "seeds", "minutes", "set otherwise")


def rows(record: Record) -> dict[str, list[tuple[str, ...]]]:
    """The cells of every table by its title; variants that were not run are left out."""
    tables = {
        title: [_cells(record, label) for label in labels if label in record.variants]
        for title, labels in record.tables.items()
    }
    return {title: lines for title, lines in tables.items() if lines}


def heading(record: Record) -> str:
    """The study, its pair, steps and seeds, in one line."""
    budgets = sorted({variant.steps for variant in record.variants.values()})
    steps = f"{budgets[0]}" if len(budgets) == 1 else f"{budgets[0]} to {budgets[-1]}"
    return f"{record.study} on {record.pair}: {steps} steps, seeds {', '.join(map(str, record.seeds))}"


def drawn(record: Record) -> list[Table]:
    """The study's tables, for a terminal."""
    tables: list[Table] = []
    for title, lines in rows(record).items():
        table = Table(title=f"{heading(record)}\n{title}")
        kept = _columns(lines)
        for place in kept:
            table.add_column(HEADINGS[place], justify="right" if place else "left", no_wrap=not place)
        for line in lines:
            table.add_row(*(line[place] for place in kept))
        tables.append(table)
    return tables


def markdown(record: Record, *, commands: bool = True) -> str:
    """All tables, what was set otherwise, what failed and, on request, the command of each line."""
    parts = [f"{record.question} ({heading(record)})", "", f"{caption(record)}.", ""]
    if record.command:
        parts += [f"    {record.command}", ""]
    for title, lines in rows(record).items():
        parts += [*([title, ""] if len(record.tables) > 1 else []), *_table(lines), ""]
    parts += _fused(record)
    parts += [f"{record.note}.", ""] if record.note else []
    if notes := notes_of(record):
        parts += [
            "Set otherwise than the recipe and the row have it:",
            "",
            *(f"- {note}" for note in notes),
            "",
        ]
    parts += _failures(record)
    if commands:
        alone = [f"    {variant.command}" for variant in record.variants.values()]
        parts += ["Each line alone:", "", *alone, ""]
    if record.machine:
        parts += [f"Minutes of training a run, on {record.machine}.", ""]
    return "\n".join(parts)


def classes_markdown(record: Record, labels: Sequence[str]) -> str:
    """IoU of each class in percent, averaged over seeds, with one column for each named variant."""
    variants = {label: record.variants[label] for label in labels if record.variants[label].scores}
    names = dict.fromkeys(name for variant in variants.values() for name in variant.classes)
    lines = [
        (name, *(_percent(variant.classes.get(name)) for variant in variants.values())) for name in names
    ]
    means = ("mean", *(_percent(variant.mean) for variant in variants.values()))
    return "\n".join(_grid(("class", *variants), [*lines, means]))


def notes_of(record: Record) -> list[str]:
    """What is set otherwise, numbered; settings of the same variants share a line."""
    return [f"{number}: {', '.join(items)}" for number, items in enumerate(_shared(record).values(), 1)]


def _shared(record: Record) -> dict[tuple[str, ...], list[str]]:
    by_variant = {label: variant.set_otherwise for label, variant in record.variants.items()}
    shared: dict[tuple[str, ...], list[str]] = {}
    for item in dict.fromkeys(item for settings in by_variant.values() for item in settings.items()):
        having = tuple(label for label, settings in by_variant.items() if item in settings.items())
        shared.setdefault(having, []).append(" ".join(item))
    return shared


def _cells(record: Record, label: str) -> tuple[str, ...]:
    variant = record.variants[label]
    base = record.variants.get(variant.base or record.baseline)
    difference = None if base is None or variant is base else variant.against(base)
    notes = [str(number) for number, labels in enumerate(_shared(record), 1) if label in labels]
    p = None if difference is None else difference.p
    return (
        label,
        "" if variant.published is None else f"{variant.published:.1f}",
        _mean(variant),
        "" if variant.spread is None else f"{100 * variant.spread:.1f}",
        "" if difference is None else f"{100 * difference.mean:+.1f}",
        "" if p is None else "< 0.01" if p < 0.01 else f"{p:.2f}",
        str(len(variant.scores)),
        "" if variant.minutes is None else f"{variant.minutes:.1f}",
        ", ".join(notes),
    )


def _mean(variant: Variant) -> str:
    if variant.mean is None:
        return "failed" if variant.failed else "not run"
    return f"{100 * variant.mean:.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _fused(record: Record) -> list[str]:
    """What fused labels were worth before a student learnt them, averaged over seeds."""
    lines: list[tuple[str, ...]] = []
    headings: list[str] = []
    for label, variant in record.variants.items():
        if variant.fused:
            found = [one.row for one in variant.fused.values()]
            headings = list(found[0])
            means = (statistics.fmean(one[name] for one in found) for name in headings)
            lines.append((label, *(_percent(mean) for mean in means)))
    if not lines:
        return []
    said = (
        "Fused labels of labelled target pictures before any student, for measuring only; the oracle policy reads these"
        " labels:"
    )
    return [said, "", *_grid(("variant", *headings), lines), ""]


def caption(record: Record) -> str:
    """What the columns mean."""
    return (
        f"{_measure(record)} in percent, of the target; differences to {record.baseline!r}{_other_bases(record)} over"
        " the same seeds, p by a paired t-test; paper: what is printed for these settings on this pair"
    )


def _measure(record: Record) -> str:
    known = [score.measure for variant in record.variants.values() for score in variant.scores.values()]
    called = known[0] if known else CALLED["mean_iou"]
    return called[0].upper() + called[1:]


def _other_bases(record: Record) -> str:
    """Which variants are compared with another one than the baseline."""
    own = [f"of {label!r} to {one.base!r}" for label, one in record.variants.items() if one.base]
    return f" ({', '.join(own)})" if own else ""


def _columns(lines: Sequence[tuple[str, ...]]) -> list[int]:
    """The columns that are not empty."""
    return [place for place in range(len(HEADINGS)) if any(line[place] for line in lines)]


def _table(lines: Sequence[tuple[str, ...]]) -> list[str]:
    kept = _columns(lines)
    return _grid([HEADINGS[place] for place in kept], [[line[place] for place in kept] for line in lines])


def _grid(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    ruled = ["| " + " | ".join(headings) + " |", "|---|" + "---|" * (len(headings) - 1)]
    return ruled + ["| " + " | ".join(line) + " |" for line in lines]


def _failures(record: Record) -> list[str]:
    said = [
        f"- {label}, seed {seed}: {why}"
        for label, variant in record.variants.items()
        for seed, why in variant.failed.items()
    ]
    return ["Failed:", "", *said, ""] if said else []
