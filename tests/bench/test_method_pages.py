"""The pages in docs/methods are what recipes, docstrings and citations say, and nothing was typed by hand."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.scripts import load_script

from segue.recipes.catalogue import RECIPES


@pytest.fixture
def script() -> ModuleType:
    return load_script("method_pages")


def checked(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """How the script ends: 0 or None if all is well, else a message."""
    monkeypatch.setattr(sys, "argv", ["method_pages.py", *arguments])
    try:
        script.main()
    except SystemExit as end:
        return end.code
    return None


def test_the_pages_are_up_to_date(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(script, monkeypatch, "--check") == 0


def test_every_recipe_has_its_part_of_one_page(script: ModuleType) -> None:
    pages = script.pages()
    for name in RECIPES:
        assert sum(f"\n## `{name}`\n" in text for text in pages.values()) == 1
    assert all(f"]({name})" in pages["README.md"] for name in pages if name != "README.md")
    assert "- `src/segue/methods/terms/instance_bank.py`: DIDA's instance bank" in pages["dida.md"]
    assert "| `gta5_to_cityscapes` | 68.3 |" in pages["daformer.md"]


def test_pages_changed_by_hand_are_noticed_and_made_anew(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A page that was changed, is missing, or belongs to no recipe any more."""
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    assert "out of date" in str(checked(script, monkeypatch, "--check"))
    assert checked(script, monkeypatch) is None
    assert checked(script, monkeypatch, "--check") == 0
    whole = (tmp_path / "dacs.md").read_text()
    for name, text in {"dacs.md": whole.replace("52.1", "62.1"), "gone.md": "old"}.items():
        (tmp_path / name).write_text(text)
        assert "out of date" in str(checked(script, monkeypatch, "--check"))
        assert checked(script, monkeypatch) is None
        assert checked(script, monkeypatch, "--check") == 0
    assert (tmp_path / "dacs.md").read_text() == whole and not (tmp_path / "gone.md").exists()
