"""Files that cannot be read, pictures that show nothing, and depths that training would squeeze."""

from collections.abc import Iterator

from segue.checking.finding import Finding, alone, counted
from segue.checking.survey import Domain, Survey
from segue.data.decoding import alike, bytes_complaint, shape_complaint

USUAL_BITS = 16
SQUEEZED = 12
"""Of this many bits or fewer, the upper eight of sixteen keep at most sixteen levels."""

THIN = 14
"""Of this many bits, they keep at most 64 levels."""


def unreadable(survey: Survey) -> Iterator[Finding]:
    """Damaged files, in the words of training."""
    for domain in survey.domains.values():
        for files, seen, kind in (
            (domain.images, domain.pictures, "picture"),
            (domain.labels, domain.truths, "label"),
            (domain.depths, domain.depths_seen, "depth file"),
        ):
            bad = [files[name] for name, one in seen.items() if one.problem]
            if bad:
                first = next(one.problem for one in seen.values() if one.problem)
                more = f" ({len(bad)} such {kind}s)" if len(bad) > 1 else ""
                yield Finding("error", domain.role, first + more, alone(bad))


def depth_shapes(domain: Domain) -> Iterator[Finding]:
    """Depths of another shape than their pictures."""
    seen = {name: one.size for name, _, one in domain.readable()}
    bad = [
        (domain.depths[name], seen[name], depth.size)
        for name, depth in domain.depths_seen.items()
        if name in seen and not depth.problem and not alike(seen[name], depth.size)
    ]
    if bad:
        more = f" ({len(bad)} such files)" if len(bad) > 1 else ""
        yield Finding(
            "error", domain.role, shape_complaint(*bad[0]) + more, alone([path for path, _, _ in bad])
        )


def blank(survey: Survey) -> Iterator[Finding]:
    """Pictures of one colour."""
    for domain in survey.domains.values():
        bad = [path for _, path, seen in domain.readable() if seen.is_blank]
        if bad:
            text = f"{bad[0]}: all of one colour ({counted(len(bad), 'such picture')}); remove what shows nothing"
            yield Finding("warning", domain.role, text, alone(bad))


def depth(survey: Survey) -> Iterator[Finding]:
    """Pictures of 16 bits that use only some of them, and pictures of fractions."""
    for domain in survey.domains.values():
        seen = list(domain.readable())
        fractions = [path for _, path, one in seen if one.mode == "F"]
        if fractions:
            text = bytes_complaint(fractions[0], "float32")
            yield Finding("error", domain.role, text, alone(fractions))
        deep = [(path, one.used_bits) for _, path, one in seen if one.used_bits is not None]
        used = max((bits for _, bits in deep), default=USUAL_BITS)
        if used > THIN:
            continue
        levels = 2 ** max(0, used - 8)
        text = (
            f"{deep[0][0]}: 16 bits of which only {used} are used"
            f" ({counted(len(deep), 'such picture')} decoded): training keeps the upper 8,"
            f" so at most {counted(levels, 'level')} of grey are left and the pictures are nearly black; multiply the"
            f" values by {2 ** (16 - used)}, or save 8 bits"
        )
        severity = "error" if used <= SQUEEZED else "warning"
        yield Finding(severity, domain.role, text, alone([path for path, _ in deep]))
