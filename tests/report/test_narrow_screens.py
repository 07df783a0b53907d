"""On a screen of 400 pixels nothing of a report is cut or has to be scrolled for: a browser lays it out and measures.

Chromium makes no window narrower than 500 pixels, so the page is shown in a frame of 400. Without Chromium this is
left out.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from segue.report.page import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
MEASURE = """<script>
const found = [], width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) found.push("page");
for (const part of document.querySelectorAll("main *"))
  if (part.getClientRects().length && !part.closest("pre, .hush, thead, svg")
      && part.getBoundingClientRect().right > width + 1)
    found.push(part.tagName + " " + part.textContent.trim().slice(0, 40));
const seen = [...document.querySelectorAll("td .gain, td .loss")].filter(part => part.getClientRects().length);
parent.postMessage(JSON.stringify([seen.length, found]), "*");
</script></body>"""
FRAME = """<!doctype html><body><script>
addEventListener("message", event => {
  document.body.append(Object.assign(document.createElement("p"), {textContent: event.data}));
});
</script><iframe src="page.html" style="width:400px;height:9000px"></iframe></body>"""


def cut(report: Path) -> tuple[int, str]:
    """How many differences are in sight, and what lies beyond the right edge of a screen of 400 pixels."""
    assert BROWSER is not None
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text(encoding="utf-8"))
    folder = report.parent / "shown"
    folder.mkdir()
    (folder / "page.html").write_text(text.replace("</body>", MEASURE), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME, encoding="utf-8")
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'browser'}",
    ]
    address = (folder / "frame.html").as_uri()
    shown = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", address],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    measured = re.search(r"<p>\[(\d+),(.*?)\]</p>", shown.stdout, re.S)
    assert measured is not None, shown.stdout
    return int(measured[1]), measured[2]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("number", [2, 5])
def test_every_difference_is_in_sight(make_run, tmp_path: Path, number: int) -> None:
    """Of two runs and of five with long names, whose settings differ by long values."""
    runs = [make_run("source_only", 0.4, recipe="source_only")]
    runs += [make_run(f"daformer_with_a_long_name_{i}", 0.5 + 0.05 * i) for i in range(1, number)]
    for run in runs:
        settings = yaml.safe_load((run / "experiment.yaml").read_text())
        settings["network"]["weights"] = f"/somewhere/far/away/{run.name}/model.safetensors"
        (run / "experiment.yaml").write_text(yaml.safe_dump(settings))
    seen, beyond = cut(write_report(tmp_path / "report.html", runs, title="Runs"))
    assert beyond == "[]"
    # Seven classes have an IoU; the mean is the eighth line.
    assert seen == 8 * (number - 1)
