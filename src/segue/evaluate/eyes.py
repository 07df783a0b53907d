"""How trained models and ONNX files look at pictures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from segue.classes import class_list
from segue.evaluate.labelling import Eye
from segue.evaluate.plan import Plan
from segue.evaluate.predict import Predictor
from segue.models.weights import load_model, model_folder
from segue.ops.resize import resize


def model_eye(folder: Path, device: torch.device, **looks: Any) -> Eye:
    """A trained model with the way of predicting that its card names.

    Args:
        folder: A model folder, or a run folder with one in it.
        device: Where it is to predict.
        looks: What of that way is another: ``flip``, ``scales``, see :class:`segue.evaluate.plan.Plan`.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If it is damaged.
    """
    network, card = load_model(model_folder(folder))
    how = replace(Plan.from_protocol(card.prediction), **looks)
    if device.type != "cuda":
        how = replace(how, dtype=None)
    colours = [(red, green, blue) for red, green, blue in card.colours]
    classes = class_list(card.classes, colours)
    return Eye(how.predictor(network.to(device)), classes, card.mean, card.std, device)


def onnx_eye(path: Path) -> Eye:
    """An ONNX network; NAME.json beside NAME.onnx says its classes, and mean and std in grey levels.

    Raises:
        FileNotFoundError: If one of the two is not there.
        ValueError: If one of the two is something else.
    """
    predictor, beside = onnx_predictor(path), path.with_suffix(".json")
    if not beside.is_file():
        raise FileNotFoundError(
            f"{beside}: no such file; it names the classes of {path.name}, and mean and std in grey levels"
        )
    try:
        content: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        mean, std = ([float(part) for part in content[key]] for key in ("mean", "std"))
        if len(mean) != 3 or len(std) != 3:
            raise ValueError("mean and std are three numbers each, of red, green and blue")
        return Eye(predictor, class_list(content["classes"]), mean, std, torch.device("cpu"))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{beside}: it needs the keys classes, mean and std: {error}") from None


def onnx_predictor(path: Path) -> Predictor:
    """An ONNX network with one input (B,3,H,W) and one output (B,K,h,w): logits, or probabilities.

    Args:
        path: The file.

    Returns:
        A predictor on the processor.

    Raises:
        ValueError: If onnxruntime is not installed, or the file is not such a network.
        FileNotFoundError: If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError("ONNX members need onnxruntime: pip install 'segue-uda[export]'") from error
    try:
        session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises kinds of its own that share no public base
        raise ValueError(f"{path}: not an ONNX network: {' '.join(str(error).split())[:200]}") from error
    entry = session.get_inputs()[0].name

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        try:
            found = torch.from_numpy(session.run(None, {entry: image.cpu().numpy()})[0]).float()
        except Exception as error:  # as above
            shape = "x".join(map(str, image.shape))
            raise ValueError(
                f"{path}: it does not take a picture of shape {shape}; export it with free height and width"
                f" ({' '.join(str(error).split())[:200]})"
            ) from error
        if found.ndim != 4:
            raise ValueError(f"{path}: its output has {found.ndim} axes, not (B,K,H,W)")
        sums = found.sum(1)
        is_probability = bool((found >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
        size = (image.shape[-2], image.shape[-1])
        return resize(found if is_probability else found.softmax(1), size)

    return predict
