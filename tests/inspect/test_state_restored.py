"""Whatever a call changes is as it was after a probe, a check, an audit and a comparison."""

import array
import collections
import copy
import functools
import gc
import os
import random
import signal
import sys
import threading
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

import normviz as nv
from normviz.inspect._snapshot import Snapshot, restore_after

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:.*(Sparse CSR|quantize_per_tensor|nested tensors|torch.jit):")


class Slotted:
    __slots__ = ("__private", "empty", "held")

    def __init__(self):
        self.held, self.__private = [1], 2

    def change(self):
        self.held.append(2)
        self.__private += 1
        self.empty = 1

    def state(self):
        return self.held, self.__private, hasattr(self, "empty")


class Tagged(dict):
    """A dictionary with attributes of its own, and with a rule of its own for missing keys."""

    def __init__(self):
        super().__init__(a=1)
        self.tag = ["x"]

    def __missing__(self, key):
        self[key] = 0
        return 0


class Frozen:
    def __setattr__(self, name, value):
        raise TypeError("no")


def bytes_of(tensor):
    dense = tensor.detach()
    dense = dense.int_repr() if dense.is_quantized else dense.to_dense() if dense.layout != torch.strided else dense
    return tensor.dtype, tuple(tensor.shape), tensor.layout, dense.clone().contiguous().numpy().tobytes()


def parameter():
    p = T.Parameter(torch.arange(3.0))
    p.grad = torch.ones(3)
    return p


def autograd(p):
    hooks = [p._backward_hooks, p._post_accumulate_grad_hooks]
    counts = [None if h is None else len(h) for h in hooks]
    grad = None if not p.is_leaf or p.grad is None else (id(p.grad), bytes_of(p.grad))
    return type(p), p.requires_grad, p.is_leaf, grad, counts, sorted(vars(p)), p.data_ptr(), bytes_of(p)


def numpy_state(a):
    return a.dtype.str, a.shape, a.strides, a.flags.writeable, a.tolist()


def pairs(d):
    return [(k, copy.copy(v)) for k, v in d.items()]


def ordered():
    return collections.OrderedDict.fromkeys("abc")


def replaced_shape(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.shape = (2, 3)


def under_gradients(p):
    with torch.enable_grad():
        buffer = p.mul_(torch.ones(3, requires_grad=True))
    assert not buffer.is_leaf


def no_write(a):
    a[0] = 9
    a.flags.writeable = False


# What it is: how it is made, what a call does to it, and what of it must not change.
OBJECTS = {
    "the method of a generator": (lambda: random.Random(0).random, lambda v: v(), lambda v: v.__self__.getstate()),
    "the method of a list": (lambda: [1].append, lambda v: v(2), lambda v: v.__self__),
    "the method of a tensor": (lambda: torch.zeros(2).add_, lambda v: v(1), lambda v: bytes_of(v.__self__)),
    "a large dictionary": (
        lambda: {f"w{i}": i for i in range(5000)} | {"list": [1]},
        lambda v: (v.update(w7=0), v["list"].append(2)),
        lambda v: (v["w7"], v["list"]),
    ),
    "a seed sequence": (
        lambda: np.random.default_rng(0),
        lambda v: v.spawn(1),
        lambda v: v.bit_generator.seed_seq.n_children_spawned,
    ),
    "deque": (lambda: collections.deque([1, 2, 3], 3), lambda v: v.append(4), list),
    "deque, emptied": (lambda: collections.deque([1, 2, 3]), lambda v: v.clear(), list),
    "bytearray": (lambda: bytearray(b"abc"), lambda v: v.__setitem__(0, 9), bytes),
    "bytearray, longer": (lambda: bytearray(b"abc"), lambda v: v.extend(b"x"), bytes),
    "array.array": (lambda: array.array("d", [1, float("nan")]), lambda v: v.append(2), lambda v: v.tobytes()),
    "list slice": (lambda: [1, 2, 3, 4], lambda v: v.__setitem__(slice(1, 3), []), list),
    "list order": (lambda: [3, 1, 2], lambda v: v.sort(), list),
    "set": (lambda: {1, 2}, lambda v: v.add(3), sorted),
    "set of equal things": (lambda: {1}, lambda v: (v.clear(), v.add(True)), repr),
    "order of a dict": (lambda: {"a": 1, "b": 2}, lambda v: v.update(a=v.pop("a")), pairs),
    "order of an OrderedDict": (ordered, lambda v: v.move_to_end("a"), pairs),
    "defaultdict": (lambda: collections.defaultdict(list), lambda v: v["new"], pairs),
    "factory of a defaultdict": (
        lambda: collections.defaultdict(list),
        lambda v: setattr(v, "default_factory", None),
        lambda v: v.default_factory,
    ),
    "Counter": (lambda: collections.Counter("aab"), lambda v: v.update("b"), pairs),
    "attributes of a dict": (Tagged, lambda v: (v["z"], v.tag.append(1)), lambda v: (pairs(v), list(v.tag))),
    "ChainMap": (lambda: collections.ChainMap({"a": 1}), lambda v: v.update(b=2), pairs),
    "SimpleNamespace": (lambda: types.SimpleNamespace(a=1), lambda v: setattr(v, "b", 1), lambda v: pairs(vars(v))),
    "slots": (Slotted, Slotted.change, lambda v: repr(v.state())),
    "an object that takes no attributes": (Frozen, lambda v: vars(v).update(a=1), lambda v: pairs(vars(v))),
    "__dict__": (T.Identity, lambda v: setattr(v, "__dict__", dict(vars(v))), lambda v: id(vars(v))),
    "__class__": (T.Identity, lambda v: setattr(v, "__class__", T.Flatten), type),
    "partial": (lambda: functools.partial(print, [1]), lambda v: setattr(v, "tag", 1), lambda v: vars(v).copy()),
    "NumPy contents": (lambda: np.zeros(3), lambda v: v.fill(np.nan), numpy_state),
    "NumPy zeros with a sign": (lambda: np.zeros(3), lambda v: np.negative(v, out=v), lambda v: v.tobytes()),
    "NumPy shape": (lambda: np.arange(6), replaced_shape, numpy_state),
    "NumPy dtype": (lambda: np.arange(6), lambda v: v.dtype.str and setattr(v, "dtype", "u8"), numpy_state),
    "NumPy size": (lambda: np.arange(6), lambda v: v.resize(9, refcheck=False), numpy_state),
    "NumPy size, smaller": (lambda: np.arange(6), lambda v: v.resize(2, refcheck=False), numpy_state),
    "NumPy flags": (lambda: np.arange(3), no_write, numpy_state),
    "NumPy slice": (lambda: np.zeros((4, 6))[::2, 1:5:3], lambda v: v.fill(1), numpy_state),
    "NumPy columns": (lambda: np.zeros((4, 6), order="F"), lambda v: v.fill(1), numpy_state),
    "NumPy scalar": (lambda: np.zeros(()), lambda v: v.fill(1), numpy_state),
    "NumPy objects": (lambda: np.array([[1], {2}], object), lambda v: v[0].append(1), numpy_state),
    "NumPy records": (lambda: np.zeros(2, "i4,f8"), lambda v: v["f1"].fill(1), numpy_state),
    "NumPy texts": (lambda: np.array(["a", "bc"]), lambda v: v.fill("x"), numpy_state),
    "NumPy mask": (lambda: np.ma.array([1, 2], mask=[0, 1]), lambda v: v.mask.fill(1), lambda v: v.mask.tolist()),
    "parameter, half": (parameter, lambda p: setattr(p, "data", p.data.half()), autograd),
    "parameter, replaced": (parameter, lambda p: setattr(p, "data", torch.zeros(5)), autograd),
    "parameter, frozen": (parameter, lambda p: p.requires_grad_(False), autograd),
    "parameter, grad": (parameter, lambda p: p.grad.zero_(), autograd),
    "parameter, no grad": (parameter, lambda p: setattr(p, "grad", None), autograd),
    "parameter, attributes": (parameter, lambda p: setattr(p, "tag", 1), autograd),
    "parameter, hooks": (parameter, lambda p: p.requires_grad_().register_hook(print), autograd),
    "parameter, late hooks": (parameter, lambda p: p.register_post_accumulate_grad_hook(print), autograd),
    "parameter, class": (parameter, lambda p: setattr(p, "__class__", torch.Tensor), autograd),
    "parameter, freed": (parameter, lambda p: p.untyped_storage().resize_(0), lambda p: p.untyped_storage().nbytes()),
    "tensor, resized": (lambda: torch.ones(3), lambda t: t.resize_(9), bytes_of),
    "tensor, resized to less": (lambda: torch.ones(3), lambda t: t.resize_(1), bytes_of),
    "tensor, reshaped": (lambda: torch.ones(2, 3), lambda t: t.t_(), bytes_of),
    "tensor, part of a graph": (lambda: torch.ones(3), under_gradients, autograd),
    "tensor, scalar": (lambda: torch.tensor(float("nan")), lambda t: t.zero_(), bytes_of),
    "tensor, strided": (lambda: torch.ones(4, 4)[::2, 1::2], lambda t: t.zero_(), bytes_of),
    "tensor, broadcast": (lambda: torch.ones(1).expand(5), lambda t: t[:1].zero_(), bytes_of),
    "tensor, complex": (lambda: torch.ones(3, dtype=torch.complex64), lambda t: t.mul_(1j), bytes_of),
    "tensor, conjugate": (lambda: torch.ones(3).to(torch.complex64).conj(), lambda t: t.mul_(1j), lambda t: t.tolist()),
    "tensor, bool": (lambda: torch.ones(3, dtype=torch.bool), lambda t: t.zero_(), bytes_of),
    "sparse": (lambda: torch.eye(3).to_sparse(), lambda t: t.mul_(2), bytes_of),
    "sparse, other cells": (lambda: torch.eye(3).to_sparse(), lambda t: t.add_(torch.ones(3, 3).to_sparse()), bytes_of),
    "sparse rows": (lambda: torch.eye(3).to_sparse_csr(), lambda t: t.values().mul_(2), bytes_of),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
        lambda t: t.copy_(torch.zeros(3)),
        bytes_of,
    ),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        lambda t: t.values().zero_(),
        lambda t: t.values().tolist(),
    ),
    "mkldnn": (lambda: torch.ones(2, 2).to_mkldnn(), lambda t: t.mul_(2), bytes_of),
    "np.random.Generator": (lambda: np.random.default_rng(1), lambda v: v.normal(), lambda v: v.bit_generator.state),
    "np.random.PCG64": (lambda: np.random.PCG64(1), lambda v: v.random_raw(), lambda v: v.state),
    "np.random.RandomState": (lambda: np.random.RandomState(1), lambda v: v.normal(), lambda v: str(v.get_state())),
    "random.Random": (lambda: random.Random(1), lambda v: v.random(), lambda v: v.getstate()),
    "torch.Generator": (
        lambda: torch.Generator().manual_seed(1),
        lambda v: torch.rand(1, generator=v),
        lambda v: v.get_state().tolist(),
    ),
}  # fmt: skip


class Holder(T.Module):
    """A normalization layer that has something and changes it, together with things of its own."""

    def __init__(self, held, change):
        super().__init__()
        self.norm, self.held, self.change = T.BatchNorm2d(8), held, change

    def forward(self, x):
        self.change(self.held)
        random.random()
        torch.rand(1)
        return self.norm(x)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_of_a_layer(name):
    make, change, state = OBJECTS[name]
    held = make()
    layer = Holder(held, change)
    before = state(held)
    generators = random.getstate(), torch.get_rng_state().tolist()
    assert nv.probe(layer).method == "batch"
    assert layer.held is held
    assert state(held) == before or name.startswith("array")
    assert repr(state(held)) == repr(before)
    assert layer.norm.num_batches_tracked == 0
    assert (random.getstate(), torch.get_rng_state().tolist()) == generators


@pytest.mark.parametrize("name", OBJECTS)
def test_each_change_shows_where_nothing_is_restored(name):
    make, change, state = OBJECTS[name]
    held = make()
    before = repr(state(held))
    with torch.no_grad():
        change(held)
    assert repr(state(held)) != before


def test_a_layer_that_turns_itself_into_another_dtype():
    class Doubling(T.Module):
        def __init__(self):
            super().__init__()
            self.norm = T.BatchNorm2d(8)

        def forward(self, x):
            self.double()
            return self.norm(x.double()).to(x.dtype)

    layer = Doubling()
    layer.norm.weight.grad = torch.ones(8)
    before = {k: (id(v), v.dtype, v.data_ptr(), v.tolist()) for k, v in layer.state_dict(keep_vars=True).items()}
    nv.probe(layer)
    assert {
        k: (id(v), v.dtype, v.data_ptr(), v.tolist()) for k, v in layer.state_dict(keep_vars=True).items()
    } == before
    assert layer.norm.weight.grad.dtype == torch.float32


def test_buffers_parameters_and_hooks_that_come_go_or_are_tied():
    class Rebuilding(T.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.other = T.BatchNorm2d(8), T.BatchNorm2d(8)
            self.register_buffer("spare", torch.ones(1), persistent=False)

        def forward(self, x):
            self.register_buffer("extra", torch.zeros(1))
            self._buffers.pop("spare", None)
            self.other.weight = self.norm.weight
            self.norm.bias = T.Parameter(torch.zeros(8))
            self.add_module("last", T.ReLU())
            self.norm.register_forward_pre_hook(print if False else lambda *_: None)
            self.register_full_backward_hook(lambda *_: None)
            self.eval()
            return self.norm(x)

    layer = Rebuilding()

    def state():
        tensors = [(k, id(v), v.tolist()) for k, v in layer.state_dict(keep_vars=True).items()]
        hooks = [len(d) for m in layer.modules() for k, d in sorted(vars(m).items()) if "hooks" in k and d is not None]
        return (
            tensors,
            hooks,
            [n for n, _ in layer.named_modules()],
            [n for n, _ in layer.named_buffers()],
            layer.training,
        )

    before = state()
    nv.probe(layer)
    assert state() == before


def settings_of_torch():
    return [
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.is_anomaly_enabled(),
        torch.is_anomaly_check_nan_enabled(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
        torch.is_warn_always_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.enabled,
        torch.backends.mkldnn.enabled,
        torch.utils.deterministic.fill_uninitialized_memory,
        repr(torch.tensor(1 / 3)),
        len(T.modules.module._global_forward_hooks),
    ]


def settings_of_the_process():
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    numbers = [np.geterr(), np.get_printoptions(), sys.getrecursionlimit(), gc.isenabled()]
    streams = [sys.stdout, sys.stderr, list(warnings.filters), [*sys.path], sys.excepthook]
    return [dict(os.environ), str(Path.cwd()), handlers, numbers, streams, settings_of_torch()]


SETTINGS = {
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.set_detect_anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "torch.set_default_device": lambda: torch.set_default_device("meta"),
    "torch.set_autocast_enabled": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.set_autocast_dtype": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "autocast that is never left": lambda: torch.autocast("cpu").__enter__(),
    "torch.backends.cudnn": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.mkldnn": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch.utils.deterministic": lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "torch.set_printoptions": lambda: torch.set_printoptions(precision=2),
    "a hook of all modules": lambda: T.modules.module.register_module_forward_hook(lambda *_: None),
    "os.environ": lambda: os.environ.update(NORMVIZ_TEST="1"),
    "os.environ, less": lambda: os.environ.pop("PATH", None),
    "the working directory": lambda: os.chdir("/"),
    "a signal handler": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "np.seterr": lambda: np.seterr(all="raise"),
    "np.set_printoptions": lambda: np.set_printoptions(precision=2),
    "warnings": lambda: warnings.simplefilter("ignore"),
    "the recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 100),
    "garbage collection": gc.disable,
    "sys.stdout": lambda: setattr(sys, "stdout", sys.__stderr__),
    "sys.path": lambda: sys.path.append("elsewhere"),
    "sys.excepthook": lambda: setattr(sys, "excepthook", print),
}


@pytest.fixture
def keep_settings():
    with restore_after():
        yield


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_process(name, keep_settings):
    seen = []

    def fn(x):
        SETTINGS[name]()
        seen.append(settings_of_the_process())
        return x - x.mean()

    before = settings_of_the_process()
    nv.probe(fn, framework="numpy")
    assert settings_of_the_process() == before
    assert seen[0] != before


@pytest.mark.parametrize("use", ["probe", "check"])
def test_settings_that_a_call_leaves_do_not_reach_the_next_one(use):
    layer = T.InstanceNorm2d(8)

    def fn(x):
        y = layer(x)
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        torch.autocast("cpu").__enter__()
        return y

    if use == "probe":
        assert nv.probe(fn, framework="torch").method == "instance"
    else:
        assert nv.check(fn, "instance", framework="torch").passed
    assert torch.get_default_device().type == "cpu"


def test_signals_are_left_alone_in_other_threads():
    errors = []

    def work():
        try:
            nv.probe(lambda x: x)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


def test_a_setting_of_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    before = jax.config.jax_enable_x64
    nv.probe(lambda x: (jax.config.update("jax_enable_x64", not before), x)[1], framework="numpy")
    assert jax.config.jax_enable_x64 == before


def test_everything_is_restored_when_the_user_interrupts():
    layer = Holder([], lambda held: held.append(1))
    layer.norm.register_forward_hook(lambda *_: signal.raise_signal(signal.SIGINT))
    # In a process that was started in the background, Python leaves SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            nv.probe(layer)
    finally:
        signal.signal(signal.SIGINT, before)
    assert layer.held == []
    assert layer.norm.num_batches_tracked == 0


# ---- one that cannot be restored ----


class Stubborn:
    """An object whose attributes can be replaced and not be put back."""

    def __init__(self):
        self.locked = bytearray(b"abc")
        self.views = []

    def change(self):
        self.locked.extend(b"x")
        KEPT.append(memoryview(self.locked))  # a buffer in use cannot change its length


KEPT = []


def test_what_cannot_be_restored_stops_nothing_and_is_told():
    layer = Holder(Stubborn(), lambda held: held.change() if not KEPT else None)
    layer.last = T.BatchNorm2d(8)
    before, numbers = layer.norm.running_mean.clone(), (random.getstate(), torch.get_rng_state().tolist())
    with pytest.warns(
        RuntimeWarning, match=r"^could not be restored after the call: locked \(BufferError: Existing exports of data"
    ) as caught:
        assert nv.probe(layer).method == "batch"
    assert len(caught) == 1
    assert torch.equal(layer.norm.running_mean, before)
    assert (random.getstate(), torch.get_rng_state().tolist()) == numbers
    KEPT.clear()


class Uncopied(torch.Tensor):
    """Refuses every operation."""

    @staticmethod
    def __new__(cls):
        return torch.Tensor._make_wrapper_subclass(cls, (2,))

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError("not this one")


def test_what_cannot_be_copied_is_named():
    layer = T.Identity()
    layer.odd = Uncopied()
    message = "^odd, of type Uncopied, cannot be copied, so it could not be restored after the call: RuntimeError: not"
    with pytest.raises(ValueError, match=message):
        nv.probe(layer)


# ---- what is reached ----


def chain(kind, length):
    value = np.zeros(2)
    for _ in range(length):
        value = kind(value)
    return value


def closure(value):
    return lambda: value


CHAINS = {
    "objects": lambda v: types.SimpleNamespace(next=v),
    "dicts": lambda v: {"next": v},
    "lists": lambda v: [v],
    "tuples": lambda v: (v,),
    "closures": closure,
    "partials": lambda v: functools.partial(closure, v),
    "defaults": lambda v: types.FunctionType((lambda a: a).__code__, {}, "f", (v,)),
}


@pytest.mark.parametrize(("use", "kind"), [*(("probe", kind) for kind in CHAINS), ("check", "dicts")])
def test_a_chain_of_three_thousand(kind, use):
    held = chain(CHAINS[kind], 3000)
    inside = next(v for v in Snapshot(lambda: held).objects if isinstance(v, np.ndarray))

    class Layer:
        def __init__(self):
            self.held = held

        def __call__(self, x):
            inside[0] += 1
            return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)

    layer = Layer()
    if use == "probe":
        assert nv.probe(layer).method == "instance"
    else:
        assert nv.check(layer, "instance").passed
    assert inside.tolist() == [0, 0]


def test_functions_many_deep_in_one_another():
    code = compile("lambda: " * 60 + "state", "deep", "eval")
    state = np.zeros(1)
    deep = types.FunctionType(code, {"state": state})
    assert any(v is state for v in Snapshot(deep).objects)


def test_keys_of_a_dictionary_and_what_a_memoryview_shows():
    key, shown = T.BatchNorm2d(8), bytearray(8)

    class Layer:
        state = np.zeros(1)

        def __init__(self):
            self.by_layer, self.view = {key: 1}, memoryview(shown)

        def __call__(self, x):
            self.view[0] += 1
            type(self).state = np.ones(1)
            return key(torch.as_tensor(x, dtype=torch.float32))

    kept = Layer.state
    assert nv.probe(Layer()).method == "batch"
    assert key.num_batches_tracked == 0
    assert not any(shown)
    assert Layer.state is kept


STATE = np.zeros(1)


class ByMethods:
    """Its call uses a global array by a method, a property, a static method and a class method."""

    def __call__(self, x):
        self._first()
        return x

    def _first(self):
        return self._second

    @property
    def _second(self):
        return self._third()

    @staticmethod
    def _third():
        return ByMethods._fourth()

    @classmethod
    def _fourth(cls):
        STATE[0] += 1


def test_methods_that_the_call_uses_are_followed():
    nv.probe(ByMethods())
    assert STATE[0] == 0


class Inventive:
    """Answers to every name, and keeps a record of it."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.append(name)
        setattr(self, name, lambda *args, **kwargs: None)
        return getattr(self, name)

    def __call__(self, x):
        return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)


def test_no_attribute_is_asked_for_that_an_object_invents():
    layer = Inventive()
    assert nv.probe(layer).method == "instance"
    assert vars(layer) == {"asked": []}


RAN = []


class Watched:
    """Its properties and the look-up of its attributes run code."""

    def __getattribute__(self, name):
        RAN.append(name)
        return object.__getattribute__(self, name)

    @property
    def forward_once(self):
        raise RuntimeError("this runs code")

    def __call__(self, x):
        return x


def test_a_snapshot_runs_no_code_of_the_object():
    layer = Watched()
    RAN.clear()
    Snapshot(layer).restore()
    assert RAN == []


def test_a_random_generator_of_the_system_has_no_state():
    system = random.SystemRandom()
    assert nv.probe(lambda x: x + system.random()).stochastic


def test_an_array_broadcast_to_more_cells_than_any_memory_has():
    huge = np.broadcast_to(np.zeros(1), (10**6, 10**6, 10**6))
    wide = torch.zeros(1).expand(10**6, 10**6)
    found = nv.probe(lambda x: x + huge[0, 0, 0] + float(wide[0, 0]), framework="numpy")
    assert found.elementwise


def test_a_layer_is_restored_in_inference_mode_too():
    with torch.inference_mode():
        layer = T.BatchNorm2d(8)
        assert nv.probe(layer).method == "batch"
        assert layer.num_batches_tracked == 0
    assert nv.probe(layer.eval()).elementwise
    assert not layer.running_mean.any()
