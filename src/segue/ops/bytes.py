"""Translating and counting bytes."""

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor


def look_up(values: UInt8[Tensor, "*shape"], table: UInt8[Tensor, "256"]) -> UInt8[Tensor, "*shape"]:
    """The table's entry for every value; on the CPU by Pillow, which is many times faster than indexing."""
    if values.device.type != "cpu" or values.numel() == 0:
        return table.to(values.device)[values.int()]
    rows = values.reshape(-1, values.shape[-1] if values.ndim else 1).contiguous()
    translated = Image.fromarray(rows.numpy()).point(table.tolist())
    return torch.from_numpy(np.array(translated)).view(values.shape)


def count_bytes(values: UInt8[Tensor, "*shape"]) -> Int64[Tensor, "256"]:
    """How often each value occurs."""
    return torch.bincount(values.flatten(), minlength=256)
