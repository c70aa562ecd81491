"""The questions of the decision guide, in the order in which they may come.

Every number stands beside the table it is from; where sources disagree, the text says so.
"""

from __future__ import annotations

from normviz.explorer.choices import Option, Question

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
                    "Style transfer and image generation: contrast belongs to the style.",
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
                    "had 28.4 % error where Batch Norm had 23.6 % (Wu & He 2018, Table 1).",
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
        Question(
            "pretrained",
            "Do the weights come pretrained with Batch Norm?",
            "Pretrained with Batch Norm?",
            "Detectors and segmenters often start from a classifier that was trained with it on large batches.",
            (
                Option(
                    "keep",
                    "Yes, and they stay",
                    "Fine-tuning with one or two large images per GPU.",
                    "frozen_batch",
                    "Other layers do not fit weights that grew up with Batch Norm, and its live statistics of few "
                    "images are unsteady: 34.7 % error at 2 per GPU against 23.6 % at 32 (Wu & He 2018, Table 2).",
                ),
                Option(
                    "swap",
                    "Yes, but I can pretrain again",
                    "Or weights that grew up with Group Norm exist.",
                    "group",
                    "Frozen Batch Norm was 0.9 to 2.2 box AP behind Group Norm (Wu & He 2018, Tables 4, 5 and 6); the "
                    "other layers are not in these tables.",
                ),
                Option(
                    "no",
                    "No, trained from scratch",
                    "Its statistics are not worth keeping, or there are none.",
                    "samples",
                    "There is nothing to freeze: no running statistics have been gathered yet.",
                ),
            ),
        ),
        Question(
            "samples",
            "How many samples does one GPU see at a time in training?",
            "Samples per GPU?",
            "Sources’ rules of thumb for “small” disagree (8, 16, 32). On ImageNet Batch Norm is 0.5 points ahead of "
            "Group Norm at 32 and at 16 per GPU, and 0.8 points behind at 8 (Wu & He 2018, Table 2).",
            (
                Option(
                    "huge",
                    "Hundreds or more",
                    "Large-batch training.",
                    "ghost_batch",
                    "Group Norm lacks the mild noise of a batch, and one set over the whole of a huge batch hardly "
                    "has any left; the others answer to small batches.",
                ),
                Option(
                    "many",
                    "A lot, always as many",
                    "16, 32 or somewhat more.",
                    "inference",
                    "They answer to other batches. Still, Switchable Norm was 0.5 ahead with 32 per GPU: 76.9 against "
                    "76.4 % top-1 (Luo et al. 2018, 8 GPUs with 32 images each).",
                ),
                Option(
                    "few",
                    "Few, 8 or less",
                    "Detection, video, volumes: large samples.",
                    "freedom",
                    "Their sets get small: at 2 per GPU Batch Norm had 34.7 % error, Group Norm 24.1 % (Wu & He 2018, "
                    "Table 2).",
                ),
                Option(
                    "changes",
                    "It changes",
                    "From task to task, or from machine to machine.",
                    "freedom",
                    "What they compute depends on it: from 32 to 2 per GPU Batch Norm’s error went from 23.6 to 34.7 "
                    "%, and Group Norm’s stayed between 24.0 and 24.2 % (Wu & He 2018, Table 2).",
                ),
            ),
        ),
        Question(
            "inference",
            "What matters at inference?",
            "At inference?",
            "Batch Norm then uses running statistics: a fixed affine map. Group Norm goes on computing its own.",
            (
                Option(
                    "fold",
                    "The layer must disappear",
                    "Folded into the convolution before it: no cost.",
                    "batch",
                    "It computes statistics at inference as well, so it can’t be folded.",
                ),
                Option(
                    "any",
                    "Nothing special",
                    "Data as in training; running statistics will do.",
                    "batch",
                    "It would do: 24.1 % error against Batch Norm’s 23.6 % at 32 per GPU (Wu & He 2018, Table 1).",
                ),
                Option(
                    "same",
                    "The very computation of training",
                    "One sample at a time, or data that drift.",
                    "group",
                    "At inference it computes something else: running statistics take the batch’s place.",
                ),
            ),
        ),
        Question(
            "freedom",
            "What may change besides the layer?",
            "What else may change?",
            "With few samples per GPU, or a number that changes, there are four ways on.",
            (
                Option(
                    "devices",
                    "Several GPUs may talk",
                    "At every layer, to pool their batches.",
                    "synchronized_batch",
                    "They do without the batch; pooled over all devices it may be large again, and the rest stays.",
                ),
                Option(
                    "weights",
                    "The convolutions’ weights",
                    "Each filter is standardized before it is used.",
                    "weight_standardization",
                    "They leave the weights as they are.",
                ),
                Option(
                    "learn",
                    "Each layer may learn its set",
                    "A mixture of three kinds of statistics.",
                    "switchable",
                    "They fix one kind of set by hand, the same in every layer.",
                ),
                Option(
                    "nothing",
                    "Nothing else",
                    "One layer in place of another.",
                    "group",
                    "They ask for more: devices that talk, other weights, or batch statistics beside the sample’s own.",
                ),
            ),
        ),
    )
}
