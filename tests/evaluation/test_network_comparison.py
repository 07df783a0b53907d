"""Layers of networks that see pictures at different sizes are compared at the same places."""

import torch
import torch.nn.functional as F

from segue.evaluation.network_comparison import alignment, cells_of, layer_outputs
from segue.models.build import build_segmenter


def test_a_network_is_like_itself_at_another_size() -> None:
    torch.manual_seed(0)
    network = build_segmenter("mit_nano", "segformer", num_classes=4, channels=8, dropout=0.0, drop_path=0.0)
    smooth = F.interpolate(torch.randn(6, 3, 8, 16), (128, 256), mode="bicubic")
    pictures = [picture[None] for picture in smooth]
    grid = cells_of((128, 256))
    assert grid == (4, 8) and cells_of((10, 40)) == (1, 1)
    small = layer_outputs(network, [(picture, grid) for picture in pictures])
    enlarged = [F.interpolate(picture, (256, 512), mode="bilinear") for picture in pictures]
    large = layer_outputs(network, [(picture, grid) for picture in enlarged])
    same = alignment(small, large).diagonal()
    # Other cells of the same pictures: what a comparison at different places would find.
    elsewhere = layer_outputs(network, [(picture, grid) for picture in pictures], seed=1)
    other = alignment(small, elsewhere).diagonal()
    assert (same > 0.5).all() and (other < 0.5).all()
    assert all(len(value) == 6 * 16 for value in small.values())
