"""``segue export``: a trained model for other runtimes, compared with the original, with a page that describes it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from segue.cli.options import ModelPath

if TYPE_CHECKING:
    from segue.evaluation.model import TrainedModel
    from segue.export.agreement import Agreement


def export(
    model: ModelPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default export/ in the model's folder.")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Export the run's teacher instead of its student.")
    ] = False,
) -> None:
    """Write a model as ONNX, for batches and pictures of any size, and compare it with the original in onnxruntime.

    model.onnx takes normalised pictures (B,3,H,W) and returns logits (B,K,H,W); model.json beside it has classes, mean
    and std. A SegFormer is also written as a folder for the transformers library. README.md describes the model: its
    classes, data, protocol, scores and licences. The exit code is 1 if one of them does not predict the same.
    """
    from segue import api
    from segue.evaluation.onnx_model import require_runtime
    from segue.export.agreement import compare_with
    from segue.export.model_page import model_page
    from segue.export.onnx_file import write_onnx
    from segue.export.transformers_folder import is_segformer
    from segue.files import write_text
    from segue.memory import keep_memory

    require_runtime()
    keep_memory()
    console = Console(soft_wrap=True)
    trained = api.load(model, "cpu", teacher=teacher)
    folder = model / "export" if out is None else out
    write_onnx(trained, folder / "model.onnx")
    console.print(f"model   {folder / 'model.onnx'}", highlight=False, markup=False)
    found = {"onnxruntime": list(compare_with(trained, folder / "model.onnx"))}
    if is_segformer(trained):
        found |= _transformers(trained, folder / "transformers", console)
    holds = [_holds(name, agreements, console) for name, agreements in found.items()]
    write_text(folder / "README.md", model_page(trained, found))
    console.print(f"page    {folder / 'README.md'}", highlight=False, markup=False)
    if not all(holds):
        raise typer.Exit(1)


def _transformers(model: "TrainedModel", folder: Path, console: Console) -> "dict[str, list[Agreement]]":
    """Write a SegFormer's folder for the transformers library, and compare it if the library is there."""
    from segue.export.agreement import agreements
    from segue.export.transformers_folder import transformers_predictor, write_transformers

    write_transformers(model, folder)
    console.print(f"folder  {folder}", highlight=False, markup=False)
    if find_spec("transformers") is None:
        console.print("not compared in transformers, which is not installed")
        return {}
    return {"transformers": list(agreements(model, transformers_predictor(folder)))}


def _holds(name: str, found: "Sequence[Agreement]", console: Console) -> bool:
    """Whether all comparisons hold, which are printed."""
    from segue.cli.tables import PlainTable

    rows = [
        [
            "x".join(map(str, one.shape)),
            f"{one.largest:.1e}",
            f"{one.mean:.1e}",
            f"{100 * one.same:.3f}",
            "" if one.holds else "differs",
        ]
        for one in found
    ]
    headings = ["pictures", "largest difference", "mean", "same class %", ""]
    console.print(PlainTable(f"probabilities in {name} and here", headings, rows))
    holds = all(one.holds for one in found)
    if not holds:
        console.print(f"{name} does not predict what the model predicts: do not use what was written")
    return holds
