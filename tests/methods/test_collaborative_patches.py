"""CLDA with transformers over patches: quarters are the stages, cells are compared, blocks move within a quarter."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from segue.evaluation.model import TrainedModel
from segue.evaluation.network_comparison import layer_outputs
from segue.evaluation.saliency import by_agreement, measure
from segue.methods.teachers.blocks import attention_maps, exchangeable
from segue.methods.teachers.collaborative import CollaborativeSettings, CollaborativeTeacher
from segue.models.build import build_segmenter
from segue.models.segmenter import Segmenter
from segue.models.weights import Card
from segue.protocol import PredictionProtocol
from segue.types import Batch, Source, Target

SLOW = pytest.mark.slow  # importing the library takes seconds
FAMILIES = ["vit_nano", pytest.param("dinov2_tiny", marks=SLOW), pytest.param("dinov3_tiny", marks=SLOW)]
LAYERS = ("vit.blocks.1", "vit.blocks.6")
WHOLE = PredictionProtocol(window=(64, 96), mode="whole")
CARD = Card(["a", "b", "c", "d"], [[0, 0, 0]] * 4, [120.0] * 3, [60.0] * 3, {}, WHOLE, "source_only", 1)


def network(encoder: str, seed: int) -> Segmenter:
    torch.manual_seed(seed)
    made = build_segmenter(encoder, "segformer", num_classes=4, channels=8)
    for name, value in made.named_parameters():
        if value.ndim > 1 and "blocks" in name:  # large enough that attention maps differ
            torch.nn.init.xavier_normal_(value)
    return made


def collaborative(teacher: Segmenter, student: Segmenter, layers: Sequence[str]) -> CollaborativeTeacher:
    """Only the first of ten steps compares."""
    settings = CollaborativeSettings(match_from=0.0, match_until=0.0, every=1, momentum=0.9)
    return CollaborativeTeacher(settings, teacher, student, layers, steps=10, seed=0)


def batch() -> Batch:
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(2, 64, 96, dtype=torch.int64)
    return Batch(Source(image, label, ["", ""]), Target(image, None, None, ["", ""]))


@pytest.mark.parametrize("encoder", FAMILIES)
def test_cells_are_compared_and_no_class_token(encoder: str) -> None:
    one = network(encoder, 0)
    names = [name for stage in one.encoder.layers for name in stage]
    rows, columns = one.encoder.grid((64, 96))  # pyright: ignore[reportAttributeAccessIssue]
    for captured in ("projected", "before_projection"):
        found = attention_maps(one, batch().target.image, names, captured)  # type: ignore[union-attr, arg-type]
        assert {tuple(value.shape) for value in found.values()} == {(2 * rows * columns, 32)}
    attention = one.encoder.get_submodule(f"{names[0]}.{one.encoder.attention}")
    assert attention.get_submodule(one.encoder.projection) is not None


def test_blocks_follow_the_student_of_half_the_depth() -> None:
    teacher, student = network("vit_nano_deep", 1), network("vit_nano", 2)
    assert exchangeable(teacher, student, LAYERS) == {
        "vit.blocks.1": ("vit.blocks.0",),
        "vit.blocks.6": ("vit.blocks.3",),
    }
    one = collaborative(teacher, student, LAYERS)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    one.follow(student, batch(), 0)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    one.follow(student, batch(), 1)
    theirs = student.state_dict()
    for name, value in teacher.state_dict().items():
        place = next((layer for layer in LAYERS if name.startswith(f"encoder.{layer}.")), None)
        if place is None:
            assert torch.equal(value, before[name]), name
            continue
        match = one.matches()[LAYERS.index(place)]
        other = theirs[name.replace(place, match)]
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * other)


def test_a_block_that_attends_as_the_teachers_does_wins() -> None:
    student = network("vit_nano_deep", 2)
    teacher = network("vit_nano_deep", 1)
    teacher.load_state_dict(student.state_dict())
    one = collaborative(teacher, student, ("vit.blocks.3",))
    one.follow(student, batch(), 0)
    assert one.matches() == ["vit.blocks.3"]
    assert float(one.scores.max()) == pytest.approx(1.0, abs=1e-5) and one.scores[0, 0] < 0.99


class Noise:
    """Pictures of noise."""

    def __len__(self) -> int:
        return 2

    def image(self, index: int) -> Tensor:
        drawn = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=drawn)


@pytest.mark.parametrize("encoder", FAMILIES)
def test_saliency_and_layers_of_a_transformer_over_patches(encoder: str) -> None:
    """A block with zeroed output projections costs nothing; what blocks return can be compared cell by cell."""
    one = network(encoder, 0).eval()
    names = [name for stage in one.encoder.layers for name in stage]
    idle = one.encoder.get_submodule(names[1])
    with torch.no_grad():
        for name, value in idle.named_parameters():
            if any(part in name for part in ("proj.", "o_proj", "fc2", "down_proj", "lambda")):
                value.zero_()
    model = TrainedModel(one, CARD, torch.device("cpu"))
    measured = measure(model, Noise(), against="agreement", reference=by_agreement())
    assert list(measured.losses) == names and measured.losses[names[1]] == 0
    assert measured.stages == [[name] for name in names]
    outputs = layer_outputs(one, [(torch.randn(1, 3, 64, 96), (2, 3))], cells=4)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {name: (4, 32) for name in names}
    assert torch.equal(outputs[names[0]], outputs[names[1]])
