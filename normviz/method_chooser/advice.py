"""The advice of the decision guide: a normalizer each, in the order of the paths that lead to them.

Numbers are published ones, beside the table that has them.
"""

from __future__ import annotations

from normviz.method_chooser.content import TOKENS, VECTORS, WEIGHTS, Advice, Drawn, Evidence

PER_GPU = ("per GPU", "32", "16", "8", "4", "2")
TABLE_1 = "Wu & He 2018, Table 1, ResNet-50 on ImageNet, 32 images per GPU"
BY_BATCH = Evidence(
    "Validation error in %, by images per GPU",
    "Wu & He 2018, Table 2, ResNet-50 on ImageNet",
    (
        PER_GPU,
        ("Batch Norm", "23.6", "23.7", "24.8", "27.3", "34.7"),
        ("Group Norm", "24.1", "24.2", "24.0", "24.2", "24.1"),
    ),
)
BY_GROUPS = Evidence(
    "Validation error in %, by number of groups",
    "Wu & He 2018, Table 3, ResNet-50 on ImageNet",
    (("G", "64", "32", "16", "8", "4", "2", "1"), ("error", "24.6", "24.1", "24.6", "24.4", "24.6", "24.7", "25.3")),
)
MIXED = Evidence(
    "Top-1 accuracy in % on 8 GPUs, by images per GPU",
    "Luo et al. 2018, ResNet-50 on ImageNet",
    (
        PER_GPU,
        ("Batch Norm", "76.4", "76.3", "75.2", "72.7", "65.3"),
        ("Group Norm", "75.9", "75.8", "76.0", "75.8", "75.9"),
        ("Switchable Norm", "76.9", "76.7", "76.7", "75.9", "75.6"),
    ),
)
FROZEN = Evidence(
    "Box AP on COCO, Mask R-CNN",
    "Wu & He 2018, Tables 4, 5 and 6",
    (
        ("", "frozen", "Group Norm"),
        ("R50-C4, Table 4", "37.7", "38.8"),
        ("R50-FPN, backbone and head, Table 5", "38.6", "40.0"),
        ("R50, Table 6", "38.6", "40.3"),
        ("R101, Table 6", "40.9", "41.8"),
    ),
)

ADVICE: dict[str, Advice] = {
    row.key: row
    for row in (
        Advice(
            "instance",
            "Instance Norm",
            "instance",
            "One channel of one sample is a set, so every channel of every image loses its mean and its contrast.",
            "PyTorch’s layer has no weight and bias unless affine=True, and it raises on 1×1 maps: a set of one value "
            "has no contrast.",
            "GroupNorm(C, C) has the same sets and learns a weight and a bias by default.",
            (
                Evidence("Introduced for style transfer.", "Ulyanov, Vedaldi & Lempitsky 2016"),
                Evidence("Where intensity matters it costs: 28.4 % error, Batch Norm 23.6 %.", TABLE_1),
            ),
            "layer = torch.nn.InstanceNorm2d(C, affine=True)",
            (Drawn("instance"),),
        ),
        Advice(
            "conditional_instance",
            "Conditional Instance Norm",
            "instance",
            "The sets are Instance Norm’s; then each style scales and shifts every channel by numbers of its own.",
            "Each style costs 2C numbers a layer, and a style that was not trained can’t be had.",
            "AdaIN, if styles are to come as images.",
            (Evidence("One weight and one bias for each style s.", "Dumoulin et al. 2017"),),
            "w, b = (table[style][:, :, None, None] for table in (weight, bias))\n"
            "y = torch.nn.functional.instance_norm(x) * w + b",
            (Drawn("instance"),),
        ),
        Advice(
            "adain",
            "AdaIN",
            "instance",
            "The content is normalized as by Instance Norm, and takes the mean and the deviation of the style image.",
            "Nothing is learned in the layer; the style’s mean and deviation are taken over the same sets.",
            "Conditional Instance Norm, if the styles are few and known.",
            (
                Evidence("Scale and shift taken from a style image, per sample and channel.", "Huang & Belongie 2017"),
                Evidence("Used in a generator of images.", "Karras et al. 2019"),
            ),
            "std, mean = torch.std_mean(style, (2, 3), correction=0, keepdim=True)\n"
            "y = torch.nn.functional.instance_norm(x) * std + mean",
            (Drawn("instance"),),
        ),
        Advice(
            "frn",
            "Filter Response Norm",
            "frn",
            "Each channel of each sample is divided by its root mean square: its scale goes, no batch is needed.",
            "The threshold belongs to it, max(y, τ) in place of ReLU; and on 1×1 maps little but a sign is left.",
            "Group Norm, which pools several channels and so keeps how their scales differ.",
            (
                Evidence("ResNetV2-50 with the threshold: 22.8 % error, Batch Norm 23.8 %.", "Singh & Krishnan 2020"),
                Evidence(
                    "The reproduction does not confirm it: 24.0 % error, Batch Norm 23.6 %.",
                    "FRN-on-common-ImageNet-baseline, independent of the paper",
                ),
            ),
            "y = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-5)\n"
            "y = torch.maximum(weight * y + bias, tau)  # each (1, C, 1, 1)",
            (Drawn("frn"),),
        ),
        Advice(
            "positional",
            "Positional Layer Norm",
            "positional",
            "The channels of one token are a set, so neither padding nor the other samples reach it.",
            "PyTorch’s LayerNorm(C) takes channels last; LayerNorm([C, H, W]) and GroupNorm(1, C) pool the positions "
            "too.",
            "RMS Norm, which does without the mean; ConvNeXt uses the positional layer on images as well.",
            (
                Evidence("What transformers call layer norm.", "Ba, Kiros & Hinton 2016"),
                Evidence("Pooling the channels of one position on images.", "Li et al. 2019"),
            ),
            "layer = torch.nn.LayerNorm(C)  # x is (N, L, C)",
            (Drawn("positional", shape=TOKENS),),
        ),
        Advice(
            "rms",
            "RMS Norm",
            "rms",
            "A token is divided by its channels’ root mean square, as in LLaMA; no padding or other sample reaches it.",
            "No mean is taken, so a shift that all channels of a token share stays in the result.",
            "Positional Layer Norm, if that shift should go.",
            (Evidence("A layer norm without the mean, C learned numbers and not 2C.", "Zhang & Sennrich 2019"),),
            "layer = torch.nn.RMSNorm(C)  # x is (N, L, C)",
            (Drawn("rms", shape=TOKENS),),
        ),
        Advice(
            "layer",
            "Layer Norm",
            "layer",
            "All channels of one sample are a set: it works for one sample at a time, in training and after.",
            "On images the name means two things: LayerNorm([C, H, W]) pools the positions too, LayerNorm(C) does not.",
            "Batch Norm, if the batch is large and steady; Instance Norm has nothing to pool here.",
            (Evidence("Introduced for recurrent networks and small batches.", "Ba, Kiros & Hinton 2016"),),
            "layer = torch.nn.LayerNorm(C)  # x is (N, C)",
            (Drawn("layer", shape=VECTORS),),
        ),
        Advice(
            "weight_norm",
            "Weight Norm",
            "weight_norm",
            "Each filter is a direction and a length, learned apart; no data are pooled at all.",
            "Activations are not normalized: their scale rests on the lengths g, so on how these are set at the start.",
            "Layer Norm, which does look at the data, of one sample alone.",
            (Evidence("w = g · v / ‖v‖, for recurrent nets and reinforcement learning.", "Salimans & Kingma 2016"),),
            "layer = torch.nn.Conv2d(C, 2 * C, 3)\ntorch.nn.utils.parametrizations.weight_norm(layer)",
            (Drawn("weight_norm", shape=WEIGHTS),),
        ),
        Advice(
            "batch",
            "Batch Norm",
            "batch",
            "One channel of all samples is a set, large enough here to be steady; at inference it folds away.",
            "Train and eval differ: running statistics take over, so check both; its result couples the samples.",
            "Group Norm, as soon as the batch per GPU shrinks, or Frozen Batch Norm where pretrained weights stay; "
            "Switchable Norm had 76.9 % top-1 against 76.4 % (Luo et al. 2018, 8 GPUs with 32 images each).",
            (
                BY_BATCH,
                Evidence("ResNet-101, 32 per GPU: 22.0 % error, Group Norm 22.4 %.", "Wu & He 2018, in the text"),
            ),
            "layer = torch.nn.BatchNorm2d(C)",
            (Drawn("batch"),),
        ),
        Advice(
            "synchronized_batch",
            "Synchronized Batch Norm",
            "batch",
            "Counts, means and sums of squared deviations merge exactly over devices, so one set spans them all.",
            "Every layer waits for all devices, and with one GPU, or few samples in all, it gains nothing.",
            "Group Norm, which needs no other device, or Frozen Batch Norm where pretrained weights stay.",
            (Evidence("Moments of parts merge into those of the whole.", "Chan, Golub & LeVeque 1983"),),
            "model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)",
            (Drawn("batch", title="Two samples on each of two GPUs, one set"),),
        ),
        Advice(
            "frozen_batch",
            "Frozen Batch Norm",
            None,
            "The pretrained statistics and affine map stay as they are: nothing is pooled, so few images will do.",
            "model.train() thaws the layers again, so freeze them after it.",
            "Group Norm in the new head, behind the frozen backbone: box / mask AP 39.5 / 34.4, frozen alone 38.6 / "
            "34.2 (Wu & He 2018, Table 5).",
            (FROZEN,),
            "for layer in model.modules():\n"
            "    if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):\n"
            "        layer.eval().requires_grad_(False)",
            (Drawn("batch", pooled=False),),
        ),
        Advice(
            "group",
            "Group Norm",
            "group",
            "A set is C/G channels of one sample, so the result is the same at any batch size, in training and after.",
            "G must divide C; weight and bias are per channel; and it can’t be folded into a convolution.",
            "Weight Standardization in front of it; Batch Norm, which is ahead at 16 or more per GPU (Wu & He 2018, "
            "Table 2).",
            (BY_BATCH, BY_GROUPS),
            "layer = torch.nn.GroupNorm(32, C)",
            (Drawn("group", 4),),
        ),
        Advice(
            "ghost_batch",
            "Ghost Batch Norm",
            "ghost",
            "The batch is cut into slices, each with its own statistics: the noise of small sets in a large batch.",
            "How large a slice should be is one more choice, and no checked number tells which is best.",
            "Plain Batch Norm on several GPUs that do not talk is the same thing: each has its slice.",
            (Evidence("Proposed for training with large batches; no number here.", "Hoffer, Hubara & Soudry 2017"),),
            "norm = torch.nn.BatchNorm2d(C)\ny = torch.cat([norm(part) for part in x.split(samples)])",
            (Drawn("ghost", 2),),
        ),
        Advice(
            "weight_standardization",
            "Weight Standardization + Group Norm",
            "group",
            "Two sets, of weights and of activations: each filter is centred and divided by its deviation as well.",
            "It changes every convolution before the layer, so weights that were trained without it no longer fit.",
            "Group Norm alone, if the weights must stay as they are.",
            (
                Evidence(
                    "Top-1 / top-5 error in % on ImageNet; how Group Norm alone does there is not checked",
                    "Qiao et al. 2019, the authors’ repository",
                    (("", "top-1", "top-5"), ("ResNet-50", "23.72", "6.99"), ("ResNet-101", "22.10", "6.07")),
                ),
            ),
            "w = torch.nn.functional.layer_norm(conv.weight, conv.weight.shape[1:])\n"
            "rest = conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups\n"
            "y = torch.nn.GroupNorm(32, C)(torch.nn.functional.conv2d(x, w, *rest))",
            (Drawn("weight_standardization", shape=WEIGHTS, title="Weights"), Drawn("group", 4, title="Activations")),
        ),
        Advice(
            "switchable",
            "Switchable Norm",
            None,
            "Each layer learns how to mix the means and the variances of Instance, Layer and Batch Norm.",
            "A part of it is Batch Norm’s: it couples samples, and needs running statistics at inference.",
            "Group Norm, which is ahead with 2 images per GPU: 75.9 % against 75.6 % top-1 (Luo et al. 2018, 8 GPUs).",
            (MIXED,),
            "sets = ((2, 3), (1, 2, 3), (0, 2, 3))  # instance, layer, batch\n"
            "p, q = torch.softmax(a, 0), torch.softmax(b, 0)\n"
            "mean = sum(w * x.mean(s, keepdim=True) for w, s in zip(p, sets))\n"
            "var = sum(w * x.var(s, correction=0, keepdim=True) for w, s in zip(q, sets))\n"
            "y = (x - mean) / torch.sqrt(var + 1e-5) * weight + bias",
            (Drawn("instance"), Drawn("layer"), Drawn("batch")),
        ),
    )
}
