"""The campaign asks every bed for the rows that its network can have, goes on after a failure, and keeps records."""

import os
import re
import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from segue.cli.study import _rows
from segue.engine.build import build_student
from segue.engine.experiment import revise
from segue.engine.settings import Experiment
from segue.methods.self_training import SelfTrainingSettings
from segue.methods.teachers.blocks import exchangeable
from segue.models.encoders.encoder import Encoder
from segue.models.segmenter import Segmenter
from segue.recipes import studies
from segue.study.variants import Bed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the script reads, with data and weights; runs are made in "here"."""
    for part in ("benchmarks", "configs"):
        shutil.copytree(ROOT / part, tmp_path / "a copy" / part, ignore=shutil.ignore_patterns("studies"))
    for folder in ("data/camvid", "data/carla", "weights", "here"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("mobilenet_v2", "vit_tiny_patch16"):
        (tmp_path / "weights" / f"{name}_imagenet.safetensors").touch()
    return tmp_path


def campaign(repository: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(repository / "a copy/benchmarks/campaign.sh"), "../data", "../weights", *words]
    return subprocess.run(
        command, cwd=repository / "here", env=os.environ | environment, capture_output=True, text=True
    )


def network(wanted: Experiment) -> Segmenter:
    """An experiment's network with random weights."""
    return build_student(revise(wanted, {"network": {"weights": None, "start": None}}))


@pytest.mark.slow
def test_every_row_that_is_asked_for_fits_its_network(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the printed commands alone: hybrid attention where there is attention, distillation into fewer blocks."""
    done = campaign(repository, "--dry-run", "--seeds", "4", "--street-steps", "70", "--jobs", "3")
    assert done.returncode == 0, done.stderr
    assert not list((repository / "here").iterdir()), "a dry run writes nothing"
    monkeypatch.chdir(repository / "here")
    Path("runs/campaign").mkdir(parents=True)
    printed = re.findall(r"cat > (\S+) <<'END'\n(.*?)\nEND\n", done.stdout, re.DOTALL)
    for name, text in printed:
        Path(name).write_text(text)
    commands = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("segue study")]
    asked: dict[str, dict[str, Experiment]] = {}
    for words in commands:
        said = dict(pairwise(words))
        assert said["--seeds"] == "4" and said["--jobs"] == "3" and words[2] == "campaign"
        only = [word for flag, word in pairwise(words) if flag == "--only"]
        steps = int(said["--steps"]) if "--steps" in said else None
        bed = Bed(said["--pair"], Path(said["--out"]), steps)
        rows = _rows(studies.STUDIES["campaign"], only or None)
        asked[bed.folder.name] = {label: bed.experiment(row, 4) for label, row in rows.items()}
    assert list(asked) == ["dusk", "dusk_vit", "carla", "streets"] and len(printed) == 3
    for bed, rows in asked.items():
        has_attention = type(network(rows["source only"]).encoder).together is not Encoder.together
        for label, wanted in rows.items():
            is_hybrid = isinstance(wanted.method, SelfTrainingSettings) and wanted.method.pair is not None
            assert has_attention or not (is_hybrid or "large" in label), (bed, label)
        assert has_attention == ("stct_mha" in rows) == ("clda" in rows) == (bed in ("dusk_vit", "streets"))
        if has_attention:
            large, small = (network(rows[label]) for label in ("large teacher", "clda"))
            blocks = [sum(map(len, one.encoder.layers)) for one in (large, small)]
            assert blocks[0] > blocks[1]
            exchangeable(large, small, [name for stage in large.encoder.layers for name in stage])
            assert {rows[label].network.encoder for label in ("source only, distilled", "kd", "clda")} == {
                rows["small student alone"].network.encoder
            }
    assert asked["streets"]["daformer"].steps == 70 and asked["dusk"]["daformer"].steps == 2400
    assert asked["dusk_vit"]["ssr"].terms.frozen_regularizer.encoder == "vit_tiny"
    assert asked["dusk"]["dacs"].terms.frozen_regularizer is None


def test_without_a_gpu_there_is_a_run_a_core(repository: Path) -> None:
    done = campaign(repository, "-n", "--cpu", "--bed", "streets")
    cores = subprocess.run(["nproc"], capture_output=True, text=True).stdout.strip()
    assert f"--jobs {cores} --cpu" in done.stdout


def test_there_are_four_runs_a_gpu(repository: Path) -> None:
    tool = repository / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'GPU 0: one'\necho 'GPU 1: another'\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    assert "--jobs 8" in campaign(repository, "-n", "--bed", "streets", PATH=path).stdout
    assert "--jobs 8" not in campaign(repository, "-n", "--bed", "streets", "--cpu", PATH=path).stdout


def test_a_bed_that_fails_stops_no_other_and_records_are_kept(repository: Path) -> None:
    pretended = repository / "bin" / "segue"
    pretended.parent.mkdir()
    pretended.write_text(
        "#!/bin/bash\n"
        'while [ "$1" != --out ]; do shift; done\n'
        'mkdir -p "$2" && echo "{}" > "$2/study.json"\n'
        'case $2 in *carla) echo "no such picture" >&2; exit 1;; esac\n'
    )
    pretended.chmod(0o755)
    beds = ("--bed", "carla", "--bed", "dusk")
    done = campaign(repository, *beds, SEGUE=str(pretended), PYTHON="echo")
    assert done.returncode == 2 and "not every row of carla was finished" in done.stderr
    kept = sorted(path.name for path in (repository / "a copy/benchmarks/studies").iterdir())
    assert kept == ["campaign_carla.json", "campaign_dusk.json"]
    assert "benchmarks/results.py" in done.stdout
    assert (repository / "here/runs/campaign/carla_to_camvid.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bed", "mars"), "--bed mars: there are dusk"),
        (("--out", "/somewhere"), "a relative folder"),
        (("--job", "2"), "unknown option --job"),
        (("--jobs",), "--jobs needs a value"),
        (("third",), "give two folders"),
    ],
)
def test_bad_words_are_refused(repository: Path, words: tuple[str, ...], said: str) -> None:
    done = campaign(repository, *words, SEGUE="false")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_what_is_missing_is_said_at_once(repository: Path) -> None:
    (repository / "data/carla").rmdir()
    done = campaign(repository, SEGUE="false")
    assert (
        done.returncode == 2
        and "bed carla needs" in done.stderr
        and "carla, which is not there" in done.stderr
    )
    assert not list((repository / "here").iterdir())
