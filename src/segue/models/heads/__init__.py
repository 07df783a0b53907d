"""The heads by name."""

from segue.models.heads.bottleneck import BottleneckHead
from segue.models.heads.daformer import DaformerHead
from segue.models.heads.deeplab import DeepLabV2Head, DeepLabV3PlusHead
from segue.models.heads.deeplab_se import DeepLabSeHead
from segue.models.heads.head import Head
from segue.models.heads.segformer import SegformerHead
from segue.models.heads.tasks import DeepLabTaskHead, SegformerTaskHead

HEADS: dict[str, type[Head]] = {
    "daformer": DaformerHead,
    "segformer": SegformerHead,
    "deeplab_v2": DeepLabV2Head,
    "deeplab_v3plus": DeepLabV3PlusHead,
    "deeplab_v2_se": DeepLabSeHead,
    "deeplab_tasks": DeepLabTaskHead,
    "segformer_tasks": SegformerTaskHead,
    "bottleneck": BottleneckHead,
}
