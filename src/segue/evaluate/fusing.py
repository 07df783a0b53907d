"""Fusing members' predictions over a set of pictures: one label PNG each, and an account of who was believed."""

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from segue.classes import ClassList
from segue.evaluate.labelling import describe, png
from segue.evaluate.members import FolderMember, Member
from segue.files import write_bytes, write_text
from segue.ops.bytes import count_bytes
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
    """

    kind: Kind = "channel"
    policy: tuple[int, ...] | None = None
    conflict: Conflict = "neighbourhood"
    unclaimed: Unclaimed = "neighbourhood"
    window: int = 5
    order: tuple[int, ...] | None = None
    threshold: float = 0.0

    @property
    def needs_probabilities(self) -> bool:
        """Whether labels alone are not enough."""
        return self.kind == "average" or self.threshold > 0 or self.conflict == "certainty"

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
class Account:
    """What happened in a fusion; sums over pictures.

    Attributes:
        pictures: How many were fused.
        pixels: Of all of them.
        disputed: Claimed more than once.
        unclaimed: Claimed by nobody.
        ignored: Left without a label.
        classes: Pixels of each class in the result.
        named: Pixels that each member names each class.
        agreeing: Pixels on which each two members name the same.
    """

    pictures: int
    pixels: int
    disputed: int
    unclaimed: int
    ignored: int
    classes: np.ndarray
    named: np.ndarray
    agreeing: np.ndarray

    @classmethod
    def empty(cls, members: int, classes: int) -> "Account":
        """Nothing yet."""
        return cls(
            0, 0, 0, 0, 0,
            np.zeros(classes, np.int64), np.zeros((members, classes), np.int64), np.zeros((members, members), np.int64),
        )  # fmt: skip

    @classmethod
    def of(cls, labels: Tensor, fused: Fused, classes: int) -> "Account":
        """Of one picture.

        Args:
            labels: Of the members (T,1,H,W).
            fused: What came of them.
            classes: How many there are.
        """
        members, maps = len(labels), labels.numpy()
        histograms = [count_bytes(one).numpy() for one in labels]
        agreeing = np.zeros((members, members), np.int64)
        for one in range(members):
            agreeing[one, one] = histograms[one][:IGNORE].sum()
            for other in range(one):
                same = np.count_nonzero(maps[one] == maps[other])
                if histograms[one][IGNORE] and histograms[other][IGNORE]:
                    same -= np.count_nonzero((maps[one] == IGNORE) & (maps[other] == IGNORE))
                agreeing[one, other] = agreeing[other, one] = same
        named = np.stack([histogram[:classes] for histogram in histograms])
        result, claims = count_bytes(fused.label).numpy(), fused.claims.numpy()
        return cls(
            1, claims.size, int(np.count_nonzero(claims > 1)), int(np.count_nonzero(claims == 0)),
            int(result[IGNORE]), result[:classes], named, agreeing,
        )  # fmt: skip

    def add(self, other: "Account") -> None:
        """Take another picture in."""
        self.pictures += other.pictures
        self.pixels += other.pixels
        self.disputed += other.disputed
        self.unclaimed += other.unclaimed
        self.ignored += other.ignored
        self.classes = self.classes + other.classes
        self.named = self.named + other.named
        self.agreeing = self.agreeing + other.agreeing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "pictures": self.pictures,
            "pixels": self.pixels,
            "disputed": self.disputed,
            "unclaimed": self.unclaimed,
            "ignored": self.ignored,
            "classes": self.classes.tolist(),
            "named": self.named.tolist(),
            "agreeing": self.agreeing.tolist(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Account":
        """What :meth:`to_json` wrote."""
        values = dict(content)
        for name in ("classes", "named", "agreeing"):
            values[name] = np.array(content[name], np.int64)
        return cls(**values)


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

    def run(self, pictures: Sequence[str], watch: Callable[[object], None] | None = None) -> int:
        """Fuse pictures that are not fused yet.

        Args:
            pictures: Names that every member has.
            watch: Called after every picture.

        Returns:
            How many were fused now.

        Raises:
            ValueError: If a prediction is missing, damaged or of another size than the others', or the folder holds
                labels that were fused otherwise.
        """
        describe(self.out, self.classes, None if self.made is None else {**self.made, **self.rules.to_json()})
        kept = self._kept()
        known = set(pictures)
        for name, one in kept.items():
            if name in known:
                self.account.add(one)
        waiting = [name for name in pictures if name not in kept]
        with (self.out / "pictures.jsonl").open("a", encoding="utf-8") as log:
            for name, one in self._accounts(waiting):
                log.write(json.dumps({"name": name, **one.to_json()}) + "\n")
                log.flush()
                self.account.add(one)
                if watch is not None:
                    watch(name)
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
            label, sure = average(torch.stack([member.probability(name)[None] for member in self.members]))
            label = label.masked_fill(sure < rules.threshold, IGNORE)
            return Fused(label, (label != IGNORE).to(torch.uint8))
        assert rules.policy is not None, "channel-wise fusion has a policy"
        certainty = self._planes(name) if rules.needs_probabilities else None
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

    def _planes(self, name: str) -> Tensor:
        """For each class the probability that the believed member gives it (K,1,H,W)."""
        assert self.rules.policy is not None
        own = {member: self.members[member].probability(name) for member in set(self.rules.policy)}
        return torch.stack([own[member][place] for place, member in enumerate(self.rules.policy)])[:, None]

    def _kept(self) -> dict[str, Account]:
        """Pictures of an interrupted fusion whose label is there; a torn last line is left out."""
        path = self.out / "pictures.jsonl"
        kept: dict[str, Account] = {}
        if not path.is_file():
            return kept
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue
            name = content.pop("name")
            if (self.out / "index" / f"{name}.png").is_file():
                kept[name] = Account.from_json(content)
        if text and not text.endswith("\n"):
            # The next line must not be glued to a torn one.
            write_text(path, text + "\n")
        return kept


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
