"""The questions of the decision guide, in the order in which they may come.

Every number stands beside the table it is from; where sources disagree, the text says so.
"""

from __future__ import annotations

from normviz.method_chooser.content import Option, Question
from normviz.method_chooser.training_questions import TRAINING

FIRST = "erase"
"""Where every path begins."""

QUESTIONS: dict[str, Question] = {
    row.key: row
    for row in (
        Question(
            "erase",
            "May the layer erase each channel’s own mean and contrast?",
            "Erase per-channel intensity?",
            "How strongly a channel answers to one image is its intensity. A set of one channel of one sample gets "
            "mean 0 and variance 1, so intensity is gone; a set of several channels or samples keeps how they differ.",
            (
                Option(
                    "yes",
                    "Yes, erase both",
                    "Style transfer, and generators whose style is set from outside.",
                    "style",
                    "They keep what was to go, in the differences within a set, in the mean, or by pooling no data.",
                ),
                Option(
                    "partly",
                    "Only its scale",
                    "The scale is divided out, no mean is subtracted, and no batch is needed.",
                    "frn",
                    "They subtract a mean, or pool more than one channel of one sample, or pool no data at all.",
                ),
                Option(
                    "no",
                    "No, it carries information",
                    "Recognition, detection, language: how strongly a channel answers is evidence.",
                    "positions",
                    "A set of theirs is one channel of one sample, so intensity, or its scale, is lost: Instance Norm "
                    "had 28.4 % error where Batch Norm had 23.6 % (Wu & He 2018, Table 1). Filter Response Norm, which "
                    "loses only the scale, stayed within a point of it: 22.8 against 23.8 % (Singh & Krishnan 2020), "
                    "and in a reproduction 24.0 against 23.6 % (FRN-on-common-ImageNet-baseline).",
                ),
            ),
        ),
        Question(
            "style",
            "What should set the contrast afterwards?",
            "New contrast from where?",
            "The sets are Instance Norm’s each time. They differ in where the weight and the bias come from.",
            (
                Option(
                    "none",
                    "The layer’s own weight and bias",
                    "One style, or none: the same map for every image.",
                    "instance",
                    "Without several styles they would ask for a style’s number or for its image in vain.",
                ),
                Option(
                    "list",
                    "A style out of a fixed list",
                    "Each style has a weight and a bias per channel, learned in training.",
                    "conditional_instance",
                    "Instance Norm has one map for all images, and AdaIN needs an image of the style each time.",
                ),
                Option(
                    "image",
                    "Another image, any",
                    "Its own mean and deviation per channel are taken over.",
                    "adain",
                    "They know only what was trained; a style that comes as a new image is out of their reach.",
                ),
            ),
        ),
        Question(
            "positions",
            "What does one sample look like?",
            "What is one sample?",
            "A set may reach over positions, channels and samples; what there is of them decides which sets make "
            "sense.",
            (
                Option(
                    "tokens",
                    "A sequence of tokens",
                    "Perhaps padded: (N, L, C), as in a transformer.",
                    "centring",
                    "Sets that reach over positions or samples take padding in, which changes real outputs; the set "
                    "of one token does not. Layer Norm here is that of vectors, and Weight Norm pools no tokens.",
                ),
                Option(
                    "none",
                    "A vector, no positions",
                    "(N, C): an MLP, a pooled feature, an embedding.",
                    "layer",
                    "On (N, C) Positional Layer Norm has the same sets and RMS Norm subtracts no mean; the rest is "
                    "for maps or weights. Batch Norm does work here, if the batch is large and steady.",
                ),
                Option(
                    "weights",
                    "No data: normalize the weights",
                    "Recurrent networks, reinforcement learning.",
                    "weight_norm",
                    "They pool activations, so data decide what they compute. Weight Standardization does not, but is "
                    "meant for convolutions, beside Group Norm.",
                ),
                Option(
                    "maps",
                    "Images or feature maps",
                    "(N, C, H, W); a line (N, C, L) or a volume (N, C, D, H, W) alike.",
                    "pretrained",
                    "Layer Norm over a whole sample had 25.3 % error where Group Norm had 24.1 % (Wu & He 2018, Table "
                    "1). The rest is for tokens or weights, though ConvNeXt does use the positional one on maps.",
                ),
            ),
        ),
        Question(
            "centring",
            "Should each token lose its mean as well?",
            "Subtract the mean?",
            "Both pool the channels of one token, so neither a batch nor padding matters.",
            (
                Option(
                    "yes",
                    "Yes, mean and variance",
                    "A transformer’s layer norm; a weight and a bias per channel.",
                    "positional",
                    "It subtracts no mean: its result ignores the scale of a token, but not a shift.",
                ),
                Option(
                    "no",
                    "No, the scale is enough",
                    "As in LLaMA; a weight per channel and no bias.",
                    "rms",
                    "It computes and subtracts a mean as well, and learns a bias.",
                ),
            ),
        ),
        *TRAINING,
    )
}
