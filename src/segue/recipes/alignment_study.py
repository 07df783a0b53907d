"""The study of recipes that align the domains, and of those that go on from there with labels of the target."""

from segue.recipes.study import FROM_SOURCE, Study, StudyRow, onward

TWO_PREDICTIONS = StudyRow(
    "source only, two predictions",
    "source_only",
    {"network": {"head": "deeplab_v2_se", "auxiliary": 0.5}},
)
"""What MRNet's network starts from: it has another head, and learns the hardest fifth of the pixels, which from random
weights teaches nothing."""

FROM_TWO_PREDICTIONS = {"network.start": TWO_PREDICTIONS.label}


def _further(label: str, first: str) -> StudyRow:
    """A recipe of stages, whose first stage is the run of another row."""
    return StudyRow(label, label, needs={**FROM_SOURCE, "method.model": first}, base=first)


ADVERSARIAL = Study(
    question="What do entropy and discriminators bring, beside self-training?",
    paper="those of the recipes",
    baseline="source only, as long",
    tables={
        "main": (
            StudyRow("source only", "source_only"),
            onward("source only, as long", "source_only"),
            onward("minent"),
            onward("advent"),
            onward("adaptsegnet"),
            StudyRow(
                "advent + minent",
                "advent_minent",
                needs={f"method.models.{name}": name for name in ("advent", "minent")},
                base="advent",
            ),
            onward("intrada", base="advent"),
            onward("fada"),
            onward("patchalign", base="adaptsegnet"),
            onward("apoda"),
            onward("dacs"),
        ),
        "labels of the aligned": (
            onward("fada"),
            _further("fada_distilled", "fada"),
            StudyRow(
                "fada, moved logits", "undoing", {"method": {"distil": None}},
                needs={"method.model": "fada"}, base="fada",
            ),
            _further("undoing", "fada"),
            _further("undoing_refined", "fada"),
            onward("pit"),
            TWO_PREDICTIONS,
            StudyRow("mrnet", "mrnet", needs=FROM_TWO_PREDICTIONS, base=TWO_PREDICTIONS.label),
            StudyRow("rmrnet", "rmrnet", needs={"method.model": "mrnet"}, base="mrnet"),
            StudyRow(
                "mrnet, labels as they are", "rmrnet", {"method": {"rectify": False}}, 48.3,
                needs={"method.model": "mrnet"}, base="mrnet",
            ),
        ),
    },
)  # fmt: skip
