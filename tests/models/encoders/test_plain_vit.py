"""The plain ViT equals the formula written out, at any size; loads timm's files strictly; and cuts off later blocks."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from segue.classes import class_list
from segue.data.folder import ImageFolder
from segue.engine.optim import parameter_groups
from segue.models.build import build_encoder, build_segmenter, normalisation
from segue.models.encoders.plain_vit import PlainVit
from segue.models.weights import Card, load_encoder, load_model, save_model
from segue.protocol import PredictionProtocol

State = dict[str, Tensor]


def weights(depth: int, dim: int = 32) -> State:
    """A file's tensors as timm names them, large enough that every part matters."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim), "pos_embed": (1, 197, dim), "norm.weight": (dim,), "norm.bias": (dim,),
        "patch_embed.proj.weight": (dim, 3, 16, 16), "patch_embed.proj.bias": (dim,),
    }  # fmt: skip
    for place in range(depth):
        for name, shape in {
            "norm1.weight": (dim,), "norm1.bias": (dim,), "attn.qkv.weight": (3 * dim, dim),
            "attn.qkv.bias": (3 * dim,),
            "attn.proj.weight": (dim, dim), "attn.proj.bias": (dim,), "norm2.weight": (dim,), "norm2.bias": (dim,),
            "mlp.fc1.weight": (4 * dim, dim), "mlp.fc1.bias": (4 * dim,),
            "mlp.fc2.weight": (dim, 4 * dim), "mlp.fc2.bias": (dim,),
        }.items():  # fmt: skip
            shapes[f"blocks.{place}.{name}"] = shape
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def normed(token: Tensor, state: State, name: str) -> Tensor:
    scaled = (token - token.mean()) / (token.var(unbiased=False) + 1e-6).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def reference(state: State, image: Tensor, heads: int, depth: int, positions: Tensor) -> list[Tensor]:
    """One picture's normalised tokens after each block: patch by patch, head by head, query by query."""
    _, height, width = image.shape
    filters, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    tokens = [state["cls_token"][0, 0] + positions[0]]
    for row in range(height // 16):
        for column in range(width // 16):
            patch = image[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            tokens.append((filters * patch).sum((1, 2, 3)) + bias + positions[len(tokens)])
    found: list[Tensor] = []
    for place in range(depth):
        name = f"blocks.{place}"
        own = [
            state[f"{name}.attn.qkv.weight"] @ normed(t, state, f"{name}.norm1")
            + state[f"{name}.attn.qkv.bias"]
            for t in tokens
        ]
        queries, keys, values = torch.stack(own).chunk(3, dim=1)
        size = queries.shape[1] // heads
        for n, token in enumerate(tokens):
            mixed: list[Tensor] = []
            for head in range(heads):
                part = slice(head * size, (head + 1) * size)
                shares = (keys[:, part] @ queries[n, part] / math.sqrt(size)).softmax(0)
                mixed.append(shares @ values[:, part])
            token = (
                token + state[f"{name}.attn.proj.weight"] @ torch.cat(mixed) + state[f"{name}.attn.proj.bias"]
            )
            hidden = state[f"{name}.mlp.fc1.weight"] @ normed(token, state, f"{name}.norm2")
            hidden = hidden + state[f"{name}.mlp.fc1.bias"]
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            tokens[n] = token + state[f"{name}.mlp.fc2.weight"] @ hidden + state[f"{name}.mlp.fc2.bias"]
        found.append(torch.stack([normed(token, state, "norm") for token in tokens]))
    return found


def filled(state: State, depth: int = 4, **options) -> PlainVit:
    torch.manual_seed(0)
    encoder = PlainVit(32, depth, 2, **options)
    encoder.pretrained.load_state_dict(encoder.translated(state))
    return encoder.double().eval()


@torch.no_grad()
def test_equal_to_the_formula_token_by_token() -> None:
    state = weights(4)
    exact = {name: value.double() for name, value in state.items()}
    encoder = filled(state)
    image = torch.randn(2, 3, 32, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    positions = encoder.vit.positions((2, 3))[0]
    maps = encoder.quarter_maps(image, None)
    for picture in range(2):
        expected = reference(exact, image[picture], 2, 4, positions)
        for found, tokens in zip(maps, expected, strict=True):
            assert torch.allclose(found[picture].flatten(1).T, tokens[1:], atol=1e-10)
    assert torch.equal(encoder.last_map(image), maps[-1])
    pooled = F.adaptive_avg_pool2d(maps[-1], (1, 2))
    assert torch.allclose(encoder(image)[-1], pooled, atol=1e-12)


@torch.no_grad()
def test_a_picture_has_the_same_features_alone_and_in_a_batch() -> None:
    encoder = filled(weights(4)).float()
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for both, one in zip(encoder(image), encoder(image[:1]), strict=True):
        assert torch.allclose(both[:1], one, atol=1e-5)


def test_positions_are_those_of_the_file_or_between_them() -> None:
    vit = filled(weights(4)).vit
    assert vit.positions((14, 14)) is vit.pos_embed
    with torch.no_grad():
        rows, columns = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
        vit.pos_embed[0, 1:, 0], vit.pos_embed[0, 1:, 1] = rows.flatten(), columns.flatten()
    wide = vit.positions((14, 28))
    assert wide.shape == (1, 1 + 14 * 28, 32) and torch.equal(wide[:, 0], vit.pos_embed[:, 0])
    grid = wide[0, 1:].unflatten(0, (14, 28))
    inner = torch.arange(28)[6:-6]
    assert torch.allclose(grid[:, 0, 0], torch.arange(14).double(), atol=1e-4)
    # A cell half as wide lies a quarter of a cell to the left or right of the one of the file.
    assert torch.allclose(grid[7, 6:-6, 1], (inner.double() + 0.5) / 2 - 0.5, atol=1e-4)
    assert vit.positions((7, 9)).grad_fn is not None  # positions learn, whatever the picture's size


@pytest.mark.parametrize("size", [(64, 96), (70, 91), (33, 17), (224, 288), (512, 512)])
def test_grids_and_widths(size: tuple[int, int]) -> None:
    encoder = build_encoder("vit_nano").to("meta")
    features = encoder(torch.empty(2, 3, *size, device="meta"))
    assert [tuple(level.shape[-2:]) for level in features] == [
        tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)
    ]
    assert tuple(level.shape[1] for level in features) == encoder.out_channels == (8, 16, 32, 32)


def test_parameter_counts() -> None:
    with torch.device("meta"):
        counts = {
            name: sum(p.numel() for p in build_encoder(f"vit_{name}").pretrained.parameters())
            for name in ("tiny", "tiny_6", "small", "base", "large")
        }
    # timm's vit_tiny, small, base and large at 224 pixels, less the classifier's 1000 (width + 1).
    whole = {"tiny": 5_717_416, "small": 22_050_664, "base": 86_567_656, "large": 304_326_632}
    widths = {"tiny": 192, "small": 384, "base": 768, "large": 1024}
    expected = {name: count - 1000 * (widths[name] + 1) for name, count in whole.items()}
    block = 12 * 192 * 192 + 13 * 192
    assert counts == {**expected, "tiny_6": expected["tiny"] - 6 * block}


def test_stochastic_depth() -> None:
    """The first block is never left out, the last one with the rate given; what stays is scaled up."""
    state = weights(4)
    image = torch.randn(512, 3, 16, 16, dtype=torch.float64)
    encoder = filled(state, drop_path=0.5)
    assert [block.drop_path for block in encoder.vit.blocks] == pytest.approx([0, 0.5 / 3, 1 / 3, 0.5])
    block = encoder.vit.blocks[3]
    with torch.no_grad():
        tokens = encoder.vit.embedded(image[:1], (1, 1)).expand(512, -1, -1)
        added = block.attn(block.norm1(tokens))
        dropped = block.train()._drop(added)
        kept = (dropped != 0).flatten(1).any(1)
        assert 200 < int(kept.sum()) < 312
        assert torch.allclose(dropped[kept], 2 * added[kept])
        encoder.eval()
        assert torch.equal(encoder(image[:2])[-1], encoder(image[:2])[-1])


def test_timms_files_are_loaded_strictly(tmp_path: Path) -> None:
    state = weights(8)
    head = {"head.weight": torch.zeros(10, 32), "head.bias": torch.zeros(10)}
    save_file({name: value.half() for name, value in {**state, **head}.items()}, tmp_path / "vit.safetensors")
    encoder = build_encoder("vit_nano_deep")
    load_encoder(encoder, tmp_path / "vit.safetensors")
    own = encoder.pretrained.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(value, state[name].half().float()) for name, value in own.items())
    state["surprise"] = state.pop("blocks.3.norm1.bias")
    state["blocks.2.norm2.bias"] = torch.zeros(3)
    save_file(state, tmp_path / "vit.safetensors")
    with pytest.raises(ValueError, match="not the weights of this PatchTransformer") as caught:
        load_encoder(encoder, tmp_path / "vit.safetensors")
    for words in ("1 missing (blocks.3.norm1.bias)", "1 unexpected (surprise)", "1 of another shape"):
        assert words in str(caught.value)


@torch.no_grad()
def test_the_first_blocks_of_a_file(tmp_path: Path) -> None:
    """A student of the first half is the whole network cut off there, and takes no file that is deeper still."""
    state = weights(8)
    save_file(state, tmp_path / "vit.safetensors")
    whole, half = PlainVit(32, 8, 2).eval(), PlainVit(32, 8, 2, first=4).eval()
    for encoder in (whole, half):
        load_encoder(encoder, tmp_path / "vit.safetensors")
    image = torch.randn(1, 3, 48, 64)
    # Quarters of eight blocks end after 2, 4, 6 and 8, those of four after each.
    for of_half, of_whole in ((1, 0), (3, 1)):
        left, right = half.quarter_maps(image, None)[of_half], whole.quarter_maps(image, None)[of_whole]
        assert torch.allclose(left, right, atol=1e-5)
    save_file(weights(9), tmp_path / "vit.safetensors")
    with pytest.raises(ValueError, match=r"12 unexpected \(blocks\.8"):
        load_encoder(half, tmp_path / "vit.safetensors")


def test_the_pyramid_learns_like_a_head() -> None:
    network = build_segmenter("vit_nano", "segformer", num_classes=3, channels=8)
    groups = parameter_groups(network, lr=1e-4, head_factor=10.0, weight_decay=0.01)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    fast = {name for name, p in network.named_parameters() if rates[id(p)] > 1e-4}
    names = {name for name, _ in network.named_parameters()}
    assert fast == {n for n in names if n.startswith(("head.", "encoder.pyramid_head."))}
    network(torch.randn(2, 3, 48, 64)).logits.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_model_round_trip(tmp_path: Path) -> None:
    arguments = {"encoder": "vit_nano", "head": "segformer", "num_classes": 2, "channels": 8}
    network = build_segmenter(**arguments)
    mean, std = normalisation("vit_nano")
    assert mean == std == (127.5, 127.5, 127.5)
    card = Card(
        ["a", "b"], [[0, 0, 0], [9, 9, 9]], mean, std, arguments, PredictionProtocol((64, 64)), "daformer", 1
    )
    save_model(tmp_path / "model", network, card)
    loaded, _ = load_model(tmp_path / "model")
    image = torch.rand(1, 3, 50, 70)
    assert torch.equal(loaded(image).logits, network.eval()(image).logits)


@torch.no_grad()
def test_the_real_weights_know_streets(shared_data: Path) -> None:
    """The nearest class mean names more cells of other pictures by learnt features than by random ones."""
    file = shared_data / "weights" / "vit_tiny_patch16_imagenet.safetensors"
    names = [
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ]
    streets = ImageFolder(shared_data / "camvid", classes=class_list(names), labelled=True, split="train")
    places = range(0, len(streets), len(streets) // 16)
    learnt, random = build_encoder("vit_tiny").eval(), build_encoder("vit_tiny").eval()
    load_encoder(learnt, file)
    assert load_file(file).keys() == learnt.pretrained.state_dict().keys()
    assert nearest_mean(learnt, streets, places) > nearest_mean(random, streets, places) + 0.1


def nearest_mean(encoder: PlainVit, streets: ImageFolder, places: range) -> float:
    """The share of cells, in every second picture, whose class is that of the nearest mean in the others."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    for place in places:
        image = streets.image(place).float()[None, :, :224, :320] / 127.5 - 1
        features.append(encoder.quarter_maps(image, None)[1][0].flatten(1).T)
        labels.append(streets.label(place)[8:224:16, 8:320:16].flatten().long())
    seen, other = (torch.cat(features[start::2]) for start in (0, 1))
    known, wanted = (torch.cat(labels[start::2]) for start in (0, 1))
    mean, scale = seen.mean(0), seen.std(0)
    classes = [index for index in range(11) if (known == index).sum() > 5]
    means = torch.stack([((seen - mean) / scale)[known == index].mean(0) for index in classes])
    found = torch.tensor(classes)[torch.cdist((other - mean) / scale, means).argmin(1)]
    counted = torch.isin(wanted, torch.tensor(classes))
    return float((found == wanted)[counted].float().mean())
