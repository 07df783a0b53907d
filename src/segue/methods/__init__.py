"""Adaptation methods, which turn a batch into views to train on: their settings by name."""

from segue.methods.aligned import AlignedSettings
from segue.methods.average import ModelAverageSettings
from segue.methods.distillation import DistillationSettings
from segue.methods.dual_path import DualPathSettings, PathSettings
from segue.methods.intra_domain import IntraDomainSettings
from segue.methods.label_shift import LabelShiftSettings
from segue.methods.masked_alignment import MaskedAlignmentSettings
from segue.methods.method import MethodSettings
from segue.methods.offline import OfflineSettings
from segue.methods.pivot import PivotSettings
from segue.methods.prototypes import PrototypeSettings
from segue.methods.rectified import RectifiedSettings
from segue.methods.refinement import RefinementSettings
from segue.methods.self_training import SelfTrainingSettings
from segue.methods.several_views import SeveralViewsSettings
from segue.methods.soft_ensemble import EnsembleDistillationSettings
from segue.methods.source_only import SourceOnlySettings
from segue.methods.spectral import SpectralSettings
from segue.methods.translation import TranslationSettings

METHODS: dict[str, type[MethodSettings]] = {
    "source_only": SourceOnlySettings,
    "self_training": SelfTrainingSettings,
    "aligned": AlignedSettings,
    "intra_domain": IntraDomainSettings,
    "average": ModelAverageSettings,
    "rectified": RectifiedSettings,
    "label_shift": LabelShiftSettings,
    "pivot": PivotSettings,
    "classifier_refinement": RefinementSettings,
    "spectral": SpectralSettings,
    "several_views": SeveralViewsSettings,
    "prototypes": PrototypeSettings,
    "distillation": DistillationSettings,
    "offline": OfflineSettings,
    "ensemble_distillation": EnsembleDistillationSettings,
    "masked_alignment": MaskedAlignmentSettings,
    "dual_path": DualPathSettings,
    "path": PathSettings,
    "translation": TranslationSettings,
}
