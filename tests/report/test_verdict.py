"""The verdict says what the scores say, and nothing where there is nothing to compare."""

import pytest

from segue.report.roles import assign_roles
from segue.report.run_folder import RunFolder
from segue.report.verdict import judge

BEFORE = {"road": 0.8, "car": 0.4, "train": None}


@pytest.mark.parametrize(
    ("car", "tone", "headline", "distance"),
    [
        (0.6, "gain", "Adaptation helped.", "10.0 points above"),
        (0.41, "even", "Adaptation did not help.", "0.5 points above"),
        (0.39, "even", "Adaptation did not help.", "0.5 points below"),
        (0.3, "loss", "Adaptation hurt.", "5.0 points below"),
    ],
)
def test_verdict_against_source_only(pair, car: float, tone: str, headline: str, distance: str) -> None:
    verdict = judge(pair(BEFORE, BEFORE | {"car": car}))
    assert (verdict.tone, verdict.headline) == (tone, headline)
    assert distance in verdict.sentences[0]


def test_verdict_names_numbers_and_classes(pair) -> None:
    said = " ".join(judge(pair(BEFORE, BEFORE | {"car": 0.6, "road": 0.7})).sentences)
    assert "65.0% mean IoU" in said and "first (60.0%)" in said
    assert "1 of 2 classes gained" in said and "car (+20.0)" in said and "road (\N{MINUS SIGN}10.0)" in said


def test_without_a_source_only_run_the_page_does_not_speak_of_adaptation(pair) -> None:
    verdict = judge(pair(BEFORE, BEFORE | {"car": 0.6}, recipe="dacs"))
    assert verdict.headline == "second is ahead of first."


def test_one_run_gets_no_verdict_but_its_gap_to_the_source(make_run) -> None:
    verdict = judge(assign_roles([RunFolder(make_run("daformer"))]))
    assert verdict.tone is None
    assert "82.0%" in " ".join(verdict.sentences) and "source-only run" in verdict.sentences[-1]


def test_a_missing_score_is_said(make_run) -> None:
    runs = assign_roles([RunFolder(make_run("source_only")), RunFolder(make_run("daformer", scores=False))])
    verdict = judge(runs)
    assert verdict.tone is None and "no score for daformer" in verdict.sentences[0]
