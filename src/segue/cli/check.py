"""``segue check``: everything that would go wrong with pictures and labels, at once and before training."""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from segue.cli.train import train

if TYPE_CHECKING:
    from segue.engine.preview import Preview
    from segue.engine.settings import Experiment

OF_A_RUN = {"recipe", "out", "baseline", "cpu", "show", "steps"}
"""What ``segue train`` is asked and a check is not, or otherwise; the rest says which files a run reads, and how."""


def check(
    recipe: Annotated[
        str, typer.Argument(help="The recipe to be trained: its crops and colour changes are shown.")
    ] = "daformer",
    *,
    out: Annotated[Path, typer.Option(help="The folder for report.html and check.json.")] = Path(
        "runs/check"
    ),
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode; by default one for each core.")
    ] = None,
    assignments: list[str] | None = None,
    **domains: Any,
) -> None:
    """Check the pictures and labels of a run before it trains; exit code 1 if there are errors."""
    from segue import api
    from segue.cli.check_table import print_check
    from segue.cli.progress import counting
    from segue.engine.experiment import parse_assignments
    from segue.engine.inventory import take_inventory
    from segue.files import write_text
    from segue.machine import cores
    from segue.report.check_page import write_check_page

    wanted = api.configure(recipe, settings=parse_assignments(assignments or []), **domains)
    number = take_inventory(wanted.data, depths="named").number_of_files
    with counting("checking", number) as watch:
        account = api.check(wanted, workers=cores() if workers is None else workers, watch=watch)
    write_text(out / "check.json", json.dumps(account, indent=1) + "\n")
    preview, reason = _preview(wanted)
    shown = {} if preview is None else vars(preview)
    page = write_check_page(out / "report.html", account, preview=shown, title=wanted.data.pair)
    console = Console()
    print_check(console, account)
    if reason and not account["counts"]["error"]:  # else the findings explain it
        console.print(f"no crops are shown: {reason}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"report  {page}", highlight=False, markup=False, soft_wrap=True)
    if account["counts"]["error"]:
        raise typer.Exit(1)


def _preview(wanted: "Experiment") -> "tuple[Preview | None, str]":
    """Crops, or None and why there are none."""
    from segue.engine.preview import draw_preview

    try:
        return draw_preview(wanted), ""
    except (ValueError, OSError) as error:
        return None, str(error)


def _with_options_of_train() -> inspect.Signature:
    """The verb's own options, and those of ``segue train`` that say which files are read, whatever they are."""
    own = inspect.signature(check).parameters.values()
    taken = inspect.signature(train).parameters.values()
    shared = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in taken if option.name not in OF_A_RUN
    ]
    names = {option.name for option in shared}
    kept = [option for option in own if option.name not in names and option.kind is not option.VAR_KEYWORD]
    return inspect.Signature([kept[0], *shared, *kept[1:]])


check.__signature__ = _with_options_of_train()  # pyright: ignore[reportFunctionMemberAccess]
