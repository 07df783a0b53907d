"""The names that other projects give to the tensors of our networks: a table per project, used in both directions."""

import re
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from segue.models.tensor_files import State

Rules = Mapping[str, str | tuple[str, str]]
"""From our names to the foreign ones, of which the first match counts; two if the foreign project splits the tensor.

``{rest}`` stands for any text, other braces for a number, which the foreign name repeats; there ``{stage}`` counts
from 0, and ``{next}`` is the level counted from 1.
"""

MMSEG: Rules = {"encoder.{rest}": "backbone.{rest}", "head.{rest}": "decode_head.{rest}"}
"""SegFormer, DAFormer and DeepLab in DAFormer's repository."""

MULTI_RESOLUTION: Rules = {
    "encoder.{rest}": "backbone.{rest}",
    "head.{rest}": "decode_head.head.{rest}",
    "attention_head.{rest}": "decode_head.scale_attention.{rest}",
}
"""HRDA, and MIC on HRDA."""

NVLABS: Rules = {
    "encoder.{rest}": "backbone.{rest}",
    "head.linear_c.{level}.{rest}": "decode_head.linear_c{next}.{rest}",
    "head.{rest}": "decode_head.{rest}",
}
"""SegFormer's own repository; its head fuses coarse to fine."""

_HUGGING_FACE_HEAD: Rules = {
    "head.linear_fuse.conv.weight": "decode_head.linear_fuse.weight",
    "head.linear_fuse.bn.{rest}": "decode_head.batch_norm.{rest}",
    "head.linear_pred.{rest}": "decode_head.classifier.{rest}",
}

_BLOCK = "encoder.block{stage}.{block}."
_SAVED = "segformer.encoder.block.{stage}.{block}."
_LOADED = "segformer.stages.{stage}.blocks.{block}."

HUGGING_FACE: Rules = {
    "encoder.patch_embed{stage}.norm.{rest}": "segformer.encoder.patch_embeddings.{stage}.layer_norm.{rest}",
    "encoder.patch_embed{stage}.{rest}": "segformer.encoder.patch_embeddings.{stage}.{rest}",
    "encoder.norm{stage}.{rest}": "segformer.encoder.layer_norm.{stage}.{rest}",
    _BLOCK + "norm{which}.{rest}": _SAVED + "layer_norm_{which}.{rest}",
    _BLOCK + "attn.q.{rest}": _SAVED + "attention.self.query.{rest}",
    _BLOCK + "attn.kv.{rest}": (_SAVED + "attention.self.key.{rest}", _SAVED + "attention.self.value.{rest}"),
    _BLOCK + "attn.sr.{rest}": _SAVED + "attention.self.sr.{rest}",
    _BLOCK + "attn.norm.{rest}": _SAVED + "attention.self.layer_norm.{rest}",
    _BLOCK + "attn.proj.{rest}": _SAVED + "attention.output.dense.{rest}",
    _BLOCK + "mlp.fc{which}.{rest}": _SAVED + "mlp.dense{which}.{rest}",
    _BLOCK + "mlp.dwconv.{rest}": _SAVED + "mlp.dwconv.{rest}",
    "head.linear_c.{rest}": "decode_head.linear_c.{rest}",
    **_HUGGING_FACE_HEAD,
}
"""Hugging Face's SegFormer, as its files are saved."""

HUGGING_FACE_LOADED: Rules = {
    "encoder.patch_embed{stage}.norm.{rest}": "segformer.stages.{stage}.patch_embeddings.layer_norm.{rest}",
    "encoder.patch_embed{stage}.{rest}": "segformer.stages.{stage}.patch_embeddings.{rest}",
    "encoder.norm{stage}.{rest}": "segformer.stages.{stage}.layer_norm.{rest}",
    _BLOCK + "norm1.{rest}": _LOADED + "layernorm_before.{rest}",
    _BLOCK + "norm2.{rest}": _LOADED + "layernorm_after.{rest}",
    _BLOCK + "attn.q.{rest}": _LOADED + "attention.q_proj.{rest}",
    _BLOCK + "attn.kv.{rest}": (_LOADED + "attention.k_proj.{rest}", _LOADED + "attention.v_proj.{rest}"),
    _BLOCK + "attn.sr.{rest}": _LOADED + "attention.sequence_reduction.sequence_reduction.{rest}",
    _BLOCK + "attn.norm.{rest}": _LOADED + "attention.sequence_reduction.layer_norm.{rest}",
    _BLOCK + "attn.proj.{rest}": _LOADED + "attention.o_proj.{rest}",
    _BLOCK + "mlp.{rest}": _LOADED + "mlp.{rest}",
    "head.linear_c.{rest}": "decode_head.linear_projections.{rest}",
    **_HUGGING_FACE_HEAD,
}
"""Hugging Face's SegFormer, as transformers 5 names the tensors in memory."""

COARSE_TO_FINE = (NVLABS, HUGGING_FACE, HUGGING_FACE_LOADED)
"""Projects whose SegFormer head concatenates levels coarse to fine; ours begins with the finest."""

FUSION = "head.linear_fuse.conv.weight"


def foreign_names(name: str, rules: Rules) -> tuple[str, ...]:
    """A tensor's foreign name, or two if keys and values are separate; empty if the other project lacks the tensor."""
    for own, foreign in rules.items():
        match = _pattern(own).fullmatch(name)
        if match:
            groups: dict[str, str | int] = dict(match.groupdict())
            if "stage" in groups:
                groups["stage"] = int(groups["stage"]) - 1
            if "level" in groups:
                groups["next"] = int(groups["level"]) + 1
            templates = (foreign,) if isinstance(foreign, str) else foreign
            return tuple(template.format(**groups) for template in templates)
    return ()


@cache
def _pattern(template: str) -> re.Pattern[str]:
    numbers = re.sub(r"\\{(stage|block|level|which)\\}", r"(?P<\1>\\d+)", re.escape(template))
    return re.compile(numbers.replace(r"\{rest\}", "(?P<rest>.+)"))


def to_ours(state: Mapping[str, Tensor], names: Sequence[str], rules: Rules) -> tuple[State, list[str]]:
    """Foreign tensors under our names, and the foreign names that have no counterpart.

    ``names`` are ours, for all tensors of the network that is to be filled.
    """
    renamed: State = {}
    used: set[str] = set()
    for name in names:
        parts = foreign_names(name, rules)
        if parts and all(part in state for part in parts):
            tensors = [state[part] for part in parts]
            renamed[name] = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
            used |= set(parts)
    _turn_levels(renamed, rules)
    return renamed, [name for name in state if name not in used]


def to_theirs(state: Mapping[str, Tensor], rules: Rules) -> State:
    """Our tensors under the foreign names; those that the other project lacks are left out."""
    turned = dict(state)
    _turn_levels(turned, rules)
    renamed: State = {}
    for name, value in turned.items():
        parts = foreign_names(name, rules)
        renamed |= zip(parts, value.chunk(len(parts)) if len(parts) > 1 else (value,), strict=False)
    return renamed


def _turn_levels(state: State, rules: Rules) -> None:
    """Reverse the order of the fusing convolution's input levels, where the projects differ."""
    if rules in COARSE_TO_FINE and FUSION in state:
        state[FUSION] = state[FUSION].unflatten(1, (4, -1)).flip(1).flatten(1, 2)


def from_new_mmseg(state: Mapping[str, Tensor]) -> State:
    """Tensors with the encoder's names of mmsegmentation 0.20 and later, renamed as in the authors' files.

    There, query, key and value are one tensor, and the linear layers of the feed-forward part are 1x1
    convolutions. Names may begin with ``backbone.``; tensors outside the encoder stay as they are.
    """
    renamed: State = {}
    for name, value in state.items():
        match = re.fullmatch(
            r"(?P<front>backbone\.)?layers\.(?P<stage>\d)\.(?P<place>\d)\.(?P<rest>.+)", name
        )
        if match is None:
            renamed[name] = value
            continue
        front, stage, rest = match["front"] or "", int(match["stage"]) + 1, match["rest"]
        if match["place"] == "0":
            new = rest.replace("projection.", "proj.")
            renamed[f"{front}patch_embed{stage}.{new}"] = value
        elif match["place"] == "2":
            renamed[f"{front}norm{stage}.{rest}"] = value
        else:
            renamed |= _new_mmseg_block(f"{front}block{stage}", rest, value)
    return renamed


def _new_mmseg_block(front: str, rest: str, value: Tensor) -> State:
    block, _, rest = rest.partition(".")
    front = f"{front}.{block}."
    if rest.startswith("attn.attn.in_proj_"):
        kind = rest.removeprefix("attn.attn.in_proj_")
        dim = len(value) // 3
        return {f"{front}attn.q.{kind}": value[:dim], f"{front}attn.kv.{kind}": value[dim:]}
    for old, new in (
        ("attn.attn.out_proj.", "attn.proj."),
        ("ffn.layers.0.", "mlp.fc1."),
        ("ffn.layers.1.", "mlp.dwconv.dwconv."),
        ("ffn.layers.4.", "mlp.fc2."),
    ):
        if rest.startswith(old):
            is_linear = new.startswith("mlp.fc") and value.ndim == 4
            return {front + new + rest.removeprefix(old): value[:, :, 0, 0] if is_linear else value}
    return {front + rest: value}
