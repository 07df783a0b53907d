"""Names build networks of the papers' sizes; a misspelt name says the right one."""

import pytest
import torch

from segue.models.build import HEADS, build_encoder, build_segmenter, normalisation


@pytest.mark.parametrize(("encoder", "count"), [("mit_b3", 47_784_403), ("mit_b5", 85_155_283)])
def test_daformers_parameter_count(encoder, count):
    with torch.device("meta"):
        network = build_segmenter(encoder, "daformer", num_classes=19)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("encoder", ["mit_nano", "mit_b0", "mobilenet_v2"])
@pytest.mark.parametrize("head", HEADS)
def test_every_pair_fits_together(encoder, head):
    with torch.device("meta"):
        network = build_segmenter(encoder, head, num_classes=7, channels=32)
        output = network(torch.empty(2, 3, 64, 128))
    assert output.logits.shape == (2, 7, 16, 32)
    assert tuple(maps.shape[1] for maps in output.features) == network.encoder.out_channels


def test_normalisation():
    assert normalisation("mobilenet_v2") == ((127.5,) * 3, (127.5,) * 3)
    assert normalisation("mit_b5") == ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_encoder("mit_b6"), "unknown encoder 'mit_b6'; did you mean 'mit_b"),
        (lambda: normalisation("mobilenet"), "did you mean 'mobilenet_v2'"),
        (lambda: build_segmenter("mit_b0", "daform", num_classes=2), "did you mean 'daformer'"),
        (
            lambda: build_segmenter("mit_nano", "daformer", num_classes=2, context="none"),
            "known: sepaspp, aspp",
        ),
    ],
)
def test_unknown_names(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_options_reach_the_network():
    network = build_segmenter("mit_nano", "daformer", num_classes=3, channels=8, dropout=0.3, drop_path=0.2)
    assert network.head.dropout.p == 0.3
    assert network.encoder.get_submodule("block4")[-1].drop_path == pytest.approx(0.2)
