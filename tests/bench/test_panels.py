"""A sheet shows the pictures that a run is scored on, their labels, and what the run's own model predicts for them."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tests.scripts import load_script
from tests.tiny import tiny

from segue.engine.domains import open_domain
from segue.engine.run import train
from segue.evaluation.model import TrainedModel

panels = load_script("panels")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "source_only"
    train(tiny("source_only"), folder, console=Console(file=io.StringIO()), cpu=True)
    return folder


def test_rows_and_sheet(run: Path) -> None:
    rows = panels.rows_of({"a run": run}, pictures=2, device=torch.device("cpu"))
    assert list(rows) == ["picture", "label", "a run"]
    wanted = tiny("source_only")
    assert wanted.data.evaluation is not None
    domain = open_domain(wanted.data, wanted.data.evaluation, labelled=True)
    image = domain.image(0)
    colours = np.array(domain.classes.colours, dtype=np.uint8)
    assert np.array_equal(rows["picture"][0], image.permute(1, 2, 0).numpy())
    assert np.array_equal(rows["label"][0], colours[domain.label(0).long().numpy()])
    seen = TrainedModel.load(run, "cpu").predict(image).index
    assert np.array_equal(rows["a run"][0], colours[seen])
    drawn = np.array(panels.sheet(rows))
    width, height = panels.CELL
    assert drawn.shape == (
        3 * (height + panels.GAP) - panels.GAP,
        panels.MARGIN + 2 * (width + panels.GAP),
        3,
    )
    label = drawn[height + panels.GAP :][:height, panels.MARGIN :][:, :width]
    assert {tuple(colour) for colour in label.reshape(-1, 3)} <= {tuple(colour) for colour in colours}


def test_the_script_writes_a_png_and_names_what_it_cannot_draw(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panels.main([f"source only={run}", "--pictures", "1", "--out", str(tmp_path / "new" / "sheet.png")])
    with Image.open(tmp_path / "new" / "sheet.png") as drawn:
        assert drawn.format == "PNG" and drawn.width == panels.MARGIN + panels.CELL[0] + panels.GAP
    for given, said in ((str(run), "give a name and a run folder"), (f"x={tmp_path / 'none'}", "none")):
        with pytest.raises(SystemExit):
            panels.main([given])
        assert said in capsys.readouterr().err
