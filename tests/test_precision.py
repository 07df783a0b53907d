"""The precision of a device is said once: what "auto" means, TF32 by either of torch's ways, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from segue import precision
from segue.engine import experiment, run
from segue.engine.model_card import model_card
from segue.models import multi_resolution
from segue.ops.instances import log_similarity
from tests.tiny import QUIET, tiny


def test_auto_is_half_precision_where_a_gpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision.automatic(cpu=True) == "fp32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for has, name in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, has=has: has)
        assert precision.automatic(cpu=False) == name and precision.automatic(cpu=True) == "fp32"
    monkeypatch.setattr(experiment, "automatic", lambda *, cpu: "bf16")
    wanted = tiny("daformer")
    assert wanted.run.precision == "auto"
    card = model_card(experiment.settled(wanted, cpu=False), step=0)
    assert card.prediction.precision == "bfloat16", "labels and scores are made in the run's precision"
    assert (
        experiment.settled(tiny("daformer", {"run": {"precision": "fp16"}}), cpu=False).run.precision
        == "fp16"
    )


@pytest.mark.parametrize("is_new", [True, False])
def test_float32_is_said_by_what_this_torch_knows(is_new: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    new = {"fp32_precision": "none"} if is_new else {"allow_tf32": False}
    matrices, convolutions = SimpleNamespace(**new), SimpleNamespace(**new)
    cudnn = SimpleNamespace(conv=convolutions, allow_tf32=False)
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=matrices), cudnn=cudnn)
    monkeypatch.setattr(precision, "torch", SimpleNamespace(backends=backends))
    for name in ("ieee", "tf32"):
        precision.settle(name)
        if is_new:
            assert matrices.fp32_precision == convolutions.fp32_precision == name
            assert not hasattr(matrices, "allow_tf32") and cudnn.allow_tf32 is False
        else:
            assert matrices.allow_tf32 == cudnn.allow_tf32 == (name == "tf32")


def test_deterministic_is_said_to_every_library() -> None:
    try:
        precision.settle_training("ieee", deterministic=True)
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
        precision.settle_training("tf32", deterministic=False)
        assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize("name", list(run.SHARDED))
def test_what_splits_a_network_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.SHARDED[name], "true")
    with pytest.raises(ValueError, match=f"{name} splits parameters .* launch without it"):
        run._accelerator(tiny("daformer"), Path("run"), cpu=True, console=QUIET)


def test_the_banks_product_is_float32_under_autocast() -> None:
    pixels, bank = torch.randn(8, 16), torch.randn(5, 16)
    expected = log_similarity(pixels, bank, kind="cosine", temperature=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_similarity(pixels, bank, kind="cosine", temperature=0.1)
    assert torch.equal(found, expected)


class Windows:
    """Nine windows of two pictures, as they would lie on a GPU."""

    device = torch.device("cuda")

    def __len__(self) -> int:
        return 9

    def __getitem__(self, place: object) -> torch.Tensor:
        return torch.empty(2, 512, 512, device="meta")


def test_windows_go_together_where_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    a_window = multi_resolution.PASS_BYTES * 2 * 512 * 512
    parts = Windows()
    for free, at_once in ((a_window, 1), (8 * a_window, 4), (2**50, 9)):
        monkeypatch.setattr(multi_resolution, "free_bytes", lambda _, free=free: free)
        assert multi_resolution.windows_at_once(parts) == at_once
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert multi_resolution.windows_at_once(parts) == 1
    assert multi_resolution.windows_at_once(torch.empty(9, 2, 3, 8, 8)) == 1


def test_windows_together_predict_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from segue.engine.build import build_student

    torch.manual_seed(0)
    wanted = tiny("hrda")
    network = build_student(wanted).eval()
    image = torch.randn(2, 3, *wanted.data.crop)
    with torch.no_grad():
        one_by_one = network(image).logits
        monkeypatch.setattr(multi_resolution, "windows_at_once", lambda parts: 4)
        assert torch.allclose(network(image).logits, one_by_one, atol=1e-5)


COMPILED = """
import sys, torch
from segue.engine.build import build_student
from tests.tiny import tiny
torch.set_num_threads(1)
student = build_student(tiny(sys.argv[1]))
image = torch.randn(2, 3, 64, 64)
features = [maps.detach() for maps in student.encoder(image)]
for part, seen in ((student.encoder, image), (student.head, features)):
    found = torch._dynamo.explain(part)(seen)
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons
"""


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["daformer", "hrda"])
def test_a_compiled_encoder_and_head_are_one_graph_each(recipe: str) -> None:
    """In a process of its own: the checks of shapes that tests put into functions are no part of a graph."""
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    subprocess.run([sys.executable, "-c", COMPILED, recipe], check=True, timeout=600, env=environment)
