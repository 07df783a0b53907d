"""A device that is none: tensors say that they lie there, a processor computes them, and what would wait is counted.

A copy between host and device waits unless it is told not to, and so does everything whose result's shape depends on
values, as on CUDA (``torch.cuda.set_sync_debug_mode``). What a graphics processor refuses is refused here, too: an
operation on tensors of which some lie on the host, unless these are single numbers.
"""

import linecache
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

NAME = "watched"
aten = torch.ops.aten

# Their results' shapes depend on values, or their kernels ask for values on the way.
WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "unique_dim_consecutive", "bincount", "equal", "is_nonzero", "histc", "_linalg_check_errors", "multinomial",
}  # fmt: skip
# They may take single numbers, or addresses, from the host.
BETWEEN = {"_to_copy", "copy_", "_copy_from", "_copy_from_and_resize"}


class Held(Tensor):
    """A tensor that says it lies on the device; ``inner`` holds its values."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> "Held":
        held = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device(NAME, 0), requires_grad=requires_grad,
        )  # fmt: skip
        held.inner = inner
        return held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func}: used outside of `watched_device`")

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Held({self.inner!r})"


class Watch(TorchDispatchMode):
    """Carries operations out on the host, and notes what would have waited and what was mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __enter__(self) -> "Watch":
        # Without it torch.tensor() would move its values to the device where no mode sees it.
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(False)
        super().__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        given = [value for value in _leaves((args, kwargs)) if isinstance(value, Tensor)]
        held = [value for value in given if isinstance(value, Held)]
        device = kwargs.get("device")
        wanted = None if device is None else torch.device(device).type
        if wanted == NAME:
            kwargs["device"] = torch.device("cpu")
        if not held and wanted != NAME:
            return func(*args, **kwargs)
        if name in BETWEEN:
            self._note_copy(name, args, kwargs, wanted, held, given)
        else:
            self._note(name, args, held, given)
        plain_args, plain_kwargs = _mapped(_plain, (args, kwargs))
        if kwargs.get("pin_memory"):
            plain_kwargs["pin_memory"] = False
        out = func(*plain_args, **plain_kwargs)
        if wanted is not None and wanted != NAME:
            return out
        out = _mapped(_held, out)
        if not held or not isinstance(func, torch._ops.OpOverload):
            return out
        return return_and_correct_aliasing(func, args, kwargs, out)

    def _note(self, name: str, args: Any, held: list[Held], given: list[Tensor]) -> None:
        waits = name in WAITING
        if name in {"index", "index_put", "index_put_", "_index_put_impl_"}:
            places = [place for place in args[1] if place is not None]
            waits = any(place.dtype in (torch.bool, torch.uint8) for place in places)
            waits |= any(not isinstance(place, Held) for place in places)  # they are copied to the device
        elif name == "repeat_interleave":
            waits = True
        else:
            strange = [one for one in given if not isinstance(one, Held) and one.ndim > 0]
            assert not strange, f"{name}: tensors on the host and on the device: {place()}"
        if waits:
            self.waits[f"{name} {place()}"] += 1

    def _note_copy(
        self,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        wanted: str | None,
        held: list[Held],
        given: list[Tensor],
    ) -> None:
        if name == "_to_copy":
            crosses = (wanted == NAME) != bool(held) if wanted is not None else False
            to_host = crosses and wanted != NAME
        else:
            crosses = len(held) == 1
            to_host = crosses and not isinstance(args[0], Held)
            if crosses and not to_host and args[1].ndim == 0:
                return  # a number, passed with the kernel
        without = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
        if crosses and (to_host or not without):
            self.waits[f"{name} {place()}"] += 1


def _leaves(tree: Any) -> Iterator[Any]:
    """What stands in lists, tuples and dicts, as operations take; torch's own trees take much longer."""
    if isinstance(tree, (list, tuple)):
        for value in tree:
            yield from _leaves(value)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree


def _mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, (list, tuple)):
        return type(tree)([_mapped(change, value) for value in tree])
    if isinstance(tree, dict):
        return {key: _mapped(change, value) for key, value in tree.items()}
    return change(tree)


def _plain(value: Any) -> Any:
    return value.inner if isinstance(value, Held) else value


def _held(value: Any) -> Any:
    return Held(value) if isinstance(value, Tensor) and not isinstance(value, Held) else value


def place() -> str:
    """Where in the package the operation was asked for; frames are walked, as a whole traceback takes milliseconds."""
    frames, frame = [], sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if "/src/segue/" in file:
            line = linecache.getline(file, frame.f_lineno).strip()
            return f"{file.rpartition('/src/segue/')[2]}:{frame.f_lineno} {line}"
        if file != __file__:
            frames.append(f"{file.rpartition('/')[2]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(frames[:12])


class _Module(backend_registration._DummyBackendModule):  # type: ignore[name-defined]
    """What torch asks of a device's module."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    @contextmanager
    def device(self, device: Any) -> Iterator[None]:
        yield


def device() -> torch.device:
    """The device, which torch learns of when it is first asked for."""
    setup: Callable[..., None] | None = getattr(
        backend_registration, "_setup_privateuseone_for_python_backend", None
    )
    if setup is None:
        pytest.skip("this torch cannot register a device in Python")
    if torch._C._get_privateuse1_backend_name() != NAME:
        setup(rename=NAME, backend_module=_Module())
    return torch.device(NAME, 0)
