"""The plan of the code holds: layers, no cycles, size of files and functions, public docstrings, no leaks."""

import ast
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from segue.data.published_layouts import LAYOUTS
from segue.methods import METHODS
from segue.methods.teachers import TEACHERS
from segue.methods.terms import TERMS
from segue.models.encoders import ENCODERS
from segue.models.heads import HEADS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "segue"
FILES = sorted(PACKAGE.rglob("*.py"))
PLAIN = {"types", "classes", "fusion_rules", "protocol", "scores", "settings", "trees"}
LEVELS = [
    PLAIN | {"clock", "files", "machine", "memory", "precision", "progress", "ranks", "__init__"},
    {"ops"},
    {"models", "data"},
    {"evaluation", "checking"},
    {"methods"},
    {"engine"},
    {"recipes", "report", "bench"},
    {"study", "api", "export", "viewer"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
NO_TORCH = ("report", "checking", "cli/main", "files", *sorted(PLAIN - {"types"}))


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@cache
def imports(path: Path, *, top_only: bool = False) -> frozenset[str]:
    """What a file imports; with ``top_only`` just what importing it imports."""
    tree = ast.parse(path.read_text())
    skipped = (ast.FunctionDef, ast.AsyncFunctionDef) if top_only else ()
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in known}
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not is_typing:
            waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, skipped)]
    return frozenset(found)


MODULES = {module(path): path for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=module)
def test_lower_levels_do_not_import_upper_ones_nor_siblings_each_other(path: Path) -> None:
    own = part(module(path))
    assert own in LEVEL, f"{own} has no level: add it to LEVELS"
    for name in imports(path):
        if name.split(".")[0] != "segue" or part(name) == own:
            continue
        assert LEVEL[part(name)] < max(LEVEL[own], 1), f"{module(path)} imports {name}"


def test_there_is_no_import_cycle() -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"cycle: {' -> '.join((*above, name))}"
        if name in done:
            return
        for inner in imports(MODULES[name], top_only=True):
            if inner in MODULES and inner not in ("segue", name):
                visit(inner, (*above, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=module)
def test_files_and_functions_stay_small_and_public_ones_are_documented(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file's first line says what it is for"
    assert not list(_undocumented(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert _lines(node) <= 60, f"{node.name}: {_lines(node)} lines"
            assert _nesting(node) <= 3, f"{node.name}: nested {_nesting(node)} deep"


def test_the_median_file_is_short() -> None:
    assert statistics.median(path.read_text().count("\n") for path in FILES) <= 120


@pytest.mark.parametrize("name", NO_TORCH)
def test_what_is_to_start_fast_imports_no_torch(name: str) -> None:
    files = [path for path in FILES if path.relative_to(PACKAGE).with_suffix("").as_posix().startswith(name)]
    assert files
    seen: set[str] = set()
    waiting = [module(path) for path in files]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        found = imports(MODULES[current], top_only=True)
        assert not {n for n in found if n.split(".")[0] in {"torch", "accelerate", "kornia"}}, current
        waiting += [n for n in found if n in MODULES]


def test_processes_speak_accelerate_and_only_ranks_knows_how_they_meet() -> None:
    """Accelerate has neither a group that waits longer nor a store: for these ranks.py alone may ask torch."""
    raw = re.compile(r"torch\.distributed|import distributed|\bdist\.|WORLD_SIZE|LOCAL_RANK")
    for path in FILES:
        if module(path) != "segue.ranks":
            found = raw.findall(path.read_text())
            assert not found, f"{module(path)}: {found}; ask segue.ranks, or an Accelerator in engine/"
            assert "PartialState" not in path.read_text(), module(path)


def test_the_repository_stays_small() -> None:
    """Tracked files take less than 10 MB on a disk of 4 KiB blocks, nearly half of it parity fixtures."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name]
    sizes = {path: 4 * -(-path.stat().st_size // 4096) for path in tracked if path.is_file()}
    largest = sorted(sizes, key=lambda path: -sizes[path])[:3]
    assert 0 < sum(sizes.values()) < 10 * 1024, (
        f"largest: {[str(path.relative_to(ROOT)) for path in largest]}"
    )


ENGINE = [path for path in FILES if part(module(path)) == "engine"]
PAPERS = re.compile(
    r"\b(?:et al|adabn|adaptsegnet|advent|cbst|clda|crst|dacs|daformer|dida|hrda|mic|minent|mrkld|segformer|ssr|stct"
    r"|mean teacher)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", ENGINE, ids=module)
def test_the_engine_asks_pieces_and_knows_none(path: Path) -> None:
    """No paper is named, no piece of a table is a value, and no class of the methods is asked for."""
    tables = (METHODS, TERMS, TEACHERS, ENCODERS, HEADS, LAYOUTS)
    pieces = {name for table in tables for name in table}
    text = path.read_text()
    assert not PAPERS.search(text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant):
            assert node.value not in pieces, f"{node.value!r} is a piece's name"
        is_question = isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass")
        if is_question or isinstance(node, ast.MatchClass):
            asked = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            assert not asked & METHOD_CLASSES, ast.unparse(node)


METHOD_CLASSES = {
    node.name
    for path in FILES
    if part(module(path)) == "methods"
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef)
}


def test_nothing_tracked_names_a_machine() -> None:
    leak = re.compile(r"(?<![\w.])/(?:" + "|".join(["wo" + "rk", "ho" + "me", "ro" + "ot"]) + r")/")
    for path in ROOT.rglob("*"):
        is_text = path.suffix in {
            ".py",
            ".md",
            ".toml",
            ".yaml",
            ".yml",
            ".txt",
            ".html",
            ".j2",
            ".css",
            ".js",
        }
        if is_text and not {".venv", "runs", ".git"} & set(path.relative_to(ROOT).parts):
            assert not leak.search(path.read_text()), path


def _undocumented(node: ast.AST) -> Iterator[str]:
    """Public functions and classes without a docstring; what is inside a function or a private class is its own."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef) or child.name.startswith("_"):
            continue
        if not ast.get_docstring(child):
            yield child.name
        if isinstance(child, ast.ClassDef):
            yield from _undocumented(child)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From ``def`` to the last line, signature included, decorators not; the docstring is read apart."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def _nesting(node: ast.AST, depth: int = 0) -> int:
    deeper = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match)
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        deepest = max(deepest, _nesting(child, depth + (isinstance(child, deeper) and not is_elif)))
    return deepest
