"""Additional losses on a picture that the student has just seen: their settings by name, in the order of building.

The order also decides in which order they draw random starting weights, so new terms go to the end.
"""

from segue.methods.method import TermSettings
from segue.methods.terms.adversarial import AdversarialSettings
from segue.methods.terms.class_adversarial import ClassAdversarialSettings
from segue.methods.terms.class_confusion import ClassConfusionSettings
from segue.methods.terms.conditional_adversarial import ConditionalAdversarialSettings
from segue.methods.terms.confidence import ConfidenceSettings
from segue.methods.terms.entropy import EntropySettings
from segue.methods.terms.feature_distance import FeatureDistanceSettings
from segue.methods.terms.frozen_regularizer import FrozenRegularizerSettings
from segue.methods.terms.instance_bank import InstanceBankSettings
from segue.methods.terms.memory import MemorySettings
from segue.methods.terms.multi_scale_adversarial import MultiScaleAdversarialSettings
from segue.methods.terms.patch_alignment import PatchAlignmentSettings
from segue.methods.terms.point_perturbation import PointPerturbationSettings
from segue.methods.terms.presence import PresenceSettings

TERMS: dict[str, type[TermSettings]] = {
    "feature_distance": FeatureDistanceSettings,
    "instance_bank": InstanceBankSettings,
    "frozen_regularizer": FrozenRegularizerSettings,
    "confidence": ConfidenceSettings,
    "entropy": EntropySettings,
    "adversarial": AdversarialSettings,
    "class_adversarial": ClassAdversarialSettings,
    "patch_alignment": PatchAlignmentSettings,
    "point_perturbation": PointPerturbationSettings,
    "multi_scale_adversarial": MultiScaleAdversarialSettings,
    "memory": MemorySettings,
    "presence": PresenceSettings,
    "conditional_adversarial": ConditionalAdversarialSettings,
    "class_confusion": ClassConfusionSettings,
}
