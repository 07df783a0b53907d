"""Segue: move a segmentation model from a labelled domain to an unlabelled one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segue.api import adapt, evaluate, load, predict, train

__version__ = "0.1.0"
__all__ = ["__version__", "adapt", "evaluate", "load", "predict", "train"]


def __getattr__(name: str) -> Any:
    """Functions that are imported when somebody asks for them: the command line starts without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("segue.api"), name)
