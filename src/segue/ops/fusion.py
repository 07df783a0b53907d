"""Several label maps into one: by majority, by average, or class by class from whom is believed there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from segue.ops.bytes import count_bytes, look_up
from segue.types import IGNORE

Conflict = Literal["neighbourhood", "certainty", "order", "ignore"]
Unclaimed = Literal["neighbourhood", "majority", "ignore"]


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
    tables = torch.full((len(labels), 256), IGNORE, dtype=torch.uint8)
    for name, member in enumerate(policy):
        tables[member, name] = name
    return torch.stack([look_up(one, table) for table, one in zip(tables, labels, strict=True)])


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
    _check(conflict, window, certainty, threshold)
    claims = claims_of(labels, policy)
    count = torch.stack([1 - _equal(one, IGNORE) for one in claims]).sum(0, dtype=torch.uint8)
    label = claims.amin(0)  # the only claim where there is one, IGNORE where there is none
    disputed, nobody = count > 1, count == 0
    voted = label
    if "neighbourhood" in (conflict, unclaimed):
        voted = neighbourhood_vote(labels, policy, window=window)
    match conflict:
        case "neighbourhood":
            label = torch.where(disputed, voted, label)
        case "ignore":
            label[disputed] = IGNORE
        case "certainty":
            label[disputed] = _most_certain(claims, cast(Tensor, certainty), disputed)
        case "order":
            label[disputed] = _first(claims, order or range(len(policy)), disputed)
    match unclaimed:
        case "neighbourhood":
            label = torch.where(nobody, voted, label)
        case "majority":
            label[nobody] = majority(labels, len(policy))[nobody]
        case "ignore":
            pass
    if threshold > 0:
        label[_certainty_of(label, count, cast(Tensor, certainty), window) < threshold] = IGNORE
    return Fused(label, count)


def neighbourhood_vote(
    labels: UInt8[Tensor, "t b h w"], policy: Sequence[int], *, window: int
) -> UInt8[Tensor, "b h w"]:
    """The class claimed most often around every pixel; the lowest of several, IGNORE if none is.

    Claims are counted as bytes, by sums of shifted maps first down and then across: for the few pixels of a window
    that is several times faster than gathering or pooling.

    Args:
        labels: Of each member.
        policy: For every class, the member that is believed.
        window: Side of the neighbourhood, odd.
    """
    reach, classes = window // 2, len(policy)
    wide = torch.uint8 if window**2 < 256 else torch.int32
    places = 1 << (classes - 1).bit_length()
    ranks = torch.int16 if window**2 * places < 2**15 else torch.int32
    best = torch.zeros(labels.shape[1:], dtype=ranks, device=labels.device)
    present = [count_bytes(one) for one in labels]
    for name, member in enumerate(policy):
        if present[member][name] == 0:
            continue
        votes = _box_sum(_box_sum(_equal(labels[member], name).to(wide), reach, -2), reach, -1)
        # Votes first, then the lower class: one number to compare.
        ranked = votes.to(ranks).mul_(places).add_(places - 1 - name)
        torch.maximum(best, ranked, out=best)
    nobody = best < places
    return (places - 1 - (best & (places - 1))).to(torch.uint8).masked_fill_(nobody, IGNORE)


def _equal(values: Tensor, byte: int) -> Tensor:
    """1 where a byte has a value, 0 elsewhere: as bytes, which a processor compares several times faster."""
    return (values ^ byte).clamp_(max=1).bitwise_xor_(1)


def _box_sum(maps: Tensor, reach: int, axis: int) -> Tensor:
    """The sum of every cell and those up to ``reach`` cells before and after it; nothing lies outside."""
    total, length = maps.clone(), maps.shape[axis]
    for shift in range(1, min(reach, length - 1) + 1):
        total.narrow(axis, shift, length - shift).add_(maps.narrow(axis, 0, length - shift))
        total.narrow(axis, 0, length - shift).add_(maps.narrow(axis, shift, length - shift))
    return total


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


def _check(conflict: Conflict, window: int, certainty: Tensor | None, threshold: float) -> None:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window {window}: an odd number of pixels")
    if certainty is None and (threshold > 0 or conflict == "certainty"):
        raise ValueError(
            "a threshold and conflict 'certainty' need the members' probabilities: use checkpoints as members, or"
            " label with `segue label --soft`"
        )


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
