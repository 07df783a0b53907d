"""DPL: a network of each domain's look, which see translated pictures, and label the target together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.data.dataset import Dataset
from segue.evaluation.labelling import Labels, Rule
from segue.evaluation.model import TrainedModel
from segue.evaluation.predictors import fitted_image
from segue.evaluation.read_ahead import read_ahead
from segue.methods.context import Context
from segue.methods.method import Method, MethodSettings, Reading, Term
from segue.methods.rounds import label_by_rank, round_seed
from segue.methods.stages import Stages, pictures_by_name
from segue.methods.terms import TERMS
from segue.methods.translation import GeneratorSettings
from segue.models.averaged import MEMBERS, Averaged
from segue.models.translated import AmplitudeGenerator, Look, Translated, translated
from segue.models.weights import Card, load_model, model_folder, save_model
from segue.ops.balance import corrected_label
from segue.ops.spectrum import low_amplitude
from segue.ranks import is_first_rank, wait_for_all
from segue.settings import Count, Positive, Settings, Share
from segue.trees import Tree
from segue.types import Batch, MeanOver, View

Domain = Literal["source", "target"]


class PathSettings(MethodSettings):
    """Train one path's network: both domains in one look, the target's labels if there are any."""

    name: Literal["path"] = "path"
    labels_target: ClassVar[bool] = True
    path: Domain = "target"  # whose look both domains' pictures have
    translator: Path | None = None  # model folder with both translations; None: pictures are not translated
    labels: Path | None = None  # folder of labels of the target that are learnt
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over

    def reading(self, recipe: str) -> Reading:
        """Both domains, the target with its labels if there are any."""
        return Reading(labels=self.labels)

    def build(self, context: Context, terms: Mapping[str, Term]) -> "DomainPath":
        """Build it around the student.

        Raises:
            ValueError: If nothing would be learnt from the target.
        """
        if self.labels is None and not any("target" in term.view_names for term in terms.values()):
            raise ValueError(
                f"recipe {context.recipe} begins without labels of the target, and no term looks at it: set"
                " terms.adversarial={}"
            )
        return DomainPath(self, context, terms)


class DomainPath(Method):
    """The student learns the source's labels and the target's, on pictures of which one domain's are translated.

    Source: DPL (Cheng et al., ICCV 2021), section 3.3. Its code translates whole pictures beforehand; here the crops
    are translated.
    """

    def __init__(self, settings: PathSettings, context: Context, terms: Mapping[str, Term]) -> None:
        super().__init__(context.student, terms, view_names=("source", "target"))
        self.settings = settings
        self.look: Look | None = None
        if settings.translator is not None:
            network, card = load_translator(settings.translator)
            context.check_model(card, settings.translator)
            self.look = network.look if settings.path == "source" else network.back
            assert self.look is not None, "translators have both"
            self.look.requires_grad_(False)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield the source and the target, whichever is not of the path translated to its look."""
        source, target = batch.source, batch.target
        assert target is not None, "the engine gives a target loader"
        image = self._seen(source.image, "source")
        yield View("source", image, source.label, mean_over=self.settings.source_mean)

        offline = None if self.settings.labels is None else target.offline
        label = None if offline is None else target.within(offline)
        yield View("target", self._seen(target.image, "target"), label, target.weight, mean_over="labelled")

    def scored(self, network: Literal["student", "teacher"]) -> nn.Module:
        """The student, which in the source's look sees the target translated."""
        student = super().scored(network)
        if self.settings.path == "target" or self.look is None:
            return student
        return Translated(student, self.look)

    def _seen(self, image: Tensor, domain: Domain) -> Tensor:
        if self.look is None or domain == self.settings.path:
            return image
        with torch.no_grad():
            return self.look(image)


class TranslatorSettings(Settings):
    """How pictures get the other domain's look."""

    # "cycle": two generators that are trained here, as in DPL. "amplitude": each domain's mean amplitude of low
    # frequencies, which is not DPL. "none": pictures stay as they are.
    kind: Literal["cycle", "amplitude", "none"] = "cycle"
    share: Positive = 1.0  # of the run's steps, for each training of the generators
    lr: Positive = 2e-4  # of the generators
    crop: tuple[Count, Count] | None = None  # height, width that generators learn from; None: the run's
    generators: GeneratorSettings = GeneratorSettings()
    beta: Share = 0.01  # of "amplitude": reach of the frequencies as a share of a crop's shorter side

    def changes(self, stages: Stages, target: Path | None) -> Tree:
        """As changes of a run's settings; ``target`` is the network of target pictures, if there is one already."""
        own: Tree = {
            "name": "translation",
            "generators": self.generators.model_dump(mode="json"),
            "target_model": None if target is None else str(target),
        }
        return {
            "steps": max(1, round(self.share * stages.steps)),
            "method": own,
            "terms": dict.fromkeys(TERMS),
            "data": {} if self.crop is None else {"crop": list(self.crop)},
            "optim": {
                "name": "adamw", "lr": self.lr, "head_factor": 1.0, "weight_decay": 0.0,  # then it is Adam
                "betas": list(self.generators.betas), "warmup": 0.0, "power": 1.0, "hold": 0.5,
                "fading": None, "sharpness": None, "clip": None,
            },
            "evidence": {"best": None},
        }  # fmt: skip


class CorrectionSettings(Settings):
    """The warm-up of the target's path: labels of the source are corrected where translation changed what is seen."""

    count: Annotated[int, Field(ge=0, le=100)] = 2  # how often
    delta: Share = 0.3  # how much surer of another class than of the label's
    left_out: Share = 0.65  # share of each class's pixels below its threshold, of either domain
    ceiling: Share = 0.9  # largest threshold


class DualPathSettings(MethodSettings):
    """DPL: a path in each domain's look, which label the target together in rounds."""

    name: Literal["dual_path"] = "dual_path"
    translator: TranslatorSettings = TranslatorSettings()
    correction: CorrectionSettings = CorrectionSettings()
    repeats: Count = 4  # rounds in which both paths label and learn
    alpha: Share = 0.5  # share of the target's path in the labels
    # Share of each class's pixels without a label, unless surer than the ceiling, in each round; the last one goes on.
    left_out: Annotated[list[Share], Field(min_length=1)] = [0.3, 0.25]
    ceiling: Share = 0.9
    # Share of the target's path in the result; the other one sees the picture translated. None: the target's alone.
    mixture: Share | None = 0.55
    source_mean: MeanOver = "labelled"  # what the source's loss is averaged over

    def build(self, context: Context, terms: Mapping[str, Term]) -> Method:
        """What a path trains, before there is a translator."""
        return PathSettings(source_mean=self.source_mean).build(context, terms)

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Warm up the target's path, learn to translate with both networks, then label and learn in rounds.

        Source: DPL (Cheng et al., ICCV 2021), algorithm 1, and the order of its code.
        """
        stages.begin()
        folder, source = stages.folder, stages.start
        if source is None:
            stages.say("first stage: the source's network")
            source = folder / "source"
            changes: Tree = {"method": {"name": "source_only"}, "terms": dict.fromkeys(TERMS)}
            stages.train_stage(source, start=None, changes=changes)
        translator = self._translator(stages, folder / "translator0", source, None)
        target = self._warmed_up(stages, source, translator)
        if self.translator.kind == "cycle":
            translator = self._translator(stages, folder / "translator", source, target)
        scores: dict[str, Any] | None = None
        for number in range(self.repeats):
            stages.say(f"round {number + 1} of {self.repeats}: both paths label the target")
            stage = folder / f"round{number + 1}"
            self._mix(stages, source, target, translator, self.alpha, stage / "labeller")
            labels = stage / "labels"
            left_out = self.left_out[min(number, len(self.left_out) - 1)]
            self._label(stages, stage / "labeller", labels, left_out, self.ceiling)
            own: Tree = {"translator": str(translator), "labels": str(labels)}
            seed = round_seed(stages.seed, number + 1)
            # A measure would keep the network with its translation, of which no card there speaks.
            alone: Tree = {"evidence": {"best": None}}
            source, _ = self._learn(stages, stage / "source", source, seed, {**own, "path": "source"}, alone)
            target, scores = self._learn(stages, stage / "target", target, seed, own)
        stages.keep(target)
        if self.mixture is None:
            return scores
        self._mix(stages, source, target, translator, self.mixture, folder / "model")
        return stages.score()

    def _translator(self, stages: Stages, folder: Path, source: Path, target: Path | None) -> Path:
        """The model folder of a translator; with a network of either domain these judge what translation keeps."""
        kind = self.translator.kind
        if kind == "cycle":
            stages.say("a translator" + (" that both networks judge" if target else ""))
            stages.train_stage(folder, start=source, changes=self.translator.changes(stages, target))
        elif is_first_rank() and not (folder / "model" / "card.json").is_file():
            self._write_translator(stages, folder / "model", source)
        wait_for_all()
        return folder / "model"

    def _write_translator(self, stages: Stages, folder: Path, source: Path) -> None:
        """A translator that is not trained."""
        network, card = load_model(model_folder(source))
        arguments: Tree = {"name": "identity"}
        generators: list[nn.Module] = [nn.Identity(), nn.Identity()]
        if self.translator.kind == "amplitude":
            reach = int(self.translator.beta * min(card.prediction.window))
            arguments = {"name": "amplitude", "reach": reach}
            generators = [_mean_amplitude(stages, domain, reach) for domain in ("source", "target")]
        looks = [Look(generator, card.mean, card.std) for generator in generators]
        whole = translated(card.network, look=arguments, back=arguments, classes=len(card.classes))
        save_model(folder, Translated(network, *looks), replace(card, network=whole, recipe=stages.recipe))

    def _warmed_up(self, stages: Stages, source: Path, translator: Path) -> Path:
        """The target's path before it meets the other one."""
        stages.say("warm-up: the target's path, on the translated source")
        own: Tree = {"translator": str(translator)}
        seed = round_seed(stages.seed, 0)
        target, _ = self._learn(stages, stages.folder / "target0", source, seed, own)
        correction = self.correction
        for number in range(1, correction.count + 1):
            stages.say(f"warm-up {number} of {correction.count}: the source's labels are corrected")
            folder = stages.folder / f"target{number}"
            self._correct(stages, target, translator, folder / "source_labels")
            self._label(stages, target, folder / "labels", correction.left_out, correction.ceiling)
            changes: Tree = {"data": {"source": {"offline_labels": str(folder / "source_labels")}}}
            own = {"translator": str(translator), "labels": str(folder / "labels")}
            seed = round_seed(stages.seed, self.repeats + number)
            target, _ = self._learn(stages, folder, target, seed, own, changes)
        return target

    def _learn(
        self, stages: Stages, folder: Path, start: Path, seed: int, own: Tree, changes: Tree | None = None
    ) -> tuple[Path, dict[str, Any] | None]:
        """Train a path; returns its folder and its scores."""
        method: Tree = PathSettings(source_mean=self.source_mean).model_dump(mode="json")
        change: Tree = {"seed": seed, "method": {**method, **own}, **(changes or {})}
        return folder, stages.train_stage(folder, start=start, changes=change)

    def _label(self, stages: Stages, model: Path, out: Path, left_out: float, ceiling: float) -> None:
        labeller = TrainedModel.load(model, stages.device)
        label_by_rank(stages, labeller, stages.target, out, left_out=left_out, ceiling=ceiling, every=1)

    def _correct(self, stages: Stages, target: Path, translator: Path, out: Path) -> None:
        """Label the source's pictures as the target's network corrects their labels, seeing them translated."""
        dataset, correction, box = stages.open("source"), self.correction, stages.domain("source")["resize"]
        network, card = load_model(model_folder(target))
        look = load_translator(translator)[0].back
        assert dataset is not None and look is not None, (
            "every pair has a source, every translator a way back"
        )
        protocol = replace(card.prediction, resize=None if box is None else tuple(box))
        model = TrainedModel(Translated(network, look), card, stages.device, protocol=protocol)
        label_by_rank(
            stages, model, dataset, out, left_out=correction.left_out, ceiling=correction.ceiling, every=1,
            rule_of=lambda thresholds: _correcting(dataset, thresholds, correction.delta),
        )  # fmt: skip

    def _mix(
        self, stages: Stages, source: Path, target: Path, translator: Path, share: float, out: Path
    ) -> None:
        """Write both paths as one model: the target's network, and the source's on the translated picture."""
        if is_first_rank():
            (one, card), (other, _) = (load_model(model_folder(path)) for path in (target, source))
            network, look_card = load_translator(translator)
            look, shares = look_card.network["look"], [share, 1 - share]
            seen = translated(card.network, look=look, back=None, classes=len(card.classes))
            both = {MEMBERS: [dict(card.network), seen], "shares": shares}
            joined = Averaged([one, Translated(other, network.look)], shares)
            save_model(out, joined, replace(card, network=both, recipe=stages.recipe))
        wait_for_all()


def load_translator(folder: Path) -> tuple[Translated, Card]:
    """The network of a translator's model folder, and its card; a ValueError if the model translates nothing."""
    network, card = load_model(model_folder(folder))
    if not isinstance(network, Translated) or network.back is None:
        raise ValueError(f"{folder}: this model is no translator; name one that `segue train dpl` made")
    return network, card


def _mean_amplitude(stages: Stages, domain: Domain, reach: int) -> AmplitudeGenerator:
    dataset = stages.open("source") if domain == "source" else stages.target
    assert dataset is not None, "every pair has a source"
    places, box = pictures_by_name(dataset), stages.domain(domain)["resize"]
    generator = AmplitudeGenerator(reach)
    for _, image in read_ahead(lambda name: dataset.image(places[name]), places):
        shown = fitted_image(image[None].float() / 255, None if box is None else tuple(box))
        generator.amplitude += low_amplitude(shown, reach)[0] / len(places)
    return generator


def _correcting(dataset: Dataset, thresholds: Tensor, delta: float) -> Callable[[str, Tensor], Rule]:
    """From a source picture to the rule that corrects its label."""
    places = pictures_by_name(dataset)

    def corrected(label: Tensor, probability: Tensor) -> Labels:
        return Labels(corrected_label(probability, label.to(probability.device), thresholds, delta=delta))

    return lambda name, image: partial(corrected, dataset.label(places[name]))
