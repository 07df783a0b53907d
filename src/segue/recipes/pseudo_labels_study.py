"""The study of recipes that label the target by bands of frequencies, views, prototypes or two paths, or use depth."""

from segue.recipes.study import Study, StudyRow

FROM_SOURCE = {"network.start": "source only"}


def _onward(label: str, base: str | None = None) -> StudyRow:
    """A recipe that goes on from the source-only model of its seed."""
    return StudyRow(label, label, needs=FROM_SOURCE, base=base)


PSEUDO_LABELS = Study(
    question="Whose labels of the target are worth learning: of bands, views, prototypes, two paths, or beside depth?",
    paper="those of the recipes",
    baseline="source only, as long",
    tables={
        "main": (
            StudyRow("source only", "source_only"),
            StudyRow("source only, as long", "source_only", needs=FROM_SOURCE),
            _onward("dacs"),
            _onward("fda_single"),
            _onward("fda", base="fda_single"),
            _onward("sac"),
            _onward("adaptsegnet"),
            StudyRow(
                "proda", "proda", needs={**FROM_SOURCE, "method.model": "adaptsegnet"}, base="adaptsegnet"
            ),
            _onward("dpl_fda"),
            _onward("dpl"),
            _onward("dpl_dual", base="dpl"),
        ),
        # Depth is learnt by a head of its own, so that nothing can be taken over from the source-only model.
        "depth, from the weights that every run starts with": (
            StudyRow("dacs, from the start", "dacs"),
            StudyRow("corda", "corda", base="dacs, from the start"),
        ),
    },
)
