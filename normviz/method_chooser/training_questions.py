"""The later questions of the decision guide: how the network is trained, and what it must do then.

They are asked of images and feature maps. Every number stands beside the table it is from.
"""

from __future__ import annotations

from normviz.method_chooser.content import Option, Question

TRAINING = (
    Question(
        "pretrained",
        "Do the weights come pretrained with Batch Norm?",
        "Pretrained with Batch Norm?",
        "Detectors and segmenters often start from a classifier that was trained with it on large batches.",
        (
            Option(
                "keep",
                "Yes, and they stay",
                "They are fine-tuned as they are.",
                "tuning",
                "Weights that grew up with Batch Norm do not fit other sets, slices of a batch, or weights that are "
                "standardized afterwards.",
            ),
            Option(
                "swap",
                "Yes, but I can pretrain again",
                "Or weights that grew up with Group Norm exist.",
                "group",
                "Frozen Batch Norm was 0.9 to 1.7 box AP behind Group Norm, and 2.2 behind Group Norm trained for "
                "longer (Wu & He 2018, Tables 4, 5 and 6); the other layers are not in these tables.",
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
        "tuning",
        "How many samples does fine-tuning see at a time?",
        "Samples in fine-tuning?",
        "The layer stays Batch Norm. What is left is whose mean and variance it takes: those of the batch, of the "
        "batches of all GPUs, or of the pretraining. Sources’ rules of thumb for “small” disagree (8, 16, 32).",
        (
            Option(
                "many",
                "Many per GPU, always as many",
                "16, 32 or somewhat more.",
                "batch",
                "Frozen statistics remain those of the old data, and pooling over GPUs makes every layer wait; a large "
                "batch needs neither.",
            ),
            Option(
                "devices",
                "Few, on GPUs that may talk",
                "Together they must see many samples, and always as many.",
                "synchronized_batch",
                "The statistics of one GPU’s few samples are unsteady: trained from scratch, 34.7 % error at 2 per GPU "
                "against 23.6 % at 32 (Wu & He 2018, Table 2). Frozen ones remain those of the old data.",
            ),
            Option(
                "few",
                "Few, and no more to pool",
                "One or two large images at a time, or a number that changes.",
                "frozen_batch",
                "Live statistics of few samples are unsteady: trained from scratch, 34.7 % error at 2 per GPU against "
                "23.6 % at 32 (Wu & He 2018, Table 2). Pooling over GPUs helps only if they see many together.",
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
                "Group Norm lacks the mild noise of a batch, and one set over the whole of a huge batch hardly has any "
                "left; the others answer to small batches. Plain Batch Norm works there too, and no checked number "
                "here says how much the noise is worth.",
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
                "Ghost Batch Norm is for large batches, and Batch Norm’s statistics are as good as the batch is "
                "large: from 32 to 2 per GPU its error went from 23.6 to 34.7 %, and Group Norm’s stayed between 24.0 "
                "and 24.2 % (Wu & He 2018, Table 2).",
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
                "At every layer, to pool their batches; together they must see many samples, and always as many.",
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
                "A mixture of three kinds of statistics, the batch’s among them.",
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
