"""Networks of timm and torchvision as their code builds them, without weights, in their smallest sizes."""

import warnings
from functools import cache, partial

import torch

SIZE = 64
TIMM = """
    test_resnet test_efficientnet test_efficientnet_gn test_efficientnet_ln test_efficientnet_evos test_byobnet
    test_convnext test_convnext2 test_convnext3 test_mambaout test_nfnet test_vit test_vit2 test_vit3 test_vit4
    resnetv2_50d_gn repvgg_a0 convnextv2_atto mobilenetv3_small_050 regnetx_002 nf_regnet_b0 levit_128s
    edgenext_xx_small mixer_s32_224 resmlp_12_224 xcit_nano_12_p16_224 poolformer_s12 cs3darknet_s ese_vovnet19b_slim
    ghostnet_100 lcnet_035 pvt_v2_b0
""".split()
NO_NORMS = {"test_nfnet", "nf_regnet_b0", "resmlp_12_224", "squeezenet1_1"}


@cache
def _torchvision():
    """Return torchvision, and the operators that stand in for its own."""
    operators = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import torchvision
        except RuntimeError:
            # PyPI's torchvision is built for CUDA. Beside the CPU's torch its operators do not load, and its import
            # asks for these two, which no network here calls.
            operators = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import torchvision
    return torchvision, operators


def timm_network(name, size=SIZE):
    """Return a network of timm, for images of this size if it must know it."""
    _torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm

        try:
            return timm.create_model(name, img_size=size)
        except (TypeError, AssertionError):
            return timm.create_model(name)


def _models():
    return _torchvision()[0].models


def _small_maxvit(**options):
    sizes = {"stem_channels": 16, "partition_size": 2, "block_channels": [16, 32], "block_layers": [1, 1]}
    return _models().MaxVit((SIZE, SIZE), **sizes, head_dim=8, stochastic_depth_prob=0.1, **options)


def _segmentation(name):
    return getattr(_models().segmentation, name)(weights_backbone=None)


def _detection_backbone(name):
    return getattr(_models().detection, name)(weights_backbone=None).backbone


MODELS = {name: partial(timm_network, name) for name in TIMM} | {
    name: partial(lambda name: getattr(_models(), name)(), name)
    for name in (
        "resnet18",
        "mobilenet_v2",
        "squeezenet1_1",
        "shufflenet_v2_x0_5",
        "mnasnet0_5",
        "convnext_tiny",
        "swin_t",
    )
}
MODELS |= {
    "lraspp_mobilenet_v3_large": partial(_segmentation, "lraspp_mobilenet_v3_large"),
    "fasterrcnn_mobilenet_v3_large_fpn": partial(_detection_backbone, "fasterrcnn_mobilenet_v3_large_fpn"),
    "MaxVit": _small_maxvit,
    "resnet18 frozen": lambda: _models().resnet18(norm_layer=_torchvision()[0].ops.FrozenBatchNorm2d),
}
