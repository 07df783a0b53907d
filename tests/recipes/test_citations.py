"""Every recipe says how to cite its papers, from data that hang together; the package says how to cite itself."""

import tomllib
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from segue.cli.main import app
from segue.recipes.catalogue import RECIPES
from segue.recipes.citations import Citations, Paper, citations

ROOT = Path(__file__).resolve().parents[2]
PAPER = {"authors": ["Doe, Jane"], "title": "A title", "year": 2020}


def shown(name: str) -> str:
    found = CliRunner().invoke(app, ["recipes", name], catch_exceptions=False)
    assert found.exit_code == 0
    return found.output


def test_recipes_and_papers_belong_together() -> None:
    """No recipe names an unknown paper, no paper or venue is left over, no paper is there twice."""
    known = citations()
    assert {key for recipe in RECIPES.values() for key in recipe.papers} == set(known.papers)
    assert {paper.venue for paper in known.papers.values()} - {None} == set(known.venues)
    assert len({paper.title.casefold() for paper in known.papers.values()}) == len(known.papers)


def test_every_author_has_family_and_given_name() -> None:
    for paper in citations().papers.values():
        assert paper.authors == ("Anonymous",) or all(
            all(part.strip() for part in author.split(",")) and author.count(",") == 1
            for author in paper.authors
        )


def test_short_names_of_papers() -> None:
    known = citations().papers
    assert known["daformer"].short == "Hoyer et al., CVPR 2022"
    assert known["dida"].short == "Yao and Li, ICCV Workshops 2023"
    assert known["adabn"].short == "Li et al., 2016"
    assert RECIPES["source_only"].paper == "-"
    assert RECIPES["dida_ssr"].paper == "Yao and Li, ICCV Workshops 2023; Ge et al., 2024"


def test_a_recipe_ends_with_entries_that_can_be_copied() -> None:
    """Of both kinds of paper, whole, with balanced braces; a baseline points at the package alone."""
    entries = shown("dida_ssr").partition("How to cite")[2].partition("\n\n")[2]
    assert entries.count("{") == entries.count("}")
    assert entries.startswith("@inproceedings{dida,\n  author = {Yao, Dongyu and Li, Boheng},\n")
    assert "booktitle = {IEEE/CVF International Conference on Computer Vision Workshops}" in entries
    assert "@misc{ssr," in entries and "eprint = {2401.14686},\n  archivePrefix = {arXiv}" in entries
    assert "no paper" in shown("source_only")


def test_damaged_entries_are_refused() -> None:
    with pytest.raises(ValidationError, match="neither venue nor arxiv nor url"):
        Paper.model_validate(PAPER)
    with pytest.raises(ValidationError, match="unknown venue 'CVRP'"):
        Citations.model_validate({"venues": {}, "papers": {"doe": PAPER | {"venue": "CVRP"}}})


def test_the_package_says_how_to_cite_itself() -> None:
    """CITATION.cff has the keys that its format demands, and the version and licence of the package."""
    own = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(own)
    assert (own["version"], own["license"]) == (project["version"], project["license"])
