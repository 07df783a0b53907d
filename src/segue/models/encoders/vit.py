"""Vision transformers pretrained without labels (DINOv2, DINOv3), and the pyramid that makes four maps of one."""

import copy
import importlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Encoder, Variant
from segue.ops.resize import resize

SIZES = {"tiny": (32, 4, 2), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""Channels, blocks and attention heads; "tiny" is for tests and exists in no file."""


class VisionTransformer(Encoder):
    """A plain transformer over patches, by the transformers library, and a pyramid over four of its blocks.

    Maps are taken after each quarter of the blocks and pass the last normalisation, as DINOv2's own dense
    evaluation does. The coarsest map has no new parameter: it is the last block's, averaged, so that a
    feature distance compares what was pretrained. The pyramid's other layers are new and random like a head's, and
    learn at its rate.

    A side that the patch does not divide is enlarged to the next multiple, by less than a patch. Padding would leave
    cells at the border that see nothing, and maps whose cells do not tile the picture.

    Full fine-tuning wants a lower rate than DAFormer's 6e-5: ``optim.lr: 1e-5`` is usual for these weights on
    street scenes (it was not tuned here). Crops of multiples of 14 (DINOv2) or 16 (DINOv3) need no enlarging.

    Source: DINOv2 (Oquab et al., 2023), https://arxiv.org/abs/2304.07193; DINOv3 (Simeoni et al., 2025),
    https://arxiv.org/abs/2508.10104; the pyramid follows ViTDet (Li et al., ECCV 2022), section 3.

    Note:
        DINOv3's random rescaling of positions in training is off: a picture has the same features for
        student and teacher. The mask token does not exist: it serves pretraining only.

    Args:
        vit: One of the library's backbones, which returns ``feature_maps``.
    """

    def __init__(self, vit: nn.Module) -> None:
        super().__init__()
        config: Any = vit.config
        dim: int = config.hidden_size
        self.patch: int = config.patch_size
        self.vit = vit
        self.pyramid_head = Pyramid(dim)
        self.out_channels = (dim // 4, dim // 2, dim, dim)
        embeddings: Any = vit.get_submodule("embeddings")
        embeddings.mask_token = None
        # A model is rebuilt without memory and filled from its file: what is not in the file would stay empty.
        for module in vit.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer, persistent=True)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps at strides 4, 8, 16 and 32."""
        height, width = image.shape[-2:]
        rows, columns = (-(-side // self.patch) * self.patch for side in (height, width))
        maps = self.vit(resize(image, (rows, columns))).feature_maps
        return self.pyramid_head(maps, [(-(-height // s), -(-width // s)) for s in self.strides])

    @property
    def pretrained(self) -> nn.Module:
        """The transformer without the pyramid."""
        return self.vit

    def translated(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights under the names of the installed library, which knows those of its other versions."""
        with _quiet():
            filled, report = type(self.vit).from_pretrained(  # pyright: ignore[reportAttributeAccessIssue]
                None,
                config=copy.deepcopy(self.vit.config),
                state_dict=dict(state),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        own: dict[str, Tensor] = {**filled.state_dict(), **dict(self.vit.named_buffers())}
        # The library fills gaps with random numbers and tells: what it found goes on to the strict comparison.
        for name in report["missing_keys"]:
            del own[name]
        own.update({name: torch.empty(0) for name in report["unexpected_keys"]})
        own.update({name: torch.empty(shape) for name, shape, _ in report["mismatched_keys"]})
        return {name: value for name, value in own.items() if not name.endswith("mask_token")}


class Pyramid(nn.Module):
    """Four maps of one grid to four grids, fine to coarse: two enlarged by transposed convolutions, two as they are.

    Args:
        dim: Channels that come in; a quarter, a half, all and all of them go out.
    """

    learns_like_a_head = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        half, quarter = dim // 2, dim // 4
        self.fine = nn.Sequential(
            nn.ConvTranspose2d(dim, half, 2, stride=2),
            ChannelNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ChannelNorm(quarter),
        )
        self.middle = nn.Sequential(nn.ConvTranspose2d(dim, half, 2, stride=2), ChannelNorm(half))

    def forward(self, maps: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The maps on grids of these sizes.

        Args:
            maps: Four, from early to late blocks.
            sizes: Rows and columns of what comes out.

        Returns:
            Four maps, fine to coarse.
        """
        early, second, third, last = maps
        levels = [self.fine(early), self.middle(second), third]
        resized = [resize(level, size) for level, size in zip(levels, sizes, strict=False)]
        return [*resized, F.adaptive_avg_pool2d(last, sizes[-1])]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of every cell of a map over its channels."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """A map of the same size."""
        return super().forward(input.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


def dinov2(size: str, *, drop_path: float) -> VisionTransformer:
    """DINOv2's architecture, patches of 14 pixels, with random weights.

    Args:
        size: A key of ``SIZES``.
        drop_path: Rate of stochastic depth, the same in every block, as in its pretraining.

    Returns:
        The encoder.

    Raises:
        ValueError: If the transformers library is not installed.
    """
    library, dim, depth, heads = _library(), *SIZES[size]
    config = library.Dinov2Config(
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        patch_size=14,
        image_size=56 if size == "tiny" else 518,
        drop_path_rate=drop_path,
        out_indices=_quarters(depth),
    )
    return VisionTransformer(library.AutoBackbone.from_config(config))


def dinov3(size: str, *, drop_path: float) -> VisionTransformer:
    """DINOv3's architecture, patches of 16 pixels and rotary positions, with random weights.

    Args:
        size: A key of ``SIZES``.
        drop_path: Rate of stochastic depth, the same in every block, as in its pretraining.

    Returns:
        The encoder.

    Raises:
        ValueError: If the transformers library is not installed.
    """
    library, dim, depth, heads = _library(), *SIZES[size]
    config = library.DINOv3ViTConfig(
        hidden_size=dim,
        intermediate_size=4 * dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        patch_size=16,
        num_register_tokens=4,
        pos_embed_rescale=None,
        drop_path_rate=drop_path,
        out_indices=_quarters(depth),
    )
    return VisionTransformer(library.AutoBackbone.from_config(config))


def _quarters(depth: int) -> list[int]:
    return [depth * part // 4 for part in (1, 2, 3, 4)]


def _library() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(
            "DINOv2 and DINOv3 need the transformers library: pip install 'segue-uda[vit]'"
        ) from error


@contextmanager
def _quiet() -> Generator[None]:
    """Without the library's progress bar and loading report."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()


def _variant(build: Callable[..., VisionTransformer], size: str) -> Variant:
    return Variant(lambda drop_path: build(size, drop_path=drop_path))


VARIANTS = {
    f"{name}_{size}": _variant(build, size)
    for name, build in (("dinov2", dinov2), ("dinov3", dinov3))
    for size in SIZES
}
