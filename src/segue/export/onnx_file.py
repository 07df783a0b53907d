"""A trained model as an ONNX network for batches and pictures of any size."""

import json
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.evaluation.model import TrainedModel
from segue.files import part_beside, write_text

OPSET = 18
"""The first one whose resizing and normalisation are torch's."""

DRAWN_AT = (2, 3, 97, 131)
"""The picture that the network is recorded with: no stride divides its sides."""


class AtFullSize(nn.Module):
    """A network's logits at the size of the normalised picture."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        """Enlarge what the network predicts on its own grid."""
        size = (image.shape[-2], image.shape[-1])
        return F.interpolate(self.network(image).logits, size=size, mode="bilinear", align_corners=False)


def write_onnx(model: TrainedModel, path: Path) -> None:
    """Write NAME.onnx and beside it NAME.json with classes, mean and std, as ``segue fuse`` reads them.

    The network takes a normalised picture ``image`` (B,3,H,W), with sides from 32, and returns ``logits`` (B,K,H,W).

    Raises:
        ValueError: If a layer of the network has no counterpart in ONNX.
        OSError: If a file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_beside(path)
    try:
        _record(AtFullSize(model.network).eval(), part, model.device)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    beside = {"classes": list(model.classes.names), "mean": list(model.mean), "std": list(model.std)}
    write_text(path.with_suffix(".json"), json.dumps(beside, indent=2) + "\n")


def _record(network: nn.Module, path: Path, device: torch.device) -> None:
    """Run the network once and write what it did.

    torch's newer exporter needs another package, onnxscript; see the decisions in docs/architecture.md.
    """
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # of shapes compared in Python; the result is compared at several sizes
        try:
            torch.onnx.export(
                network,
                (torch.zeros(DRAWN_AT, device=device),),
                str(path),
                verbose=False,  # an error would print the graph
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes={"image": free, "logits": free},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ValueError(
                f"this network cannot be exported: {' '.join(str(error).split())[:300]}"
            ) from error
