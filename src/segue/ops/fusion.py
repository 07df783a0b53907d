"""Several label maps into one: by majority, by average, or class by class from whom is believed there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from segue.types import IGNORE

Conflict = Literal["neighbourhood", "certainty", "order", "ignore"]
Unclaimed = Literal["neighbourhood", "majority", "ignore"]

CHUNK = 1 << 22
"""Neighbours that are looked up at once."""


@dataclass(frozen=True)
class Fused:
    """What a fusion made.

    Attributes:
        label: Class ids, IGNORE where nobody is believed.
        claims: By how many classes each pixel was claimed.
    """

    label: UInt8[Tensor, "b h w"]
    claims: UInt8[Tensor, "b h w"]


def majority(labels: UInt8[Tensor, "t b h w"], classes: int) -> UInt8[Tensor, "b h w"]:
    """The class that most members name; of several the lowest, IGNORE where nobody names any.

    Source: ensemble distillation, pixel-wise fusion of unified outputs.

    Args:
        labels: Of each member; IGNORE abstains.
        classes: How many there are.
    """
    # Few members: comparing them with one another is cheaper than counting every class.
    votes = torch.stack([(labels == one).sum(0, dtype=torch.uint8) for one in labels])
    votes.masked_fill_(labels == IGNORE, 0)
    most = votes.amax(0)
    winners = labels.masked_fill(votes < most, IGNORE).amin(0)
    return winners.masked_fill(most == 0, IGNORE)


def average(probability: Float[Tensor, "t b k h w"]) -> tuple[UInt8[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """The class whose mean probability is highest, and that mean: the ensemble that needs no unification."""
    certainty, label = probability.float().mean(0).max(1)
    return label.to(torch.uint8), certainty


def claims_of(labels: UInt8[Tensor, "t b h w"], policy: Sequence[int]) -> UInt8[Tensor, "t b h w"]:
    """Each member's label where it names a class that it is believed for, IGNORE elsewhere.

    Args:
        labels: Of each member.
        policy: For every class, the member that is believed.
    """
    tables = torch.full((len(labels), 256), IGNORE, dtype=torch.uint8, device=labels.device)
    for name, member in enumerate(policy):
        tables[member, name] = name
    return torch.stack([table[one.int()] for table, one in zip(tables, labels, strict=True)])


def channel_wise(
    labels: UInt8[Tensor, "t b h w"],
    policy: Sequence[int],
    *,
    conflict: Conflict = "neighbourhood",
    unclaimed: Unclaimed = "neighbourhood",
    window: int = 5,
    order: Sequence[int] | None = None,
    certainty: Float[Tensor, "k b h w"] | None = None,
    threshold: float = 0.0,
) -> Fused:
    """Class by class from the member that the policy believes.

    A pixel is claimed for a class by the member that is believed for it. One claim is taken as it is; what
    several claims or none come to depends on the modes.

    Source: ensemble distillation, section 3.2, with kappa = 5.

    Note:
        The official code names an unclaimed pixel without a claim in its window class 0, and counts the zeros
        around a picture in the certainty of disputed pixels; here such a pixel is ignored, and means are over
        the picture alone.

    Args:
        labels: Of each member, unified: only the winning class counts. IGNORE abstains.
        policy: For every class, the member that is believed.
        conflict: Of several claims: the class claimed most often in the "neighbourhood", the one of highest
            "certainty", the first one in an "order", or none ("ignore").
        unclaimed: Without a claim: the class claimed most often in the "neighbourhood", the "majority" of all
            members, or none ("ignore").
        window: Side of the neighbourhood in pixels, odd.
        order: Classes by precedence, the first one wins; None for the order of their numbers.
        certainty: For each class, the probability that the believed member gives it, in [0, 1].
        threshold: Certainty below which a label is dropped; 0 keeps all.

    Raises:
        ValueError: If the window is even, or certainty is needed and not given.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window {window}: an odd number of pixels")
    if certainty is None and (threshold > 0 or conflict == "certainty"):
        raise ValueError(
            "a threshold and conflict 'certainty' need the members' probabilities: use checkpoints as members, or"
            " label with `segue label --soft`"
        )
    claims = claims_of(labels, policy)
    count = (claims != IGNORE).sum(0, dtype=torch.uint8)
    label = claims.amin(0)
    disputed, nobody = count > 1, count == 0
    near = (disputed if conflict == "neighbourhood" else torch.zeros_like(disputed)) | (
        nobody if unclaimed == "neighbourhood" else torch.zeros_like(nobody)
    )
    if near.any():
        label[near] = neighbourhood_vote(claims, near, classes=len(policy), window=window)
    match conflict:
        case "ignore":
            label[disputed] = IGNORE
        case "certainty":
            assert certainty is not None
            label[disputed] = _most_certain(claims, certainty, disputed)
        case "order":
            label[disputed] = _first(claims, order or range(len(policy)), disputed)
        case "neighbourhood":
            pass
    if unclaimed == "majority":
        label[nobody] = majority(labels, len(policy))[nobody]
    if threshold > 0:
        assert certainty is not None
        label[_certainty_of(label, count, certainty, window) < threshold] = IGNORE
    return Fused(label, count)


def neighbourhood_vote(
    claims: UInt8[Tensor, "t b h w"], at: Bool[Tensor, "b h w"], *, classes: int, window: int
) -> UInt8[Tensor, " m"]:
    """The class claimed most often around some pixels; the lowest of several, IGNORE if none is.

    Args:
        claims: From :func:`claims_of`.
        at: The pixels, m of them.
        classes: How many there are.
        window: Side of the neighbourhood, odd.
    """
    members, reach = len(claims), window // 2
    padded = torch.nn.functional.pad(claims, (reach,) * 4, value=IGNORE)
    flat = padded.clamp(max=classes).flatten(1)
    batch, row, column = at.nonzero(as_tuple=True)
    height, width = padded.shape[-2:]
    corner = batch * height * width + row * width + column
    side = torch.arange(window, device=claims.device)
    around = (side[:, None] * width + side).flatten()
    found: list[Tensor] = []
    for some in corner.split(max(1, CHUNK // (members * window**2))):
        values = flat[:, some[:, None] + around].permute(1, 0, 2).flatten(1).long()
        votes = torch.zeros(len(some), classes + 1, dtype=torch.int32, device=claims.device)
        votes.scatter_add_(1, values, torch.ones_like(values, dtype=torch.int32))
        votes = votes[:, :classes]
        # Of equal counts the lowest class: the place breaks the tie.
        ranked = votes * classes + torch.arange(classes - 1, -1, -1, device=claims.device)
        winner = ranked.max(1).indices.to(torch.uint8)
        found.append(winner.masked_fill(votes.amax(1) == 0, IGNORE))
    return torch.cat(found) if found else claims.new_zeros(0)


def choose_members(certainty: Float[Tensor, "t k"]) -> list[int]:
    """The certainty-aware policy: for every class the member whose student is most certain of it.

    Source: ensemble distillation, section 3.3.

    Note:
        The follow-up's script takes the last of equally certain members, and the first one for a class that no
        student predicts; here it is the first, and the member that is most certain on the mean.

    Args:
        certainty: Of each member's student for each class; NaN for a class that it never predicts.

    Returns:
        A member for each class.
    """
    known = certainty.nan_to_num(nan=-1.0)
    best = int(certainty.nanmean(1).nan_to_num(nan=-1.0).max(0).indices)
    highest = known.max(0).values
    # Of equals the first: argmax does not promise that.
    first = (known == highest).int().cumsum(0).eq(0).sum(0)
    return [best if value < 0 else int(place) for value, place in zip(highest, first, strict=True)]


def _most_certain(claims: Tensor, certainty: Tensor, at: Tensor) -> Tensor:
    there = claims[:, at].long()
    sure = certainty[:, at].gather(0, there.clamp(max=len(certainty) - 1))
    sure = sure.masked_fill(there == IGNORE, -1.0)
    return there.gather(0, sure.max(0, keepdim=True).indices)[0].to(torch.uint8)


def _first(claims: Tensor, order: Sequence[int], at: Tensor) -> Tensor:
    ranks = torch.full((256,), 256, dtype=torch.int64, device=claims.device)
    ranks[torch.tensor(list(order), device=claims.device)] = torch.arange(len(order), device=claims.device)
    there = claims[:, at].long()
    return there.gather(0, ranks[there].min(0, keepdim=True).indices)[0].to(torch.uint8)


def _certainty_of(label: Tensor, count: Tensor, certainty: Tensor, window: int) -> Tensor:
    """Of the one believed member where there is one claim, the window's mean elsewhere."""
    place = label.clamp(max=len(certainty) - 1).long()[None]
    own = certainty.gather(0, place)[0]
    if bool((count == 1).all()):
        return own
    pooled = torch.nn.functional.avg_pool2d(
        certainty.float(), window, stride=1, padding=window // 2, count_include_pad=False
    )
    return torch.where(count == 1, own, pooled.gather(0, place)[0])
