"""Predicting pictures, from files to files and in memory, beside what others' users write.

Files: ``segue predict`` of SegFormer beside the transformers library's picture processor, network and post-processing,
on the same weights. Memory: DAFormer's network on whole pictures beside the official order, which enlarges the logits
to the picture's size, makes probabilities of all of them, and then asks for the class.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segue.bench.loader import write_picture
from segue.bench.measure import Benchmark, benchmark_device, compared, compared_all
from segue.bench.official_networks import PlainSegmenter
from segue.classes import CITYSCAPES_19
from segue.clock import times_ms
from segue.evaluation.model import TrainedModel
from segue.evaluation.prediction_files import write_predictions
from segue.models import naming
from segue.models.build import build_segmenter, normalisation
from segue.models.weights import Card
from segue.ops.resize import resize
from segue.protocol import Precision, PredictionProtocol

PIPELINE = "transformers SegFormer: processor, network, post-processing, a PNG of classes, float32"

OFFICIAL = "the official order: logits at full size, softmax, argmax, float32"


def rows(
    *,
    encoder: str = "mit_b0",
    size: tuple[int, int] = (512, 1024),
    large: tuple[int, int] = (1024, 2048),
    pictures: int = 6,
    repeats: int = 3,
    device: str | None = None,
) -> list[Benchmark]:
    """Time both in milliseconds per picture.

    Args:
        size: Height and width of the picture files, which keep it.
        large: Height and width of a whole picture in memory.
        pictures: Files of one turn.

    Raises:
        ValueError: If the transformers library is not installed.
    """
    place = benchmark_device(device)
    folder = Path(tempfile.mkdtemp())
    try:
        files = _from_files(folder, encoder, size, pictures, repeats, place)
    finally:
        shutil.rmtree(folder)
    return [files, *_in_memory(encoder, large, repeats, place)]


def _from_files(
    folder: Path, encoder: str, size: tuple[int, int], pictures: int, repeats: int, device: torch.device
) -> Benchmark:
    model = model_of(encoder, "segformer", size, device)
    peer = pipeline(model, size)
    names = [f"{place:03}" for place in range(pictures)]
    for place, name in enumerate(names):
        write_picture(folder, name, place, size)
    paths = {name: folder / "images" / f"{name}.jpg" for name in names}

    def theirs() -> None:
        for name, path in paths.items():
            peer(path, folder / f"{name}.png")

    times = times_ms(
        {"own": lambda: write_predictions(model, paths, folder / "out"), "peer": theirs}, repeats=repeats
    )
    own, other = ([time / pictures for time in times[name]] for name in ("own", "peer"))
    return compared(f"predict_{encoder}_{size[1]}x{size[0]}_files", own, other, unit="ms", peer=PIPELINE)


def _in_memory(encoder: str, size: tuple[int, int], repeats: int, device: torch.device) -> list[Benchmark]:
    model = model_of(encoder, "daformer", size, device)
    plain = PlainSegmenter(model.network).eval()
    torch.manual_seed(0)
    picture = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    half = model_of(encoder, "daformer", size, device, precision="bfloat16")
    runs: dict[str, Callable[[], object]] = {
        "own": lambda: model.classes_of(picture[None]),
        "half": lambda: half.classes_of(picture[None]),
        "plain": lambda: official_classes(plain, model.normalised(picture[None])),
    }
    times = times_ms(runs, repeats=repeats)
    name = f"predict_{encoder}_{size[1]}x{size[0]}_whole"
    return compared_all({"own": name, "half": f"{name}_bf16"}, times, "plain", peer=OFFICIAL)


@torch.no_grad()
def official_classes(network: PlainSegmenter, image: Tensor) -> Tensor:
    """The class of every pixel (B,H,W) of a normalised image, in the official order."""
    logits: Tensor = network(image)
    return resize(logits, (image.shape[-2], image.shape[-1])).softmax(dim=1).argmax(dim=1)


def pipeline(model: TrainedModel, size: tuple[int, int]) -> Callable[[Path, Path], None]:
    """What users of the transformers library write: from a picture file to a PNG of its classes.

    Args:
        model: A SegFormer, whose weights are taken.
        size: Of the pictures that the network sees.

    Raises:
        ValueError: If the transformers library is not installed.
    """
    try:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor
    except ImportError as error:
        raise ValueError("the predict benchmark needs transformers: pip install 'segue-uda[sam]'") from error
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it names a library that it can do without
    encoder: Any = model.network.encoder
    options: dict[str, Any] = {"attn_implementation": "sdpa", "num_labels": len(model.classes)}
    config = SegformerConfig(
        hidden_sizes=list(encoder.out_channels), depths=list(encoder.depths),
        num_attention_heads=list(encoder.heads), **options,
    )  # fmt: skip
    network: Any = SegformerForSemanticSegmentation(config)
    network.to(model.device).eval()
    ways = (naming.HUGGING_FACE, naming.HUGGING_FACE_LOADED)  # before transformers 5, and from then on
    states = [naming.to_theirs(model.network.state_dict(), rules) for rules in ways]
    network.load_state_dict(next(one for one in states if one.keys() == network.state_dict().keys()))
    colours: dict[str, Any] = {
        "image_mean": [level / 255 for level in model.mean], "image_std": [level / 255 for level in model.std],
    }  # fmt: skip
    processor: Any = SegformerImageProcessor(size={"height": size[0], "width": size[1]}, **colours)

    @torch.no_grad()
    def predict(path: Path, out: Path) -> None:
        picture = Image.open(path).convert("RGB")
        inputs = processor(images=picture, return_tensors="pt").to(model.device)
        outputs = network(**inputs)
        (classes,) = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[(picture.height, picture.width)]
        )
        Image.fromarray(classes.cpu().numpy().astype(np.uint8)).save(out)

    return predict


def model_of(
    encoder: str,
    head: str,
    window: tuple[int, int],
    device: torch.device,
    *,
    precision: Precision = "float32",
    **options: Any,
) -> TrainedModel:
    """A network with random weights, which predicts pictures of the window's size whole.

    Args:
        options: Further ones of ``build_segmenter``.
    """
    torch.manual_seed(0)
    network = build_segmenter(encoder, head, num_classes=len(CITYSCAPES_19), **options)
    mean, std = normalisation(encoder)
    names, colours = CITYSCAPES_19.names, CITYSCAPES_19.colours
    protocol = PredictionProtocol(window, precision=precision)
    card = Card(names, colours, mean, std, {}, protocol, "bench", 0)
    return TrainedModel(network.eval(), card, device)
