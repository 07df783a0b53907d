"""Recipes of several stages: label the target, train, label again; or members, a policy, fused labels, one student.

A run folder of stages holds a folder for each stage, every one of which goes on where it stood; what the last one
made is the run's own model, scores and logs.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from rich.console import Console
from safetensors.torch import load_file, save
from torch import Tensor

from segue.classes import ClassList
from segue.data.dataset import Dataset
from segue.data.prior import dataset_prior
from segue.engine import experiment as experiments
from segue.engine import rounds, run
from segue.engine.domains import open_domain, training_classes
from segue.engine.method_settings import (
    EnsembleSettings,
    MemberStudentSettings,
    OfflineSettings,
    RoundSettings,
)
from segue.engine.rounds import Balance
from segue.engine.settings import Experiment
from segue.evaluate import policy
from segue.evaluate.comparison import compare, score_members
from segue.evaluate.eyes import model_eye
from segue.evaluate.fusing import Fusion, FusionRules, check_members
from segue.evaluate.labelling import Eye, Rule, label_pictures, most_probable
from segue.evaluate.members import OpenedMembers
from segue.evaluate.open_members import open_members, predicts, student_certainty
from segue.evaluate.unify import unify
from segue.files import write_bytes, write_text
from segue.models.weights import model_folder

RESULTS = ("model", "scores.json", "metrics.jsonl", "timing.jsonl", "pictures", "class_statistics.json")


def train(
    experiment: Experiment, folder: Path, *, console: Console, cpu: bool = False
) -> dict[str, Any] | None:
    """A run of any recipe: one training, or the stages that the recipe is made of.

    Args:
        experiment: The whole settings.
        folder: The run folder.
        console: Where progress is shown.
        cpu: Stay on the processor even if there is an accelerator.

    Returns:
        What ``scores.json`` holds, or None if the pair has no labelled pictures to score on.

    Raises:
        ValueError: If settings, data, weights, members or a checkpoint are wrong, or the folder holds another
            experiment.
        OSError: If a file is missing or cannot be written.
    """
    method = experiment.method
    if not isinstance(method, OfflineSettings) or not (method.rounds or method.ensemble):
        return run.train(experiment, folder, console=console, cpu=cpu)
    run.same_experiment(folder, experiment)
    stage = Stages(experiment, folder, console, cpu)
    if method.rounds is not None:
        return stage.rounds(method.rounds)
    assert method.ensemble is not None
    return stage.ensemble(method.ensemble)


class Stages:
    """What stages share: the target's pictures, where they run, and who writes.

    Args:
        experiment: The whole settings.
        folder: The run folder.
        console: Where progress is shown.
        cpu: Stay on the processor.
    """

    def __init__(self, experiment: Experiment, folder: Path, console: Console, cpu: bool) -> None:
        self.experiment = experiment
        self.folder = folder
        self.console = console
        self.cpu = cpu
        self.state = PartialState(cpu=cpu, timeout=run.PATIENCE)
        self.device = self.state.device or torch.device("cpu")
        self.target: Dataset = open_domain(experiment.data, experiment.data.target, labelled=False)
        self.pictures = _by_name(self.target)

    def rounds(self, settings: RoundSettings) -> dict[str, Any] | None:
        """Label with the last model what it is surest of, class by class, fine-tune it on that, and again.

        Source: CBST (Zou et al., ECCV 2018), algorithm 1; CRST (Zou et al., ICCV 2019) with soft labels or the
        confidence regulariser; lengths, rates and shares as in the code of CRST.
        """
        model = self.experiment.network.start
        if model is None:
            raise ValueError(
                f"recipe {self.experiment.recipe} starts from a trained model: --set network.start=RUN, a source-only"
                " one for example"
            )
        self._begin()
        data = self.experiment.data
        source = open_domain(data, data.source, labelled=True)
        prior = None if settings.prior is None else self._prior(source, settings.prior)
        scores: dict[str, Any] | None = None
        for number in range(settings.count):
            share = 100 * rounds.portion(settings, number)
            self._say(f"round {number + 1} of {settings.count}: {share:.0f} % of every class are labelled")
            stage = self.folder / f"round{number + 1}"
            balance = self._label_balanced(model, stage / "labels", settings, number, prior)
            changed = rounds.fine_tuning(
                self.experiment,
                settings,
                number,
                balance,
                pictures=(len(source), len(self.target)),
                processes=self.state.num_processes,
            )
            scores = self._train_on(stage / "labels", stage, start=model, changes=changed)
            model = stage / "model"
        self._keep(self.folder / f"round{settings.count}")
        return scores

    def ensemble(self, settings: EnsembleSettings) -> dict[str, Any] | None:
        """Unify the members, ask a student of each how certain it is, fuse class by class, train one student.

        Source: ensemble distillation, sections 3.1 to 3.3.
        """
        if not settings.members:
            raise ValueError(
                f"recipe {self.experiment.recipe} fuses members: --set method.ensemble.members='{{a: RUN, b: FOLDER}}'"
            )
        classes = training_classes(self.experiment.data)
        members = self._open(settings.members, settings.maps)
        rules = self._rules(settings, list(settings.members), classes)
        check_members(members.members, rules)
        self._begin()
        is_open = settings.kind == "channel" and rules.policy is None
        unified = self._unify(settings, members) if is_open or not rules.needs_probabilities else {}
        about: dict[str, Any] = {}
        if is_open:
            self._warn_of_a_head_start(settings)
            certainty = [self._certainty(settings.students, labels, classes) for labels in unified.values()]
            rules, about = replace(rules, policy=policy.by_certainty(certainty)), {"certainty": certainty}
        self._say("fusing the members' labels")
        if not rules.needs_probabilities:
            members = self._open(unified, {})
        if settings.order == "rare":
            rules = replace(rules, order=policy.rarest_first(members.members, classes, members.names))
        fused = self.folder / "fused"
        fusion = Fusion(members.members, classes, rules, fused, _origin(settings))
        self._shared(lambda share: fusion.run(members.names, share=share))
        about["compared"] = self._compare(settings, rules)
        if self.state.is_main_process:
            fusion.write_account({"policy_from": _policy_from(settings), **about})
        scores = self._train_on(fused, self.folder / "student", start=self.experiment.network.start)
        self._keep(self.folder / "student")
        return scores

    def _open(
        self,
        paths: Mapping[str, Path],
        maps: Mapping[str, Mapping[str, str]],
        dataset: Dataset | None = None,
    ) -> OpenedMembers:
        """Members of the target's pictures, or of another data set's."""
        seen = dataset or self.target
        return open_members(
            paths,
            pictures=_by_name(seen),
            read=seen.image,
            classes=training_classes(self.experiment.data),
            maps=maps,
            device=self.device,
        )

    def _rules(self, settings: EnsembleSettings, names: Sequence[str], classes: ClassList) -> FusionRules:
        """All that can be said before anything is trained: a policy of certainty is still open."""
        chosen: tuple[int, ...] | None = None
        if settings.kind == "channel" and settings.policy == "random":
            chosen = policy.at_random(classes, names, self.experiment.seed)
        elif settings.kind == "channel" and isinstance(settings.policy, Path):
            chosen = policy.from_file(settings.policy, classes, names)
        everything = None if settings.order is None else tuple(range(len(classes)))
        return FusionRules(
            settings.kind,
            chosen,
            settings.conflict,
            settings.unclaimed,
            settings.window,
            # Which classes are rare is seen once all members' labels are there.
            policy.precedence(settings.order, classes) if isinstance(settings.order, list) else everything,
            settings.threshold,
        )

    def _unify(
        self, settings: EnsembleSettings, members: OpenedMembers, name: str = "labels"
    ) -> dict[str, Path]:
        """Every member's labels, in a folder of its own; each picture is predicted by one process."""
        folders: dict[str, Path] = {}
        for member in members.members:
            self._say(f"labels of member {member.name}" + (", to measure by" if name != "labels" else ""))
            folders[member.name] = out = self.folder / "members" / member.name / name
            made = {
                "member": str(settings.members[member.name]),
                "map": settings.maps.get(member.name, {}),
            }
            task = partial(unify, member, members.names, out, members.classes, made=made)
            self._shared(lambda share, task=task: task(share=share))
        return folders

    def _certainty(
        self, settings: MemberStudentSettings, labels: Path, classes: ClassList
    ) -> list[float | None]:
        """How certain of each class a student is that knows one member's labels alone."""
        own = labels.parent
        self._say(f"a student of member {own.name} says how certain it is")
        changes: dict[str, Any] = {
            "steps": max(1, round(settings.share * self.experiment.steps)),
            "method": settings.model_dump(mode="json", include={"weights", "percentile"}),
        }
        pictures = self.pictures
        if settings.pictures == "halves":
            changes["data"] = {"target": {"part": [0, 2]}}
            pictures = {name: place for name, place in pictures.items() if place % 2}
        self._train_on(labels, own, start=self._start_of_students(settings), changes=changes)
        eye = model_eye(own / "model", self.device)
        self._label(eye, own / "certainty", most_probable(), pictures)
        return student_certainty(own / "certainty", classes)

    def _start_of_students(self, settings: MemberStudentSettings) -> Path | None:
        if isinstance(settings.start, Path):
            return settings.start
        return self.experiment.network.start if settings.start == "start" else None

    def _warn_of_a_head_start(self, settings: EnsembleSettings) -> None:
        start = self._start_of_students(settings.students)
        for name, path in settings.members.items():
            if start is not None and path.is_dir() and model_folder(path) == model_folder(start):
                self._say(
                    f"students start from member {name}: its own one has least to learn, and is surest; start them from"
                    " a network that is no member, --set method.ensemble.students.start=weights or =RUN"
                )

    def _compare(self, settings: EnsembleSettings, rules: FusionRules) -> dict[str, Any] | None:
        """What these rules are worth beside others on the pair's labelled pictures; nothing is decided by it."""
        data = self.experiment.data
        if data.evaluation is None:
            self._say("no labelled target pictures (data.evaluation): what this policy is worth is not known")
            return None
        labelled = open_domain(data, data.evaluation, labelled=True)
        silent = [name for name, path in settings.members.items() if not predicts(path)]
        if silent:
            self._say(
                f"member {silent[0]} is a folder of labels, which has none of the labelled pictures: what this policy"
                " is worth is not known; `segue fuse --labels` compares folders"
            )
            return None
        members = self._open(settings.members, settings.maps, labelled)
        if not replace(rules, threshold=0.0).needs_probabilities:
            members = self._open(self._unify(settings, members, "evaluation"), {}, labelled)
        if not self.state.is_main_process:
            return None
        places, counted = _by_name(labelled), self.experiment.evaluation.classes

        def truth(name: str) -> torch.Tensor:
            return labelled.label(places[name])

        found = score_members(members, truth, counted=counted)
        beside = compare(members, rules, truth, found, counted=counted)
        self._say(beside.lines(_policy_from(settings) or settings.kind))
        return beside.to_json()

    def _label(self, eye: Eye, out: Path, rule: Rule, pictures: Mapping[str, int]) -> None:
        self._shared(
            lambda share: label_pictures(eye, pictures, out, rule=rule, read=self.target.image, share=share)
        )

    def _shared(self, task: Callable[[tuple[int, int]], object]) -> None:
        """Every process does its part; then the first one looks again at the whole, which nobody else could."""
        task((self.state.process_index, self.state.num_processes))
        self.state.wait_for_everyone()
        if self.state.is_main_process and self.state.num_processes > 1:
            task((0, 1))
        self.state.wait_for_everyone()

    def _prior(self, source: Dataset, side: float) -> Tensor:
        """Where the source has its classes; its labels are read once, by the first process."""
        path = self.folder / "prior.safetensors"
        if self.state.is_main_process and not path.is_file():
            self._say("counting where the source has its classes")
            write_bytes(path, save({"prior": dataset_prior(source, side=side)}))
        self.state.wait_for_everyone()
        return load_file(path)["prior"]

    def _label_balanced(
        self, model: Path, out: Path, settings: RoundSettings, number: int, prior: Tensor | None
    ) -> Balance:
        """What the first process measured decides for all, and for whoever goes on after an interruption."""
        is_labelled = (out / "statistics.json").is_file()  # before anybody can have written it
        eye = rounds.round_eye(model, settings, prior, self.device)
        if self.state.is_main_process and rounds.kept(out) is None:
            share = rounds.portion(settings, number)
            found = rounds.measure(
                eye, self.pictures, read=self.target.image, every=settings.every, portion=share
            )
            rounds.keep(found, out)
        self.state.wait_for_everyone()
        balance = rounds.kept(out)
        assert balance is not None, "the first process wrote it"
        if not is_labelled:
            self._label(eye, out, balance.rule(settings.alpha), self.pictures)
        return balance

    def _train_on(
        self, labels: Path, folder: Path, *, start: Path | None, changes: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        offline: dict[str, Any] = {
            "method": {"labels": str(labels), "rounds": None, "ensemble": None},
            "network": {"start": None if start is None else str(start)},
        }
        stage = experiments.revise(self.experiment, offline, changes or {})
        return run.train(stage, folder, console=self.console, cpu=self.cpu)

    def _begin(self) -> None:
        if self.state.is_main_process:
            experiments.save(self.experiment, self.folder / "experiment.yaml")
        self.state.wait_for_everyone()

    def _keep(self, stage: Path) -> None:
        """Make the last stage's results the run's own."""
        if self.state.is_main_process:
            for name in RESULTS:
                _replace(stage / name, self.folder / name)
        self.state.wait_for_everyone()

    def _say(self, text: str) -> None:
        if self.state.is_main_process:
            self.console.print(text, highlight=False)


def _policy_from(settings: EnsembleSettings) -> str | None:
    return str(settings.policy) if settings.kind == "channel" else None


def _by_name(dataset: Dataset) -> dict[str, int]:
    return {dataset.name(index): index for index in range(len(dataset))}


def _origin(settings: EnsembleSettings) -> dict[str, Any]:
    return {
        "members": {name: str(path) for name, path in settings.members.items()},
        "maps": settings.maps,
    }


def _replace(source: Path, goal: Path) -> None:
    if source.is_dir():
        beside = goal.with_name(f".{goal.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(source, beside)
        shutil.rmtree(goal, ignore_errors=True)
        beside.rename(goal)
    elif source.is_file():
        write_text(goal, source.read_text(encoding="utf-8"))
