"""Networks that people use, as they are built: an audit lists their normalizations and gives no false warning."""

from functools import partial

import pytest
import torch
from torch import nn

import normviz as nv
from tests.inspect import architectures
from tests.inspect.architectures import MODELS, NO_NORMS, SIZE

IN_BOTH_MODES = {"test_resnet", "test_efficientnet", "test_byobnet", "test_convnext", "test_vit4", "resnet18 frozen"}
NO_PLAIN_NORMS = {
    "convnextv2_atto": 12 * ["GlobalResponseNorm"],
    "test_efficientnet_evos": 9 * ["EvoNorm2dS0"],  # the other four have no activation, and normalize nothing
}
# timm sets G = 32 for the whole network, and the first layers of its stem have 32 channels.
ONE_CHANNEL_TO_A_GROUP = {"resnetv2_50d_gn": ["stem.norm1", "stem.norm2"]}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def made(make):
    try:
        return make()
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm and torchvision cannot be imported: {error}")


@pytest.mark.parametrize("name", MODELS)
def test_a_network_as_it_is_built_gives_no_false_warning(name):
    model = made(MODELS[name])
    for mode in (False, True) if name in IN_BOTH_MODES else (False,):
        found = nv.audit(model.train(mode), torch.randn(2, 3, SIZE, SIZE), training_batch=32)
        expected = [("accidental-instance", layer) for layer in ONE_CHANNEL_TO_A_GROUP.get(name, [])]
        assert [(w.code, w.layer) for w in found.warnings] == expected
        assert found.unseen == {}
        assert (not found.layers) == (name in NO_NORMS)
    others = [layer.type for layer in found.layers if layer.label == "pools H x W, not a plain normalizer"]
    assert others == [*NO_PLAIN_NORMS.get(name, [])]


def test_there_are_enough_of_them():
    assert len(MODELS) >= 40


def test_torchvisions_maxvit_takes_its_momentum_from_tensorflow():
    """Its weights were trained with 0.99: pytorch/vision#8250."""
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.99)
    model = made(lambda: architectures._small_maxvit(norm_layer=norm)).eval()
    (warning,) = nv.audit(model, torch.randn(2, 3, SIZE, SIZE)).warnings
    assert (warning.code, warning.numbers["momentum"]) == ("momentum-reversed", 0.99)
    exec(warning.fix)
    assert nv.audit(model, torch.randn(2, 3, SIZE, SIZE)).warnings == []
