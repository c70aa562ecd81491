"""The layers of PyTorch, JAX/Flax and Keras for each normalization, and the spelling of each framework and of NumPy.

tests/test_texts.py runs every snippet on the installed versions, and tests/test_snippet_notes.py checks the notes.
"""

import math

from normviz.explorer.snippets.templates import GROUPS, Choice, Framework, Layer


def torch_layer(choice: Choice) -> Layer | None:
    """PyTorch: channels on axis 1, except for the layers that normalize the last axes."""
    N, C, last = choice.shape[0], choice.C, choice.rank - 1
    dims, eps = max(choice.rank - 2, 1), f"eps={choice.eps}"
    off = "" if choice.given else "affine=False"
    off_last = "" if choice.given else "elementwise_affine=False"
    match choice.method.name:
        case "batch" if choice.evaluating or N * choice.positions > 1:
            note = ["By default eps=1e-5, momentum=0.1; running_var is unbiased."]
            return Layer(f"BatchNorm{dims}d", [C, eps, off], 1, note, SAME)
        case "layer" if len(choice.per_element) == len(choice.given):
            axis = choice.axis or 1
            inner = choice.order(choice.shape, axis)[1:]
            note = [f"By default eps=1e-5 and a weight of shape {tuple(inner)}."]
            return Layer("LayerNorm", [inner, eps, off_last], axis, note, SAME if choice.axis else {})
        case "layer" if math.prod(choice.shape) > 1:
            note = "LayerNorm has the same statistics, but its weight and bias", PER_CHANNEL
            return Layer("GroupNorm", [1, C, eps], 1, note, {} if choice.per_element else SAME)
        case "instance" if choice.positions > 1:
            note = ["By default eps=1e-5, no affine, no running statistics."]
            return Layer(f"InstanceNorm{dims}d", [C, eps, "affine=True" if choice.given else ""], 1, note, SAME)
        case "group" if N * choice.positions > 1:
            note = ["By default eps=1e-5 and an affine per channel."]
            return Layer("GroupNorm", [GROUPS, C, eps, off], 1, note, SAME)
        case "positional":
            note = ["By default eps=1e-5. It is a transformer's layer norm."]
            return Layer("LayerNorm", [C, eps, off_last], last, note, SAME)
        case "rms":
            note = ["By default eps=None, the step of the dtype; no bias."]
            return Layer("RMSNorm", [C, eps, off_last], last, note, {"weight": "weight"})
    return None


def torch_fill(choice: Choice, pairs: list[tuple[str, str]]) -> list[str]:
    """Set the arrays in place, outside autograd."""
    copies = [f"    norm.{own}.copy_(torch.as_tensor({name}))" for own, name in pairs]
    return [*(["with torch.no_grad():"] if copies else []), *copies, *(["norm.eval()"] if choice.evaluating else [])]


def flax_layer(choice: Choice) -> Layer | None:
    """Flax (nnx): channels last; weight and bias are per channel for every method."""
    inner = tuple(range(1, choice.rank))
    holds = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    running, axes = f"use_running_average={choice.evaluating}", f"reduction_axes={inner}" if len(inner) > 1 else ""
    name, option, note = {
        "batch": ("BatchNorm", running, "By default epsilon=1e-5; momentum=0.99 is PyTorch's 0.01."),
        "layer": ("LayerNorm", axes, "By default epsilon=1e-6, over the channels alone."),
        "instance": ("InstanceNorm", "", "By default epsilon=1e-6 and an affine per channel."),
        "group": ("GroupNorm", f"num_groups={GROUPS}", "By default epsilon=1e-6, num_groups=32."),
        "positional": ("LayerNorm", "", "By default epsilon=1e-6, over the last axis as here."),
        "rms": ("RMSNorm", "", "By default epsilon=1e-6; no bias."),
    }.get(choice.method.name, ("", "", ""))
    if not name:
        return None
    notes = [note]
    arguments = [choice.C, option, f"epsilon={choice.eps}"]
    own = accepted(choice, holds)
    arguments += ["" if "weight" in own else "use_scale=False"]
    if choice.method.centered:
        arguments += ["" if "bias" in own else "use_bias=False", "use_fast_variance=False"]
        notes += ["Its fast variance, the default, is E[x^2] - E[x]^2."]
    return Layer(name, [*arguments, "rngs=nnx.Rngs(0)"], choice.rank - 1, notes, own)


def flax_fill(choice: Choice, pairs: list[tuple[str, str]]) -> list[str]:
    """Set the arrays: learned ones are Param, running ones BatchStat."""
    kinds = {True: "BatchStat", False: "Param"}
    return [f"norm.{own} = nnx.{kinds[name.startswith('running')]}(jnp.asarray({name}))" for own, name in pairs]


def keras_layer(choice: Choice) -> Layer | None:
    """Keras: channels last; LayerNormalization has one weight for each element that it reduces."""
    inner = list(range(1, choice.rank))
    axes = f"axis={inner}" if len(inner) > 1 else ""
    name, option, *note = {
        "batch": ("BatchNormalization", "", "By default epsilon=1e-3; momentum=0.99 is PyTorch's 0.01."),
        "layer": ("LayerNormalization", axes, "By default epsilon=1e-3, axis=-1: the channels alone."),
        "instance": ("GroupNormalization", -1, "-1: a group for each channel. By default epsilon=1e-3."),
        "group": ("GroupNormalization", GROUPS, "By default epsilon=1e-3, groups=32."),
        "positional": ("LayerNormalization", "", "By default epsilon=1e-3, over the last axis as here."),
        "rms": ("RMSNormalization", "", "By default epsilon=1e-6; no bias."),
    }.get(choice.method.name, ("", "", ""))
    if not name:
        return None
    if choice.method.name == "layer" and choice.given and not choice.per_element:
        name, option = "GroupNormalization", 1
        note = ["LayerNormalization has these statistics, but its weight and", f"bias {PER_CHANNEL}"]
    weight = "scale" if name == "RMSNormalization" else "gamma"
    holds = {"weight": weight, "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    own = accepted(choice, holds)
    off = [f"{flag}=False" for flag, array in (("scale", "weight"), ("center", "bias")) if array not in own]
    if name in ("BatchNormalization", "GroupNormalization") and len(note) == 1:
        note = [*note, "On PyTorch its variance, E[x^2] - E[x]^2, cancels."]
    training = f"norm(x, training={not choice.evaluating})" if choice.method.name == "batch" else "norm(x)"
    arguments = [option, f"epsilon={choice.eps}", *(off if choice.method.centered else [])]
    return Layer(name, arguments, choice.rank - 1, note, own, training)


def keras_fill(choice: Choice, pairs: list[tuple[str, str]]) -> list[str]:
    """Build the layer, which makes its arrays, then set them."""
    return [*(["norm.build(x.shape)"] if pairs else []), *(f"norm.{own}.assign({name})" for own, name in pairs)]


def accepted(choice: Choice, names: dict[str, str]) -> dict[str, str]:
    """Leave out arrays that are not given, and those that a layer with per-channel parameters cannot take."""
    absent = {"weight", "bias"} - set(choice.given)
    if choice.per_element:
        absent |= {"weight", "bias"}
    if not choice.method.centered:
        absent.add("bias")
    return {ours: own for ours, own in names.items() if ours not in absent}


SAME = {name: name for name in ("weight", "bias", "running_mean", "running_var")}
PER_CHANNEL = "have one per element; here they have one per channel."
ONE_CELL = "PyTorch's layer refuses this x: a set has one cell."
FRAMEWORKS = {
    "PyTorch": Framework(
        imports=["import torch"],
        convert="x = torch.as_tensor(x).float()",
        array="torch.as_tensor({})",
        shaped="torch.as_tensor({}).reshape({})",
        move="{}.movedim({}, {})",
        sqrt="torch.sqrt({})",
        mean="{}.mean({}, keepdim=True)",
        var="{}.var({}, correction=0, keepdim=True)",
        sum="{}.sum({}, keepdim=True)",
        prefix="torch.nn.",
        layer=torch_layer,
        fill=torch_fill,
        notes=dict.fromkeys(("batch", "layer", "instance", "group"), ONE_CELL)
        | {"weight_norm": "torch.nn.utils.parametrizations.weight_norm has no eps."},
    ),
    "NumPy": Framework(
        imports=["import numpy as np"],
        convert="x = np.asarray(x, float)  # float64",
        array="np.asarray({}, float)",
        shaped="np.asarray({}, float).reshape({})",
        move="np.moveaxis({}, {}, {})",
        sqrt="np.sqrt({})",
    ),
    "JAX/Flax": Framework(
        imports=["import jax.numpy as jnp", "from flax import nnx"],
        convert="x = jnp.asarray(x, dtype=jnp.float32)",
        array="jnp.asarray({})",
        shaped="jnp.asarray({}).reshape({})",
        move="jnp.moveaxis({}, {}, {})",
        sqrt="jnp.sqrt({})",
        prefix="nnx.",
        layer=flax_layer,
        fill=flax_fill,
    ),
    "Keras": Framework(
        imports=["import keras"],
        convert='x = keras.ops.convert_to_tensor(x, dtype="float32")',
        array="keras.ops.array({})",
        shaped="keras.ops.reshape({}, [{}])",
        move="keras.ops.moveaxis({}, {}, {})",
        reshape="keras.ops.reshape({}, [{}])",
        sqrt="keras.ops.sqrt({})",
        mean="keras.ops.mean({}, {}, keepdims=True)",
        var="keras.ops.var({}, {}, keepdims=True)",
        sum="keras.ops.sum({}, {}, keepdims=True)",
        prefix="keras.layers.",
        layer=keras_layer,
        fill=keras_fill,
    ),
}
