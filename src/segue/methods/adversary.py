"""What all terms with a discriminator share: how it learns, and how it is asked without being moved."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from segue.methods.method import Optimisation
from segue.settings import NotNegative, Positive, Settings, Share

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is to say of the two domains."""


class JudgeSettings(Settings):
    """The Adam that a discriminator learns by."""

    lr: Positive = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.99)
    power: NotNegative = 0.9  # of the polynomial decay of its rate

    def optimisation(self, judges: nn.Module) -> dict[str, Optimisation]:
        """That of one discriminator or of several."""
        return {
            "discriminator": Optimisation(
                list(judges.parameters()),
                "adam",
                self.lr,
                options={"betas": self.betas},
                schedule=lambda step, steps: (1 - step / steps) ** self.power,
            )
        }


def still(judge: nn.Module, shown: Tensor) -> Tensor:
    """What a discriminator says, through which a gradient reaches what it is shown but none of its weights."""
    weights = {name: weight.detach() for name, weight in judge.named_parameters()}
    return functional_call(judge, weights, (shown,))


def domain_loss(said: Tensor, domain: float) -> Float[Tensor, ""]:
    """The mean binary cross-entropy, in float32, of logits that should all name this domain."""
    said = said.float()
    return F.binary_cross_entropy_with_logits(said, torch.full_like(said, domain))
