"""ONNX networks as models."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from segue.classes import class_list
from segue.evaluation.model import Model
from segue.evaluation.predictors import Predictor
from segue.models.weights import check_normalisation
from segue.ops.resize import resize


class OnnxModel(Model):
    """An ONNX network on the processor; NAME.json beside NAME.onnx holds its classes, and mean and std in grey levels.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If one of them is not what it should be, or onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        predictor, beside = onnx_predictor(path), path.with_suffix(".json")
        if not beside.is_file():
            raise FileNotFoundError(
                f"{beside}: no such file; it names the classes of {path.name}, and mean and std in grey levels"
            )
        try:
            content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
            mean, std = ([float(part) for part in content[key]] for key in ("mean", "std"))
            check_normalisation(mean, std)
            classes = class_list(content["classes"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{beside}: it needs the keys classes, mean and std: {error}") from None
        super().__init__(predictor, classes, mean, std, torch.device("cpu"))


def require_runtime() -> Any:
    """The module onnxruntime; a ValueError that says how to install it where it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("ONNX needs onnxruntime: pip install '.[export]' in Segue's folder") from error
    return onnxruntime


def onnx_predictor(path: Path) -> Predictor:
    """A predictor on the processor, from a network with one input (B,3,H,W) and one output (B,K,h,w).

    The output may be logits or probabilities.

    Raises:
        ValueError: If onnxruntime is not installed, or the file is not such a network.
        FileNotFoundError: If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    onnxruntime = require_runtime()
    try:
        session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors share no public base class
        raise ValueError(f"{path}: not an ONNX network: {' '.join(str(error).split())[:200]}") from error
    entry = session.get_inputs()[0].name

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        try:
            output = torch.from_numpy(session.run(None, {entry: image.cpu().numpy()})[0]).float()
        except Exception as error:  # as above
            shape = "x".join(map(str, image.shape))
            raise ValueError(
                f"{path}: it does not take a picture of shape {shape}; export it with free height and width"
                f" ({' '.join(str(error).split())[:200]})"
            ) from error
        if output.ndim != 4:
            raise ValueError(f"{path}: its output has {output.ndim} axes, not (B,K,H,W)")
        if not output.isfinite().all() or not output.any():
            fault = "is zero everywhere" if output.isfinite().all() else "holds numbers that are not finite"
            raise ValueError(
                f"{path}: its output {fault}: check the network, and mean and std in {path.with_suffix('.json').name}"
            )
        sums = output.sum(1)
        is_probability = bool((output >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
        size = (image.shape[-2], image.shape[-1])
        return resize(output if is_probability else output.softmax(1), size)

    return predict
