"""What is built from settings: whose features are kept, and how fast trust grows in runs of other lengths."""

import logging
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.tiny import tiny, write_model

from segue.data.crop import RandomCrop
from segue.engine import build
from segue.engine.build import build_loader, build_method, build_student
from segue.engine.domains import open_domain
from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.methods.context import PAPER_STEPS
from segue.methods.self_training import SelfTraining
from segue.methods.terms.feature_distance import FeatureDistance
from segue.types import IGNORE

WITH_DISTANCE = {"terms": {"feature_distance": {"classes": ["car", "person"]}}}


def pretrained(wanted: Experiment, path: Path) -> Path:
    torch.manual_seed(5)
    save_file(build_student(wanted).encoder.state_dict(), path)
    return path


def last_features(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.eval()(image)[-1]


def reference_of(wanted: Experiment) -> tuple[FeatureDistance, torch.nn.Module]:
    torch.manual_seed(wanted.seed)
    student = build_student(wanted)
    term = build_method(wanted, student).terms["feature_distance"]
    assert isinstance(term, FeatureDistance)
    return term, student.feature_network()


@pytest.mark.parametrize("recipe", ["daformer", "hrda"])
def test_the_reference_is_what_weights_alone_make(recipe: str, tmp_path: Path, caplog) -> None:
    """A run that starts from a source-only model keeps the features of ImageNet, not those of the source."""
    plain = tiny(recipe, WITH_DISTANCE)
    write_model(plain, tmp_path / "run")
    weights = pretrained(plain, tmp_path / "encoder.safetensors")
    image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    from_weights = revise(plain, {"network": {"weights": str(weights)}})
    expected = last_features(reference_of(from_weights)[1], image)

    started = revise(from_weights, {"network": {"start": str(tmp_path / "run")}})
    with caplog.at_level(logging.WARNING):
        term, student = reference_of(started)
    assert torch.equal(term.reference(image)[-1], expected)
    trained = last_features(student, image)
    assert not torch.allclose(trained, expected, atol=1e-3)
    assert torch.equal(trained, last_features(reference_of(started)[1], image)), "built again: the same"
    assert "random features" not in caplog.text


@pytest.mark.parametrize("with_start", [False, True])
def test_random_features_are_told(with_start: bool, tmp_path: Path, caplog) -> None:
    """Without weights they are random, wherever the student starts; the same ones when the run is taken up."""
    wanted = tiny("daformer", WITH_DISTANCE)
    if with_start:
        write_model(wanted, tmp_path)
        wanted = revise(wanted, {"network": {"start": str(tmp_path)}})
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, student = reference_of(wanted)
    assert "random features: network.weights is not set" in caplog.text
    assert torch.equal(first.reference(image)[-1], reference_of(wanted)[0].reference(image)[-1])
    same = torch.allclose(first.reference(image)[-1], last_features(student, image))
    assert same == (not with_start)


def test_trust_grows_over_the_same_share_of_a_run_of_any_length() -> None:
    """STCT's alpha is a rate per step of 40 000; half of any run has the trust of half of that one."""
    label = torch.randint(0, 12, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    label[0, :2] = IGNORE
    logits = torch.nn.functional.one_hot(label.clamp(max=11), 12).permute(0, 3, 1, 2).float()
    for steps in (400, 800, PAPER_STEPS, 160_000):
        wanted = tiny("stct", {"steps": steps, "method": {"coordinate": {"alpha": 1e-4}}})
        method = build_method(wanted, build_student(wanted))
        assert isinstance(method, SelfTraining) and method.coordinate is not None
        for share in (0.0, 0.125, 0.5, 1.0):
            trust = method.coordinate.at(round(share * steps))(logits, label)
            assert trust.tolist() == pytest.approx([1 - math.exp(-1e-4 * share * 40_000)] * 2), (steps, share)


def test_pictures_are_decoded_smaller_only_where_it_is_wished_and_never_smaller_than_needed(
    tmp_path: Path,
) -> None:
    wish = {"data": {"target": {"draft": True, "resize": [40, 80]}, "scale": [0.5, 2.0]}}
    wanted = tiny("source_only", wish)
    reading = wanted.method.reading(wanted.recipe)
    scenes = open_domain(wanted.data, wanted.data.source, labelled=True)
    made = build_loader(
        wanted,
        scenes,
        scenes,
        statistics_cache=tmp_path / "c.json",
        device=torch.device("cpu"),
        reading=reading,
    )
    assert [domain.least for domain in made.batches.domains] == [None, (80, 160)]
    with pytest.raises(ValueError, match=r"draft decodes .*say resize=\[HEIGHT,WIDTH\]"):
        tiny("source_only", {"data": {"target": {"draft": True, "resize": None}}})


def test_a_domain_may_be_resized_by_factors_of_its_own() -> None:
    """What is not said for a domain is what is said for both, also when the target takes the source's place."""
    wish = {"data": {"scale": [0.5, 1.0], "source": {"scale": [1.0, 3.0], "label_suffix": "_ids"}}}
    wanted = tiny("source_only", wish)
    source, target = build.crops(wanted, wanted.method.reading(wanted.recipe))
    assert isinstance(source, RandomCrop) and isinstance(target, RandomCrop)
    assert (source.scale, target.scale) == ((1.0, 3.0), (0.5, 1.0))
    oracle = tiny("target_supervised", wish).data
    assert (oracle.source.scale, oracle.source.label_suffix) == (None, "")


def test_as_many_processes_read_as_cores_and_batch_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(cores: int, together: int, batch: int, device: str, workers: int | None = None) -> int:
        monkeypatch.setattr(build, "cores", lambda: cores)
        monkeypatch.setattr(build, "machine_processes", lambda: together)
        settings = tiny("source_only", {"data": {"workers": workers, "batch": batch}}).data
        return build.readers(settings, torch.device(device))

    assert [chosen(cores, 1, 2, "cpu") for cores in (1, 2, 64)] == [0, 1, 1]
    assert [chosen(cores, 1, 2, "cuda") for cores in (1, 2, 4, 64)] == [1, 1, 3, 4]
    assert chosen(64, 8, 16, "cuda") == 7 and chosen(64, 1, 16, "cuda") == 8 and chosen(2, 4, 2, "cpu") == 0
    assert chosen(64, 1, 2, "cuda", workers=0) == 0
