"""The joint pass of the mix transformer: what stays plain, what meets, that nothing is added, what memory it saves."""

import pytest
import torch
from tests.models.encoders import joint_inputs
from tests.models.encoders.joint_inputs import pictures
from torch import Tensor

from segue.models.build import build_encoder, build_segmenter
from segue.models.encoders.mit import MixTransformer
from segue.models.encoders.mobilenet import MobileNetV2
from segue.ops.attention import MeetingPlan
from segue.types import HybridRules


@pytest.fixture
def encoder() -> MixTransformer:
    torch.manual_seed(0)
    return MixTransformer((8, 16, 24, 32), (1, 1, 2, 1), heads=(1, 2, 3, 4), drop_path=0.0)


def groups(size: tuple[int, int] = (64, 96), draws: int = 1) -> Tensor:
    return joint_inputs.groups(size, draws, cell=32)


def close(one: list[Tensor], other: list[Tensor]) -> bool:
    return joint_inputs.close(one, other, atol=2e-5)


def test_a_domain_that_looks_at_itself_alone_is_as_in_a_plain_pass(encoder: MixTransformer) -> None:
    image = pictures()
    plain = encoder(image)
    alone = encoder.together(image, MeetingPlan(groups(), HybridRules("none", groups_itself=False)))
    assert close(plain, alone)
    over = encoder.together(image, MeetingPlan(groups(), HybridRules("t2s", groups_itself=False)))
    assert close([level[:2] for level in plain], [level[:2] for level in over])
    assert not close([level[2:] for level in plain], [level[2:] for level in over])


def test_two_equal_domains_are_as_in_a_plain_pass(encoder: MixTransformer) -> None:
    image = pictures()[:2].repeat(2, 1, 1, 1)
    assert close(encoder(image), encoder.together(image, MeetingPlan(None, HybridRules())))


@pytest.mark.parametrize("rules", [HybridRules(), HybridRules("s2t"), HybridRules(inter_share=0.7)])
def test_both_evaluations_agree(encoder: MixTransformer, rules: HybridRules) -> None:
    fast = encoder.together(pictures(), MeetingPlan(groups(), rules, True))
    dense = encoder.together(pictures(), MeetingPlan(groups(), rules, False))
    assert close(fast, dense)


def test_only_the_named_stages_meet(encoder: MixTransformer) -> None:
    plain = encoder(pictures())
    last = encoder.together(pictures(), MeetingPlan(groups(), HybridRules(stages=(4,))))
    assert close(plain[:3], last[:3])
    assert not torch.allclose(plain[3], last[3], atol=1e-3)
    assert close(plain, encoder.together(pictures(), MeetingPlan(groups(), HybridRules(stages=()))))


def test_swapping_the_domains_swaps_the_maps(encoder: MixTransformer) -> None:
    one = encoder.together(pictures(), MeetingPlan(groups(), HybridRules()))
    other = encoder.together(pictures().roll(2, 0), MeetingPlan(groups().flip(1), HybridRules()))
    assert close([level.roll(2, 0) for level in one], other)


def test_sizes_that_do_not_divide(encoder: MixTransformer) -> None:
    mask = torch.randint(0, 2, (1, 2, 2, 70, 90)).to(torch.uint8)
    maps = encoder.together(pictures((70, 90)), MeetingPlan(mask, HybridRules()))
    assert [tuple(level.shape[-2:]) for level in maps] == [(18, 23), (9, 12), (5, 6), (3, 3)]


def test_training_jointly_adds_no_parameter_and_leaves_the_plain_pass_alone(encoder: MixTransformer) -> None:
    names = list(encoder.state_dict())
    before = encoder.eval()(pictures())
    encoder.train().together(pictures(), MeetingPlan(groups(), HybridRules()))[3].sum().backward()
    assert list(encoder.state_dict()) == names
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.eval()(pictures()), strict=True))
    vanilla = MixTransformer((8, 16, 24, 32), (1, 1, 2, 1), heads=(1, 2, 3, 4), drop_path=0.1)
    vanilla.load_state_dict(encoder.state_dict())
    encoder.load_state_dict(vanilla.state_dict())


@pytest.mark.parametrize("jointly", [False, True])
def test_checkpointing_changes_no_bit(jointly: bool) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("mit_nano", drop_path=0.5).train()

    def gradients(stages: tuple[int, ...]) -> list[Tensor]:
        encoder.checkpointed = stages
        encoder.zero_grad()
        torch.manual_seed(5)
        plan = MeetingPlan(groups(), HybridRules())
        maps = encoder.together(pictures(), plan) if jointly else encoder(pictures())
        torch.stack([level.square().mean() for level in maps]).sum().backward()
        found = [p.grad.clone() for p in encoder.parameters() if p.grad is not None]
        assert len(found) == len(list(encoder.parameters()))
        return found

    assert all(torch.equal(a, b) for a, b in zip(gradients(()), gradients((3,)), strict=True))


def test_the_head_sees_each_domain_by_itself() -> None:
    torch.manual_seed(0)
    network = build_segmenter("mit_nano", "segformer", num_classes=5, channels=8, dropout=0.0, drop_path=0.0)
    source, target = pictures()[:2], pictures()[2:]
    together = network.train().together([source, target], groups(), HybridRules("none", groups_itself=False))
    alone = [network(source), network(target)]
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one.logits, other.logits, atol=1e-4)


def test_two_resolutions_meet_through_one_window() -> None:
    torch.manual_seed(0)
    network = build_segmenter(
        "mit_nano", "segformer", num_classes=5, channels=8, multi_resolution={"detail": (64, 64)}
    ).train()
    images = list(pictures((128, 128)).chunk(2))
    outputs = list(network.together(images, groups((128, 128)), HybridRules()))
    windows = [output.supervised[1].window for output in outputs]
    assert windows[0] == windows[1] is not None
    torch.stack([output.logits.mean() for output in outputs]).sum().backward()


def test_an_encoder_without_attention_says_so() -> None:
    with pytest.raises(ValueError, match="MobileNetV2 has no hybrid attention"):
        MobileNetV2().together(pictures(), MeetingPlan(None, HybridRules()))
