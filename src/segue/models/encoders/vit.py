"""Vision transformers pretrained without labels, by the transformers library: DINOv2 and DINOv3."""

import copy
import importlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from segue.models.encoders.encoder import Variant
from segue.models.encoders.patches import PatchEncoder, quarters
from segue.ops.attention import Attend, MeetingPlan

SIZES = {"tiny": (32, 4, 2), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
"""Channels, blocks and attention heads; "tiny" is for tests and exists in no file."""

MEETING = "segue_meeting"
"""What the library calls the attention of :func:`attend`."""


class VisionTransformer(PatchEncoder):
    """One of the library's backbones, whose normalised maps are those of DINOv2's own dense evaluation.

    Full fine-tuning wants a lower rate than DAFormer's 6e-5: ``optim.lr: 1e-5`` is usual for these weights on
    street scenes (it was not tuned here). Crops of multiples of 14 (DINOv2) or 16 (DINOv3) need no enlarging.

    Source: DINOv2 (Oquab et al., 2023), https://arxiv.org/abs/2304.07193; DINOv3 (Simeoni et al., 2025),
    https://arxiv.org/abs/2508.10104.

    Note:
        DINOv3's random rescaling of positions in training is off: a picture has the same features for
        student and teacher. The mask token does not exist: it serves pretraining only. Under hybrid attention DINOv3's
        rotary positions are those of a cell in its own picture, also for the other picture's cells.

    Args:
        vit: A backbone that returns ``feature_maps`` of the ends of its quarters.
        blocks: The name of its list of blocks.
        prefix: Its class token and registers.
    """

    attention = "attention"
    projection = "o_proj"

    def __init__(self, vit: nn.Module, *, blocks: str, prefix: int) -> None:
        config: Any = vit.config
        names = [f"{blocks}.{place}" for place in range(config.num_hidden_layers)]
        super().__init__(vit, dim=config.hidden_size, patch=config.patch_size, blocks=names)
        self.prefix = prefix
        embeddings: Any = vit.get_submodule("embeddings")
        embeddings.mask_token = None
        # A model is rebuilt without memory and filled from its file: what is not in the file would stay empty.
        for module in vit.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer, persistent=True)

    def quarter_maps(self, image: Float[Tensor, "b 3 h w"], plan: MeetingPlan | None) -> Sequence[Tensor]:
        """The four normalised maps on the grid of patches."""
        if plan is None:
            return self.vit(image).feature_maps
        with self._meeting(plan, self.grid((image.shape[-2], image.shape[-1]))):
            return self.vit(image).feature_maps

    @contextmanager
    def _meeting(self, plan: MeetingPlan, grid: tuple[int, int]) -> Generator[None]:
        """Within, the library's attention goes by the plan."""
        blocks = [(stage, name) for stage, names in enumerate(self.layers, start=1) for name in names]
        attentions: list[Any] = [self.get_submodule(f"{name}.{self.attention}") for _, name in blocks]
        config: Any = self.vit.config
        plain = config._attn_implementation
        config._attn_implementation = MEETING
        for number, ((stage, _), module) in enumerate(zip(blocks, attentions, strict=True)):
            module.meeting = plan.at(stage, number, queries=grid, keys=grid, prefix=self.prefix)
        try:
            yield
        finally:
            config._attn_implementation = plain
            for module in attentions:
                del module.meeting

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


def attend(
    module: nn.Module,
    query: Float[Tensor, "b h n d"],
    key: Float[Tensor, "b h n d"],
    value: Float[Tensor, "b h n d"],
    attention_mask: Tensor | None,
    **options: object,
) -> tuple[Tensor, None]:
    """Attention as the library calls it: hybrid where the module has a ``meeting``, plain elsewhere.

    Returns:
        (B,N,C), and no weights.
    """
    meeting = cast(Attend | None, module.meeting)
    if meeting is None:
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2), None
    queries, keys, values = (part.transpose(1, 2).flatten(2) for part in (query, key, value))
    return meeting(queries, torch.cat([keys, values], dim=-1), query.shape[1]), None


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
        out_indices=list(quarters(depth)),
    )
    return VisionTransformer(library.AutoBackbone.from_config(config), blocks="encoder.layer", prefix=1)


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
        out_indices=list(quarters(depth)),
    )
    registers: int = config.num_register_tokens
    return VisionTransformer(
        library.AutoBackbone.from_config(config), blocks="model.layer", prefix=1 + registers
    )


def _library() -> Any:
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(
            "DINOv2 and DINOv3 need the transformers library: pip install 'segue-uda[vit]'"
        ) from error
    library.AttentionInterface.register(MEETING, attend)
    return library


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
