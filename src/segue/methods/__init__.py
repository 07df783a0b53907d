"""Adaptation methods, which turn a batch into views to train on: their settings by name."""

from segue.methods.aligned import AlignedSettings
from segue.methods.average import AverageSettings
from segue.methods.intra_domain import IntraDomainSettings
from segue.methods.masked_alignment import MaskedAlignmentSettings
from segue.methods.method import MethodSettings
from segue.methods.offline import OfflineSettings
from segue.methods.self_training import SelfTrainingSettings
from segue.methods.soft_ensemble import EnsembleDistillationSettings
from segue.methods.source_only import SourceOnlySettings

METHODS: dict[str, type[MethodSettings]] = {
    "source_only": SourceOnlySettings,
    "self_training": SelfTrainingSettings,
    "aligned": AlignedSettings,
    "intra_domain": IntraDomainSettings,
    "average": AverageSettings,
    "offline": OfflineSettings,
    "ensemble_distillation": EnsembleDistillationSettings,
    "masked_alignment": MaskedAlignmentSettings,
}
