"""Patches of the target are to be predicted as kinds of patches that the source has, as often as there."""

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor, nn

from segue.data.dataset import Dataset
from segue.evaluation.pictures import evenly
from segue.files import write_bytes
from segue.methods.adversary import SOURCE, TARGET, JudgeSettings, domain_loss, still
from segue.methods.context import Context, Preparation
from segue.methods.method import Optimisation, Term, TermSettings
from segue.ops.losses import cross_entropy, masked_mean
from segue.ops.patches import k_means, nearest, patch_grid, patch_histograms
from segue.ops.resize import fitted, resize_nearest
from segue.ranks import is_first_rank, wait_for_all
from segue.settings import Count, NotNegative, Share
from segue.types import IGNORE, Output, View

KINDS_FILE = "patch_kinds.safetensors"


class PatchAlignmentSettings(TermSettings):
    """PatchAlign: kinds of patches are learnt on the source, and a discriminator sees those predicted on both domains.

    The paper's shares are as we recall them; the widths, the length of the first phase and the number of pictures are
    ours.
    """

    share: NotNegative = 0.01  # lambda_d, of the kinds that are learnt on the source
    adversarial_share: NotNegative = 0.0005  # lambda_adv of single patches
    after: Share = 10_000 / 120_000  # share of the run in which kinds alone are learnt
    patch: tuple[Count, Count] = (32, 64)  # height and width in pixels
    kinds: Count = 50  # K
    pictures: Count = 500  # source labels that kinds are found from
    hidden: Count = 128  # channels of the layer between prediction and kinds
    channels: tuple[Count, Count] = (256, 512)  # of the discriminator's two layers
    discriminator: JudgeSettings = JudgeSettings()

    def build(self, context: Context) -> "PatchAlignment":
        """Build the term; kinds are found before the first step."""
        return PatchAlignment(self, num_classes=len(context.classes), steps=context.steps, seed=context.seed)


class PatchAlignment(Term):
    """What lies where in a patch is predicted from the student's own output, and both domains' patches look alike.

    Kinds of patches are groups of the source's, by the shares of classes in their quarters.

    Source: PatchAlign (Tsai et al., ICCV 2019), sections 3.2 and 3.3, without its code, which was not published. Its
    global alignment is the term ``adversarial``.

    Args:
        steps: The length of the run.
        seed: Of the grouping.
    """

    view_names = ("source", "target")
    centres: Tensor

    def __init__(self, settings: PatchAlignmentSettings, *, num_classes: int, steps: int, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.num_classes = num_classes
        self.steps = steps
        self.seed = seed
        wide, wider = settings.channels
        self.namer = nn.Sequential(
            nn.Conv2d(num_classes, settings.hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(settings.hidden, settings.kinds, 1),
        )
        self.judge = nn.Sequential(
            nn.Conv2d(settings.kinds, wide, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(wide, wider, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(wider, 1, 1),
        )
        self.register_buffer("centres", torch.zeros(settings.kinds, 4 * num_classes))

    def prepare(self, preparation: Preparation) -> None:
        """Group the patches of the source's labels, once for a run folder."""
        path = preparation.folder / KINDS_FILE
        if is_first_rank() and not path.is_file():
            write_bytes(
                path, save({"centres": self._found(preparation.source, preparation.resize["source"])})
            )
        wait_for_all()
        self.centres.copy_(load_file(path)["centres"])

    def forward(self, network: nn.Module, view: View, output: Output) -> dict[str, Tensor]:
        """The discriminator's loss; on the source that of the kinds, on the target the student's."""
        grid = patch_grid((view.image.shape[-2], view.image.shape[-1]), self.settings.patch)
        said = self.kinds(output.logits, grid)
        shown = said.softmax(1)
        is_source = view.name == "source"
        told = domain_loss(self.judge(shown.detach()), SOURCE if is_source else TARGET)
        found = {"patch_discriminator": 0.5 * told}
        if is_source:
            assert view.label is not None
            found["patch_kinds"] = self.settings.share * self._naming(said, view.label, grid)
        else:
            share = self.settings.adversarial_share if self.step >= self.settings.after * self.steps else 0.0
            found["patch_adversarial"] = share * domain_loss(still(self.judge, shown), SOURCE)
        return found

    def kinds(self, logits: Tensor, grid: tuple[int, int]) -> Float[Tensor, "b m u v"]:
        """Logits of every kind for every patch, from those of classes."""
        return cast(Tensor, self.namer(F.adaptive_avg_pool2d(logits.float().softmax(1), grid))).float()

    def optimisations(self) -> dict[str, Optimisation]:
        """The discriminator's; what names kinds learns with the student."""
        return self.settings.discriminator.optimisation(self.judge)

    def _naming(self, said: Tensor, label: Tensor, grid: tuple[int, int]) -> Tensor:
        shares, labelled = patch_histograms(label, grid, self.num_classes)
        kind = nearest(shares, self.centres).masked_fill(~labelled, IGNORE)
        return masked_mean(cross_entropy(said, kind), labelled)

    def _found(self, source: Dataset, box: tuple[int, int] | None) -> Tensor:
        points: list[Tensor] = []
        for index in evenly(len(source), self.settings.pictures):
            label = source.label(index)[None]
            if box is not None:
                size = fitted((label.shape[-2], label.shape[-1]), box)
                label = resize_nearest(label[None].float(), size)[0]
            grid = patch_grid((label.shape[-2], label.shape[-1]), self.settings.patch)
            shares, labelled = patch_histograms(label.long(), grid, self.num_classes)
            points.append(shares[labelled])
        generator = torch.Generator().manual_seed(self.seed)
        return k_means(torch.cat(points), self.settings.kinds, generator=generator)
