"""An ONNX network whose output is NaN or zero everywhere, or whose mean and std are, is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from tests.cli.test_fuse import onnx_file

from segue.evaluation.onnx_model import OnnxModel

PICTURE = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize("factor", [float("nan"), 0.0])
def test_outputs_without_information_are_refused(tmp_path: Path, factor: float) -> None:
    import onnx

    path = onnx_file(tmp_path / "net.onnx")
    OnnxModel(path).probabilities(PICTURE)
    network = onnx.load(path)
    for tensor in network.graph.initializer:
        numbers = [number * factor for number in tensor.float_data]
        del tensor.float_data[:]
        tensor.float_data.extend(numbers)
    onnx.save(network, path)
    with pytest.raises(ValueError, match=r"net\.onnx: its output (holds numbers that are not|is zero)"):
        OnnxModel(path).probabilities(PICTURE)


@pytest.mark.parametrize(
    ("key", "values"), [("std", [1, 0, 1]), ("std", [1, -1, 1]), ("mean", ["nan", 0, 0])]
)
def test_colours_that_nothing_can_be_normalised_by(tmp_path: Path, key: str, values: list[float]) -> None:
    beside = onnx_file(tmp_path / "net.onnx").with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {key: values}))
    with pytest.raises(ValueError, match=rf"net\.json: .*{key}"):
        OnnxModel(tmp_path / "net.onnx")
