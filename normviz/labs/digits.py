"""The net of the lab `training`, scikit-learn's digits, and one run of training."""

from dataclasses import dataclass
from typing import Any

import numpy as np

TRAIN = 1297
"""Images to learn from; the other 500 of the 1797 are the test."""
GROUPS = 4
INSTALL = 'pip install "normviz[torch]" scikit-learn'


@dataclass(frozen=True)
class Run:
    """One net, trained once.

    Attributes
    ----------
    method
        "batch", "group" or "none".
    batch_size, learning_rate, seed
        What it was trained with.
    loss
        Mean cross-entropy of each epoch's steps; None from where it is no longer finite.
    error
        Errors on the test images after each epoch, in percent, in eval mode.
    """

    method: str
    batch_size: int
    learning_rate: float
    seed: int
    loss: tuple[float | None, ...]
    error: tuple[float, ...]


class _NoBar:
    def update(self, steps: int = 1) -> None: ...
    def close(self) -> None: ...


def bar_of(steps: int, progress: bool) -> Any:
    """Return tqdm's bar, or one that shows nothing."""
    if progress:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return _NoBar()
        return tqdm(total=steps, desc="training", unit="step", mininterval=0.5)
    return _NoBar()


def load() -> tuple[Any, Any]:
    """Return torch, and the digits as tensors: images to learn from, their labels, images of the test, their labels."""
    try:
        import torch
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            f"training needs {error.name}, which is not installed: {INSTALL}; recorded() needs neither"
        ) from None
    digits: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = torch.tensor(digits.images[order, None] / 8 - 1, dtype=torch.float32)
    labels = torch.tensor(digits.target[order])
    return torch, (images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])


def net(method: str, seed: int = 0) -> Any:
    """Return the net: four 3 x 3 convolutions of 16, 16, 32 and 32 channels, each normalized, down to maps of 2 x 2."""
    torch = load()[0]
    nn = torch.nn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make = {"batch": nn.BatchNorm2d, "group": lambda C: nn.GroupNorm(GROUPS, C), "none": lambda C: nn.Identity()}
        layers, before = [], 1
        for channels, stride in ((16, 1), (16, 2), (32, 1), (32, 2)):
            convolution = nn.Conv2d(before, channels, 3, stride=stride, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, make[method](channels), nn.ReLU()]
            before = channels
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


def train(torch: Any, data: Any, method: str, size: int, rate: float, seed: int, *, epochs: int, bar: Any) -> Run:
    """Train one net; `bar` is told of every step."""
    images, labels, test, answers = data
    model, order = net(method, seed), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    steps, losses, errors = TRAIN // size, [], []
    for _ in range(epochs):
        model.train()
        # What does not fill a batch waits for the next epoch, so that every batch has the same size.
        batches = torch.tensor(order.permutation(TRAIN)[: steps * size].reshape(steps, size))
        total = 0.0
        for batch in batches:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item()
            bar.update()
        model.eval()
        with torch.no_grad():
            wrong = (model(test).argmax(1) != answers).float().mean().item()
        losses.append(round(total / steps, 5) if np.isfinite(total) else None)
        errors.append(round(100 * wrong, 2))
    return Run(method, int(size), float(rate), seed, tuple(losses), tuple(errors))
