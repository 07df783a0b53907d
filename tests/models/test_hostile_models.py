"""Model folders that are wrong in any field or number are refused in one line, and never open with a traceback.

Every field of a card gets values of every other kind; weights are not finite, all zero, or whole numbers. A refusal to
run a pickle never advises to run it.
"""

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.junk import JUNK, places

from segue.models.build import build_segmenter
from segue.models.tensor_files import read_state
from segue.models.weights import Card, load_encoder, load_model, load_start, save_model
from segue.protocol import PredictionProtocol

NETWORK = {"encoder": "mit_nano", "head": "segformer", "num_classes": 2, "channels": 8}
JUNK_IN_CARDS = [*JUNK, 0, "", ["a", 1]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    card = Card(
        ["road", "car"], [[1, 2, 3], [4, 5, 6]], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0], NETWORK,
        PredictionProtocol((32, 64)), "source_only", 3,
    )  # fmt: skip
    save_model(tmp_path, build_segmenter(**NETWORK), card)
    return tmp_path


@pytest.mark.slow
def test_junk_in_any_field_of_a_card_is_one_line_or_harmless(saved: Path) -> None:
    path = saved / "card.json"
    text = path.read_text()
    refused = 0
    for place in places(json.loads(text)):
        for junk in JUNK_IN_CARDS:
            card = json.loads(text)
            around = card
            for key in place[:-1]:
                around = around[key]
            around[place[-1]] = junk
            path.write_text(json.dumps(card))
            try:
                load_model(saved)
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and str(saved) in str(error), (place, junk)
    assert refused > 150


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"std": [1.0, 0.0, 1.0]}, "each is above 0"),
        ({"mean": [float("nan")] * 3}, "not three numbers"),
        ({"classes": ["road"], "colours": [[1, 2, 3]]}, "the network has 2"),
        ({"colours": [[1, 2, 3]]}, "for each class"),
        ({"network": {**NETWORK, "channels": 10**9}}, "cannot be built"),
    ],
)
def test_cards_whose_values_would_spoil_every_prediction(saved: Path, change: Any, message: str) -> None:
    card = json.loads((saved / "card.json").read_text())
    (saved / "card.json").write_text(json.dumps(card | change))
    with pytest.raises(ValueError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda value: torch.full_like(value, torch.nan), "not finite"),
        (torch.zeros_like, "all of its weights are zero"),
        (lambda value: value.round().long(), "whole numbers"),
    ],
)
def test_weights_that_are_not_finite_zero_or_whole_numbers(saved: Path, spoilt: Any, message: str) -> None:
    path = saved / "model.safetensors"
    state = load_file(path)
    save_file(
        {name: spoilt(value) if value.is_floating_point() else value for name, value in state.items()}, path
    )
    network = build_segmenter(**NETWORK)
    for opened in (lambda: load_model(saved), lambda: load_start(network, saved, ["road", "car"])):
        with pytest.raises(ValueError, match=message):
            opened()
    encoder = {name: spoilt(value) for name, value in network.encoder.pretrained.state_dict().items()}
    save_file(encoder, saved / "encoder.safetensors")
    with pytest.raises(ValueError, match=message):
        load_encoder(network.encoder, saved / "encoder.safetensors")


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"a": Counter("ab")}, protocol=4),
        b"\x80\x02\x82\x01.",
        b"\x80\x02Pabc\n.",
        b"(ios\nsystem\n.",
    ],
)
def test_no_refusal_of_a_pickle_advises_to_run_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.pth: ") as refused:
        read_state(tmp_path / "x.pth")
    assert "weights_only" not in str(refused.value) and "trusted" not in str(refused.value)
