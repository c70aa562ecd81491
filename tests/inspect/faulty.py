"""Normalizers as people write them, each with the bug that its code names; none uses the simulations of check."""

import numpy as np

import normviz as nv

EPS = 1e-5


def along(p):
    return p.reshape(1, -1, 1, 1)


# ---- NumPy, Batch Norm unless the name says otherwise ----


def wrong_axes(x):
    return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + EPS)


def wrong_axes_loops(x, weight, bias):
    """Each channel is normalized by itself, where Group Norm was requested."""
    y = np.empty_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            cells = x[n, c]
            y[n, c] = (cells - cells.mean()) / (cells.var() + EPS) ** 0.5 * weight[c] + bias[c]
    return y


def whole_tensor(x, gamma, beta):
    return (x - x.mean()) / np.sqrt(x.var() + EPS) * along(gamma) + along(beta)


def interleaved(x):
    n, c, h, w = x.shape
    g = x.reshape(n, c // 2, 2, h, w)
    g = (g - g.mean((1, 3, 4), keepdims=True)) / np.sqrt(g.var((1, 3, 4), keepdims=True) + EPS)
    return g.reshape(x.shape)


def interleaved_by_index(x, weight, bias):
    y = np.empty_like(x)
    for g in range(2):
        part = x[:, g::2]
        mean = part.mean((1, 2, 3))[:, None, None, None]
        y[:, g::2] = (part - mean) / np.sqrt(((part - mean) ** 2).mean((1, 2, 3)) + EPS)[:, None, None, None]
    return y * along(weight) + along(bias)


def channels_last_reshape(x):
    """Group Norm written for NHWC: the cells of a sample are dealt out to the groups one by one."""
    n = len(x)
    g = x.reshape(n, -1, 2)
    return ((g - g.mean(1, keepdims=True)) / np.sqrt(g.var(1, keepdims=True) + EPS)).reshape(x.shape)


def grouped(x, groups):
    g = x.reshape(len(x), groups, -1)
    return (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + EPS)


def affine_per_group(x, weight, bias):
    groups = 2
    y = grouped(x, groups) * weight[:groups].reshape(1, -1, 1) + bias[:groups].reshape(1, -1, 1)
    return y.reshape(x.shape)


def affine_per_group_of_its_own(x, weight, bias):
    """Takes weight and bias of shape (G,) only."""
    return (grouped(x, 2) * weight.reshape(1, 2, 1) + bias.reshape(1, 2, 1)).reshape(x.shape)


def affine_before(x, weight, bias):
    x = along(weight) * x + along(bias)
    return (x - x.mean((1, 2, 3), keepdims=True)) / np.sqrt(x.var((1, 2, 3), keepdims=True) + EPS)


def affine_before_scale(x, gamma, beta):
    x = x * along(gamma)
    return grouped(x, 2).reshape(x.shape) + along(beta)


def affine_swapped(x, weight, bias):
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return along(weight) + (x - mean) / np.sqrt(var + EPS) * along(bias)


def affine_swapped_arguments(x, gamma, beta):
    return right(x, beta, gamma)


def right(x, weight, bias):
    mean = np.einsum("nchw->c", x) / (x.size / x.shape[1])
    centred = x - along(mean)
    var = np.einsum("nchw,nchw->c", centred, centred) / (x.size / x.shape[1])
    return along(weight) * centred / np.sqrt(along(var) + EPS) + along(bias)


def unbiased(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), ddof=1, keepdims=True) + EPS)


def unbiased_sum(x, weight, bias):
    centred = x - x.mean((2, 3), keepdims=True)
    var = (centred**2).sum((2, 3), keepdims=True) / (x.shape[2] * x.shape[3] - 1)
    return centred / np.sqrt(var + EPS) * along(weight) + along(bias)


def eps_outside(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / (x.std((0, 2, 3), keepdims=True) + EPS)


def eps_outside_rms(x, weight):
    return x / (np.sqrt((x**2).mean(1, keepdims=True)) + EPS) * along(weight)


def eps_missing(x):
    return (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)


def eps_missing_but_guarded(x, weight, bias):
    std = x.std((0, 2, 3), keepdims=True)
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.where(std == 0, 1, std) * along(weight) + along(bias)


def eps_value(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-3)


def eps_value_small(x, weight, bias):
    x = x - x.mean((2, 3), keepdims=True)
    return x / np.sqrt(x.var((2, 3), keepdims=True) + 1e-12) * along(weight) + along(bias)


def divided_by_variance(x):
    return (x - x.mean((0, 2, 3), keepdims=True)) / (x.var((0, 2, 3), keepdims=True) + EPS)


def divided_by_variance_loops(x, weight, bias):
    y = np.empty_like(x)
    for n, sample in enumerate(x):
        centred = sample - sample.mean()
        y[n] = centred / (np.square(centred).mean() + EPS)
    return y * along(weight) + along(bias)


def not_centered(x):
    return x / np.sqrt(x.var((0, 2, 3), keepdims=True) + EPS)


def not_centered_rms(x, weight, bias):
    return x / np.sqrt((x * x).mean((1, 2, 3), keepdims=True) + EPS) * along(weight) + along(bias)


def sum_of_squares(x, weight, bias):
    centred = x - x.mean((0, 2, 3), keepdims=True)
    return centred / np.sqrt(np.square(centred).sum((0, 2, 3), keepdims=True) + EPS) * along(weight) + along(bias)


def by_the_norm(x):
    """Over the last axis, where the channels are."""
    return x / np.sqrt(np.linalg.norm(x, axis=-1, keepdims=True) ** 2 + EPS)


def sum_for_mean(x):
    total = x.sum((2, 3), keepdims=True)
    return (x - total) / np.sqrt(x.var((2, 3), keepdims=True) + EPS)


def sum_for_mean_throughout(x):
    centred = x - x.sum((2, 3), keepdims=True)
    return centred / np.sqrt(np.square(centred).sum((2, 3), keepdims=True) + EPS)


def mean_for_sum(x, weight):
    """Weight Norm by the root mean square of the weights, not by their length."""
    return weight.reshape(-1, 1, 1, 1) * x / np.sqrt((x * x).mean((1, 2, 3), keepdims=True) + EPS)


def multiplied(x):
    return (x - x.mean((1, 2, 3), keepdims=True)) * np.sqrt(x.var((1, 2, 3), keepdims=True) + EPS)


def divided_by_reciprocal(x, weight):
    """Response normalization of maps: one scale for each map, and its reciprocal was meant."""
    scale = ((x**2).mean((2, 3), keepdims=True) + EPS) ** -0.5
    return x / scale * along(weight)


def eps_after_quotient(x, weight, bias):
    mean, std = x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), keepdims=True)
    return along(weight) * ((x - mean) / std + EPS) + along(bias)


def eps_at_the_end(x, weight):
    return x / np.sqrt((x * x).mean(1, keepdims=True)) * along(weight) + EPS


def cancellation(x):
    mean = x.mean((0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt((x**2).mean((0, 2, 3), keepdims=True) - mean**2 + EPS)


def cancellation_by_sums(x, weight, bias):
    m = x[0, 0].size
    first, second = x.sum((2, 3), keepdims=True), (x * x).sum((2, 3), keepdims=True)
    var = np.maximum((second - first * first / m) / m, 0)
    return (x - first / m) / np.sqrt(var + EPS) * along(weight) + along(bias)


def float16_mean(x):
    mean = x.mean((0, 2, 3), keepdims=True, dtype=np.float16)
    return (x - mean) / np.sqrt(x.var((0, 2, 3), keepdims=True) + EPS)


def float16_sums(x):
    """Sums in the dtype of x, which overflow in float16."""
    m = x.size // x.shape[1]
    mean = x.sum((0, 2, 3), keepdims=True) / m
    var = np.square(x - mean).sum((0, 2, 3), keepdims=True) / m
    return ((x - mean) / np.sqrt(var + EPS)).astype(x.dtype)


def changes_input(x):
    x -= x.mean((0, 2, 3), keepdims=True)
    x /= np.sqrt((x**2).mean((0, 2, 3), keepdims=True) + EPS)
    return x


def changes_input_silently(x, weight, bias):
    x[...] = x - x.mean((2, 3), keepdims=True)
    return x / np.sqrt(x.var((2, 3), keepdims=True) + EPS) * along(weight) + along(bias)


def always_float32(x):
    return nv.normalize(x, "batch").astype(np.float32)


def always_float64(x):
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        y[:, c] = nv.normalize(x[:, c : c + 1], "batch")[:, 0]
    return y


def flattened(x):
    return nv.normalize(x, "batch").reshape(len(x), -1)


def kept_groups(x, weight, bias):
    n, c, h, w = x.shape
    y = nv.normalize(x, "group", num_groups=2, weight=weight, bias=bias)
    return y.reshape(n, 2, c // 2, h, w)


def transposed(x):
    return nv.normalize(x, "batch").transpose(0, 2, 3, 1)


def channels_last(x):
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + EPS)


def channels_last_affine(x, weight, bias):
    """Layer Norm, which has the same sets with channels first or last."""
    mean, var = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(var + EPS) * weight.reshape(-1) + bias.reshape(-1)


def nan_on_constant(x):
    var = x.var((0, 2, 3), keepdims=True)
    return (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(var) * np.sqrt(var / (var + EPS))


def nan_by_correlation(x, weight, bias):
    """Multiplies by a share of the variance, which is 0 / 0 in a constant set."""
    centred = x - x.mean((2, 3), keepdims=True)
    squares = (centred**2).mean((2, 3), keepdims=True)
    length = np.sqrt(squares + EPS) * (squares / squares)
    return centred / length * along(weight) + along(bias)


def averaged_by_sample(x, weight, bias):
    """The statistics of each sample, averaged over the batch."""
    mean, var = x.mean((2, 3)).mean(0), x.var((2, 3)).mean(0)
    return (x - along(mean)) / np.sqrt(along(var) + EPS) * along(weight) + along(bias)


def averaged_over_devices(x):
    """Two devices with different numbers of samples, whose statistics are averaged."""
    parts = x[: len(x) // 2], x[len(x) // 2 :]
    mean = sum(p.mean((0, 2, 3), keepdims=True) for p in parts) / 2
    var = sum(p.var((0, 2, 3), keepdims=True) for p in parts) / 2
    return (x - mean) / np.sqrt(var + EPS)


def averaged_by_channel(x):
    """Layer Norm from the variance of each channel."""
    mean, var = x.mean((1, 2, 3), keepdims=True), x.var((2, 3), keepdims=True).mean(1, keepdims=True)
    return (x - mean) / np.sqrt(var + EPS)


def averaged_within_groups(x, weight, bias):
    n, c, *_ = x.shape
    mean = x.reshape(n, 2, -1).mean(-1).repeat(c // 2, 1)[..., None, None]
    var = x.var((2, 3)).reshape(n, 2, -1).mean(-1).repeat(c // 2, 1)[..., None, None]
    return (x - mean) / np.sqrt(var + EPS) * along(weight) + along(bias)


def scaled_before_eps(x):
    most = np.abs(x).max((1, 2, 3), keepdims=True)
    z = x / most
    return (z - z.mean((1, 2, 3), keepdims=True)) / np.sqrt(z.var((1, 2, 3), keepdims=True) + EPS)


def rms_scaled_before_eps(x, weight):
    z = x / np.abs(x).max(1, keepdims=True)
    return z / np.sqrt((z * z).mean(1, keepdims=True) + EPS) * along(weight)


NUMPY = [
    ("averaged-variances", averaged_by_sample, "batch", None),
    ("averaged-variances", averaged_by_channel, "layer", None),
    ("averaged-variances", averaged_within_groups, "group", 2),
    ("eps-scaled", scaled_before_eps, "layer", None),
    ("eps-scaled", rms_scaled_before_eps, "rms", None),
    ("wrong-axes", wrong_axes, "batch", None),
    ("wrong-axes", wrong_axes_loops, "group", 2),
    ("wrong-axes", whole_tensor, "layer", None),
    ("interleaved-groups", interleaved, "group", 2),
    ("interleaved-groups", interleaved_by_index, "group", 2),
    ("interleaved-groups", channels_last_reshape, "group", 2),
    ("affine-per-group", affine_per_group, "group", 2),
    ("affine-per-group", affine_per_group_of_its_own, "group", 2),
    ("affine-before", affine_before, "layer", None),
    ("affine-before", affine_before_scale, "group", 2),
    ("affine-swapped", affine_swapped, "batch", None),
    ("affine-swapped", affine_swapped_arguments, "batch", None),
    ("unbiased-variance", unbiased, "batch", None),
    ("unbiased-variance", unbiased_sum, "instance", None),
    ("eps-outside", eps_outside, "batch", None),
    ("eps-outside", eps_outside_rms, "rms", None),
    ("eps-missing", eps_missing, "layer", None),
    ("eps-missing", eps_missing_but_guarded, "batch", None),
    ("eps-value", eps_value, "batch", None),
    ("eps-value", eps_value_small, "instance", None),
    ("variance-not-std", divided_by_variance, "batch", None),
    ("variance-not-std", divided_by_variance_loops, "layer", None),
    ("not-centered", not_centered, "batch", None),
    ("not-centered", not_centered_rms, "layer", None),
    ("not-averaged", sum_of_squares, "batch", None),
    ("not-averaged", by_the_norm, "rms", None),
    ("not-averaged", sum_for_mean, "instance", None),
    ("not-averaged", sum_for_mean_throughout, "instance", None),
    ("averaged", mean_for_sum, "weight_norm", None),
    ("root-inverted", multiplied, "layer", None),
    ("root-inverted", divided_by_reciprocal, "frn", None),
    ("eps-on-output", eps_after_quotient, "batch", None),
    ("eps-on-output", eps_at_the_end, "rms", None),
    ("cancellation", cancellation, "batch", None),
    ("cancellation", cancellation_by_sums, "instance", None),
    ("float16-accumulation", float16_mean, "batch", None),
    ("float16-accumulation", float16_sums, "batch", None),
    ("changes-input", changes_input, "batch", None),
    ("changes-input", changes_input_silently, "instance", None),
    ("wrong-dtype", always_float32, "batch", None),
    ("wrong-dtype", always_float64, "batch", None),
    ("wrong-shape", flattened, "batch", None),
    ("wrong-shape", kept_groups, "group", 2),
    ("wrong-shape", transposed, "batch", None),
    ("channels-last", channels_last, "batch", None),
    ("channels-last", channels_last_affine, "layer", None),
    ("nan-on-constant", nan_on_constant, "batch", None),
    ("nan-on-constant", nan_by_correlation, "instance", None),
]
