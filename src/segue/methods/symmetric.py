"""Symmetric cross-entropy, which forgives wrong labels."""

from torch import Tensor

from segue.ops.losses import cross_entropy, reverse_cross_entropy
from segue.settings import NotNegative, Settings


class SymmetricSettings(Settings):
    """The shares of both directions, as in ProDA."""

    share: NotNegative = 0.1  # alpha: of the prediction's cross-entropy with the label
    reverse_share: NotNegative = 1.0  # beta: of the label's with the prediction

    def loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """The loss of every pixel, of its label alone."""
        return self.share * cross_entropy(logits, label) + self.reverse_share * reverse_cross_entropy(
            logits, label
        )
