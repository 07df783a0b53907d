"""Folders, class lists and pairs of files: what training says when it opens a domain."""

from collections.abc import Iterator

from segue.checking.finding import Finding, alone, counted
from segue.checking.survey import Survey


def folders(survey: Survey) -> Iterator[Finding]:
    """Missing folders, class lists that contradict each other, class maps that lack a class."""
    for domain in survey.domains.values():
        for text in domain.refusals:
            yield Finding("error", domain.role, text)


def pairs(survey: Survey) -> Iterator[Finding]:
    """Pictures without a label, and labels without a picture."""
    for domain in survey.domains.values():
        if domain.pairing:
            yield Finding("error", domain.role, domain.pairing, alone(domain.unlabelled))
        if domain.surplus:
            some = counted(len(domain.surplus), "label belongs", "labels belong")
            yield Finding(
                "warning",
                domain.role,
                f"{domain.place}: {some} to no picture, as {domain.surplus[0].name}, and will not be used; a label has"
                " its picture's name",
                alone(domain.surplus),
            )
