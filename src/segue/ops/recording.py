"""Whether what is computed is also recorded, by a compiler or an exporter, and then has to be plain."""

import torch


def is_recorded() -> bool:
    """Whether torch compiles or exports what is being computed.

    Detours that only make a processor faster are left out then: another runtime has its own, and what depends on the
    size of a picture would be recorded for one size.
    """
    return torch.compiler.is_compiling() or is_exported()


def is_exported() -> bool:
    """Whether it is recorded for pictures of every size, so that sizes are tensors and no branch may look at them."""
    return torch.onnx.is_in_onnx_export()
