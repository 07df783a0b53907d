"""No checks of types while an exporter records: it hands out sizes as tensors, which declared shapes do not allow."""

import pytest
from jaxtyping import config

from segue.export import onnx_file


@pytest.fixture(autouse=True)
def types_unchecked_while_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    record = onnx_file._record

    def unchecked(*arguments: object) -> None:
        config.update("jaxtyping_disable", True)
        try:
            record(*arguments)
        finally:
            config.update("jaxtyping_disable", False)

    monkeypatch.setattr(onnx_file, "_record", unchecked)
