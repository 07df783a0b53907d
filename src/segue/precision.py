"""In which precision a device computes, said in one place for training, labelling, fusing and evaluation."""

import os
from typing import Any, Literal

import torch

Float32 = Literal["tf32", "ieee"]


def automatic(*, cpu: bool) -> Literal["bf16", "fp32"]:
    """The precision that suits the device: bf16 on a GPU that has it, float32 anywhere else."""
    if cpu or not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def settle(float32: Float32 = "tf32") -> None:
    """Say how a GPU multiplies and convolves float32, which torch's versions otherwise answer differently.

    "tf32" keeps eight bits of the exponent and ten of the fraction in products and sums in float32; it is several times
    faster. "ieee" is float32. A processor is not concerned.
    """
    matrices: Any = torch.backends.cuda.matmul
    convolutions: Any = torch.backends.cudnn
    if hasattr(matrices, "fp32_precision"):  # from torch 2.9 on; using both ways is an error there
        matrices.fp32_precision = float32
        convolutions.conv.fp32_precision = float32
    else:
        matrices.allow_tf32 = convolutions.allow_tf32 = float32 == "tf32"


def settle_training(float32: Float32, *, deterministic: bool) -> None:
    """As :func:`settle`, and whether kernels are chosen for speed or such that a repetition is bit-equal.

    Crops have one size, so that measuring which convolution is fastest pays. What no deterministic kernel exists for
    is named in a warning.
    """
    settle(float32)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
