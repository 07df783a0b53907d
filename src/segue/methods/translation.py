"""A translator between the looks of two domains, learnt from unpaired pictures that must come back as they were."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from segue.methods.adversary import still
from segue.methods.context import Context, Trained
from segue.methods.method import Method, MethodSettings, Optimisation, Term
from segue.models.translated import Look, ResidualGenerator, Translated, start_narrow, translated
from segue.models.weights import load_model, model_folder
from segue.ranks import from_first_rank
from segue.settings import Count, NotNegative, Positive, Settings, Share
from segue.types import Batch, Joint, Output, View

MADE, REAL = 0.0, 1.0
"""What a discriminator is to say of translated pictures and of a domain's own."""

OTHER = {"source": "target", "target": "source"}


class GeneratorSettings(Settings):
    """Two generators, two discriminators, and their losses."""

    channels: Count = 64  # of a generator's first layer, and of a discriminator's
    blocks: Count = 9  # residual blocks of a generator
    pool: Annotated[int, Field(ge=0, le=10_000)] = 50  # earlier pictures that a discriminator sees again
    cycle: NotNegative = 10.0  # lambda_cyc: pictures come back as they were
    identity: NotNegative = 0.5  # lambda_idt, of the cycle's: pictures of a domain keep its look
    semantic: NotNegative = 1.0  # lambda_sem, of the cycle's: what networks say of pictures that came back
    crossed: NotNegative = 0.1  # what either domain's network says of a picture in its own look
    lr: Positive = 2e-4  # of the discriminators
    betas: tuple[Share, Share] = (0.5, 0.999)


class TranslationSettings(MethodSettings):
    """Train a translator around the run's student, a trained network of source pictures, which stays as it is."""

    name: Literal["translation"] = "translation"
    generators: GeneratorSettings = GeneratorSettings()
    # Run or model folder of a network of target pictures: both networks then judge what translation keeps. None: the
    # translator is learnt from pictures alone.
    target_model: Path | None = None

    @model_validator(mode="after")
    def _something_is_kept(self) -> "TranslationSettings":
        if self.generators.cycle == 0:
            raise ValueError("generators.cycle=0: nothing would make a picture keep its content")
        return self

    def build(self, context: Context, terms: Mapping[str, Term]) -> "Translation":
        """Build it around the student.

        Raises:
            ValueError: If there are terms, which nothing would ask, or the other network does not fit the student.
            OSError: If the other network is missing.
        """
        if terms:
            raise ValueError(f"method translation has losses of its own: set terms.{next(iter(terms))}=null")
        return Translation(self, context)


class Translation(Method):
    """Either domain's pictures are made to look like the other's, come back, and mean the same to two networks.

    Generators learn by the run's optimiser. Each loss moves either generators or discriminators, and all are minimised
    at once. The student is the source's network behind the translation to the source: it is what is scored.

    Source: CycleGAN (Zhu et al., ICCV 2017), and the dual perceptual loss of DPL (Cheng et al., ICCV 2021) after its
    code, in which networks are compared by the squared distance of instance-normalised logits.
    """

    def __init__(self, settings: TranslationSettings, context: Context) -> None:
        own = settings.generators
        looks = [Look(ResidualGenerator(own.channels, own.blocks), *context.colours) for _ in range(2)]
        network = context.student.requires_grad_(False)
        super().__init__(Translated(network, *looks), view_names=("source", "target"))
        self.settings = own
        arguments = {"name": "residual", "channels": own.channels, "blocks": own.blocks}
        self.arguments = translated(
            context.network.arguments(classes=len(context.classes), crop=context.crop),
            look=arguments, back=arguments, classes=len(context.classes),
        )  # fmt: skip
        self.judges = nn.ModuleDict({domain: patch_discriminator(own.channels) for domain in OTHER})
        self.pools = nn.ModuleDict({domain: PicturePool(own.pool, context.crop) for domain in OTHER})
        self.target_network: nn.Module | None = None
        if settings.target_model is not None:
            self.target_network, card = load_model(model_folder(settings.target_model))
            context.check_model(card, settings.target_model)
            self.target_network.requires_grad_(False)

    def views(self, batch: Batch, step: int) -> Iterator[View]:
        """Yield both domains' pictures; no label is looked at."""
        assert batch.target is not None, "the engine gives a target loader"
        yield View("source", batch.source.image)
        yield View("target", batch.target.image)

    def forward(self, seen: View | Joint) -> dict[str, Tensor]:
        """The losses of one direction, there and back, and of the discriminators as far as they see this domain."""
        assert isinstance(seen, View), "nothing else is yielded"
        own, student, settings = seen.name, cast(Translated, self.student), self.settings
        back = cast(Look, student.back)
        there, home = (back, student.look) if own == "source" else (student.look, back)
        with torch.no_grad():
            picture = there.scaled(seen.image)
        made: Tensor = there.generator(picture)
        returned: Tensor = home.generator(made)
        judge, pool = self.judges[OTHER[own]], self.pools[OTHER[own]]
        losses = {
            "adversarial": _cost(still(judge, made), REAL),
            "cycle": settings.cycle * F.l1_loss(returned.float(), picture),
            "discriminator_made": 0.5 * _cost(judge(pool(made.detach())), MADE),
            "discriminator_real": 0.5 * _cost(self.judges[own](picture), REAL),
        }
        if settings.identity:
            share = settings.cycle * settings.identity
            losses["identity"] = share * F.l1_loss(home.generator(picture).float(), picture)
        if self.target_network is not None:
            losses |= self._meanings(own, seen.image, there.normalised(made), there.normalised(returned))
        return {f"{own}/{name}": loss for name, loss in losses.items()}

    def _meanings(self, own: str, image: Tensor, made: Tensor, returned: Tensor) -> dict[str, Tensor]:
        """How far what the networks say of a picture's translations is from what its own network says of it."""
        networks = {
            "source": cast(Translated, self.student).network,
            "target": cast(nn.Module, self.target_network),
        }
        with torch.no_grad():
            said = _standardised(networks[own](image))
        kept = F.mse_loss(_standardised(networks[own](returned)), said)
        crossed = F.mse_loss(_standardised(networks[OTHER[own]](made)), said)
        settings = self.settings
        return {
            "semantic": settings.cycle * settings.semantic * kept,
            "crossed": settings.crossed * crossed,
        }

    def resting(self) -> Iterable[nn.Module]:
        """The networks that judge."""
        judging = (cast(Translated, self.student).network, self.target_network)
        return [network for network in judging if network is not None]

    def optimisations(self) -> dict[str, Optimisation]:
        """One for both discriminators: Adam at a rate that falls in the second half of the run."""
        own, judges = self.settings, list(self.judges.parameters())
        return {
            "discriminators": Optimisation(
                judges, "adam", own.lr, options={"betas": own.betas}, schedule=falling_late
            )
        }

    def trained(self) -> dict[str, Trained]:
        """The source's network with both translations."""
        return {"model": Trained(self.student, arguments=self.arguments)}


class PicturePool(nn.Module):
    """Earlier pictures, of which each new one is exchanged for one half of the time.

    They are kept as bytes, the first process's for all, so that a checkpoint holds what every process sees. A batch
    takes neighbouring places (official: each picture draws its own).

    Source: Shrivastava et al. (CVPR 2017), as CycleGAN uses it.
    """

    pictures: Tensor
    count: Tensor

    def __init__(self, size: int, picture: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("pictures", torch.zeros(size, 3, *picture, dtype=torch.uint8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, made: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Pictures in -1 to 1, new ones or earlier ones; the pool keeps the new ones that are not returned."""
        batch = min(len(made), self.size)
        if batch == 0:
            return made
        made = made.float()
        fresh = from_first_rank(((made[:batch] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
        drawn = from_first_rank(torch.rand(batch + 1, device=made.device))
        order = torch.arange(batch, device=made.device)
        filling = self.count + order < self.size
        begin = torch.where(self.count < self.size, self.count, (drawn[-1] * self.size).long())
        place = (begin + order) % self.size
        earlier = self.pictures.index_select(0, place)
        swaps = ~filling & (drawn[:-1] < 0.5)
        kept = torch.where((filling | swaps).view(-1, 1, 1, 1), fresh, earlier)
        self.pictures.index_copy_(0, place, kept)
        self.count.copy_((self.count + batch).clamp(max=self.size))
        shown = torch.where(swaps.view(-1, 1, 1, 1), earlier.float() / 127.5 - 1, made[:batch])
        return torch.cat([shown, made[batch:]])


def patch_discriminator(channels: int) -> nn.Sequential:
    """From pictures (B,3,H,W) to a map (B,1,H/8-2,W/8-2), each cell of which sees 70 x 70 pixels.

    Source: PatchGAN (Isola et al., CVPR 2017), as CycleGAN uses it.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    width = channels
    for stride in (2, 2, 1):
        layers += [
            nn.Conv2d(width, 2 * width, 4, stride=stride, padding=1),
            nn.InstanceNorm2d(2 * width),
            nn.LeakyReLU(0.2),
        ]
        width *= 2
    network = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))
    start_narrow(network)
    return network


def falling_late(step: int, steps: int) -> float:
    """A rate's factor: 1 in the first half of a run, then down to 0."""
    return min(1.0, 2 * (1 - step / steps))


def _cost(said: Tensor, wanted: float) -> Float[Tensor, ""]:
    said = said.float()
    return F.mse_loss(said, torch.full_like(said, wanted))


def _standardised(output: Output) -> Tensor:
    """Logits of mean 0 and variance 1 for each class of each picture, in float32."""
    return F.instance_norm(output.logits.float())
