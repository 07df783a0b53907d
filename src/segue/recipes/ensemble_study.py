"""The study of the ensemble poster: its own four members, and ways to make one student of them."""

from segue.recipes.alignment_study import FROM_TWO_PREDICTIONS, TWO_PREDICTIONS
from segue.recipes.study import FROM_SOURCE, Study, StudyRow, onward

MEMBERS = ("rmrnet", "dacs", "crst", "cbst")
"""R-MRNet, DACS, MRKLD and CBST, the poster's members on GTA5 to Cityscapes."""


def _fused(label: str, published: float | None = None, *more: str, **changes: object) -> StudyRow:
    """A student of the members' fused labels; ``more`` are labels of further members."""
    members = {f"method.ensemble.members.{name.replace(' ', '_')}": name for name in (*MEMBERS, *more)}
    return StudyRow(
        label, "ensemble", {"method": {"ensemble": changes}}, published, {**FROM_SOURCE, **members}
    )


def _distilled(label: str, published: float) -> StudyRow:
    members = {f"method.members.{name}": name for name in MEMBERS}
    return StudyRow(label, label, published=published, needs={**FROM_SOURCE, **members})


CHANNEL = _fused("channel", 57.98, kind="channel")

ENSEMBLE = Study(
    question="What is an ensemble worth, fused class by class, pixel by pixel, or on the mean?",
    paper="ensemble distillation",
    baseline="source only",
    tables={
        "members": (
            StudyRow("source only", "source_only", published=34.8),
            TWO_PREDICTIONS,
            StudyRow("rmrnet", "rmrnet", published=50.3, needs=FROM_TWO_PREDICTIONS),
            onward("dacs", published=52.14),
            onward("crst", published=47.1),
            onward("cbst", published=45.9),
        ),
        "one student of the four": (
            CHANNEL,
            _fused("pixel", 53.26, kind="pixel"),
            _fused("average", kind="average"),
            _distilled("end", 51.34),
            _distilled("end2", 51.96),
        ),
        "with the source-only model as a fifth": (
            _fused("channel of five", None, "source only", kind="channel"),
            _fused("pixel of five", None, "source only", kind="pixel"),
            _fused("average of five", None, "source only", kind="average"),
        ),
        "who is believed": (
            CHANNEL,
            _fused("random policy", kind="channel", policy="random"),
        ),
    },
    note=(
        "The follow-up code's page has, for students of six DeepLab ensembles, channel / majority 57.94 / 57.65,"
        " 55.12 / 54.75, 54.74 / 54.95, 52.96 / 52.76, 54.35 / 55.25 and 51.35 / 50.98: equal on the mean"
        " (54.41 / 54.39)"
    ),
)
