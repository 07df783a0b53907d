"""Exported networks predict in onnxruntime what ours predict, whatever the size and the batch; HRDA's too."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segue.evaluation.model import TrainedModel
from segue.evaluation.onnx_model import OnnxModel
from segue.export.agreement import Agreement, compare_with, drawn, sizes
from segue.export.onnx_file import write_onnx
from segue.models.build import build_segmenter
from segue.models.encoders import ENCODERS
from segue.models.encoders.encoder import Variant
from segue.models.encoders.resnet import ResNet
from segue.models.weights import Card
from segue.protocol import PredictionProtocol

WINDOW = (64, 96)
DETAIL = {"detail": [64, 64], "context_scale": 0.5, "detail_share": 0.1, "overlap": 0.5}


def trained(encoder: str, head: str, **options: Any) -> TrainedModel:
    torch.manual_seed(0)
    network = {"encoder": encoder, "head": head, "num_classes": 3, "channels": 16, **options}
    card = Card(["road", "car", "sky"], [[0, 0, 0]] * 3, [120.0] * 3, [60.0] * 3, network,
                PredictionProtocol(WINDOW), "daformer", 3)  # fmt: skip
    model = build_segmenter(**network).eval()
    for module in model.modules():  # batch norms that do something
        if isinstance(module, torch.nn.BatchNorm2d) and module.running_mean is not None:
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return TrainedModel(model, card, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "head", "options"),
    [
        ("mit_nano", "daformer", {}),
        ("mit_nano", "daformer", {"context": "isa"}),
        ("mit_nano", "daformer", {"context": "aspp"}),
        ("mit_nano", "segformer", {}),
        ("resnet50_v1c", "deeplab_v2", {"aligned_corners": True}),
        ("resnet50_v1c", "deeplab_v3plus", {}),
        ("vit_nano", "daformer", {}),
        ("dinov2_tiny", "daformer", {}),
        ("dinov3_tiny", "deeplab_v3plus", {}),
        ("mit_nano", "daformer", {"multi_resolution": {**DETAIL, "attention": "class"}}),
        ("mit_nano", "daformer", {"multi_resolution": {**DETAIL, "detail": [64, 32], "attention": "single"}}),
    ],
)
def test_it_predicts_the_same_at_three_sizes_and_two_batches(
    encoder: str, head: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "resnet50_v1c", Variant(lambda drop_path: ResNet((1, 1, 1, 1))))
    model = trained(encoder, head, **options)
    write_onnx(model, tmp_path / "model.onnx")
    found = list(compare_with(model, tmp_path / "model.onnx"))
    assert len(found) == 6 and len({one.shape[1:] for one in found}) == 3
    assert all(one.holds for one in found), found
    assert max(one.largest for one in found) < 1e-4


@pytest.mark.slow
def test_convolutions_stay_dilated_and_nothing_is_taken_apart(tmp_path: Path) -> None:
    import onnx

    write_onnx(trained("mit_nano", "daformer"), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    dilations = {
        tuple(entry.ints)
        for node in graph.node
        for entry in node.attribute
        if node.op_type == "Conv" and entry.name == "dilations"
    }
    assert dilations == {(1, 1), (6, 6), (12, 12), (18, 18)}
    free = [[axis.dim_param for axis in entry.type.tensor_type.shape.dim] for entry in graph.input]
    assert free == [["batch", "", "height", "width"]]
    assert not list(tmp_path.glob(".*")), "nothing half-written is left"


@pytest.mark.slow
def test_the_folder_is_a_member_that_fuse_opens(tmp_path: Path) -> None:
    model = trained("mit_nano", "segformer")
    write_onnx(model, tmp_path / "model.onnx")
    again = OnnxModel(tmp_path / "model.onnx")
    assert again.classes.names == model.classes.names
    images = torch.randint(0, 256, (2, 3, 50, 70), dtype=torch.uint8)
    assert torch.allclose(again.probabilities(images), model.probabilities(images), atol=1e-5)


@pytest.mark.slow
def test_another_network_is_told_apart(tmp_path: Path) -> None:
    write_onnx(trained("mit_nano", "segformer"), tmp_path / "model.onnx")
    other = trained("mit_nano", "segformer")
    with torch.no_grad():
        next(iter(other.network.head.linear_pred.parameters())).mul_(-1)
    assert not all(one.holds for one in compare_with(other, tmp_path / "model.onnx"))
    assert not Agreement((1, 8, 8), 1e-6, 1e-7, 0.99).holds


def test_the_sizes_are_three_that_any_encoder_takes() -> None:
    for window in ((32, 32), (512, 1024)):
        found = sizes(window)
        assert len(set(found)) == 3 and min(map(min, found)) >= 32
    assert drawn((2, 33, 40), torch.Generator().manual_seed(0)).shape == (2, 3, 33, 40)
