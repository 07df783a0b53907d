"""Ensemble distillation: the labels of several members are fused class by class, and one student learns them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from segue.data.dataset import Dataset
from segue.evaluation import policy
from segue.evaluation.fusing import Fusion, check_members
from segue.evaluation.fusion_comparison import compare, score_members
from segue.evaluation.members import ModelMember, OpenedMembers
from segue.evaluation.model import TrainedModel
from segue.evaluation.open_members import open_members, predicts, student_certainty
from segue.evaluation.reestimation import reestimate
from segue.evaluation.unify import unify
from segue.fusion_rules import Conflict, FusionRules, Kind, Unclaimed
from segue.methods.class_weights import ClassWeightSettings, Percentile
from segue.methods.stages import Stages, label_together, learning, pictures_by_name
from segue.models.weights import model_folder
from segue.ranks import is_first_rank
from segue.settings import Count, Positive, Settings, Share
from segue.trees import merge


class MemberStudentSettings(Settings):
    """The student of a single member, trained only to measure how certain it becomes of each class."""

    share: Positive = 0.5  # its length as a share of the run's steps; may be above 1
    # What it starts from: network.start, network.weights alone, or a run or model folder.
    start: Literal["start", "weights"] | Path = "start"
    pictures: Literal["all", "halves"] = "all"  # halves: learn one half, measure certainty on the other
    # Both are off: they stress rare classes and hard pixels, which makes a student less certain of everything else.
    weights: ClassWeightSettings | None = None
    percentile: Percentile = 0.0

    def origin(self, stages: Stages) -> Path | None:
        """The run or model folder that students start from; None for none."""
        if isinstance(self.start, Path):
            return self.start
        return stages.start if self.start == "start" else None


class EnsembleSettings(Settings):
    """Ensemble distillation: which members there are, and how their labels are fused."""

    # Run or model folders, .onnx files or folders of labels, by name; each gets a folder of that name.
    members: dict[Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")], Path] = Field(default={})
    maps: dict[str, dict[str, str]] = {}  # by member: its class -> the pair's class, or ignore
    # Batch statistics that members with weights predict by: those they were saved with, or the target pictures' own.
    statistics: Literal["saved", "target"] = "saved"
    kind: Kind = FusionRules.kind
    # Which member is believed for a class: the one whose student is most certain, a random one, or as a YAML file says
    # (class: member).
    policy: Literal["certainty", "random"] | Path = "certainty"
    conflict: Conflict = FusionRules.conflict
    unclaimed: Unclaimed = FusionRules.unclaimed
    window: Count = FusionRules.window  # kappa: side of the neighbourhood in pixels, an odd number
    # Classes by precedence, the first one wins; "rare" puts those first that members predict least often.
    order: list[str] | Literal["rare"] | None = None
    threshold: Share = FusionRules.threshold  # certainty below which a label is dropped
    students: MemberStudentSettings = MemberStudentSettings()  # one for each member, to measure certainty by

    def carry_out(self, stages: Stages) -> dict[str, Any] | None:
        """Unify the members, measure how certain a student of each is, fuse class by class, train one student.

        Source: ensemble distillation, sections 3.1 to 3.3.
        """
        if not self.members:
            raise ValueError(
                f"recipe {stages.recipe} fuses members: --set method.ensemble.members='{{a: RUN, b: FOLDER}}'"
            )
        members = self._open(stages, stages.target)
        rules = self._rules(stages)
        check_members(members.members, rules)
        stages.begin()
        is_open = self.kind == "channel" and rules.policy is None
        unified = self._unify(stages, members, "labels") if is_open or not rules.needs_probabilities else {}
        about: dict[str, Any] = {}
        if is_open:
            self._warn_of_a_head_start(stages)
            certainty = [self._certainty(stages, labels) for labels in unified.values()]
            rules, about = replace(rules, policy=policy.by_certainty(certainty)), {"certainty": certainty}
        stages.say("fusing the members' labels")
        if not rules.needs_probabilities:
            members = _open(stages, unified, {}, stages.target)
        if self.order == "rare":
            order = policy.rarest_first(members.members, stages.classes, members.names)
            rules = replace(rules, order=order)
        fused = stages.folder / "fused"
        origin = {
            "members": {name: str(path) for name, path in self.members.items()},
            "maps": self.maps,
            "statistics": self.statistics,
        }
        fusion = Fusion(members.members, stages.classes, rules, fused, origin)
        stages.shared(lambda share: fusion.run(members.names, share=share))
        about["compared"] = self._compare(stages, rules)
        if is_first_rank():
            fusion.write_record({"policy_from": self._policy_from(), **about})
        scores = stages.train_stage(stages.folder / "student", start=stages.start, changes=learning(fused))
        stages.keep(stages.folder / "student")
        return scores

    def _open(self, stages: Stages, dataset: Dataset) -> OpenedMembers:
        """The members, to predict the pictures of a data set."""
        opened = _open(stages, self.members, self.maps, dataset)
        for member in opened.members if self.statistics == "target" else []:
            if isinstance(member, ModelMember) and isinstance(member.model, TrainedModel):
                reestimate(member.model, stages.target)
            else:
                stages.say(
                    f"member {member.name} has no batch statistics to be re-estimated and stays as it is"
                )
        return opened

    def _rules(self, stages: Stages) -> FusionRules:
        """The rules as far as they are known before anything is trained; a policy by certainty is still open."""
        names, classes = list(self.members), stages.classes
        chosen: tuple[int, ...] | None = None
        if self.kind == "channel" and self.policy == "random":
            chosen = policy.at_random(classes, names, stages.seed)
        elif self.kind == "channel" and isinstance(self.policy, Path):
            chosen = policy.from_file(self.policy, classes, names)
        order = policy.precedence(self.order, classes) if isinstance(self.order, list) else None
        if self.order == "rare":  # a placeholder: which classes are rare shows once all members' labels exist
            order = tuple(range(len(classes)))
        return FusionRules(
            self.kind, chosen, self.conflict, self.unclaimed, self.window, order, self.threshold
        )

    def _unify(self, stages: Stages, members: OpenedMembers, name: str) -> dict[str, Path]:
        """Write every member's labels into a folder of its own; the processes share the pictures."""
        folders: dict[str, Path] = {}
        for member in members.members:
            stages.say(f"labels of member {member.name}" + (", to measure by" if name != "labels" else ""))
            folders[member.name] = out = stages.folder / "members" / member.name / name
            made = {
                "member": str(self.members[member.name]),
                "map": self.maps.get(member.name, {}),
                "statistics": self.statistics,
            }
            task = partial(unify, member, members.names, out, members.classes, made=made)
            stages.shared(lambda share, task=task: task(share=share))
        return folders

    def _certainty(self, stages: Stages, labels: Path) -> list[float | None]:
        """How certain of each class a student is that learnt the labels of one member only."""
        own, students = labels.parent, self.students
        stages.say(f"a student of member {own.name} says how certain it is")
        changes: dict[str, Any] = {
            "steps": max(1, round(students.share * stages.steps)),
            "method": students.model_dump(mode="json", include={"weights", "percentile"}),
        }
        target = stages.target
        pictures = pictures_by_name(target)
        if students.pictures == "halves":
            changes["data"] = {"target": {"part": [0, 2]}}
            pictures = {name: place for name, place in pictures.items() if place % 2}
        stages.train_stage(own, start=students.origin(stages), changes=merge(learning(labels), changes))
        model = TrainedModel.load(own / "model", stages.device)
        out = own / "certainty"
        label_together(stages, model, target, out, pictures=pictures)
        return student_certainty(out, stages.classes)

    def _warn_of_a_head_start(self, stages: Stages) -> None:
        start = self.students.origin(stages)
        for name, path in self.members.items():
            if start is not None and path.is_dir() and model_folder(path) == model_folder(start):
                stages.say(
                    f"students start from member {name}, whose own student has least to learn and so will be the most"
                    " certain; start them from a network that is not a member: --set"
                    " method.ensemble.students.start=weights or =RUN"
                )

    def _compare(self, stages: Stages, rules: FusionRules) -> dict[str, Any] | None:
        """Score these rules beside others on the pair's labelled target pictures; the run does not depend on it."""
        labelled = stages.open("evaluation")
        if labelled is None:
            stages.say(
                "no labelled target pictures (data.evaluation): what this policy is worth is not known"
            )
            return None
        silent = [name for name, path in self.members.items() if not predicts(path)]
        if silent:
            stages.say(
                f"member {silent[0]} is a folder of labels and cannot predict the labelled pictures: what this policy"
                " is worth is not known; `segue fuse --labels` compares folders"
            )
            return None
        members = self._open(stages, labelled)
        if not replace(rules, threshold=0.0).needs_probabilities:
            members = _open(stages, self._unify(stages, members, "evaluation"), {}, labelled)
        if not is_first_rank():
            return None
        places = pictures_by_name(labelled)

        def truth(name: str) -> Tensor:
            return labelled.label(places[name])

        alone = score_members(members, truth, counted=stages.counted)
        beside = compare(members, rules, truth, alone, counted=stages.counted)
        stages.say(beside.lines(self._policy_from() or self.kind))
        return beside.to_json()

    def _policy_from(self) -> str | None:
        return str(self.policy) if self.kind == "channel" else None


def _open(
    stages: Stages, paths: Mapping[str, Path], maps: Mapping[str, Mapping[str, str]], dataset: Dataset
) -> OpenedMembers:
    return open_members(
        paths,
        pictures=pictures_by_name(dataset),
        read=dataset.image,
        classes=stages.classes,
        maps=maps,
        device=stages.device,
    )
