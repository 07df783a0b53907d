"""How the parity fixtures are stored, see ``fixtures/README.md``."""

import json
import lzma
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from segue.models import naming


def numbers(folder: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a fixture; each call makes its own."""
    return load(_unpacked(folder / f"{name}.safetensors.xz"))


def notes(folder: Path, name: str) -> dict[str, str]:
    """What a fixture says of its tensors: the settings that they were computed with."""
    content = _unpacked(folder / f"{name}.safetensors.xz")
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]  # the beginning of any safetensors file
    return json.loads(header)["__metadata__"]


@lru_cache(maxsize=4)
def _unpacked(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def from_bits(packed: Tensor, width: int | None = None) -> Tensor:
    """A mask (..., W) of which eight pixels are stored in a byte, the first one highest."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8)
    return ((packed[..., None] >> places) & 1).flatten(-2)[..., :width].bool()


def checkpoint_shapes(folder: Path, name: str) -> dict[str, list[int]]:
    """Names and shapes of an official checkpoint; an encoder that has a file of its own is only named."""
    content = json.loads(_unpacked(folder / "keys.json.xz"))[name]
    encoder = checkpoint_shapes(folder, content["backbone"]) if "backbone" in content else {}
    return {f"backbone.{key}": shape for key, shape in encoder.items()} | content["keys"]


def to_foreign(state: Mapping[str, Tensor], rules: naming.Rules) -> dict[str, Tensor]:
    """Our tensors under another project's names, as far as it has them: the inverse of ``naming.to_ours``."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == naming.FUSION and rules in naming.COARSE_TO_FINE:
            value = value.unflatten(1, (4, -1)).flip(1).flatten(1, 2)
        parts = naming.foreign_names(name, rules)
        for part, tensor in zip(parts, value.chunk(len(parts)) if len(parts) > 1 else [value], strict=False):
            found[part] = tensor
    return found
