"""DeepLabV2's deeper head: two predictions are learnt apart and predict as one; single, it sees one map; groups fit."""

import torch
from torch import Tensor

from segue.models.build import build_segmenter
from segue.models.heads.deeplab_se import DeepLabSeHead, Excitation
from segue.models.settings import NetworkSettings

WIDTHS = (8, 16, 24, 32)


def maps() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((16, 24), (8, 12), (8, 12), (4, 6))
    return [
        torch.randn(2, width, *size, generator=generator) for width, size in zip(WIDTHS, sizes, strict=True)
    ]


def head(**options: object) -> DeepLabSeHead:
    torch.manual_seed(0)
    settings = NetworkSettings.model_validate(
        {"head": "deeplab_v2_se", "channels": 16, "dropout": 0.0, **options}
    )
    return DeepLabSeHead(WIDTHS, 5, settings)


def test_two_predictions_are_one_in_evaluation() -> None:
    """The sum of logits times shares; the first sees both maps, the second the third map alone."""
    built = head(auxiliary=0.5)
    (main, embedding), (second,) = built(maps()), built.auxiliary(maps())
    assert main.shape == second.logits.shape == (2, 5, 8, 12) and second.share == 0.5
    assert embedding.shape[1] == built.embedding_channels == 16
    built.eval()
    assert torch.allclose(built(maps())[0], main + 0.5 * second.logits, atol=1e-6)
    other = maps()
    other[3] += 1
    assert torch.equal(built.auxiliary(other)[0].logits, built.auxiliary(maps())[0].logits)
    assert not torch.allclose(built(other)[0], built(maps())[0])


def test_alone_it_sees_the_coarsest_map() -> None:
    built = head()
    assert built(maps())[0].shape == (2, 5, 4, 6) and built.auxiliary(maps()) == []
    network = build_segmenter("mit_nano", "deeplab_v2_se", num_classes=3, channels=12, auxiliary=0.5)
    output = network(torch.rand(2, 3, 64, 96))
    assert [one.share for one in output.supervised] == [1.0, 0.5]
    assert len(network.eval()(torch.rand(1, 3, 64, 96)).supervised) == 1


def test_channels_are_weighed_by_the_picture() -> None:
    """The same factor everywhere in a picture, between 0 and 1."""
    seen = torch.rand(2, 32, 3, 4) + 0.1
    factors = (Excitation(32)(seen) / seen).detach()
    assert torch.allclose(factors, factors[..., :1, :1].expand_as(factors), atol=1e-5)
    assert float(factors.min()) > 0 and float(factors.max()) < 1
    wide = DeepLabSeHead(WIDTHS, 5, NetworkSettings(channels=512))
    assert wide.main.fuse[1].num_groups == wide.main.branches[0][1].num_groups == 32
    assert wide.main.branches[0][0].out_channels == 256
