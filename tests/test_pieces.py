"""A new term, method and encoder are a file and a line of a table each: on a copy of the package they train at once."""

import os
import shutil
import subprocess
import sys
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
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.types import Batch, View


class TwiceSettings(MethodSettings):
    """Looks at the source twice."""

    name: Literal["twice"] = "twice"
    shows_domains_apart: ClassVar[bool] = False

    def reading(self, recipe: str) -> Reading:
        return Reading(target=False)

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

RUN = """
import json, sys
from pathlib import Path
from rich.console import Console
from segue.engine.stages import train
from segue.recipes.catalogue import experiment
from tests.tiny import TINY
wish = {"network": {"encoder": "averages"}, "method": {"name": "twice"}, "terms": {"sharpness": {"share": 0.25}}}
train(experiment("source_only", TINY, wish), Path(sys.argv[1]), console=Console(quiet=True), cpu=True)
"""


def add(package: Path, file: str, content: str, table: str, imported: str, anchor: str, line: str) -> int:
    """Write a piece's file and its table's line; returns how many files of the package were touched."""
    (package / file).write_text(content)
    text = (package / table).read_text()
    assert text.count(anchor) == 1
    (package / table).write_text(imported + text.replace(anchor, anchor + line))
    return 2


@pytest.mark.slow
def test_pieces_are_one_file_and_a_line(tmp_path: Path) -> None:
    package = tmp_path / "src" / "segue"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: path.read_bytes() for path in package.rglob("*.py")}
    tables = ("methods/terms/__init__.py", "methods/__init__.py", "models/encoders/__init__.py")
    touched = [
        add(
            package, "methods/terms/sharpness.py", TERM, tables[0],
            "from segue.methods.terms.sharpness import SharpnessSettings\n",
            "TERMS: dict[str, type[TermSettings]] = {", '\n    "sharpness": SharpnessSettings,',
        ),
        add(
            package, "methods/twice.py", METHOD, tables[1],
            "from segue.methods.twice import TwiceSettings\n",
            "METHODS: dict[str, type[MethodSettings]] = {", '\n    "twice": TwiceSettings,',
        ),
        add(
            package, "models/encoders/averages.py", ENCODER, tables[2],
            "from segue.models.encoders import averages\n",
            "ENCODERS: dict[str, Variant] = {", "**averages.VARIANTS, ",
        ),
    ]  # fmt: skip
    after = {path: path.read_bytes() for path in package.rglob("*.py")}
    changed = {path.relative_to(package).as_posix() for path in after if after[path] != before.get(path)}
    assert len(changed) == sum(touched) == 6 and set(tables) < changed
    shared = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "src"), str(shared)])}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "run")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    logged = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert all(name in logged for name in ("source/sharpness", "again/segmentation"))
    assert "averages" in (tmp_path / "run" / "model" / "card.json").read_text()
