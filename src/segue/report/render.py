"""What all pages share: templates, filters and style, all in one file that loads nothing from the network."""

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from segue.report import formatting


def render_page(template: str, *, title: str, **content: Any) -> str:
    """One self-contained page as text; ``content`` is what the template shows."""
    loader = PackageLoader("segue.report", "template")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in ("percent", "points", "duration", "count", "listed"):
        environment.filters[name] = getattr(formatting, name)
    style, script, mark = (
        Markup(loader.get_source(environment, name)[0].strip())
        for name in ("style.css", "script.js", "mark.svg")
    )
    return environment.get_template(template).render(
        title=title,
        style=style,
        script=script,
        # The page's security policy allows only this script, whatever a run's name contains.
        script_hash=_base64(hashlib.sha256(script.encode()).digest()),
        mark=mark,
        icon=_base64(mark.encode()),
        **content,
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
