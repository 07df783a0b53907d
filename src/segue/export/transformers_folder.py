"""A SegFormer as a folder that ``SegformerForSemanticSegmentation.from_pretrained`` opens."""

import json
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor

from segue.evaluation.model import TrainedModel
from segue.evaluation.predictors import Predictor
from segue.files import write_bytes, write_text
from segue.models import naming
from segue.models.encoders.mit import MixTransformer
from segue.ops.resize import resize


def is_segformer(model: TrainedModel) -> bool:
    """Whether the network is SegFormer's, encoder and head, at one resolution."""
    network = model.card.network
    is_plain = network.get("head") == "segformer" and not network.get("multi_resolution")
    return is_plain and isinstance(model.network.encoder, MixTransformer)


def write_transformers(model: TrainedModel, folder: Path) -> None:
    """Write weights, architecture and the picture processor's settings; the weights come last.

    Raises:
        OSError: If a file cannot be written.
    """
    write_text(folder / "config.json", json.dumps(_config(model), indent=2) + "\n")
    write_text(folder / "preprocessor_config.json", json.dumps(_processor(model), indent=2) + "\n")
    state = naming.to_theirs(model.network.state_dict(), naming.HUGGING_FACE)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_bytes(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))


def transformers_predictor(folder: Path) -> Predictor:
    """What such a folder predicts through the transformers library.

    Raises:
        ValueError: If the library is not installed, or finds other tensors than it expects.
    """
    try:
        from transformers import SegformerForSemanticSegmentation
    except ImportError as error:
        raise ValueError("comparing needs the transformers library: pip install 'segue-uda[vit]'") from error
    loaded: Any = SegformerForSemanticSegmentation.from_pretrained(
        str(folder), local_files_only=True, output_loading_info=True
    )
    network, report = loaded
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        raise ValueError(f"{folder}: the transformers library does not find its tensors, as {wrong[0]}")
    network.eval()

    def predict(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b k h w"]:
        with torch.no_grad():
            logits: Tensor = network(pixel_values=image).logits
        return resize(logits, (image.shape[-2], image.shape[-1])).softmax(1)

    return predict


def _config(model: TrainedModel) -> dict[str, Any]:
    network = model.network
    encoder = cast(MixTransformer, network.encoder)
    names = list(model.classes.names)
    return {
        "architectures": ["SegformerForSemanticSegmentation"],
        "model_type": "segformer",
        "num_channels": 3,
        "num_encoder_blocks": len(encoder.depths),
        "depths": list(encoder.depths),
        "hidden_sizes": list(encoder.out_channels),
        "num_attention_heads": list(encoder.heads),
        "sr_ratios": list(encoder.reductions),
        "patch_sizes": [7, 3, 3, 3],
        "strides": [4, 2, 2, 2],
        "mlp_ratios": [encoder.mlp_ratio] * len(encoder.depths),
        "hidden_act": "gelu",
        "decoder_hidden_size": network.embedding_channels,
        "id2label": {str(place): name for place, name in enumerate(names)},
        "label2id": {name: place for place, name in enumerate(names)},
        "semantic_loss_ignore_index": 255,
        "torch_dtype": "float32",
    }


def _processor(model: TrainedModel) -> dict[str, Any]:
    """That of pictures in 0 to 1; their size stays, as the network takes any."""
    return {
        "image_processor_type": "SegformerImageProcessor",
        "do_resize": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [level / 255 for level in model.mean],
        "image_std": [level / 255 for level in model.std],
        "do_reduce_labels": False,
    }
