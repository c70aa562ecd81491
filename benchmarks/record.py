"""What a recording costs, beside the training steps of a ResNet-18.

    python -m benchmarks.record [--every 10] [--rounds 5] [--samples 16] [--size 96]

A round trains `every` steps without and `every` steps with a recording, in turn, in one process; given are the medians
of the time of the process and of the clock, on one thread, and the load of the machine.
"""

import argparse
import os
import statistics
import time
from contextlib import nullcontext
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

import normviz as nv


class Block(nn.Module):
    """Two convolutions with Batch Norm, and a shortcut."""

    def __init__(self, c_in: int, c: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c)
        self.relu, self.short = nn.ReLU(inplace=True), nn.Sequential()
        if stride > 1 or c_in != c:
            self.short = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False), nn.BatchNorm2d(c))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both paths."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.short(x))


def resnet18() -> nn.Module:
    """Return a ResNet-18: 11.7 million parameters, 20 Batch Norms."""
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [Block(a, b, 1 + (a != b)) for a, b in pairwise(widths)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record")
    for name, default in (("every", 10), ("rounds", 5), ("samples", 16), ("size", 96)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = resnet18().to(options.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = torch.randn(options.samples, 3, options.size, options.size, device=options.device)
    labels = torch.arange(options.samples, device=options.device)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), labels).backward()
            optimizer.step()
        if options.device != "cpu":
            torch.cuda.synchronize()

    def seconds(recorded: bool) -> tuple[float, float]:
        start = time.process_time(), time.perf_counter()
        with nv.record(model, every=options.every) if recorded else nullcontext():
            train(options.every)
        return time.process_time() - start[0], time.perf_counter() - start[1]

    seconds(True)
    rounds = [(seconds(False), seconds(True)) for _ in range(options.rounds)]
    for i, clock in enumerate(("process", "clock")):
        step = statistics.median(plain[i] for plain, _ in rounds) / options.every
        ratio = statistics.median(recorded[i] / plain[i] for plain, recorded in rounds)
        print(f"{clock}: a step of {1e3 * step:.0f} ms; with a recording, every={options.every}, {ratio - 1:+.1%}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, torch {torch.__version__}")


if __name__ == "__main__":
    main()
