"""A new piece is a file and a line of a table, or an entry alone: on a copy of the package all of them work at once."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import segue

PACKAGE = Path(segue.__file__).parent

TERM = '''
"""A loss on sharp predictions."""

from torch import Tensor, nn

from segue.methods.context import Context
from segue.methods.method import Term, TermSettings
from segue.types import Output, View


class SharpnessSettings(TermSettings):
    """Punishes sharp predictions."""

    share: float = 0.5

    def build(self, context: Context) -> "Sharpness":
        return Sharpness(self.share / len(context.classes))


class Sharpness(Term):
    view_names = ("source",)

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        return {"sharpness": self.share * output.logits.float().square().mean()}
'''

METHOD = '''
"""The source, seen twice."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Term
from segue.types import Batch, View


class TwiceSettings(MethodSettings):
    """Looks at the source twice."""

    name: Literal["twice"] = "twice"
    shows_domains_apart: ClassVar[bool] = False

    @property
    def reads_target(self) -> bool:
        return False

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Twice":
        return Twice(context.student, terms, view_names=("source", "again"))


class Twice(Method):
    def views(self, batch: Batch, step: int) -> Iterator[View]:
        yield View("source", batch.source.image, batch.source.label)
        yield View("again", batch.source.image.flip(3), batch.source.label.flip(2))
'''

ENCODER = '''
"""Averages of patches: the smallest encoder there is."""

import torch.nn.functional as F
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, Variant


class Averages(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.out_channels = (4, 4, 4, 4)
        self.widen = nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.widen(F.avg_pool2d(image, stride, ceil_mode=True)) for stride in self.strides]


VARIANTS = {"averages": Variant(lambda drop_path: Averages(), mean=(1.0, 2.0, 3.0))}
'''

TEACHER = '''
"""A teacher that stays what the student was."""

from collections.abc import Mapping
from typing import Literal

from segue.methods.context import Context
from segue.methods.method import Term
from segue.methods.teacher import Frozen, TeacherSettings


class StillSettings(TeacherSettings):
    """Never moves."""

    name: Literal["still"] = "still"

    def build(self, context: Context, terms: Mapping[str, Term]) -> Frozen:
        return Frozen(context.student)
'''

HEAD = '''
"""A classifier of the finest map."""

from collections.abc import Sequence

from torch import Tensor, nn

from segue.models.heads.head import Head
from segue.models.settings import NetworkSettings


class LinearHead(Head):
    def __init__(self, in_channels: Sequence[int], num_classes: int, settings: NetworkSettings) -> None:
        super().__init__(in_channels, num_classes, settings)
        self.embedding_channels = in_channels[0]
        self.classifier = nn.Conv2d(in_channels[0], num_classes, 1)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        return self.classifier(features[0]), features[0]
'''

VERB = '''
"""``segue greet``."""

import typer


def greet(name: str) -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")
'''

CHECK = '''
"""How many domains there are."""

from collections.abc import Iterator

from segue.checking.finding import Finding
from segue.checking.survey import Survey


def domains(survey: Survey) -> Iterator[Finding]:
    """Say it."""
    yield Finding("note", "all", f"{len(survey.domains)} domains")
'''

LAYOUT = """
    "toy": Layout("pictures", "marks", ".png", ".png", {0: "road", 1: "sky"}, "{:02d}", (8, 8)),"""


@dataclass(frozen=True)
class Piece:
    """What is added: a file of its own (None for an entry alone), and a line of a table, after ``anchor``."""

    table: str
    anchor: str
    line: str
    file: str | None = None
    content: str = ""
    imported: str = ""

    @property
    def files(self) -> set[str]:
        return {self.table} | ({self.file} if self.file else set())


PIECES = {
    "term": Piece(
        "methods/terms/__init__.py",
        "TERMS: dict[str, type[TermSettings]] = {",
        '"sharpness": SharpnessSettings,',
        "methods/terms/sharpness.py",
        TERM,
        "from segue.methods.terms.sharpness import SharpnessSettings\n",
    ),
    "method": Piece(
        "methods/__init__.py",
        "METHODS: dict[str, type[MethodSettings]] = {",
        '"twice": TwiceSettings,',
        "methods/twice.py",
        METHOD,
        "from segue.methods.twice import TwiceSettings\n",
    ),
    "teacher": Piece(
        "methods/teachers/__init__.py",
        "TEACHERS: dict[str, type[TeacherSettings]] = {",
        '"still": StillSettings,',
        "methods/teachers/still.py",
        TEACHER,
        "from segue.methods.teachers.still import StillSettings\n",
    ),
    "encoder": Piece(
        "models/encoders/__init__.py",
        "ENCODERS: dict[str, Variant] = {",
        "**averages.VARIANTS, ",
        "models/encoders/averages.py",
        ENCODER,
        "from segue.models.encoders import averages\n",
    ),
    "head": Piece(
        "models/heads/__init__.py",
        "HEADS: dict[str, type[Head]] = {",
        '"linear": LinearHead,',
        "models/heads/linear.py",
        HEAD,
        "from segue.models.heads.linear import LinearHead\n",
    ),
    "data set on disk": Piece("data/published_layouts.py", "LAYOUTS: dict[str, Layout] = {", LAYOUT),
    "check of data": Piece(
        "checking/checks.py",
        "CHECKS: dict[str, Callable[[Survey], Iterator[Finding]]] = {",
        '"domains": domains,',
        "checking/domains.py",
        CHECK,
        "from segue.checking.domains import domains\n",
    ),
    "measure without labels": Piece(
        "evaluation/unlabelled.py",
        "MEASURES: dict[str, Measure] = {",
        '"highest": Measure(lambda seen: float(seen.target.max()), "highest probability", 1),',
    ),
    "verb": Piece(
        "cli/main.py",
        "VERBS = {",
        '"greet": greet,',
        "cli/greet.py",
        VERB,
        "from segue.cli.greet import greet\n",
    ),
}

USE = """
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner
from segue.checking.checks import findings
from segue.checking.survey import Survey
from segue.cli.main import app
from segue.engine.domains import open_domain
from segue.engine.settings import DomainSettings
from segue.engine.stages import train
from segue.recipes.catalogue import experiment
from tests.tiny import TINY

folder = Path(sys.argv[1])
network = {"encoder": "averages", "head": "linear"}
twice = {"network": network, "method": {"name": "twice"}, "terms": {"sharpness": {"share": 0.25}}}
train(experiment("source_only", TINY, twice), folder / "twice", console=Console(quiet=True), cpu=True)
wish = {"network": network, "method": {"teacher": {"name": "still"}}, "evidence": {"pictures": 1}}
still = experiment("dacs", TINY, wish)
train(still, folder / "still", console=Console(quiet=True), cpu=True)

for kind in ("pictures", "marks"):
    (folder / "toy" / kind).mkdir(parents=True)
    Image.new("RGB" if kind == "pictures" else "L", (8, 8), 1).save(folder / "toy" / kind / "a.png")
toy = open_domain(still.data, DomainSettings(dataset="toy", root=folder / "toy"), labelled=True)
assert toy.name(0) == "a" and still.data.classes[int(toy.label(0)[0, 0])] == "sky"

assert "0 domains" in [finding.text for kind, finding in findings(Survey({}, (), (), crop=(8, 8))) if kind == "domains"]
assert 0 < json.loads((folder / "still/evidence.json").read_text())["rows"][-1]["values"]["highest"] <= 1

assert "greet" in CliRunner().invoke(app, ["--help"]).output
assert CliRunner().invoke(app, ["greet", "you"]).output == "hello you\\n"
"""


def contents(package: Path) -> dict[str, bytes]:
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}


def add(package: Path, piece: Piece) -> None:
    """Write a piece's file and its line of the table."""
    if piece.file is not None:
        (package / piece.file).write_text(piece.content)
    table = package / piece.table
    text = table.read_text()
    assert text.count(piece.anchor) == 1
    text = text.replace(piece.anchor, piece.anchor + piece.line)
    first = text.index("from segue")
    table.write_text(text[:first] + piece.imported + text[first:])


def test_the_table_of_pieces_says_where_they_are() -> None:
    """Every piece that is added below stands in the documentation, with its table and its number of files."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "architecture.md").read_text()
    section = text.split("## Pieces")[1].split("## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line
    ]
    found = {row[0]: row for row in rows[2:]}
    assert found.keys() == PIECES.keys()
    for name, piece in PIECES.items():
        _, _, table, touched = found[name]
        constant = piece.anchor.split(":")[0].split(" =")[0]
        assert table == f"`{piece.table}: {constant}`", name
        assert touched == ("1, and the table's line" if piece.file else "1"), name


@pytest.mark.slow
def test_pieces_are_one_file_and_a_line(tmp_path: Path) -> None:
    package = tmp_path / "src" / "segue"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, piece in PIECES.items():
        before = contents(package)
        add(package, piece)
        changed = {path for path, text in contents(package).items() if text != before.get(path)}
        assert changed == piece.files, name
    shared = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "src"), str(shared)])}
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    logged = (tmp_path / "twice" / "metrics.jsonl").read_text()
    assert all(name in logged for name in ("source/sharpness", "again/segmentation"))
    card = (tmp_path / "twice" / "model" / "card.json").read_text()
    assert "averages" in card and "linear" in card
    assert "target/segmentation" in (tmp_path / "still" / "metrics.jsonl").read_text()
