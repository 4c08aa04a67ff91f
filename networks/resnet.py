#!/usr/bin/env python3
"""Writes the ResNets of this folder.

ResNet-18, 34, 50 (He et al., arXiv 1512.03385, table 1) with ten classes; `_pre`: their
pre-activation form (arXiv 1603.05027), a block's batch norm and ReLU before its convolutions and
the shortcut's convolution after the first ReLU. ResNet-20 is the one for 32 x 32 images (section
4.2), with 1x1 convolutions as shortcuts where the size changes; ResNet-8 has one block a stage and
28 x 28 grey images (`resnet8_post.json`; the pre-activation form is `resnet8.json`).
"""
import json
from pathlib import Path


class Network:
    def __init__(self, name, shape):
        self.name, self.shape, self.layers = name, shape, []

    def add(self, name, kind, inputs=None, **keys):
        layer = {"name": name, "type": kind}
        if inputs:
            layer["inputs"] = inputs if isinstance(inputs, list) else [inputs]
        self.layers.append(layer | keys)
        return name

    def conv(self, name, out_channels, kernel, stride=1, inputs=None):
        return self.add(name, "conv2d", inputs, out_channels=out_channels, kernel=kernel,
                        stride=stride, padding=kernel // 2, bias=False)

    def norm_relu(self, norm, relu, inputs=None):
        self.add(norm, "batch_norm", inputs)
        return self.add(relu, "relu")

    def write(self):
        lines = ",\n".join("    " + json.dumps(layer) for layer in self.layers)
        text = (f'{{\n  "name": "{self.name}",\n  "input": {{"shape": {json.dumps(self.shape)}}},\n'
                f'  "layers": [\n{lines}\n  ]\n}}\n')
        (Path(__file__).parent / f"{self.name}.json").write_text(text)


def post_block(net, name, x, channels, stride, bottleneck, shape_changes):
    """conv - BN - ReLU - conv - BN, the shortcut added, ReLU."""
    convs = convolutions(channels, stride, bottleneck)
    source = x
    for i, (out, kernel, step) in enumerate(convs, 1):
        net.conv(f"{name}.conv{i}", out, kernel, step, source)
        source = None
        if i < len(convs):
            net.norm_relu(f"{name}.bn{i}", f"{name}.relu{i}")
        else:
            net.add(f"{name}.bn{i}", "batch_norm")
    if shape_changes:
        net.conv(f"{name}.short", convs[-1][0], 1, stride, x)
        x = net.add(f"{name}.short_bn", "batch_norm")
    net.add(f"{name}.add", "add", [f"{name}.bn{len(convs)}", x])
    return net.add(f"{name}.relu", "relu")


def pre_block(net, name, x, channels, stride, bottleneck, shape_changes):
    """BN - ReLU - conv - BN - ReLU - conv, the shortcut added."""
    convs = convolutions(channels, stride, bottleneck)
    source = x
    for i, (out, kernel, step) in enumerate(convs, 1):
        net.norm_relu(f"{name}.bn{i}", f"{name}.relu{i}", source)
        source = None
        net.conv(f"{name}.conv{i}", out, kernel, step)
    if shape_changes:
        x = net.conv(f"{name}.short", convs[-1][0], 1, stride, f"{name}.relu1")
    return net.add(f"{name}.add", "add", [f"{name}.conv{len(convs)}", x])


def convolutions(channels, stride, bottleneck):
    """(output channels, kernel, stride) of a block's."""
    if bottleneck:
        return [(channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1)]
    return [(channels, 3, stride), (channels, 3, 1)]


def resnet(name, shape, widths, blocks, bottleneck=False, pre=False, large=True):
    net = Network(name, shape)
    channels = widths[0]
    x = net.conv("conv1", channels, 7 if large else 3, 2 if large else 1, "input")
    if large or not pre:
        x = net.norm_relu("bn1", "relu1")
    if large:
        x = net.add("pool", "max_pool", kernel=3, stride=2, padding=1)
    for stage, (width, count) in enumerate(zip(widths, blocks), 1):
        for block in range(count):
            stride = 2 if block == 0 and stage > 1 else 1
            out = 4 * width if bottleneck else width
            make = pre_block if pre else post_block
            x = make(net, f"layer{stage}.{block}", x, width, stride, bottleneck,
                     stride != 1 or channels != out)
            channels = out
    if pre:
        net.norm_relu("bn_final", "relu_final")
    net.add("gap", "global_avg_pool")
    net.add("fc", "linear", out_features=10)
    net.write()


if __name__ == "__main__":
    photo, widths = [3, 224, 224], [64, 128, 256, 512]
    for suffix, pre in (("", False), ("_pre", True)):
        resnet("resnet18" + suffix, photo, widths, [2, 2, 2, 2], pre=pre)
        resnet("resnet34" + suffix, photo, widths, [3, 4, 6, 3], pre=pre)
        resnet("resnet50" + suffix, photo, widths, [3, 4, 6, 3], bottleneck=True, pre=pre)
    resnet("resnet8_post", [1, 28, 28], [16, 32, 64], [1, 1, 1], large=False)
    resnet("resnet20", [3, 32, 32], [16, 32, 64], [3, 3, 3], large=False)
