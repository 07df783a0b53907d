"""PatchAlign: kinds of patches come from the source's labels, once; each loss moves its own side; adversaries wait."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.methods.building import context
from tests.tiny import tiny
from torch import Tensor, nn

from segue.data.dataset import Dataset
from segue.engine.domains import open_domain
from segue.methods.context import Preparation
from segue.methods.terms.patch_alignment import KINDS_FILE, PatchAlignment, PatchAlignmentSettings
from segue.types import Output, View


def term(step: int = 10, **options: object) -> PatchAlignment:
    torch.manual_seed(0)
    settings = PatchAlignmentSettings.model_validate({"kinds": 4, "after": 0.1, **options})
    built = PatchAlignment(settings, num_classes=12, steps=100, seed=0)
    built.step = step
    return built


def look(term: PatchAlignment, name: str) -> tuple[dict[str, Tensor], Tensor]:
    logits = torch.randn(2, 12, 16, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    label = torch.randint(0, 12, (2, 64, 128), generator=torch.Generator().manual_seed(2))
    view = View(name, torch.zeros(2, 3, 64, 128), label if name == "source" else None)
    return term(nn.Identity(), view, Output(logits, [], logits, [])), logits


def test_each_loss_moves_its_own_side() -> None:
    aligned = term()
    found, logits = look(aligned, "target")
    assert set(found) == {"patch_discriminator", "patch_adversarial"}
    found["patch_adversarial"].backward()
    assert logits.grad is not None and logits.grad.any()
    assert all(p.grad is None for p in aligned.judge.parameters())
    assert all(p.grad is not None for p in aligned.namer.parameters())
    logits.grad = None
    found["patch_discriminator"].backward()
    assert logits.grad is None and all(p.grad is not None for p in aligned.judge.parameters())
    found, logits = look(aligned, "source")
    assert set(found) == {"patch_discriminator", "patch_kinds"}
    found["patch_kinds"].backward()
    assert logits.grad is not None and logits.grad.any()


def test_kinds_are_probable_and_adversaries_wait() -> None:
    logits = torch.randn(2, 12, 16, 32)
    said = term().kinds(logits, (2, 2)).softmax(1)
    assert said.shape == (2, 4, 2, 2) and torch.allclose(said.sum(1), torch.ones(()))
    early, late = (look(term(step=step), "target")[0]["patch_adversarial"].detach() for step in (9, 10))
    assert float(early) == 0 and float(late) > 0


def test_the_discriminator_learns_by_itself() -> None:
    aligned = term()
    own = aligned.optimisations()["discriminator"].parameters
    assert {id(p) for p in own} == {id(p) for p in aligned.judge.parameters()}


def test_kinds_are_found_once_for_a_run(tmp_path: Path) -> None:
    wanted = tiny("source_only")
    source = open_domain(wanted.data, wanted.data.source, labelled=True)

    def prepared(data: Dataset) -> Tensor:
        aligned = term()
        box = {"source": None, "target": None}
        aligned.prepare(Preparation(tmp_path, data, None, box, torch.device("cpu")))
        return aligned.centres

    centres = prepared(source)
    assert torch.equal(centres, load_file(tmp_path / KINDS_FILE)["centres"])
    assert len(centres.unique(dim=0)) == 4
    # Centres are means of shares: of every quarter they add up to one, or less where pixels are ignored.
    assert float(centres.view(4, 4, 12).sum(-1).max()) <= 1 + 1e-5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "label", None)  # the file is enough
        assert torch.equal(prepared(source), centres)


def test_settings_build_it() -> None:
    built = PatchAlignmentSettings().build(context(nn.Identity(), classes=5))
    assert built.centres.shape == (50, 20)
