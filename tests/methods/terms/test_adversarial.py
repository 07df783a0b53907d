"""A discriminator and the student: each loss moves its own side alone, and maps are judged where the settings say."""

import math
from typing import Any

import pytest
import torch
from tests.tiny import tiny
from torch import Tensor, nn

from segue.engine.build import build_method, build_student
from segue.methods.terms.adversarial import Adversarial, AdversarialSettings, discriminator
from segue.types import Output, View


def term(**options: Any) -> Adversarial:
    settings = AdversarialSettings.model_validate({"discriminator": {"channels": 2}, **options})
    return Adversarial(settings, num_classes=3, auxiliary=False)


def look(judged: Adversarial, logits: Tensor, name: str = "target") -> dict[str, Tensor]:
    return judged(nn.Identity(), View(name, torch.zeros(1, 3, 64, 64)), Output(logits, [], logits, []))


@pytest.mark.parametrize("shown", ["probabilities", "self_information"])
@pytest.mark.parametrize("loss", ["vanilla", "least_squares"])
def test_each_loss_moves_its_own_side(shown: str, loss: str) -> None:
    torch.manual_seed(0)
    judged, logits = term(map=shown, loss=loss), torch.randn(1, 3, 64, 64, requires_grad=True)
    found = look(judged, logits)
    found["adversarial"].backward()
    assert all(p.grad is None for p in judged.parameters())
    assert logits.grad is not None and logits.grad.any()
    logits.grad = None
    found["discriminator"].backward()
    assert logits.grad is None and all(p.grad is not None for p in judged.parameters())
    assert set(look(judged, logits, "source")) == {"discriminator"}


def test_who_cannot_tell_the_domains_apart_pays_ln_2() -> None:
    judged, logits = term(), torch.randn(1, 3, 64, 64)
    last = judged.discriminators[0][-1]  # type: ignore[index]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    told = look(judged, logits, "source")["discriminator"] + look(judged, logits)["discriminator"]
    assert float(told.detach()) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("classes", "count"), [(19, 2_781_121), (16, 2_778_049)])
def test_it_has_as_many_parameters_as_the_official_one(classes: int, count: int) -> None:
    assert sum(p.numel() for p in discriminator(classes, 64).parameters()) == count


def test_it_sees_pictures_or_the_heads_grid() -> None:
    logits = torch.randn(1, 3, 32, 32)
    seen: list[torch.Size] = []
    for resolution in ("picture", "head"):
        judged = term(resolution=resolution)
        judged.discriminators[0].register_forward_hook(lambda _, maps, __: seen.append(maps[0].shape[-2:]))
        look(judged, logits, "source")
    assert [tuple(size) for size in seen] == [(64, 64), (32, 32)]


def test_crops_too_small_for_it_are_refused() -> None:
    wanted = tiny("advent", {"terms": {"adversarial": {"resolution": "head"}}})
    with pytest.raises(ValueError, match=r"crops of 64 pixels have 16: choose .*resolution=picture"):
        build_method(wanted, build_student(wanted))


def test_a_share_may_begin_later_than_the_discriminator() -> None:
    settings = AdversarialSettings.model_validate({"discriminator": {"channels": 2}, "after": 0.5})
    judged, logits = (
        Adversarial(settings, num_classes=3, auxiliary=False, steps=10),
        torch.randn(1, 3, 64, 64),
    )
    found: list[dict[str, Tensor]] = []
    for step in (4, 5):
        judged.step = step
        found.append(look(judged, logits))
    assert float(found[0]["adversarial"].detach()) == 0 < float(found[1]["adversarial"].detach())
    assert torch.equal(found[0]["discriminator"], found[1]["discriminator"])
