"""A network with moved logits is saved and loaded, also around several networks, and keeps its features."""

from pathlib import Path

import torch
from tests.tiny import tiny, write_model

from segue.models.adjusted import Adjusted, adjusted
from segue.models.averaged import MEMBERS, Averaged, build_network
from segue.models.weights import load_model, save_model

SHIFT = [0.5 * place - 2 for place in range(12)]


def test_it_is_saved_with_what_is_added(tmp_path: Path) -> None:
    write_model(tiny("source_only"), tmp_path / "plain")
    network, card = load_model(tmp_path / "plain")
    content = {**card.to_json(), "prediction": card.prediction, "network": adjusted(card.network, classes=12)}
    save_model(tmp_path / "moved", Adjusted(network, SHIFT), type(card)(**content))
    loaded, _ = load_model(tmp_path / "moved")
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before, after = network(image), loaded(image)
        assert torch.allclose(after.logits, before.logits + torch.tensor(SHIFT)[:, None, None])
        assert torch.equal(after.embedding, before.embedding) and len(after.features) == 4
        names = [name for name, _ in loaded.without_each_layer(image)]
        assert names == [name for name, _ in network.without_each_layer(image)]


def test_several_networks_are_moved_together() -> None:
    one = {"encoder": "mit_nano", "head": "segformer", "channels": 8, "num_classes": 3}
    network = build_network(adjusted({MEMBERS: [one, one]}, classes=3))
    assert isinstance(network, Adjusted) and isinstance(network.network, Averaged)
    assert network.eval()(torch.rand(1, 3, 64, 64)).logits.shape == (1, 3, 64, 64)
