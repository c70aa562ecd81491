"""Small models of the four kinds that people train, and norms as other libraries write them."""

import torch
import torch.nn.functional as F
from torch import nn


def conv(c_in, c_out, kernel=3, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


class Bottleneck(nn.Module):
    def __init__(self, c_in, c, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(c_in, c, 1), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = conv(c, c, 3, stride), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = conv(c, 4 * c, 1), nn.BatchNorm2d(4 * c)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or c_in != 4 * c:
            self.downsample = nn.Sequential(conv(c_in, 4 * c, 1, stride), nn.BatchNorm2d(4 * c))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet-50's shape: blocks=(3, 4, 6, 3), width=64."""

    def __init__(self, width=8, blocks=(1, 2, 1, 1), classes=10):
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(3, width, 7, 2), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c_in = width
        for i, count in enumerate(blocks):
            c, layers = width * 2**i, []
            for j in range(count):
                layers.append(Bottleneck(c_in, c, 2 if i and not j else 1))
                c_in = 4 * c
            self.add_module(f"layer{i + 1}", nn.Sequential(*layers))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(c_in, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class UNet(nn.Module):
    def __init__(self, norm=lambda c: nn.GroupNorm(4, c), width=16):
        super().__init__()
        w = width
        block = lambda i, o: nn.Sequential(conv(i, o), norm(o), nn.SiLU(), conv(o, o), norm(o), nn.SiLU())  # noqa: E731
        self.down = nn.ModuleList([block(3, w), block(w, 2 * w), block(2 * w, 4 * w)])
        self.up = nn.ModuleList([block(6 * w, 2 * w), block(3 * w, w)])
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, x):
        kept = []
        for i, block in enumerate(self.down):
            x = block(x if not i else F.max_pool2d(x, 2))
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        return self.head(x)


class LayerNorm2d(nn.LayerNorm):
    """As in ConvNeXt: the features of each position, with C on axis 1."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dwconv = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm = nn.LayerNorm(c, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c)
        self.gamma = nn.Parameter(1e-6 * torch.ones(c))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.gamma * self.pwconv2(self.act(self.pwconv1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        w = width
        self.stem = nn.Sequential(nn.Conv2d(3, w, 4, 4), LayerNorm2d(w, eps=1e-6))
        self.stage1 = nn.Sequential(ConvNeXtBlock(w), ConvNeXtBlock(w))
        self.downsample = nn.Sequential(LayerNorm2d(w, eps=1e-6), nn.Conv2d(w, 2 * w, 2, 2))
        self.stage2 = nn.Sequential(ConvNeXtBlock(2 * w))
        self.norm, self.head = nn.LayerNorm(2 * w, eps=1e-6), nn.Linear(2 * w, 10)

    def forward(self, x):
        x = self.stage2(self.downsample(self.stage1(self.stem(x))))
        return self.head(self.norm(x.mean((2, 3))))


class ViTBlock(nn.Module):
    def __init__(self, dim, heads=4):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim), nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * dim, dim))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, dim=32, depth=2, image=32, patch=8):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, (image // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[ViTBlock(dim) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


HEALTHY = {"ResNet": ResNet, "U-Net": UNet, "ConvNeXt": ConvNeXt, "ViT": ViT}


# ---- norms as others write them ----


class FrozenBatchNorm2d(nn.Module):
    """As in torchvision: buffers alone, one scale and one shift a channel."""

    def __init__(self, c, eps=1e-5):
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((c,), value))

    def forward(self, x):
        w, b, rm, rv = (t.reshape(1, -1, 1, 1) for t in (self.weight, self.bias, self.running_mean, self.running_var))
        scale = w * (rv + self.eps).rsqrt()
        return x * scale + (b - rm * scale)


class BatchNormAct2d(nn.BatchNorm2d):
    """As in timm: Batch Norm with its activation in one module."""

    def __init__(self, c, act=nn.ReLU, **options):
        super().__init__(c, **options)
        self.drop, self.act = nn.Identity(), act()

    def forward(self, x):
        training = self.training or self.running_mean is None
        state = self.running_mean, self.running_var
        # Without a momentum it averages all batches so far, and the first one counts in full.
        momentum = 1.0 if self.momentum is None else self.momentum
        x = F.batch_norm(x, *state, self.weight, self.bias, training, momentum, self.eps)
        return self.act(self.drop(x))


class RMSNorm(nn.Module):
    """As in LLaMA, written out."""

    def __init__(self, dim, eps=1e-6, ndim=3):
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.rand(dim) + 0.5), eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


class SquaredLayerNorm(nn.Module):
    """Layer Norm of tokens, with squares in the dtype of its input."""

    def __init__(self, dim):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.rand(dim) + 0.5), nn.Parameter(torch.randn(dim))

    def forward(self, x):
        d = x - x.mean(-1, keepdim=True)
        return d * torch.rsqrt(d.pow(2).mean(-1, keepdim=True) + 1e-5) * self.gain + self.shift


class InFloat32(nn.Module):
    """A norm that is computed in float32, whatever the dtype of its input."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.float()).to(x.dtype)


class GlobalResponseNorm(nn.Module):
    """As in ConvNeXt V2: channels last, and the identity as long as its weight is 0."""

    def __init__(self, c, weight=0.0):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.full((1, 1, 1, c), weight)), nn.Parameter(torch.zeros(1, 1, 1, c))

    def forward(self, x):
        norms = x.norm(dim=(1, 2), keepdim=True)
        return self.gamma * (x * norms / (norms.mean(-1, keepdim=True) + 1e-6)) + self.beta + x


class EvoNorm2dS0(nn.Module):
    """Liu et al. 2020: a SiLU over the standard deviation of a group."""

    def __init__(self, groups, c):
        super().__init__()
        self.groups = groups
        made = lambda v: nn.Parameter(torch.full((1, c, 1, 1), v))  # noqa: E731
        self.gamma, self.beta, self.v = made(1.0), made(0.0), made(1.0)

    def forward(self, x):
        var = x.reshape(len(x), self.groups, -1).var(-1, keepdim=True) + 1e-5
        std = var.sqrt().repeat_interleave(x.shape[1] // self.groups, 1)[..., None]
        return x * (self.v * x).sigmoid() / std * self.gamma + self.beta


class EvoNorm2dB0(EvoNorm2dS0):
    """Its other form: the larger of the batch's standard deviation and of one of the sample's."""

    def forward(self, x):
        batch, sample = x.var((0, 2, 3), keepdim=True), x.var((2, 3), keepdim=True)
        return x / torch.maximum((batch + 1e-5).sqrt(), self.v * x + (sample + 1e-5).sqrt()) * self.gamma + self.beta


class HandGroupNorm(nn.Module):
    """Group Norm written out; groups that do not divide C differ in size."""

    def __init__(self, num_groups, c, act=None):
        super().__init__()
        self.num_groups, self.act = num_groups, act or nn.Identity()
        self.gamma, self.beta = nn.Parameter(torch.rand(1, c, 1, 1) + 0.5), nn.Parameter(torch.randn(1, c, 1, 1))

    def forward(self, x):
        parts = [self._one(p) for p in x.chunk(self.num_groups, 1)]
        return self.act(torch.cat(parts, 1) * self.gamma + self.beta)

    @staticmethod
    def _one(x):
        d = x - x.mean((1, 2, 3), keepdim=True)
        return d / (d.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()


class HandHeadNorm(nn.Module):
    """The layer norm of each head of queries (N, C, tokens), written out."""

    def __init__(self, num_heads, c):
        super().__init__()
        self.num_heads = num_heads
        self.gamma, self.beta = nn.Parameter(torch.rand(1, c, 1) + 0.5), nn.Parameter(torch.randn(1, c, 1))

    def forward(self, x):
        heads = x.unflatten(1, (self.num_heads, -1))
        d = heads - heads.mean(2, keepdim=True)
        return (d / (d.square().mean(2, keepdim=True) + 1e-5).sqrt()).flatten(1, 2) * self.gamma + self.beta


class HandBatchNorm(nn.Module):
    """Batch Norm written out; a batch replaces the part `momentum` of the running statistics, or leaves `keeps`."""

    def __init__(self, c, act=None, momentum=0.1, keeps=None):
        super().__init__()
        self.part = momentum
        if keeps is not None:
            self.momentum, self.part = keeps, 1 - keeps
        self.gamma, self.beta = nn.Parameter(torch.rand(c) + 0.5), nn.Parameter(torch.randn(c))
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.ones(c))
        self.act = act or nn.Identity()

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            self.running_mean += self.part * (mean - self.running_mean)
            self.running_var += self.part * (var - self.running_var)
        lined = lambda t: t.reshape(1, -1, 1, 1)  # noqa: E731
        return self.act((x - lined(mean)) / lined(var + 1e-5).sqrt() * lined(self.gamma) + lined(self.beta))


class ZeroCenteredBatchNorm(nn.Module):
    """Batch Norm whose weight is kept as its distance from 1."""

    def __init__(self, c):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(c) * 0.3), nn.Parameter(torch.randn(c))

    def forward(self, x):
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        x = (x - mean) / (var + 1e-5).sqrt()
        return x * (1 + self.scale.reshape(1, -1, 1, 1)) + self.shift.reshape(1, -1, 1, 1)


class FilterResponseNorm(nn.Module):
    """Singh & Krishnan 2020, with its threshold."""

    def __init__(self, c):
        super().__init__()
        made = lambda v: nn.Parameter(torch.randn(1, c, 1, 1) * 0.3 + v)  # noqa: E731
        self.gamma, self.beta, self.tau = made(1.0), made(0.0), made(0.0)

    def forward(self, x):
        x = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-6)
        return torch.maximum(self.gamma * x + self.beta, self.tau)


class PreNormMLP(nn.Module):
    """A functional call in the middle of a forward, with its own weights."""

    def __init__(self, dim):
        super().__init__()
        self.g, self.b = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.fc = nn.Linear(dim, dim)

    def forward(self, x):
        return x + self.fc(F.layer_norm(x, x.shape[-1:], self.g, self.b))


class ScaledStdConv2d(nn.Conv2d):
    """As in timm: the weights are standardized by a batch_norm call, and no activations are."""

    def forward(self, x):
        w = F.batch_norm(self.weight.reshape(1, self.out_channels, -1), None, None, training=True, momentum=0.0)
        return F.conv2d(x, w.reshape_as(self.weight), self.bias, self.stride, self.padding)


def spread(*shape, seed=0):
    """Activations whose samples and channels differ, as real ones do."""
    g = torch.Generator().manual_seed(seed)
    lined = (shape[0], shape[1], *[1] * (len(shape) - 2))
    x = torch.randn(shape, generator=g)
    return x * (torch.rand(lined, generator=g) + 0.5) + torch.randn(lined, generator=g)
