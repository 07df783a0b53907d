"""SAM's image encoder, through the transformers library: frozen features that regularise training."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segue.classes import nearest
from segue.models.encoders.encoder import Colour
from segue.models.tensor_files import check_fit, read_state
from segue.ops.resize import resize


def _size(width: int, blocks: int, heads: int, everywhere: list[int]) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": blocks,
        "num_attention_heads": heads,
        "global_attn_indexes": everywhere,
    }


SIZES: dict[str, dict[str, Any]] = {
    "vit_b": _size(768, 12, 12, [2, 5, 8, 11]),
    "vit_l": _size(1024, 24, 16, [5, 11, 17, 23]),
    "vit_h": _size(1280, 32, 16, [7, 15, 23, 31]),
    "tiny": {**_size(32, 2, 2, [1]), "image_size": 128, "output_channels": 32, "window_size": 4},
}
"""Arguments of the library's configuration; "tiny", for tests and small pictures, has no published weights."""

COLOURS: tuple[Colour, Colour] = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and standard deviation that SAM's weights expect, in grey levels: the statistics of ImageNet."""

OFFICIAL = (
    (r"blocks\.", "layers."),
    (r"\.norm1\.", ".layer_norm1."),
    (r"\.norm2\.", ".layer_norm2."),
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^neck\.0\.", "neck.conv1."),
    (r"^neck\.1\.", "neck.layer_norm1."),
    (r"^neck\.2\.", "neck.conv2."),
    (r"^neck\.3\.", "neck.layer_norm2."),
)
"""Patterns of the official names of the image encoder's tensors, and the library's names."""


class SamEncoder(nn.Module):
    """A map of SAM's features for pictures of any size, which it sees as squares of its own size.

    Source: Segment Anything (Kirillov et al., ICCV 2023).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @property
    def channels(self) -> int:
        """Channels of the map."""
        return int(cast(Any, self.model).config.output_channels)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d h2 w2"]:
        """SAM's map, a sixteenth of its own picture size, of a picture normalised as its weights expect."""
        side = int(cast(Any, self.model).config.image_size)
        return self.model(resize(image, (side, side))).last_hidden_state


def build_sam(name: str, weights: Path | None = None, *, image_size: int | None = None) -> SamEncoder:
    """SAM's image encoder with weights from a local file, or with random ones.

    Args:
        weights: A Hugging Face folder, its ``.safetensors`` file, or the official ``.pth``; None for random ones.
        image_size: Side of the picture that SAM sees, in pixels; None for 1024. For another one, the tables of
            positions in the file are interpolated.

    Raises:
        ValueError: If there is no such size, the library is missing, or the file does not fit.
        FileNotFoundError: If there is no such file.
    """
    if name not in SIZES:
        raise ValueError(f"unknown SAM encoder {name!r}{nearest(name, list(SIZES))}")
    try:
        from transformers import SamVisionConfig, SamVisionModel
    except ImportError as error:
        raise ValueError("SAM needs the transformers library: pip install 'segue-uda[sam]'") from error
    size = SIZES[name] | ({} if image_size is None else {"image_size": image_size})
    config = cast(Any, SamVisionConfig)(**size, mlp_dim=4 * int(size["hidden_size"]))
    model = SamVisionModel(config)
    for module in model.modules():
        if hasattr(module, "get_rel_pos"):
            module.get_rel_pos = positions_between  # pyright: ignore[reportArgumentType]
    if weights is not None:
        path = weights / "model.safetensors" if weights.is_dir() else weights
        inner = cast(nn.Module, model.vision_encoder)
        state = fitted_positions(own_names(read_state(path)), inner.state_dict())
        check_fit(inner, state, path)
        inner.load_state_dict(state)
    return SamEncoder(model)


def positions_between(q_size: int, k_size: int, rel_pos: Float[Tensor, "l c"]) -> Float[Tensor, "q k c"]:
    """The table's row for every distance between a query and a key of a square window, as the library looks them up.

    The library makes the distances on the host, so that every block would wait for the device.
    """
    assert q_size == k_size and len(rel_pos) == 2 * q_size - 1, (
        "SAM's windows are squares, its tables are fitted"
    )
    place = torch.arange(q_size, device=rel_pos.device)
    return rel_pos[place[:, None] - place[None, :] + q_size - 1]


def own_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of SAM's image encoder, also of a whole SAM, renamed from the official names to the library's."""
    for prefix in ("vision_encoder.vision_encoder.", "vision_encoder.", "image_encoder."):
        inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if inner:
            state = inner
            break
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        for pattern, replacement in OFFICIAL:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value.float()
    return renamed


def fitted_positions(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors with its tables of positions interpolated to the shapes of the wanted ones."""
    fitted = dict(state)
    for name, value in state.items():
        own = wanted.get(name)
        if own is None or own.shape == value.shape:
            continue
        if name == "pos_embed":
            grid = value.permute(0, 3, 1, 2)
            fitted[name] = resize(grid, (own.shape[1], own.shape[2])).permute(0, 2, 3, 1)
        elif "rel_pos" in name:
            table = value.T[None, :, :, None]
            fitted[name] = resize(table, (own.shape[0], 1))[0, :, :, 0].T.contiguous()
    return fitted
