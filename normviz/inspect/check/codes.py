"""A hint for every code: where to look, and what to ask oneself, without the solution."""

HINTS = {
    "wrong-axes": "Write down the shape your mean has with keepdims=True. How many means does this method take, and "
    "which axes must be gone?",
    "interleaved-groups": "A group is C / G channels that stand next to each other. After your reshape, which axis "
    "counts the groups: is it the one right after the samples?",
    "affine-per-group": "How many weights are there: C or G? Look at the shape of x when they are put on it: groups "
    "are for the statistics only.",
    "affine-before": "In which order do the paper's steps come? The last line of the algorithm is y = gamma * x_hat + "
    "beta.",
    "affine-swapped": "With an input of zeros only one of the two should be left. Which is it in your code?",
    "unbiased-variance": "Divide by the number of cells in the set. Some var functions do so only when told; look for "
    "ddof, correction or unbiased.",
    "eps-outside": "Which comes first, the root or the eps? They part only where the variance is small.",
    "eps-missing": "What happens to a set whose cells are all equal?",
    "eps-value": "Compare your eps with the one that is asked for; frameworks have different defaults.",
    "variance-not-std": "If x is in metres, in what is x divided by your divisor? x_hat should have no unit.",
    "not-centered": "What should the mean of each set of x_hat be? Take it from your output.",
    "cancellation": "Try x + 10000: the variance should not change. E[x^2] - E[x]^2 takes a small number as the "
    "difference of two large ones; is there a formula that subtracts the mean before it squares?",
    "float16-accumulation": "float16 ends at 65504, and a sum gets there quickly. In what dtype are your sums?",
    "changes-input": "Look for +=, -=, *=, /= and out= on x: is that array still the caller's?",
    "wrong-dtype": "What is the dtype of each thing that you combine with x? One of them decides for the result.",
    "wrong-shape": "Follow the shape line by line; the output has one value for each cell of x.",
    "channels-last": "Which axis of x counts the channels? Frameworks differ: PyTorch has them on axis 1, Keras and "
    "Flax on the last one.",
    "nan-on-constant": "Give it a set of equal numbers and follow the variance: where does 0 / 0, or the root of "
    "something below 0, come from?",
    "running-biased": "The batch itself is normalized by the biased variance, but what is kept for eval estimates all "
    "the data: which divisor is that for?",
    "momentum-reversed": "After one batch, should most of what is kept be old or new? Conventions differ: PyTorch's "
    "momentum is the share of the new batch.",
    "eval-uses-batch": "In eval mode, should the output for one sample change with the others in the batch?",
    "train-uses-running": "Which statistics does Batch Norm normalize with while it learns?",
    "running-not-updated": "Where is the result of the update stored? A new local variable is gone after the call.",
    "updates-in-eval": "Evaluating twice should give the same output twice. What does eval mode have to leave alone?",
    "statistics-detached": "The mean and the variance depend on x too, so the gradient flows through them. Where are "
    "they taken out of the graph, or left out of the formula?",
    "gradient-wrong": "Compare with finite differences of your forward function, one cell at a time.",
    "sets": "Which cells should share a mean? normviz.probe(fn).explore() shows those that do.",
    "mean": "Print the mean of this one set beside that of x[...] of the same cells.",
    "variance": "Print the variance of this one set beside that of the same cells, and check what it is divided by.",
    "eps": "The output is right while the variance is large; look at what is added to it.",
    "affine": "Call it with a weight of ones and a bias of zeros, then with one of the two as it was. If fn has its "
    "own weight and bias, pass check the same ones.",
    "state": "Print the running statistics before and after one call in train mode, and work the update out by hand.",
    "raises": "Call it yourself with an array of this shape; if it needs another one, pass shape= to check.",
    "no-array": "Does every path through the function end in a return, and of the output alone?",
    "random": "A normalizer has no chance in it. Look for random numbers, dropout, or memory that was never filled.",
    "non-finite": "Look for the root of something below 0, and for a division by 0.",
    "stateful": "Does an earlier call change what the next one gives?",
}
