"""A model for the tests of compare, and changes that make a second one differ from it."""

import torch
from torch import nn

import normviz as nv


def net(**changed):
    """Conv, Batch Norm, Group Norm and Layer Norm, with random weights as after training."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        changed.get("group", nn.GroupNorm(4, 8)),
        nn.ReLU(),
        nn.Flatten(2),
        nn.LayerNorm(36, eps=changed.get("layer_eps", 1e-5)),
        nn.Flatten(),
        nn.Linear(288, 5),
    )
    generator = torch.Generator().manual_seed(2)
    for module in (model[1], model[4], model[7]):
        for p in module.parameters():
            p.data.normal_(1, 0.2, generator=generator)
    model[1].running_mean.normal_(generator=generator)
    model[1].running_var.uniform_(0.5, 2, generator=generator)
    return model


def x():
    return torch.randn(2, 3, 10, 10, generator=torch.Generator().manual_seed(3))


def parted(change, mode=True):
    a, b = net().train(mode), net().train(mode)
    change(b)
    return nv.compare(a, b, x())


def what(pair):
    return [d.what for d in pair.differences]


def set_(**values):
    def change(model):
        for path, value in values.items():
            name, attribute = path.split("__")
            module = model[int(name[1:])]
            old = getattr(module, attribute)
            if isinstance(old, torch.Tensor):
                old.data.copy_(torch.as_tensor(value).expand_as(old))
            else:
                setattr(module, attribute, value)

    return change


def swap(model):
    weight, bias = model[4].weight, model[4].bias
    weight.data, bias.data = bias.data.clone(), weight.data.clone()


def one_weight(model):
    model[4].weight.data[5] += 0.5


def replaced(layer):
    def change(model):
        layer.load_state_dict(model[4].state_dict())
        model[4] = layer

    return change


# change, mode -> the layer, what differs there, words of the message
