"""How to cite the recipes' papers: ``citations.yaml`` beside this file, read and checked."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from segue.trees import read_yaml

FILE = Path(__file__).with_suffix(".yaml")


class Paper(BaseModel):
    """What a reference list needs of a paper.

    Attributes:
        authors: Each "Family, Given".
        venue: The short name of where it appeared; None if it did not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    authors: tuple[str, ...] = Field(min_length=1)
    title: str
    year: int
    venue: str | None = None
    arxiv: str | None = None
    url: str | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if not (self.venue or self.arxiv or self.url):
            raise ValueError(f"{self.title}: neither venue nor arxiv nor url says where it is found")
        return self

    @property
    def short(self) -> str:
        """Authors, venue and year, as in "Hoyer et al., CVPR 2022"."""
        families = [author.partition(",")[0] for author in self.authors]
        who = f"{families[0]} et al." if len(families) > 2 else " and ".join(families)
        return f"{who}, {self.venue} {self.year}" if self.venue else f"{who}, {self.year}"

    def bibtex(self, key: str) -> str:
        """The entry of a bibliography."""
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}",
            "booktitle": self.venue and citations().venues[self.venue],
            "year": str(self.year),
            "eprint": self.arxiv,
            "archivePrefix": self.arxiv and "arXiv",
            "url": self.url,
            "note": self.note,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{'inproceedings' if self.venue else 'misc'}{{{key},", *lines, "}"])


class Citations(BaseModel):
    """The whole file.

    Attributes:
        venues: Full names by short ones.
        papers: By the name that recipes use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    venues: dict[str, str]
    papers: dict[str, Paper]

    @model_validator(mode="after")
    def _knows_every_venue(self) -> Self:
        for key, paper in self.papers.items():
            if paper.venue is not None and paper.venue not in self.venues:
                raise ValueError(f"{key}: unknown venue {paper.venue!r}")
        return self


@cache
def citations() -> Citations:
    """The papers that come with the package."""
    return Citations.model_validate(read_yaml(FILE))


def short(keys: Sequence[str]) -> str:
    """Authors, venue and year of some papers; a dash if there are none."""
    return "; ".join(citations().papers[key].short for key in keys) or "-"
