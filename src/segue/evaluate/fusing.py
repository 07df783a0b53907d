"""Fusing members' predictions over a set of pictures: one label PNG each, and an account of who was believed."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from segue.classes import ClassList
from segue.evaluate.account import Account
from segue.evaluate.labelling import describe, png
from segue.evaluate.members import FolderMember, Member
from segue.files import write_bytes, write_text
from segue.ops.fusion import Conflict, Fused, Unclaimed, average, channel_wise, majority
from segue.types import IGNORE

Kind = Literal["channel", "pixel", "average"]


@dataclass(frozen=True)
class FusionRules:
    """How members become one.

    Attributes:
        kind: "channel": class by class from whom the policy believes; "pixel": the majority; "average": the
            highest mean probability, without unification.
        policy: For every class the believed member; of "channel" alone.
        conflict: Of several claims; see :func:`segue.ops.fusion.channel_wise`.
        unclaimed: Without a claim.
        window: Side of the neighbourhood.
        order: Classes by precedence; None for the order of their numbers.
        threshold: Certainty below which a label is dropped; of "channel" and "average".

    Raises:
        ValueError: If a rule is missing, or one is given that the kind makes no use of.
    """

    kind: Kind = "channel"
    policy: tuple[int, ...] | None = None
    conflict: Conflict = "neighbourhood"
    unclaimed: Unclaimed = "neighbourhood"
    window: int = 5
    order: tuple[int, ...] | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window {self.window}: the side of a neighbourhood is an odd number of pixels")
        if self.conflict == "order" and self.order is None:
            raise ValueError(
                "conflict order needs an order of classes, of which the first one wins (--order)"
            )
        if self.order is not None and self.conflict != "order":
            raise ValueError("an order of classes is used by conflict order alone (--conflict order)")
        if self.kind == "pixel" and self.threshold > 0:
            raise ValueError("a majority has no certainty: a threshold goes with channel or average")

    @property
    def needs_probabilities(self) -> bool:
        """Whether labels alone are not enough."""
        if self.kind == "average":
            return True
        return self.kind == "channel" and (self.threshold > 0 or self.conflict == "certainty")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "policy": None if self.policy is None else list(self.policy),
            "conflict": self.conflict,
            "unclaimed": self.unclaimed,
            "window": self.window,
            "order": None if self.order is None else list(self.order),
            "threshold": self.threshold,
        }


@dataclass
class Fusion:
    """Members, rules, and where the result goes.

    Attributes:
        members: At least one.
        classes: The fused classes.
        rules: How they become one.
        out: The folder of labels.
        made: What decides beside the rules what the labels are; see :func:`segue.evaluate.labelling.describe`.
    """

    members: Sequence[Member]
    classes: ClassList
    rules: FusionRules
    out: Path
    made: Mapping[str, Any] | None = None
    account: Account = field(init=False)

    def __post_init__(self) -> None:
        self.account = Account.empty(len(self.members), len(self.classes))

    def run(
        self,
        pictures: Sequence[str],
        *,
        share: tuple[int, int] = (0, 1),
        watch: Callable[[object], None] | None = None,
    ) -> int:
        """Fuse pictures that are not fused yet; the account is then of all that are.

        Args:
            pictures: Names that every member has.
            share: Which part of how many is to be fused: one of several processes.
            watch: Called after every picture.

        Returns:
            How many were fused now.

        Raises:
            ValueError: If a prediction is missing, damaged or of another size than the others', or the folder holds
                labels that were fused otherwise.
        """
        check_members(self.members, self.rules)
        describe(self.out, self.classes, None if self.made is None else {**self.made, **self.rules.to_json()})
        done, (number, shares) = self._kept(_log(share)), share
        waiting = [name for name in pictures[number::shares] if name not in done]
        with (self.out / _log(share)).open("a", encoding="utf-8") as log:
            for name, one in self._accounts(waiting):
                log.write(json.dumps({"name": name, **one.to_json()}) + "\n")
                log.flush()
                done[name] = one
                if watch is not None:
                    watch(name)
        self.account = Account.empty(len(self.members), len(self.classes))
        for name in pictures:
            if name in done:
                self.account.add(done[name])
        return len(waiting)

    def _accounts(self, names: Sequence[str]) -> Iterator[tuple[str, Account]]:
        """Several pictures at a time where members are files; models are asked one picture at a time."""
        are_files = all(isinstance(member, FolderMember) for member in self.members)
        workers = min(4, os.cpu_count() or 1) if are_files else 1
        with _one_thread_each(workers), ThreadPoolExecutor(workers) as pool:
            try:
                yield from zip(names, pool.map(self._one, names), strict=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, name: str) -> Account:
        labels = self._labels(name)
        fused = self.fuse(name, labels)
        write_bytes(self.out / "index" / f"{name}.png", png(fused.label[0].numpy()))
        return Account.of(labels, fused, len(self.classes))

    def fuse(self, name: str, labels: Tensor) -> Fused:
        """Fuse one picture's labels (T,1,H,W)."""
        rules = self.rules
        if rules.kind == "pixel":
            label = majority(labels, len(self.classes))
            return Fused(label, (label != IGNORE).to(torch.uint8))
        if rules.kind == "average":
            size = (labels.shape[-2], labels.shape[-1])
            own = [_probability(member, name, size)[None] for member in self.members]
            label, sure = average(torch.stack(own))
            label = label.masked_fill(sure < rules.threshold, IGNORE)
            return Fused(label, (label != IGNORE).to(torch.uint8))
        assert rules.policy is not None, "channel-wise fusion has a policy"
        certainty = self._planes(name, labels) if rules.needs_probabilities else None
        return channel_wise(
            labels,
            rules.policy,
            conflict=rules.conflict,
            unclaimed=rules.unclaimed,
            window=rules.window,
            order=rules.order,
            certainty=certainty,
            threshold=rules.threshold,
        )

    def write_account(self, extra: dict[str, Any]) -> Path:
        """Write ``fusion.json``: who was believed for what, and what came of it."""
        content = {
            "members": [member.name for member in self.members],
            "names": list(self.classes.names),
            "rules": self.rules.to_json(),
            **self.account.to_json(),
            **extra,
        }
        path = self.out / "fusion.json"
        write_text(path, json.dumps(content, indent=1) + "\n")
        return path

    def _labels(self, name: str) -> Tensor:
        found = [member.label(name) for member in self.members]
        sizes = {tuple(label.shape) for label in found}
        if len(sizes) > 1:
            listed = ", ".join(
                f"{member.name} {label.shape[1]}x{label.shape[0]}"
                for member, label in zip(self.members, found, strict=True)
            )
            raise ValueError(
                f"{name}: the members' predictions have different sizes: {listed} (width x height)"
            )
        return torch.stack(found)[:, None]

    def _planes(self, name: str, labels: Tensor) -> Tensor:
        """For each class the probability that the believed member gives it (K,1,H,W)."""
        assert self.rules.policy is not None
        size = (labels.shape[-2], labels.shape[-1])
        own = {place: _probability(self.members[place], name, size) for place in set(self.rules.policy)}
        return torch.stack([own[member][place] for place, member in enumerate(self.rules.policy)])[:, None]

    def _kept(self, log: str) -> dict[str, Account]:
        """Pictures of an interrupted fusion whose label is there; a torn last line is left out."""
        kept: dict[str, Account] = {}
        for path in sorted(self.out.glob("pictures*.jsonl")):
            text = path.read_text(encoding="utf-8")
            for line in text.splitlines():
                try:
                    content: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                name = content.pop("name")
                if (self.out / "index" / f"{name}.png").is_file():
                    kept[name] = Account.from_json(content)
            if path.name == log and text and not text.endswith("\n"):
                # The next line must not be glued to a torn one.
                write_text(path, text + "\n")
        return kept


def check_members(members: Sequence[Member], rules: FusionRules) -> None:
    """See that the rules do not ask for probabilities of a member that has none.

    Raises:
        ValueError: If they do.
    """
    silent = [member.name for member in members if not member.has_probabilities]
    if rules.needs_probabilities and silent:
        wish = "an average" if rules.kind == "average" else "a threshold or conflict certainty"
        raise ValueError(
            f"member {silent[0]} has no probabilities, which {wish} needs: use a model, or label with"
            " `segue label --soft`"
        )


def _probability(member: Member, picture: str, size: tuple[int, int]) -> Tensor:
    found = member.probability(picture)
    if tuple(found.shape[-2:]) != size:
        raise ValueError(
            f"member {member.name}: picture {picture!r} has probabilities of {found.shape[-1]}x{found.shape[-2]} and a"
            f" label of {size[1]}x{size[0]} pixels (width x height)"
        )
    return found


def _log(share: tuple[int, int]) -> str:
    """Every process writes a log of its own."""
    number, shares = share
    return "pictures.jsonl" if shares == 1 else f"pictures-{number}.jsonl"


@contextmanager
def _one_thread_each(workers: int) -> Generator[None]:
    """Within, tensor arithmetic of several workers does not fight for the same cores."""
    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
