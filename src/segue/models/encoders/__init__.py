"""The encoders by name: an entry for every size of every family."""

from segue.models.encoders import drn, mit, mobilenet, plain_vit, resnet, vit
from segue.models.encoders.encoder import Variant

ENCODERS: dict[str, Variant] = {
    **mit.VARIANTS,
    **mobilenet.VARIANTS,
    **resnet.VARIANTS,
    **drn.VARIANTS,
    **vit.VARIANTS,
    **plain_vit.VARIANTS,
}
