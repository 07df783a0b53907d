"""The page is one file that loads nothing, escapes everything, and is whole for every kind of run."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from segue.report.page import write_report

VOID = {"meta", "link", "img", "input", "br", "wbr", "path", "circle", "line"}


class Page(HTMLParser):
    """Every tag with its attributes, and whether all elements are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        if tag not in VOID:
            # `li`, `p`, `td` and the like are always closed in our templates, so nesting must be exact.
            assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check(out: Path) -> Page:
    """What holds for every page."""
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    namespaces = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http://" not in namespaces and "https://" not in namespaces and "@import" not in text
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            if value is not None:
                assert value.startswith("data:image/" if tag in {"img", "link"} else "#"), (tag, name, value)
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    assert all(image.get("src") and image.get("alt") for image in page.all("img"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a")]
    assert all(link is not None and link[1:] in ids for link in links)
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert out.stat().st_size < 6_000_000
    return page


@pytest.fixture
def three(make_run) -> list[Path]:
    return [
        make_run("source_only", 0.4, recipe="source_only", losses=("source/segmentation",)),
        make_run("daformer", 0.6),
        make_run("oracle", 0.8, recipe="source_only"),
    ]


def test_three_runs(three: list[Path], tmp_path: Path) -> None:
    names = ["source-only", "adapted", "oracle"]
    out = write_report(tmp_path / "new" / "r.html", three, title="Streets", names=names, seconds=431.2)
    page = check(out)
    assert "Adaptation helped." in page.text and "7 min 11 s" in page.text
    assert re.search(r"closed \d+\.\d% of the gap", page.text)
    assert "Differences are from source-only" in page.text
    assert "n/a" in page.text and "Whole configuration of adapted" in page.text
    assert "crop:" in page.text and "2.13.0" in page.text
    assert len(page.all("img")) == 2 * 5 + 3 * (2 + 2)
    assert not list(out.parent.glob(".*"))


def test_one_run(make_run, tmp_path: Path) -> None:
    page = check(write_report(tmp_path / "r.html", [make_run("daformer")], title="One"))
    assert "Nothing to compare it with." in page.text and "the same model on the source 82.0" in page.text
    assert "How target predictions developed" in page.text and "after 3 steps" in page.text


def test_a_run_without_labels_is_reported_all_the_same(make_run, tmp_path: Path) -> None:
    page = check(
        write_report(tmp_path / "r.html", [make_run("blind", scores=False, pictures=0)], title="Blind")
    )
    assert "No verdict yet." in page.text and "Losses" in page.text and "Class by class" not in page.text


def test_a_killed_run(make_run, three: list[Path], tmp_path: Path) -> None:
    killed = make_run("killed", scores=False)
    (killed / "metrics.jsonl").write_text((killed / "metrics.jsonl").read_text()[:900])
    page = check(write_report(tmp_path / "r.html", [three[0], killed], title="Killed"))
    assert "killed stopped, or is still training" in page.text and "unreadable lines" in page.text
    assert "no score for killed" in page.text


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    page = check(write_report(tmp_path / "r.html", [tmp_path / "run"], title="Nothing"))
    assert "no configuration and no log yet" in page.text


def test_hostile_names_are_shown_not_run(make_run, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'--><img src=x onerror=alert(2)>"
    folder = make_run("evil", classes=(evil, "road", "train"))
    index = folder / "pictures/evaluation/index.json"
    listed = json.loads(index.read_text())
    listed[0]["name"] = evil
    index.write_text(json.dumps(listed))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 0, f"{evil}/x": 1.0}))
    (folder / "experiment.yaml").write_text(json.dumps({"recipe": evil, evil: {"x": evil}}))
    page = check(write_report(tmp_path / "r.html", [folder, folder], title=evil, names=[evil, "b"]))
    assert len(page.all("script")) == 1
    assert evil in page.text
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


def test_only_our_script_may_run(make_run, tmp_path: Path) -> None:
    text = write_report(tmp_path / "r.html", [make_run("daformer")], title="t").read_text()
    script = text.partition("<script>")[2].partition("</script>")[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text and "default-src 'none'" in text


def test_same_folders_same_bytes(make_run, tmp_path: Path) -> None:
    run = make_run("daformer", losses=())
    first, second = (write_report(tmp_path / name, [run], title="t") for name in ("a.html", "b.html"))
    assert first.read_bytes() == second.read_bytes()


def test_a_corrupt_run_leaves_the_old_page(make_run, tmp_path: Path) -> None:
    folder = make_run("daformer")
    out = write_report(tmp_path / "r.html", [folder], title="t")
    before = out.read_bytes()
    (folder / "scores.json").write_text("{")
    with pytest.raises(ValueError, match=r"scores\.json"):
        write_report(out, [folder], title="t")
    assert out.read_bytes() == before
