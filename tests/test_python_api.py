"""What ``import segue`` offers does what the documents say, and importing it alone costs no torch."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import segue
from segue.data.streets.dataset import StreetScenes
from segue.evaluation.model import TrainedModel
from tests.tiny import tiny, write_model

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def own_folders(root: Path) -> None:
    """Two folders as people have them: pictures, and for the source labels of the values 0 to 2."""
    generator = np.random.default_rng(0)
    for name in ("source/images", "source/labels", "target"):
        (root / name).mkdir(parents=True)
        for number in range(4):
            shape = (96, 128) if name.endswith("labels") else (96, 128, 3)
            pixels = generator.integers(0, 3 if len(shape) == 2 else 256, shape)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "pictures" / "one.png"
    path.parent.mkdir()
    pixels = StreetScenes("target", split="val", count=1).image(0)
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> TrainedModel:
    write_model(tiny("daformer"), tmp_path / "model")
    return segue.load(tmp_path / "model", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("document", ["docs/python.md", "README.md"])
def test_the_code_in_the_documents_runs(
    document: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own_folders(tmp_path / "own")
    blocks = CODE.findall((ROOT / document).read_text())
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    assert (tmp_path / "predictions/overlay/one.png").is_file()


@pytest.mark.slow
def test_adapt_takes_names_of_classes_as_it_takes_a_file(tmp_path: Path) -> None:
    own_folders(tmp_path / "own")
    classes = tmp_path / "classes.yaml"
    classes.write_text("[road, car, sky]\n")
    runs = [
        segue.adapt(
            str(tmp_path / "own/source"), tmp_path / "own/target", given,
            recipe="source_only", out=tmp_path / f"run{place}", steps=1, cpu=True, quiet=True,
            settings={"network.encoder": "mit_nano", "network.channels": 16, "data.workers": 0},
        )
        for place, given in enumerate((["road", "car", "sky"], classes, str(classes)))
    ]  # fmt: skip
    assert runs[0].model.classes.names == ("road", "car", "sky")
    own = [run.settings.data.model_dump(exclude={"source", "target"}) for run in runs]
    assert own[0] == own[1] == own[2]
    weights = [(run.folder / "model/model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1] == weights[2]


def test_importing_it_imports_no_torch() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, segue; print(segue.__version__, 'torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == [segue.__version__, "False"]
    assert callable(segue.train) and callable(segue.evaluate)
    with pytest.raises(AttributeError, match="no attribute 'predicts'"):
        _ = segue.predicts


@pytest.mark.slow
def test_a_picture_in_any_form_is_the_same(model, scene: Path) -> None:
    pixels = np.array(Image.open(scene))
    first, *others = (
        model.predict(given, probabilities=True) for given in (scene, str(scene), Image.open(scene), pixels)
    )
    assert first.index.shape == pixels.shape[:2] and first.index.dtype == np.uint8
    assert (first.picture == pixels).all() and first.overlay.shape == pixels.shape
    probability = first.probabilities
    assert (probability.argmax(0).numpy() == first.index).all()
    assert (probability.amax(0).numpy() == first.confidence).all()
    batch = model.probabilities(torch.from_numpy(pixels).permute(2, 0, 1)[None].repeat(2, 1, 1, 1))
    torch.testing.assert_close(batch[1], probability)
    for other in others:
        assert (other.index == first.index).all() and torch.equal(other.probabilities, probability)
    assert model.predict(scene).probabilities is None
    ((name, alone),) = model.predict_folder(scene.parent)
    assert name == "one" and (alone.index == first.index).all()
    with pytest.raises(ValueError, match=r"of shape \(4, 3\)|shape \(3, 8, 8\)"):
        model.predict(np.zeros((3, 8, 8), np.uint8))


def test_changes_of_the_protocol_are_the_model_s_own(model, tmp_path: Path) -> None:
    other = segue.load(tmp_path / "model", "cpu", flip=True, scales=(0.5, 1.0))
    assert (other.protocol.flip, other.protocol.scales) == (True, (0.5, 1.0))
    assert other.card == model.card and not model.protocol.flip
    assert other.described()["scales"] == [0.5, 1.0]
    with pytest.raises(ValueError, match="each above 0"):
        segue.load(tmp_path / "model", "cpu", scales=(0.0,))


def test_a_half_precision_card_counts_on_a_gpu_alone(tmp_path: Path) -> None:
    write_model(tiny("daformer", {"run": {"precision": "bf16"}}), tmp_path)
    model = segue.load(tmp_path, "cpu")
    assert (model.card.prediction.precision, model.protocol.precision) == ("bfloat16", "float32")
    if torch.cuda.is_available():
        assert segue.load(tmp_path, "cuda").protocol.precision == "bfloat16"


def test_whoever_has_name_image_and_label_is_labelled_pictures(model) -> None:
    scores = segue.evaluate(model, StreetScenes("target", split="val", count=2))
    assert scores.protocol["pictures"] == 2 and scores.protocol["network"] == "student"
    with pytest.raises(ValueError, match="a model without a run comes with no pictures"):
        segue.evaluate(model)


def test_settings_are_dotted_or_nested(tmp_path: Path) -> None:
    from segue.api import configure

    one = configure("daformer", "street_scenes", steps=3, settings={"optim.lr": 1e-3, "run.log_every": 2})
    other = configure(
        "daformer", "street_scenes", steps=3, settings={"optim": {"lr": 1e-3}, "run": {"log_every": 2}}
    )
    assert one == other and (one.steps, one.optim.lr) == (3, 1e-3)
    with pytest.raises(ValueError, match="say which domains"):
        segue.train("daformer", out=tmp_path / "run")
