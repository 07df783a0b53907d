"""Features changed, point by point, towards the other domain and towards doubt are to be classified as before."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.methods.adversary import SOURCE, TARGET, JudgeSettings, domain_loss, still
from segue.methods.context import Context
from segue.methods.method import Optimisation, Term, TermSettings
from segue.models.batch_norms import batch_norms, statistics_kept
from segue.models.segmenter import Segmenter, segmentation_loss
from segue.ops.disagreement import disagreement
from segue.ops.losses import masked_mean
from segue.ops.resize import resize_nearest
from segue.ranks import mean_over_ranks
from segue.settings import Count, NotNegative, Share
from segue.types import Output, Supervised, View


class PointPerturbationSettings(TermSettings):
    """APODA: features are perturbed against a discriminator of points and against the classifier.

    The paper says what is done; these numbers are ours.
    """

    radius: NotNegative = (
        0.1  # epsilon: length of the change at a point, as a share of the features' mean length
    )
    ascents: Count = 3  # J: steps in which it is found
    doubt: NotNegative = 1.0  # w_c: the classifier's part beside the discriminator's
    share: NotNegative = 1.0  # lambda_p, of the changed source
    consistency_share: NotNegative = 0.1  # lambda_c, of the changed target
    after: Share = 5_000 / 120_000  # share of the run before the changed target counts
    channels: Count = 256  # of the discriminator's layer
    discriminator: JudgeSettings = JudgeSettings()

    def build(self, context: Context) -> "PointPerturbation":
        """Build the term for the encoder's coarsest map.

        Raises:
            ValueError: If the network looks at two resolutions.
        """
        if context.network.multi_resolution is not None:
            raise ValueError(
                "terms.point_perturbation changes the one map that is decoded: set network.multi_resolution=null"
            )
        return PointPerturbation(
            self, in_channels=context.student.encoder.out_channels[-1], steps=context.steps
        )


class PointPerturbation(Term):
    """The student classifies its coarsest map as before after every point of it was moved within a radius.

    Points move to where they look like the other domain's and are hardest to classify.

    Source: APODA (Yang et al., AAAI 2020), after its abstract: no code was published, and its constants are ours. The
    entropy that it also lowers on the target is the term ``entropy``.

    Args:
        steps: The length of the run.
    """

    view_names = ("source", "target")

    def __init__(self, settings: PointPerturbationSettings, *, in_channels: int, steps: int) -> None:
        super().__init__()
        self.settings = settings
        self.steps = steps
        self.judge = nn.Sequential(
            nn.Conv2d(in_channels, settings.channels, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(settings.channels, 1, 1),
        )

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The discriminator's loss on the plain features, and the student's on the changed ones."""
        student = cast(Segmenter, network)
        is_source = view.name == "source"
        own, other = (SOURCE, TARGET) if is_source else (TARGET, SOURCE)
        points = output.features[-1]

        def decoded(changed: Tensor) -> Tensor:
            return student.decoded([*output.features[:-1], changed], view.image).logits

        def detached(changed: Tensor) -> Tensor:
            finer = [maps.detach() for maps in output.features[:-1]]
            return student.decoded([*finer, changed], view.image).logits

        def doubt(changed: Tensor) -> Tensor:
            logits = detached(changed)
            return (
                _supervised(logits, view)
                if is_source
                else torch.special.entr(logits.softmax(1)).sum(1).mean()
            )

        with statistics_kept(batch_norms(student.head)):
            change = self.change(points.detach(), other, doubt)
            logits = decoded(points + change)
        found = {"point_discriminator": 0.5 * domain_loss(self.judge(points.detach()), own)}
        if is_source:
            found["perturbed"] = self.settings.share * _supervised(logits, view)
        else:
            share = self.settings.consistency_share if self.step >= self.settings.after * self.steps else 0.0
            found["consistency"] = share * _divergence(logits, output.logits.detach(), view)
        return found

    def change(
        self, points: Float[Tensor, "b c h w"], other: float, doubt: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "b c h w"]:
        """What is added to detached features: at every point no longer than the radius.

        Args:
            other: What the discriminator says of the other domain.
            doubt: What is to grow, from changed features to a scalar.
        """
        radius = self.settings.radius * mean_over_ranks(points.float().norm(dim=1).mean())
        change = torch.zeros_like(points)
        for _ in range(self.settings.ascents):
            changed = (points + change).requires_grad_()
            told = domain_loss(still(self.judge, changed), other)
            gain = self.settings.doubt * doubt(changed).float() - told
            (slope,) = torch.autograd.grad(gain, changed)
            change = change + radius / self.settings.ascents * F.normalize(slope, dim=1)
        return change

    def optimisations(self) -> dict[str, Optimisation]:
        """The discriminator's."""
        return self.settings.discriminator.optimisation(self.judge)


def _supervised(logits: Tensor, view: View) -> Tensor:
    return segmentation_loss(Output(logits, [], logits, [Supervised(logits)]), view)


def _divergence(changed: Tensor, plain: Tensor, view: View) -> Tensor:
    """The divergence of the changed prediction from the plain one, where pixels count."""
    apart = disagreement(changed, plain)
    if view.weight is None:
        return apart.mean()
    size = (apart.shape[-2], apart.shape[-1])
    return masked_mean(apart, resize_nearest(view.weight[:, None], size)[:, 0] > 0)
