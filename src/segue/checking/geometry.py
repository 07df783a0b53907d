"""How large pictures and labels are, and which way up."""

from collections import Counter
from collections.abc import Iterator

from segue.checking.files import depth_shapes
from segue.checking.finding import Finding, alone, counted
from segue.checking.survey import Domain, Survey
from segue.data.decoding import size_complaint

SCALES_APART = 1.5
"""Domains whose pictures differ by this factor show things at different scales."""


def sizes(survey: Survey) -> Iterator[Finding]:
    """Labels of another size than their picture, and depths of another shape."""
    for domain in survey.domains.values():
        yield from depth_shapes(domain)
        bad = [
            (path, domain.labels[name], seen.size, domain.truths[name].size)
            for name, path, seen in domain.readable()
            if name in domain.truths and not domain.truths[name].problem
            if seen.size != domain.truths[name].size
        ]
        if bad:
            image, label, size, label_size = bad[0]
            more = f" ({len(bad)} such labels)" if len(bad) > 1 else ""
            text = size_complaint(image, label, size, label_size) + more
            yield Finding("error", domain.role, text, tuple((image, label) for image, label, _, _ in bad))


def crops(survey: Survey) -> Iterator[Finding]:
    """Pictures that are smaller than the crop, and domains that show things at different scales."""
    usual: dict[str, tuple[int, int]] = {}
    for role in ("source", "target"):
        domain = survey.domains.get(role)
        if domain is None or not domain.pictures:
            continue
        shown = [(path, _trained_size(domain, seen.size)) for _, path, seen in domain.readable()]
        small = [path for path, size in shown if size[0] < survey.crop[0] or size[1] < survey.crop[1]]
        if shown:
            usual[role] = Counter(size for _, size in shown).most_common(1)[0][0]
        if small:
            rows, columns = survey.crop
            text = (
                f"{small[0]}: smaller than the crop of {columns}x{rows} (width x height), as are {len(small)} of"
                f" {len(shown)} pictures: what lies beyond is padding; choose a smaller data.crop, or enlarge with"
                f" data.{role}.resize"
            )
            yield Finding("warning", role, text, alone(small))
    if len(usual) == 2:
        (rows, _), (other, _) = usual["source"], usual["target"]
        factor = max(rows, other) / min(rows, other)
        if factor >= SCALES_APART:
            text = (
                f"source pictures are {rows} rows high, target pictures {other}: things may be shown {factor:.1f}"
                " times as large in one; data.source.resize and data.target.resize bring them together"
            )
            yield Finding("note", "source and target", text)


def orientation(survey: Survey) -> Iterator[Finding]:
    """Pictures that EXIF turns: labels must fit the upright picture."""
    for domain in survey.domains.values():
        turned = [(name, path) for name, path, seen in domain.readable() if seen.orientation != 1]
        if not turned:
            continue
        files = [path for _, path in turned]
        text = f"{files[0]}: EXIF says to turn it ({counted(len(files), 'such picture')}): training turns it upright"
        if not domain.is_labelled:
            yield Finding("note", domain.role, text, alone(files))
            continue
        text += "; make sure that its label was drawn on the upright picture, as many tools ignore EXIF"
        yield Finding("warning", domain.role, text, alone(files))


def _trained_size(domain: Domain, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a picture when it is cropped."""
    if domain.resize is None:
        return size
    from segue.ops.resize import fitted  # here, as it needs torch

    return fitted(size, domain.resize)
