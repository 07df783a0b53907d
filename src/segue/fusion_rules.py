"""How the predictions of several members become one, as plain values for settings, command line and fusing."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["channel", "pixel", "average"]
Conflict = Literal["neighbourhood", "certainty", "order", "ignore"]
Unclaimed = Literal["neighbourhood", "majority", "ignore"]


@dataclass(frozen=True)
class FusionRules:
    """How members' predictions become one.

    Attributes:
        kind: "channel" takes each class from the member that the policy believes; "pixel" takes the majority;
            "average" takes the highest mean probability, without unification.
        policy: The place of the member believed for each class; used by "channel".
        conflict: How to resolve competing claims; see :func:`segue.ops.fusion.channel_wise`.
        unclaimed: What becomes of pixels that no member claims.
        window: Side of the neighbourhood in pixels, an odd number.
        order: Classes by precedence; None for the order of their numbers.
        threshold: Certainty below which a label is dropped; used by "channel" and "average".

    Raises:
        ValueError: If a rule is missing or out of its range, or the kind has no use for one that is given.
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
        as_usual = self.conflict == FusionRules.conflict and self.unclaimed == FusionRules.unclaimed
        if self.kind != "channel" and not as_usual:
            raise ValueError(
                f"conflict and unclaimed settle the claims of members that are believed for their classes: they go"
                f" with channel, not with {self.kind}"
            )

    @property
    def needs_probabilities(self) -> bool:
        """Whether labels alone are not enough."""
        if self.kind == "average":
            return True
        return self.kind == "channel" and (self.threshold > 0 or self.conflict == "certainty")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }
