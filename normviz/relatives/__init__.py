"""Relatives of the four normalizers that need more than one block, each with its gradient.

A row of METHODS is a block, a statistic and one affine map. The relatives need more: a threshold (FRN), a mixture of
three statistics (switchable), an affine map chosen by a style or taken from an image, and weights on their own.
They consist of the passes of `normalize`, `gradient` and `statistics`, and are as accurate. The result is the same kind
of array as the input, in its dtype; gradients with respect to parameters are float64 NumPy arrays.
"""

from normviz.relatives.response import FRNGradients, frn, frn_gradient
from normviz.relatives.styles import (
    AdaINGradients,
    adain,
    adain_gradient,
    conditional_instance,
    conditional_instance_gradient,
)
from normviz.relatives.switchable import SwitchableGradients, switchable, switchable_gradient
from normviz.relatives.weights import (
    WeightNormGradients,
    weight_norm,
    weight_norm_gradient,
    weight_standardization,
    weight_standardization_gradient,
)

__all__ = [
    "AdaINGradients",
    "FRNGradients",
    "SwitchableGradients",
    "WeightNormGradients",
    "adain",
    "adain_gradient",
    "conditional_instance",
    "conditional_instance_gradient",
    "frn",
    "frn_gradient",
    "switchable",
    "switchable_gradient",
    "weight_norm",
    "weight_norm_gradient",
    "weight_standardization",
    "weight_standardization_gradient",
]
