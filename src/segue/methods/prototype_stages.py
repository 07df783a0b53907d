"""ProDA's stages: an adversarial warm-up, labels corrected by prototypes, and students that begin again."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from segue.evaluation.labelling import Rule, all_probabilities, most_probable
from segue.evaluation.model import TrainedModel
from segue.methods.aligned import AlignedSettings
from segue.methods.distillation import DistillationSettings
from segue.methods.stages import Stages, is_labelled, label_together
from segue.settings import Positive, Settings, Share
from segue.trees import Tree


class PrototypeStages(Settings):
    """What comes before and after the stage that corrects labels."""

    # Run or model folder that labels the target first and that the correcting stage starts from; None: the warm-up,
    # which trains the run's terms but "confidence".
    model: Path | None = None
    labels: Path | None = None  # the target's soft labels; None: the model makes them
    rate: Positive = 0.4  # the correcting stage's learning rate as a share of optim.lr
    distillations: Annotated[int, Field(ge=0, le=100)] = (
        2  # students that begin again from the last stage's labels
    )
    distillation: DistillationSettings = DistillationSettings()  # how these learn
    sure: Share = 0.95  # confidence from which their labels count
    restarts: bool = (
        True  # these students begin as the run does (network.weights); false: as the last stage ended
    )

    @property
    def is_single(self) -> bool:
        """Whether nothing but the correcting stage is left to do."""
        return self.labels is not None and self.distillations == 0

    def in_stages(self, stages: Stages) -> dict[str, Any] | None:
        """Warm up, label, correct the labels while learning them, and distil.

        Source: ProDA (Zhang et al., CVPR 2021), sections 3.2 to 3.4, and its code.
        """
        stages.begin()
        folder = stages.folder
        model, labels = self.model or stages.start, self.labels
        if model is None:
            stages.say("warm-up: source and target are aligned")
            model = folder / "warmup"
            plain: Tree = {"method": AlignedSettings().model_dump(mode="json"), "terms": {"confidence": None}}
            stages.train_stage(model, start=None, changes=plain)
        if labels is None:
            labels = folder / "labels"
            stages.say("the model labels the target softly")
            label_target(stages, model, labels, all_probabilities())
        stages.say("labels are learnt as prototypes correct them")
        single = {"labels": str(labels), "model": None, "distillations": 0}
        last = folder / "corrected"
        scores = stages.train_stage(
            last,
            start=model,
            changes={
                "method": single,
                "terms": {"adversarial": None},
                "optim": {"lr": self.rate * stages.rate},
            },
        )
        for number in range(1, self.distillations + 1):
            stages.say(f"distillation {number} of {self.distillations}")
            stage = folder / f"distilled{number}"
            label_target(stages, last, stage / "labels", most_probable(self.sure), flip=True)
            teacher = {"name": "large", "model": str(last)}
            own: Tree = {"labels": str(stage / "labels"), "teacher": teacher}
            changes = {
                "method": {**self.distillation.model_dump(mode="json"), **own},
                "terms": {"adversarial": None, "confidence": None},
            }
            start = stages.start if self.restarts else last
            scores = stages.train_stage(stage, start=start, changes=changes)
            last = stage
        stages.keep(last)
        return scores


def label_target(stages: Stages, model: Path, out: Path, rule: Rule, **protocol: Any) -> None:
    """Label the target's pictures, all processes together; what is labelled already stays."""
    if is_labelled(out):
        return
    teacher = TrainedModel.load(model, stages.device, **protocol)
    label_together(stages, teacher, stages.target, out, rule=rule)
