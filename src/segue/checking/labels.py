"""Label files: their kind, their values against the class list, colours without a meaning."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from segue.checking.finding import Finding, alone, counted
from segue.checking.look import MOST_COLOURS, Look
from segue.checking.survey import Domain, Survey
from segue.classes import Colour
from segue.data.decoding import require_one_class_each

IGNORED = 255


def kinds(survey: Survey) -> Iterator[Finding]:
    """JPEGs, fractions and other files that hold no class ids; masks in colours, with the list to write."""
    for domain in survey.domains.values():
        bad: list[tuple[Path, str]] = []
        painted: list[tuple[Path, Look]] = []
        for _, path, seen in domain.readable_labels():
            if domain.label_kind == "deep label" or (seen.colours is not None and domain.colours):
                continue
            try:
                require_one_class_each(path, seen.format, seen.mode)
            except ValueError as error:
                is_mask = seen.colours is not None and seen.format != "JPEG"
                (painted.append((path, seen)) if is_mask else bad.append((path, str(error))))
        if bad:
            more = f" ({len(bad)} such labels)" if len(bad) > 1 else ""
            yield Finding("error", domain.role, bad[0][1] + more, alone([path for path, _ in bad]))
        if painted:
            yield _in_colours(survey, domain, painted)


def values(survey: Survey) -> Iterator[Finding]:
    """Values outside the class list, 0/255 masks, labels that count from one, colours of no class."""
    for domain in survey.domains.values():
        yield from _strange_colours(domain)
        if domain.values is None:
            continue
        wrong: dict[str, list[tuple[Path, set[int]]]] = {"masks": [], "others": []}
        every: set[int] = set()
        for _, path, seen in domain.readable_labels():
            if seen.values is None:
                continue
            present = sorted(seen.values)
            every |= seen.values.keys()
            if domain.values.complaint(present, str(path)) is not None:
                wrong["masks" if present == [0, IGNORED] else "others"].append((path, set(present)))
        for kind, files in wrong.items():
            if files:
                present = [0, IGNORED] if kind == "masks" else sorted(every)
                text = domain.values.complaint(present, str(files[0][0])) or ""
                more = f" ({len(files)} such labels)" if len(files) > 1 else ""
                yield Finding("error", domain.role, text + more, alone([path for path, _ in files]))
        if survey.is_whole and not (wrong["masks"] or wrong["others"]):
            yield from _suspicious(domain, every)


def _suspicious(domain: Domain, every: set[int]) -> Iterator[Finding]:
    """Values that are all in the class list, but probably mean something else."""
    assert domain.values is not None
    known = sorted(domain.values.known - {IGNORED})
    from_zero = known == list(range(len(known)))
    if every == {0, IGNORED} and len(known) > 2:
        text = (
            f"{domain.place}: no label holds another value than 0 and 255: it looks like 0/255 masks, but 255 means"
            " ignored; write the class list as {0: background, 255: name}"
        )
        yield Finding("warning", domain.role, text)
    elif len(known) > 1 and from_zero and 0 not in every and len(every & set(known)) > 1:
        text = (
            f"{domain.place}: no label holds the value 0, which is the first class; if the labels count from 1, or 0"
            " was meant to be ignored, write the class list as {1: name, 2: name, ...}"
        )
        yield Finding("warning", domain.role, text)


def _strange_colours(domain: Domain) -> Iterator[Finding]:
    if not domain.colours:
        return
    strange: Counter[Colour] = Counter()
    bad: list[Path] = []
    for _, path, seen in domain.readable_labels():
        own = {c: number for c, number in (seen.colours or {}).items() if c not in domain.colours}
        if own or seen.colours == {}:
            bad.append(path)
        strange.update(own)
    if bad:
        shown = ", ".join(str(colour) for colour, _ in strange.most_common(4)) or f"more than {MOST_COLOURS}"
        text = (
            f"{bad[0]}: {strange.total()} pixels of {counted(len(bad), 'label')} have colours of no class ({shown});"
            " add the colour to the class list, under void if it means not labelled"
        )
        yield Finding("error", domain.role, text, alone(bad))


def _in_colours(survey: Survey, domain: Domain, painted: list[tuple[Path, Look]]) -> Finding:
    """Masks in colours that no class list explains: the list to write, with the names that can be guessed."""
    files = alone([path for path, _ in painted])
    colours: Counter[Colour] = Counter()
    for _, seen in painted:
        colours.update(seen.colours or {})
    first = painted[0][0]
    if not colours or len(colours) > MOST_COLOURS or any(seen.colours == {} for _, seen in painted):
        text = (
            f"{first}: a label in more than {MOST_COLOURS} colours shows no classes; was it smoothed, or saved as JPEG"
            " in between? Save it as a grey or palette PNG"
        )
        return Finding("error", domain.role, text, files)
    usual = dict(zip(survey.palette, survey.classes, strict=True))
    names = [usual.get(colour, "?") for colour, _ in colours.most_common()]
    remedy = {"classes": names, "colours": [list(colour) for colour, _ in colours.most_common()]}
    text = (
        f"{first}: {counted(len(painted), 'label')} in {counted(len(colours), 'colour')}, but the class list gives no"
        " colours: save what follows as classes.yaml in the domain's folder, with a name for each '?', or with its"
        " colour under void if it means not labelled"
    )
    return Finding("error", domain.role, text, files, _flow(remedy))


def _flow(tree: Mapping[str, Sequence[object]]) -> str:
    """YAML with a line for each key."""
    lines = (
        yaml.safe_dump({key: value}, default_flow_style=True, width=10**9, allow_unicode=True).strip()[1:-1]
        for key, value in tree.items()
    )
    return "\n".join(lines) + "\n"
