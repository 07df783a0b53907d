"""Score finished runs of the street scenes on labels of another size, so that all recipes compare.

python benchmarks/at_label_size.py runs/studies/daformer_family/daformer/seed* --labels 256 512 --seen 128 256
"""

import argparse
from pathlib import Path

from segue.engine.domains import open_domain
from segue.engine.finished_run import settings_of
from segue.evaluation.model import TrainedModel
from segue.evaluation.scoring import evaluate


def score(run: Path, labels: tuple[int, int], seen: tuple[int, int]) -> float:
    """Mean IoU on pictures that are rendered at the size of the labels and shrunk to what the network sees."""
    model = TrainedModel.load(run, "cpu", resize=seen)
    experiment = settings_of(model)
    if experiment is None or experiment.data.evaluation is None:
        raise ValueError(f"{run}: not a run with labelled target pictures")
    domain = experiment.data.evaluation.model_copy(update={"size": labels, "resize": seen})
    return evaluate(model, open_domain(experiment.data, domain, labelled=True)).mean_iou


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--labels", nargs=2, type=int, default=(256, 512), help="height and width")
    parser.add_argument("--seen", nargs=2, type=int, default=(128, 256), help="height and width")
    given = parser.parse_args()
    for run in given.runs:
        print(f"{run}: {100 * score(run, tuple(given.labels), tuple(given.seen)):.1f}", flush=True)


if __name__ == "__main__":
    main()
