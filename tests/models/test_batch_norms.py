"""Running statistics can be left alone or exchanged, without anybody normalising differently for it; a process alone
shares none. What two processes learn with shared ones is in ``test_two_equal_one.py``."""

import torch
from torch import nn

from segue.models.batch_norms import RunningStatistics, batch_norms, share_statistics, statistics_kept
from segue.models.build import build_segmenter


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_segmenter("mobilenet_v2", "daformer", num_classes=3, channels=8, dropout=0.0).train()


def copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_norms_of_encoder_and_head_are_found() -> None:
    model = network()
    norms = {id(norm) for norm in batch_norms(model)}
    names = [name for name, module in model.named_modules() if id(module) in norms]
    assert any(name.startswith("encoder.") for name in names)
    assert any(name.startswith("head.") for name in names)


def test_kept_statistics_stay_bit_equal_and_so_does_what_is_computed() -> None:
    image = torch.randn(2, 3, 64, 64)
    plain, kept = network(), network()
    before = copied(kept)
    with statistics_kept(batch_norms(kept)):
        seen = kept(image).logits
    assert torch.equal(seen, plain(image).logits)
    assert all(torch.equal(value, before[name]) for name, value in kept.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert all(norm.track_running_stats for norm in batch_norms(kept))


def test_kept_statistics_are_still_those_of_evaluation() -> None:
    model, image = network().eval(), torch.randn(1, 3, 64, 64)
    plain = model(image).logits
    with statistics_kept(batch_norms(model)):
        assert torch.equal(model(image).logits, plain)


def test_lent_statistics_move_in_the_place_of_the_own() -> None:
    model = network()
    norms = batch_norms(model)
    others, own = RunningStatistics(norms), copied(model)
    assert len(list(others.buffers())) == 3 * len(norms) and not list(others.parameters())
    before = copied(others)
    with others.lent_to(norms):
        model(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    assert all(not torch.equal(value, before[name]) for name, value in others.state_dict().items())
    with others.lent_to(norms):
        assert torch.equal(norms[0].running_mean, others.state_dict()["running_mean_0"])


def test_alone_it_is_a_plain_batch_norm() -> None:
    plain, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    share_statistics(nn.Sequential(shared))
    maps = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(maps), shared(maps)) and torch.equal(plain.running_var, shared.running_var)
