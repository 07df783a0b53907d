"""How the parity fixtures are stored, see ``fixtures/README.md``."""

import json
from pathlib import Path

import torch
from torch import Tensor


def from_bits(packed: Tensor, width: int | None = None) -> Tensor:
    """A mask (..., W) of which eight pixels are stored in a byte, the first one highest."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8)
    return ((packed[..., None] >> places) & 1).flatten(-2)[..., :width].bool()


def checkpoint_shapes(folder: Path, name: str) -> dict[str, list[int]]:
    """Names and shapes of an official checkpoint; an encoder that has a file of its own is only named."""
    content = json.loads((folder / "keys" / f"{name}.json").read_text())
    encoder = checkpoint_shapes(folder, content["backbone"]) if "backbone" in content else {}
    return {f"backbone.{key}": shape for key, shape in encoder.items()} | content["keys"]
