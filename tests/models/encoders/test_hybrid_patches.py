"""Hybrid attention of plain ViT and DINO keeps the oracles of MiT's, and is one masked sequence of both pictures."""

import pytest
import torch
import torch.nn.functional as F
from tests.models.encoders.joint_inputs import close, groups, pictures
from torch import Tensor

from segue.models.build import build_encoder, build_segmenter
from segue.models.encoders.patches import PatchEncoder
from segue.models.encoders.plain_vit import PlainVit
from segue.ops.attention import BOTH, MeetingPlan
from segue.types import HybridRules

SLOW = pytest.mark.slow  # importing the library takes seconds
FAMILIES = ["vit_nano", pytest.param("dinov2_tiny", marks=SLOW), pytest.param("dinov3_tiny", marks=SLOW)]


@pytest.fixture(params=FAMILIES)
def encoder(request: pytest.FixtureRequest) -> PatchEncoder:
    return made(request.param)


def made(name: str) -> PatchEncoder:
    torch.manual_seed(0)
    encoder = build_encoder(name, drop_path=0.0)
    assert isinstance(encoder, PatchEncoder)
    for parameter in encoder.parameters():  # large enough that attention matters
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def test_a_domain_that_looks_at_itself_alone_is_as_in_a_plain_pass(encoder: PatchEncoder) -> None:
    image = pictures()
    plain = encoder(image)
    alone = encoder.together(image, MeetingPlan(groups(), HybridRules("none", groups_itself=False)))
    assert close(plain, alone)
    over = encoder.together(image, MeetingPlan(groups(), HybridRules("t2s", groups_itself=False)))
    assert close([level[:2] for level in plain], [level[:2] for level in over])
    assert not close([level[2:] for level in plain], [level[2:] for level in over])


def test_two_equal_domains_are_as_in_a_plain_pass(encoder: PatchEncoder) -> None:
    """The class tokens meet, too: without them, or with one of the two, this would not hold."""
    image = pictures()[:2].repeat(2, 1, 1, 1)
    assert close(encoder(image), encoder.together(image, MeetingPlan(None, HybridRules())))
    ones = MeetingPlan(torch.ones_like(groups()), HybridRules())
    assert close(encoder(image), encoder.together(image, ones))


@pytest.mark.parametrize("rules", [HybridRules(), HybridRules("s2t"), HybridRules(inter_share=0.7)])
def test_both_evaluations_agree(encoder: PatchEncoder, rules: HybridRules) -> None:
    fast = encoder.together(pictures(), MeetingPlan(groups(), rules, True))
    dense = encoder.together(pictures(), MeetingPlan(groups(), rules, False))
    assert close(fast, dense)
    assert not close(fast, encoder(pictures()))


def test_only_the_named_quarters_meet(encoder: PatchEncoder) -> None:
    plain = encoder(pictures())
    last = encoder.together(pictures(), MeetingPlan(groups(), HybridRules(stages=(4,))))
    assert close(plain[:3], last[:3])
    assert not torch.allclose(plain[3], last[3], atol=1e-2)
    assert close(plain, encoder.together(pictures(), MeetingPlan(groups(), HybridRules(stages=()))))


@pytest.mark.parametrize("draws", [4, 12])
def test_groups_of_each_quarter_or_block(encoder: PatchEncoder, draws: int) -> None:
    plan = MeetingPlan(groups(draws=draws), HybridRules())
    found = encoder.together(pictures(), plan)
    one = encoder.together(pictures(), MeetingPlan(groups(draws=draws)[:1], HybridRules()))
    assert close(found[:1], one[:1]) and not close(found[1:], one[1:])


def test_swapping_the_domains_swaps_the_maps(encoder: PatchEncoder) -> None:
    one = encoder.together(pictures(), MeetingPlan(groups(), HybridRules()))
    other = encoder.together(pictures().roll(2, 0), MeetingPlan(groups().flip(1), HybridRules()))
    assert close([level.roll(2, 0) for level in one], other)


def test_sizes_that_do_not_divide(encoder: PatchEncoder) -> None:
    mask = groups((70, 90))
    maps = encoder.together(pictures((70, 90)), MeetingPlan(mask, HybridRules()))
    assert [tuple(level.shape[-2:]) for level in maps] == [(18, 23), (9, 12), (5, 6), (3, 3)]


def test_training_jointly_adds_no_parameter_and_leaves_the_plain_pass_alone(encoder: PatchEncoder) -> None:
    names = list(encoder.state_dict())
    before = encoder.eval()(pictures())
    encoder.train().together(pictures(), MeetingPlan(groups(), HybridRules()))[3].sum().backward()
    assert list(encoder.state_dict()) == names
    tokens = [p for name, p in encoder.named_parameters() if name.endswith("cls_token")]
    assert len(tokens) == 1 and tokens[0].grad is not None
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.eval()(pictures()), strict=True))


@pytest.mark.parametrize("grouped", [False, True])
@torch.no_grad()
def test_equal_to_one_sequence_of_both_pictures_with_a_mask(grouped: bool) -> None:
    """Equations 4 and 5 as they are written: keys of both domains, those of the own group; either for class tokens."""
    encoder = made("vit_nano").double()
    assert isinstance(encoder, PlainVit)
    image, mask = pictures().double(), groups() if grouped else None
    found = encoder.quarter_maps(image, MeetingPlan(mask, HybridRules()))
    vit = encoder.vit
    for pair in range(2):
        source, target = (vit.embedded(image[place][None], (4, 6))[0] for place in (pair, pair + 2))
        tokens = torch.cat([source, target])
        allowed = torch.ones(50, 50, dtype=torch.bool)
        if mask is not None:
            cells = [
                torch.cat([torch.tensor([BOTH]), mask[0, d, pair, ::16, ::16].flatten()]) for d in (0, 1)
            ]
            own = torch.cat(cells)
            allowed = (own[:, None] == own) | (own[:, None] == BOTH) | (own == BOTH)
        for quarter, block in enumerate(vit.blocks):
            query, key, value = (
                part.unflatten(1, (2, 16)).transpose(0, 1)
                for part in block.attn.qkv(block.norm1(tokens)).chunk(3, 1)
            )
            scores = (query @ key.transpose(1, 2) / 4).masked_fill(~allowed, float("-inf"))
            tokens = tokens + block.attn.proj((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
            tokens = tokens + block.mlp(block.norm2(tokens))
            for domain, part in enumerate(vit.norm(tokens).chunk(2)):
                expected = part[1:].T.unflatten(1, (4, 6))
                assert torch.allclose(found[quarter][pair + 2 * domain], expected, atol=1e-10)


def test_nothing_leaks_between_groups_within_a_block() -> None:
    """Cells of one group have no gradient from cells of the other, in either picture."""
    encoder = made("vit_nano").double()
    halves = torch.zeros(1, 2, 1, 64, 96, dtype=torch.uint8)
    halves[..., 48:] = 1
    meeting = MeetingPlan(halves, HybridRules()).at(1, 0, queries=(4, 6), keys=(4, 6), prefix=1)
    tokens = torch.randn(2, 25, 32, dtype=torch.float64, requires_grad=True)
    added = encoder.get_submodule("vit.blocks.0.attn")(tokens, meeting)[:, 1:].unflatten(1, (4, 6))
    added[:, :, :3].sum().backward()
    assert tokens.grad is not None
    gradient = tokens.grad[:, 1:].unflatten(1, (4, 6))
    assert not gradient[:, :, 3:].any() and gradient[:, :, :3].any() and tokens.grad[:, 0].any()


@pytest.mark.parametrize("jointly", [False, True])
def test_checkpointing_changes_no_bit(jointly: bool) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("vit_nano", drop_path=0.5).train()

    def gradients(stages: tuple[int, ...]) -> list[Tensor]:
        encoder.checkpointed = stages
        encoder.zero_grad()
        torch.manual_seed(5)
        plan = MeetingPlan(groups(), HybridRules())
        maps = encoder.together(pictures(), plan) if jointly else encoder(pictures())
        torch.stack([level.square().mean() for level in maps]).sum().backward()
        return [p.grad.clone() for p in encoder.parameters() if p.grad is not None]

    whole, again = gradients(()), gradients((1, 3))
    assert len(whole) == len(again) == len(list(encoder.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))


def test_two_resolutions_meet_through_one_window() -> None:
    torch.manual_seed(0)
    network = build_segmenter(
        "vit_nano", "segformer", num_classes=5, channels=8, multi_resolution={"detail": (64, 64)}
    ).train()
    images = list(pictures((128, 128)).chunk(2))
    outputs = list(network.together(images, groups((128, 128)), HybridRules()))
    torch.stack([output.logits.mean() for output in outputs]).sum().backward()
    assert outputs[0].supervised[1].window == outputs[1].supervised[1].window is not None


def test_blocks_left_out_add_nothing(encoder: PatchEncoder) -> None:
    """Every block may be left out by its name, and what it returns can be laid out as a map."""
    encoder.eval()
    network = build_segmenter("vit_nano", "segformer", num_classes=5, channels=8).eval()
    network.encoder = encoder
    with torch.no_grad():
        found = dict(network.without_each_layer(pictures()))
        names = [name for stage in encoder.layers for name in stage]
        assert list(found) == [*names, None] and len(names) == 4
        assert all(not torch.equal(found[name], found[None]) for name in names)
        kept: list[Tensor] = []
        handle = encoder.get_submodule(names[-1]).register_forward_hook(lambda m, i, out: kept.append(out))
        encoder(pictures((70, 96)))
        handle.remove()
    cells = encoder.block_map(kept[0], (70, 96))
    assert tuple(cells.shape) == (4, 32, -(-70 // encoder.patch), -(-96 // encoder.patch))
    normalised = F.layer_norm(cells.permute(0, 2, 3, 1), (32,))
    assert normalised.isfinite().all()
