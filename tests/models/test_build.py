"""Names build networks of the papers' sizes; a misspelt name says the right one."""

import pytest
import torch

from segue.models.build import build_encoder, build_segmenter, normalisation
from segue.models.heads import HEADS
from segue.models.heads.tasks import TASKS


@pytest.mark.parametrize(("encoder", "count"), [("mit_b3", 47_784_403), ("mit_b5", 85_155_283)])
def test_daformers_parameter_count(encoder, count):
    with torch.device("meta"):
        network = build_segmenter(encoder, "daformer", num_classes=19)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoder", ["mit_nano", "mit_b0", "mobilenet_v2", "resnet50_v1c", "resnet101_v1c", "resnet101_caffe"]
)
@pytest.mark.parametrize("head", [name for name, head in HEADS.items() if not head.names_pictures])
def test_every_pair_fits_together(encoder, head):
    with torch.device("meta"):
        network = build_segmenter(encoder, head, num_classes=7, channels=32)
        output = network(torch.empty(2, 3, 70, 128))
    level = -1 if HEADS[head].stride == 8 else 0
    assert output.logits.shape == (2, 7, *output.features[level].shape[-2:])
    assert tuple(maps.shape[1] for maps in output.features) == network.encoder.out_channels
    if encoder != "resnet101_caffe":
        strides = network.encoder.strides
        assert [maps.shape[-2:] for maps in output.features] == [(-(-70 // s), 128 // s) for s in strides]


@pytest.mark.slow
def test_a_dilated_encoder_trains_with_daformers_head():
    network = build_segmenter("resnet50_v1c", "daformer", num_classes=3, channels=8)
    network(torch.rand(2, 3, 33, 40)).logits.mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_heads_say_how_many_pixels_a_cell_spans():
    strides = {name: head.stride for name, head in HEADS.items() if not head.names_pictures}
    fine = ("daformer", "segformer", "deeplab_v3plus", "segformer_tasks")
    coarse = ("deeplab_v2", "deeplab_v2_se", "deeplab_tasks")
    assert strides == {**dict.fromkeys(fine, 4), **dict.fromkeys(coarse, 8)}


def test_context_is_the_heads_own():
    chosen = build_segmenter("mit_nano", "deeplab_v2", num_classes=2, context="four")
    assert len(chosen.head.aspp_modules) == 4
    assert len(build_segmenter("mit_nano", "deeplab_v2", num_classes=2).head.aspp_modules) == 2
    default = build_segmenter("mit_nano", "daformer", num_classes=2, channels=8)
    named = build_segmenter("mit_nano", "daformer", num_classes=2, channels=8, context="sepaspp")
    assert default.state_dict().keys() == named.state_dict().keys()


@pytest.mark.slow
def test_multi_resolution_with_deeplabs_head():
    """HRDA's attention comes from a head of the same kind, whose context is the prediction's."""
    detail = {"detail": (64, 64)}
    network = build_segmenter(
        "resnet50_v1c", "deeplab_v2", num_classes=3, context="four", multi_resolution=detail
    )
    assert len(network.attention_head.aspp_modules) == 4
    assert network.eval()(torch.rand(1, 3, 128, 128)).logits.shape == (1, 3, 16, 16)


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
        (
            lambda: build_segmenter("mit_nano", "deeplab_v2", num_classes=2, context="sepaspp"),
            "unknown context 'sepaspp'; known: two, four",
        ),
        (
            lambda: build_segmenter("mit_nano", "segformer", num_classes=2, context="sepaspp"),
            "head 'segformer' has no choice of context",
        ),
        (
            lambda: build_segmenter("mit_nano", "deeplab_v2", num_classes=2, multi_resolution={}),
            "must lie on a grid of 8 pixels",
        ),
        (
            lambda: build_segmenter("resnet101_caffe", "deeplab_v2", num_classes=2, multi_resolution={}),
            "choose another encoder",
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


@pytest.mark.parametrize("context", ["pyramid", "pointwise"])
def test_each_task_adds_what_the_others_let_through(context: str) -> None:
    torch.manual_seed(0)
    network = build_segmenter("resnet101_caffe", "deeplab_tasks", num_classes=5, channels=16, context=context)
    head = network.head
    features = [torch.randn(2, width, 9, 9) for width in network.encoder.out_channels]
    told = head.tasks(features)
    assert told.depths is not None and told.logits.shape == (2, 5, 9, 9)
    own = {task: head.blocks[task](features[-1]) for task in TASKS}
    for task, found in (("classes", told.logits), ("target_depth", told.depths.target)):
        features_of = own[task]
        for other in set(TASKS) - {task}:
            gate = head.gates[f"{other}_to_{task}"]
            features_of = features_of + gate.features(own[other]) * gate.attention(own[other]).sigmoid()
        assert torch.allclose(sum(branch(features_of) for branch in head.last[task]), found, atol=1e-5)
    first = head.first["classes"]
    wanted = first(own["classes"]) if context == "pointwise" else sum(b(features[-1]) for b in first)
    assert torch.allclose(told.first_logits, wanted, atol=1e-5)
    assert torch.allclose(
        told.depths.first_source, head.first["source_depth"](own["source_depth"]), atol=1e-5
    )
    assert [branch.conv.dilation[0] for branch in head.last["classes"]] == [6, 12]


@pytest.mark.parametrize(
    ("encoder", "head"), [("mit_nano", "segformer_tasks"), ("drn_d_54", "deeplab_tasks")]
)
@pytest.mark.parametrize("aligned", [False, True])
def test_the_network_predicts_depth_in_training_alone(encoder: str, head: str, aligned: bool) -> None:
    network = build_segmenter(
        encoder, head, num_classes=3, channels=8, drop_path=0.0, aligned_corners=aligned
    )
    image = torch.randn(2, 3, 64, 72)
    output = network(image)
    assert output.depths is not None and len(output.supervised) == 2
    size = image.shape[-2:] if aligned else output.logits.shape[-2:]
    assert all(one.shape == (2, 1, *size) for one in vars(output.depths).values())
    assert output.first_logits is output.supervised[1].logits and output.first_logits.shape == (2, 3, *size)
    total = sum(one.sum() for one in vars(output.depths).values()) + sum(
        s.logits.sum() for s in output.supervised
    )
    total.backward()
    assert all(p.grad is not None for p in network.head.parameters())
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    logits = network(image).logits
    shown = network.eval()(image)
    assert shown.depths is None and torch.equal(shown.logits, logits) and len(shown.supervised) == 1
