"""CLDA's teacher: a large trained network, of whose blocks the useless ones learn from the small student."""

import random
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segue.evaluation.predictors import in_evaluation_mode
from segue.methods.teacher import Teacher, move_towards
from segue.models.segmenter import Segmenter
from segue.ops.likeness import Likeness, likeness
from segue.types import Batch, Output

Match = Literal["channel", "token", "both", "random", "index"]
Captured = Literal["projected", "before_projection"]
Update = Literal["block", "attention"]

COMPARED = ("channel", "token", "both")
"""Ways of matching that look at attention."""


class CollaborativeTeacher(Teacher):
    """Labels the target, and takes over blocks of its student in the place of its own non-salient ones.

    From ``match_from`` to ``match_until`` it is watched which of the student's blocks attends most as each chosen
    block of the teacher does; after that, each chosen block follows its match. Nothing is learnt by gradient.

    Source: CLDA, section 4, algorithm 1 and equations 5 to 8. The paper leaves the two times and the momentum
    open. Under several resolutions the context's pass is compared.

    Args:
        network: The trained teacher; it is changed.
        student: The network that is trained; its encoder has blocks of the same shapes.
        layers: The chosen blocks of the teacher's encoder; they may be chosen later.
        match: How their matches are found: by the likeness of attention maps over "channel", "token" or "both",
            or else at "random", or at the same relative depth ("index"); always within a stage.
        captured: Whether attention is compared after its output projection or before.
        update: What of a block follows its match: all of the "block", or its "attention".
        match_from: The first step at which attention is compared.
        match_until: The last one; blocks follow after it.
        every: Steps from one comparison to the next.
        momentum: How slowly blocks follow.
        seed: Of random matches.

    Raises:
        ValueError: If blocks of the student's do not fit in the place of the chosen ones.
    """

    scores: Tensor

    def __init__(
        self,
        network: Segmenter,
        student: Segmenter,
        layers: Sequence[str] = (),
        *,
        match: Match = "channel",
        captured: Captured = "projected",
        update: Update = "block",
        match_from: int,
        match_until: int,
        every: int = 10,
        momentum: float = 0.999,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.match: Match = match
        self.captured: Captured = captured
        self.update: Update = update
        self.match_from = match_from
        self.match_until = match_until
        self.every = every
        self.momentum = momentum
        self.seed = seed
        self.choose(student, layers)
        self.train()

    def choose(self, student: Segmenter, layers: Sequence[str]) -> None:
        """Say which blocks follow the student, before the first step.

        Raises:
            ValueError: If blocks of the student's do not fit in their place.
        """
        self.candidates = exchangeable(self.network, student, layers)
        self.layers = tuple(layers)
        self._matches: list[str] | None = None
        widest = max((len(names) for names in self.candidates.values()), default=0)
        self.register_buffer("scores", torch.zeros(len(self.layers), widest))

    def learner(self) -> nn.Module:
        """The large network."""
        return self.network

    def train(self, mode: bool = True) -> "CollaborativeTeacher":
        """The teacher is always in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Output:
        """The teacher's output, without gradient."""
        return self.network(image)

    @torch.no_grad()
    def follow(self, student: nn.Module, batch: Batch, step: int, held: Tensor | None = None) -> None:
        """Compare attention while it is time for that, and move the chosen blocks afterwards."""
        assert isinstance(student, Segmenter) and batch.target is not None
        if self.match_from <= step <= self.match_until:
            self._matches = None
            if (step - self.match_from) % self.every == 0 and self.match in COMPARED:
                self._compare(student, batch.target.image, self.match)
        elif step > self.match_until and self.layers:
            own = self._values(self.network, self.layers)
            others = self._values(student, self.matches())
            move_towards(own, others, 1.0 - self.momentum, held)

    def matches(self) -> list[str]:
        """The student's block that each chosen block follows, as far as attention was compared."""
        if self._matches is None:
            self._matches = [
                self.candidates[name][place] for name, place in zip(self.layers, self._places(), strict=True)
            ]
        return self._matches

    def _places(self) -> list[int]:
        depths = [len(self.candidates[name]) for name in self.layers]
        match self.match:
            case "random":
                draw = random.Random(self.seed)
                return [draw.randrange(depth) for depth in depths]
            case "index":
                return [
                    _same_depth(name, self.network.encoder.layers, depth)
                    for name, depth in zip(self.layers, depths, strict=True)
                ]
            case _:
                rows = self.scores.tolist()
                return [
                    max(range(depth), key=row.__getitem__) for row, depth in zip(rows, depths, strict=True)
                ]

    def _compare(self, student: Segmenter, image: Tensor, kind: Likeness) -> None:
        """Equation 6, added to what was found on earlier batches."""
        wanted = {name for names in self.candidates.values() for name in names}
        own = attention_maps(self.network, image, self.layers, self.captured)
        others = attention_maps(student, image, sorted(wanted), self.captured)
        for row, name in enumerate(self.layers):
            candidates = self.candidates[name]
            found = torch.stack([likeness(own[name], others[other], kind) for other in candidates])
            self.scores[row, : len(candidates)] += found

    def _values(self, network: Segmenter, layers: Sequence[str]) -> list[Tensor]:
        parts = layers if self.update == "block" else [f"{name}.attn" for name in layers]
        return [value for name in parts for value in network.encoder.get_submodule(name).parameters()]


def draw_layers(
    non_salient: Sequence[str], *, share: float, seed: int, stages: Sequence[Sequence[str]]
) -> list[str]:
    """A random share of the non-salient blocks, at least one if there is any.

    Source: CLDA, section 5: 30 % of them are updated.

    Args:
        non_salient: Names of blocks.
        share: How many of them.
        seed: Two equal seeds draw the same.
        stages: The stages in which blocks may be drawn.

    Returns:
        Their names, in the order given.
    """
    allowed = [name for name in non_salient if any(name in stage for stage in stages)]
    wanted = min(len(allowed), max(1, round(share * len(allowed))))
    drawn = set(random.Random(seed).sample(allowed, wanted))
    return [name for name in allowed if name in drawn]


def exchangeable(teacher: Segmenter, student: Segmenter, layers: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The student's blocks of the same stage for each of the teacher's.

    Args:
        teacher: The large network.
        student: The small one.
        layers: Blocks of the teacher's encoder.

    Returns:
        Names of the student's blocks, by the teacher's.

    Raises:
        ValueError: If an encoder has no blocks to exchange, or shapes differ; the blocks are listed.
    """
    found: dict[str, tuple[str, ...]] = {}
    unfit: list[str] = []
    for name in layers:
        stage = next((s for s, names in enumerate(teacher.encoder.layers) if name in names), None)
        if stage is None:
            raise ValueError(
                f"the teacher's {type(teacher.encoder).__name__} has no block {name!r}: measure its layers with"
                " `segue saliency`; only mit encoders have blocks to exchange"
            )
        others = student.encoder.layers[stage : stage + 1]
        found[name] = others[0] if others else ()
        if not found[name] or _shapes(teacher, name) != _shapes(student, found[name][0]):
            unfit.append(name)
    if unfit:
        raise ValueError(
            f"{len(unfit)} blocks of the teacher have other shapes than the student's of their stage:"
            f" {', '.join(unfit)}; choose encoders of the same widths, as mit_b5 and mit_b3, or plain distillation"
            " (recipe kd)"
        )
    return found


@torch.no_grad()
def attention_maps(
    network: Segmenter, image: Tensor, layers: Sequence[str], captured: Captured = "projected"
) -> dict[str, Tensor]:
    """What the attention of some blocks adds to its input, in evaluation mode.

    Args:
        network: Its mode is the same afterwards.
        image: Normalised images (B,3,H,W).
        layers: Names of the encoder's blocks.
        captured: After the output projection, or what enters it.

    Returns:
        By block, cells of all pictures by channels.
    """
    found: dict[str, Tensor] = {}
    handles = [
        _watch(network.encoder.get_submodule(f"{name}.attn"), name, found, captured) for name in layers
    ]
    try:
        with in_evaluation_mode(network):
            network.feature_network()(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _watch(
    attention: nn.Module, name: str, found: dict[str, Tensor], captured: Captured
) -> torch.utils.hooks.RemovableHandle:
    def after(module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        found[name] = result.flatten(0, -2)

    def before(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        found[name] = given[0].flatten(0, -2)

    if captured == "projected":
        return attention.register_forward_hook(after)
    return attention.get_submodule("proj").register_forward_pre_hook(before)


def _same_depth(name: str, stages: Sequence[Sequence[str]], depth: int) -> int:
    stage = next(names for names in stages if name in names)
    return round(stage.index(name) / max(len(stage) - 1, 1) * (depth - 1))


def _shapes(network: Segmenter, name: str) -> dict[str, tuple[int, ...]]:
    block = network.encoder.get_submodule(name)
    return {key: tuple(value.shape) for key, value in block.state_dict().items()}
