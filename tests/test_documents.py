"""What documents tell a reader to type exists: verbs, options, recipes, settings, and the documents they point at."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from segue.cli.main import app
from segue.data.class_map import read_class_list
from segue.engine.experiment import parse_assignments
from segue.recipes.catalogue import RECIPES, experiment
from segue.recipes.pairs import STREET_SCENES
from segue.trees import flatten

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of every ``segue`` command in an indented line or between backticks."""
    joined = text.replace("\\\n", " ")
    for found in re.findall(r"^ {4}(segue .+)$", joined, re.M) + re.findall(r"`(segue [^`]+)`", joined):
        try:
            words = shlex.split(found, comments=True)[1:]
        except ValueError:  # a quotation that goes on in the next line
            words = found.split()[1:]
        if words and words[0] != "...":
            yield words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(document: Path) -> None:
    group = typer.main.get_command(app)
    for verb, *words in commands(document.read_text(encoding="utf-8")):
        if verb.startswith("-"):
            continue
        assert verb in group.commands, verb
        command = group.commands[verb]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        for word in words:
            assert not word.startswith("--") or word.partition("=")[0] in {*options, "--help"}, (verb, word)
        if verb in ("train", "recipes") and words and words[0].islower() and words[0].isidentifier():
            assert words[0] in RECIPES, words[0]


@pytest.mark.parametrize("name", ["quick_start", "own_data", "troubleshooting"])
def test_settings_named_for_newcomers_exist(name: str) -> None:
    """Each dotted name between backticks or after --set is a setting: of a run, of its encoder or of a domain."""
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    known = flatten(experiment("daformer", STREET_SCENES).model_dump())
    known |= flatten(experiment("source_only", STREET_SCENES).model_dump())
    known |= dict.fromkeys(f"data.{domain}.{key}" for domain in ("source", "target") for key in ("include",))
    for key in re.findall(r"\b((?:data|run|optim|network|method|evaluation)\.[a-z_.]+[a-z])", text):
        assert any(setting == key or setting.startswith(f"{key}.") for setting in known), key
    for assignment in re.findall(r"--set (\S+=\S+)", text):
        parse_assignments([assignment.strip("'`,)")])


def test_class_lists_for_newcomers_are_read(tmp_path: Path) -> None:
    """Every class list that docs/own_data.md shows is one."""
    text = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    shown = [
        block
        for block in re.findall(r"(?:^ {4}.+\n)+", text, re.M)
        if re.match(r" {4}(\[|\{|classes:)", block)
    ]
    assert len(shown) == 3
    for number, block in enumerate(shown):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block, encoding="utf-8")
        assert len(read_class_list(path)) == (3, 2, 2)[number]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_that_are_pointed_at_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for named in re.findall(r"`(docs/[\w./]+\.md)`", text):
        assert (ROOT / named).is_file(), named
