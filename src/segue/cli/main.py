"""The command ``segue``: its verbs, and errors in one line with exit code 2."""

import os
import sys
from typing import Annotated

import typer

from segue import __version__
from segue.cli.bench import bench
from segue.cli.check import check
from segue.cli.compare import compare
from segue.cli.data import data
from segue.cli.demo import demo
from segue.cli.depth import depth
from segue.cli.evaluate import evaluate
from segue.cli.export import export
from segue.cli.fuse import fuse
from segue.cli.import_ import import_
from segue.cli.label import label
from segue.cli.predict import predict
from segue.cli.recipes import recipes
from segue.cli.report import report
from segue.cli.saliency import saliency
from segue.cli.select import select
from segue.cli.study import study
from segue.cli.suggest import suggest
from segue.cli.train import train
from segue.cli.view import view

app = typer.Typer(
    help="Adapt a semantic-segmentation model from a labelled domain to an unlabelled one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS = {
    "demo": demo,
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "recipes": recipes,
    "report": report,
    "view": view,
    "select": select,
    "suggest": suggest,
    "study": study,
    "label": label,
    "depth": depth,
    "fuse": fuse,
    "saliency": saliency,
    "compare": compare,
    "bench": bench,
    "import": import_,
}
for name, verb in VERBS.items():
    app.command(name)(verb)
app.add_typer(data, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segue {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


INTERRUPTED = (130, 143)
"""The exit codes of a command that was stopped with Ctrl-C or SIGTERM."""


def main() -> None:
    """Run the command line; errors that a user can mend are told in one line, or with SEGUE_DEBUG set in full."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("SEGUE_DEBUG"):
            raise
        print(f"segue: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except SystemExit as end:
        if end.code in INTERRUPTED:
            print("segue: stopped; the same command goes on where it was", file=sys.stderr)
        raise
