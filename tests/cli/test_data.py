"""Proves that ``segue data make-sample`` writes what a pair's recipes open, and refuses what it cannot make."""

import sys
from pathlib import Path

import pytest

from segue.cli.main import main
from segue.data.dataset import Dataset
from segue.engine.domains import open_domain
from segue.recipes.catalogue import experiment
from segue.recipes.cityscapes_pairs import CITYSCAPES_PAIRS


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["segue", "data", "make-sample", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("pair", list(CITYSCAPES_PAIRS))
def test_a_pair_opens_its_sample(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    assert run(monkeypatch, pair, folder, "--pictures", "1", "--size", "16x32") == 0
    assert f"segue train RECIPE --pair {pair} --set data.root={folder}" in capsys.readouterr().out
    data = experiment("daformer", CITYSCAPES_PAIRS[pair], {"data": {"root": str(folder)}}).data
    assert data.evaluation is not None
    domains: list[Dataset] = [
        open_domain(data, data.source, labelled=True),
        open_domain(data, data.target, labelled=False),
        open_domain(data, data.evaluation, labelled=True),
    ]
    for domain in domains:
        domain.check()
    assert domains[0].image(0).shape == (3, 16, 32)


def test_one_data_set_gets_all_of_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "camvid", tmp_path / "camvid", "--pictures", "2") == 0
    folders = sorted(path.name for path in (tmp_path / "camvid").iterdir())
    assert folders == ["test", "testannot", "train", "trainannot", "val", "valannot"]
    assert len(list((tmp_path / "camvid").rglob("*.png"))) == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["citysacpes", "made"], "unknown data set or pair 'citysacpes'; did you mean 'cityscapes'?"),
        (["street_scenes", "made"], "unknown data set or pair 'street_scenes'"),
        (["gta5", "made", "--size", "128"], "--size '128': write it as HEIGHTxWIDTH, as in 128x256"),
        (["gta5", "made", "--size", "8x8"], "size 8x8 of the street scenes is too small"),
        (["gta5", "."], "it holds something already; name a new folder"),
    ],
)
def test_what_cannot_be_made(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and sorted(tmp_path.iterdir()) == [tmp_path / "inside"]
