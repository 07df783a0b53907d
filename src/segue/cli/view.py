"""``segue view``: a page on this machine to look at a run's target pictures, and to accept or reject them."""

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Device


def view(
    run: Annotated[Path, typer.Argument(help="A run folder; the run may still be training.", metavar="RUN")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The page's port on 127.0.0.1; 0 for any that is free.")
    ] = 7860,
    device: Device = None,
) -> None:
    """Look at a run's target pictures in a browser: before, after, teacher, confidence; accept and reject them.

    Pictures are predicted when they are looked at. Decisions are kept in the run's review.json, and
    `--set data.target.rejected=RUN` leaves the rejected ones out of another training. Only this machine can open the
    page.
    """
    from segue.viewer.server import ADDRESS, bound, require_gradio, serve

    require_gradio()
    with bound(port) as listening:
        from segue.memory import keep_memory
        from segue.viewer.session import Session

        keep_memory()
        session = Session(run, device)
        address = f"http://{ADDRESS}:{listening.getsockname()[1]}"
        typer.echo(f"{len(session.gallery.names)} target pictures: {address}  (Ctrl-C ends)")
        serve(session, listening)
