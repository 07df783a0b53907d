"""Checkpoints of the official implementations: recognising a file, and reading its weights under our names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch

from segue.models import naming
from segue.models.build import build_encoder, build_segmenter
from segue.models.encoders import mit
from segue.models.tensor_files import State, check_fit, read_content, tensors_of

Part = Literal["student", "teacher"]

PREFIXES = {"student": "model.", "teacher": "ema_model."}
"""How tensor names of either network begin in a checkpoint of DAFormer, HRDA or MIC."""

UNUSED = ("decode_head.conv_seg.",)
"""Tensors that SegFormer's files hold beside their classifier and never use."""

HRDA_DETAIL = (512, 512)
"""The detail window that the published HRDA and MIC checkpoints were trained with."""

RESNETS = {6: "resnet50_v1c", 23: "resnet101_v1c"}
"""ResNets by the number of blocks in their third stage."""


@dataclass(frozen=True)
class Recognised:
    """The content of a recognised file.

    Attributes:
        kind: "encoder", "segformer", "daformer", "hrda", "deeplab_v2" or "deeplab_v3plus".
        source: The project whose naming it has, in words.
        part: The network that was taken from a checkpoint; None where a file holds one.
        network: The arguments of ``build_segmenter``; for an encoder alone, its name.
        state: All its tensors under our names.
        classes: The class names that the file states; empty if it does not.
        colours: Their colours, likewise.
        step: Training steps that the file states; 0 if it does not.
    """

    kind: str
    source: str
    part: Part | None
    network: Mapping[str, Any]
    state: State
    classes: Sequence[str] = ()
    colours: Sequence[Sequence[int]] = field(default=())
    step: int = 0


def read_official(path: Path, *, part: Part = "student") -> Recognised:
    """Recognise a checkpoint, and check every name and every shape in it.

    Nothing in the file is executed: it is read as tensors and plain containers, or refused.

    Args:
        path: A ``.pth`` or ``.safetensors`` file, or a folder in Hugging Face's layout.
        part: Which network of a checkpoint with several.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, unknown or incomplete.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    content = read_content(path)
    state = {name.removeprefix("module."): value for name, value in tensors_of(content, path).items()}
    state, taken = _network(state, part, path)
    state = naming.from_new_mmseg(state)
    if "patch_embed1.proj.weight" in state:
        return _encoder(state, path)
    rules, source = _naming(state, path)
    network = _arguments(state, rules, path)
    with torch.device("meta"):
        ours = build_segmenter(**network)
    renamed, left = naming.to_ours(state, list(ours.state_dict()), rules)
    has_spare = network["head"] == "segformer"
    strange = {name: state[name] for name in left if not (has_spare and name.startswith(UNUSED))}
    check_fit(ours, {**renamed, **strange}, path)
    classes, colours, step = _stated(content, int(network["num_classes"]))
    kind = "hrda" if network["multi_resolution"] else str(network["head"])
    return Recognised(kind, source, taken, network, renamed, classes, colours, step)


def _network(state: State, part: Part, path: Path) -> tuple[State, Part | None]:
    """The tensors of one network, and which one it is; None if the file holds only one."""
    own = {name: value for name, value in state.items() if name.startswith(PREFIXES[part])}
    if own:
        return {name.removeprefix(PREFIXES[part]): value for name, value in own.items()}, part
    others = [other for other, prefix in PREFIXES.items() if any(name.startswith(prefix) for name in state)]
    if others:
        raise ValueError(f"{path}: holds no {part}, only the {others[0]}: take --part {others[0]}")
    if part == "teacher":
        raise ValueError(f"{path}: holds one network, which is no teacher: leave out --part")
    return state, None


def _encoder(state: State, path: Path) -> Recognised:
    name = _mit_name(state, path)
    encoder = build_encoder(name)
    own = {n: value for n, value in state.items() if not n.startswith(encoder.classifier_names)}
    check_fit(encoder, own, path)
    return Recognised("encoder", "the authors' ImageNet weights", None, {"encoder": name}, own)


def _naming(state: State, path: Path) -> tuple[naming.Rules, str]:
    probes = (
        ("decode_head.head.", naming.MULTI_RESOLUTION, "HRDA or MIC"),
        ("decode_head.linear_c1.", naming.NVLABS, "SegFormer's repository"),
        ("segformer.encoder.", naming.HUGGING_FACE, "Hugging Face SegFormer"),
        ("segformer.stages.", naming.HUGGING_FACE_LOADED, "Hugging Face SegFormer"),
        ("decode_head.", naming.MMSEG, "DAFormer's repository"),
    )
    for prefix, rules, source in probes:
        if any(name.startswith(prefix) for name in state):
            return rules, source
    raise ValueError(
        f"{path}: not a checkpoint that is known here (its tensors begin with {', '.join(list(state)[:3])});"
        " known are MiT encoders, SegFormer, DAFormer, DeepLab, HRDA and MIC"
    )


def _arguments(state: State, rules: naming.Rules, path: Path) -> dict[str, Any]:
    """The arguments of ``build_segmenter``, read from names and shapes."""
    network: dict[str, Any] = {"encoder": _encoder_name(state, rules, path), "multi_resolution": None}
    prefix = "decode_head."
    if rules is naming.MULTI_RESOLUTION:
        prefix = "decode_head.head."
        network["multi_resolution"] = {"detail": list(HRDA_DETAIL), "attention": "class"}
    head = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    network |= _head(head, path)
    single = state.get("decode_head.scale_attention.conv_seg.weight")
    if network["multi_resolution"] and single is not None and len(single) == 1 < network["num_classes"]:
        network["multi_resolution"]["attention"] = "single"
    return network


def _encoder_name(state: State, rules: naming.Rules, path: Path) -> str:
    if "backbone.stem.0.weight" in state:
        blocks = _count(state, r"backbone\.layer3\.(\d+)\.")
        if blocks in RESNETS:
            return RESNETS[blocks]
        raise ValueError(f"{path}: a ResNet with {blocks} blocks in its third stage; 6 and 23 are known")
    own = {}
    for stage in range(1, 5):
        names = naming.foreign_names(f"encoder.patch_embed{stage}.proj.weight", rules)
        own[f"patch_embed{stage}.proj.weight"] = state.get(names[0])
        for block in range(max(sum(depths) for _, depths in mit.SIZES.values())):
            key = f"block{stage}.{block}.norm1.weight"
            own[key] = state.get(naming.foreign_names(f"encoder.{key}", rules)[0])
    return _mit_name({name: value for name, value in own.items() if value is not None}, path)


def _mit_name(state: State, path: Path) -> str:
    """The mix transformer's size, from its channels and blocks."""
    widths = [state.get(f"patch_embed{stage}.proj.weight") for stage in range(1, 5)]
    dims = tuple(0 if weight is None else len(weight) for weight in widths)
    depths = tuple(_count(state, rf"block{stage}\.(\d+)\.") for stage in range(1, 5))
    for name, size in mit.SIZES.items():
        if size == (dims, depths):
            return name
    raise ValueError(f"{path}: no mix transformer of a known size: channels {dims}, blocks {depths}")


def _head(head: State, path: Path) -> dict[str, Any]:
    if "linear_pred.weight" in head or "classifier.weight" in head:
        last = head.get("linear_pred.weight", head.get("classifier.weight"))
        assert last is not None
        return {"head": "segformer", "num_classes": len(last), "channels": last.shape[1], "context": None}
    if "embed_layers.0.proj.weight" in head and "conv_seg.weight" in head:
        last = head["conv_seg.weight"]
        return {
            "head": "daformer",
            "num_classes": len(last),
            "channels": last.shape[1],
            "context": _context(head),
        }
    if "image_pool.1.conv.weight" in head and "conv_seg.weight" in head:
        last = head["conv_seg.weight"]
        return {"head": "deeplab_v3plus", "num_classes": len(last), "channels": last.shape[1]}
    if "aspp_modules.0.conv.bias" in head:
        branches = _count(head, r"aspp_modules\.(\d+)\.")
        context = {2: "two", 4: "four"}.get(branches)
        return {
            "head": "deeplab_v2",
            "num_classes": len(head["aspp_modules.0.conv.bias"]),
            "context": context,
        }
    raise ValueError(
        f"{path}: its decoder is not known here (it has {', '.join(sorted(head)[:3]) or 'no tensors'});"
        " known are SegFormer's, DAFormer's and DeepLab's"
    )


def _context(head: State) -> str:
    probes = {
        "sepaspp": "fuse_layer.aspp_modules.1.depthwise_conv.",
        "aspp": "fuse_layer.aspp_modules.1.conv.",
        "isa": "fuse_layer.in_conv.",
        "sepaspp_bottleneck": "embed_layers.3.1.",
    }
    return next(
        (name for name, prefix in probes.items() if any(key.startswith(prefix) for key in head)), "conv1"
    )


def _count(state: State, pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _stated(content: Any, count: int) -> tuple[Sequence[str], Sequence[Sequence[int]], int]:
    """Class names, their colours and the step, as far as a checkpoint's ``meta`` states plausible ones."""
    meta = cast(dict[str, Any], content).get("meta") if isinstance(content, dict) else None
    known = cast(dict[str, Any], meta) if isinstance(meta, dict) else {}
    names, colours, step = known.get("CLASSES"), known.get("PALETTE"), known.get("iter")
    has_names = isinstance(names, list | tuple) and len(cast(list[Any], names)) == count
    classes = [str(name) for name in cast(list[Any], names)] if has_names else []
    has_colours = has_names and isinstance(colours, list | tuple) and len(cast(list[Any], colours)) == count
    shades = [[int(level) for level in colour] for colour in cast(list[Any], colours)] if has_colours else []
    return classes, shades, step if isinstance(step, int) else 0
