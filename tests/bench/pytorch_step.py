"""A training step as a float32 emulation does it: PyTorch, every WAGEUBN quantiser (arXiv
1909.02384, section 3) as a rounding of float tensors, with straight-through estimators.

What the speed of `wagesim` is measured against; its values are those of no wagesim model.
"""
import json
import time

import torch
import torch.nn.functional as F


def q(x, frac):
    return torch.round(x * 2**frac) / 2**frac


def clip(x, bits, frac):
    limit = (2 ** (bits - 1) - 1) / 2**frac
    return q(x, frac).clamp(-limit, limit)


def largest(x):
    """R: the power of two nearest to the largest magnitude."""
    return 2.0 ** torch.round(torch.log2(x.abs().max().clamp_min(2.0**-126)))


def sq(x, bits):
    r = largest(x)
    return r * q(x / r, bits - 1).clamp(-1 + 2.0 ** (1 - bits), 1 - 2.0 ** (1 - bits))


def fq(x, bits):
    s = largest(x) / 2 ** (bits - 1)
    large = torch.round(x / s).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    return s * torch.where(x.abs() >= s, large, q(x / s, bits - 1))


def cq(x, dr, generator):
    x = dr * x / largest(x)
    low = torch.floor(x)
    draw = torch.rand(x.shape, generator=generator)
    return (low + (draw < x - low)).clamp(1 - dr, dr - 1) / 2**14


class Forward(torch.autograd.Function):
    """Quantises the value; the error passes where the code fitted."""

    @staticmethod
    def forward(ctx, x, bits, frac):
        y = clip(x, bits, frac)
        ctx.save_for_backward((x - y).abs() <= 2.0**-frac)
        return y

    @staticmethod
    def backward(ctx, error):
        return error * ctx.saved_tensors[0], None, None


class Error(torch.autograd.Function):
    """Leaves the value; quantises the error."""

    @staticmethod
    def forward(ctx, x, quantise):
        ctx.quantise = quantise
        return x.view_as(x)

    @staticmethod
    def backward(ctx, error):
        return ctx.quantise(error, 8), None


class Step:
    def __init__(self, path, batch, seed=1):
        with open(path) as file:
            self.network = json.load(file)
        self.batch = batch
        self.generator = torch.Generator().manual_seed(seed)
        self.weights, self.momenta = {}, {}
        channels, height, width = self.network["input"]["shape"]
        self.image = clip(torch.rand((batch, channels, height, width), generator=self.generator), 9, 8)
        self.label = torch.randint(0, 10, (batch,), generator=self.generator)
        self.run()  # makes the weights

    def parameter(self, name, make):
        if name not in self.weights:
            self.weights[name] = make().requires_grad_()
            self.momenta[name] = torch.zeros_like(self.weights[name])
        return self.weights[name]

    def layer(self, spec, x):
        name, kind = spec["name"], spec["type"]
        if kind in ("conv2d", "linear"):
            conv = kind == "conv2d"
            x = x[0] if conv else x[0].flatten(1)
            out = spec["out_channels" if conv else "out_features"]
            kernel = spec.get("kernel", 1)
            shape = (out, x.shape[1], kernel, kernel) if conv else (out, x.shape[1])
            fan_in = x.shape[1] * kernel * kernel
            weight = self.parameter(
                name, lambda: clip(torch.randn(shape, generator=self.generator) / fan_in**0.5, 24, 23))
            weight = Forward.apply(weight, 8, 7)
            y = F.conv2d(x, weight, None, spec.get("stride", 1), spec.get("padding", 0)) if conv else x @ weight.T
            return Error.apply(y, fq)
        if kind == "batch_norm":
            c = x[0].shape[1]
            gamma = Forward.apply(self.parameter(name + ".gamma", lambda: torch.ones(c)), 8, 6)
            beta = Forward.apply(self.parameter(name + ".beta", lambda: torch.zeros(c)), 8, 6)
            mean = Forward.apply(x[0].mean((0, 2, 3), keepdim=True), 20, 15)
            sigma = Forward.apply(x[0].var((0, 2, 3), unbiased=False, keepdim=True).clamp_min(1e-9).sqrt(), 20, 15)
            xhat = Forward.apply((x[0] - mean) / (sigma + 2.0**-15), 8, 5)
            return Error.apply(gamma.view(1, -1, 1, 1) * xhat + beta.view(1, -1, 1, 1), sq)
        if kind == "relu":
            return Error.apply(Forward.apply(F.relu(x[0]), 8, 5), sq)
        if kind == "max_pool":
            return F.max_pool2d(x[0], spec["kernel"], spec.get("stride"), spec.get("padding", 0))
        if kind == "global_avg_pool":
            return x[0].mean((2, 3), keepdim=True)
        if kind == "add":
            return x[0] + x[1]
        raise ValueError(f"layer {name}: no {kind} here")

    def run(self):
        """One step; its seconds."""
        begin = time.perf_counter()
        made = {"input": self.image}
        x = self.image
        for spec in self.network["layers"]:
            inputs = [made[i] for i in spec["inputs"]] if "inputs" in spec else [x]
            x = made[spec["name"]] = self.layer(spec, inputs)
        F.cross_entropy(Error.apply(x, sq), self.label).backward()
        with torch.no_grad():
            for name, weight in self.weights.items():
                is_vector = name.endswith((".gamma", ".beta"))
                gradient = q(weight.grad, 14) if is_vector else cq(weight.grad, 128, self.generator)
                accumulated = 0.75 * self.momenta[name] + gradient
                self.momenta[name] = q(accumulated, 12)
                weight.copy_(q(weight - 205 / 512 * accumulated, 23).clamp(-2 if is_vector else -1, 2 if is_vector else 1))
                weight.grad = None
        return time.perf_counter() - begin
