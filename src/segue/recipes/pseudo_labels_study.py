"""The study of recipes that label the target by bands of frequencies, views, prototypes or two paths, or use depth."""

from segue.recipes.study import FROM_SOURCE, Study, StudyRow, onward

PSEUDO_LABELS = Study(
    question="Whose labels of the target are worth learning: of bands, views, prototypes, two paths, or beside depth?",
    paper="those of the recipes",
    baseline="source only, as long",
    tables={
        "main": (
            StudyRow("source only", "source_only"),
            onward("source only, as long", "source_only"),
            onward("dacs"),
            onward("fda_single"),
            onward("fda", base="fda_single"),
            onward("sac"),
            onward("adaptsegnet"),
            StudyRow(
                "proda", "proda", needs={**FROM_SOURCE, "method.model": "adaptsegnet"}, base="adaptsegnet"
            ),
            onward("dpl_fda"),
            onward("dpl"),
            onward("dpl_dual", base="dpl"),
        ),
        # Depth is learnt by a head of its own, so that nothing can be taken over from the source-only model; SAC has a
        # first stage of its own, in which batch statistics are those of both domains.
        "from the weights that every run starts with": (
            StudyRow("dacs, from the start", "dacs"),
            StudyRow("corda", "corda", base="dacs, from the start"),
            StudyRow("sac, from the start", "sac"),
        ),
    },
)
