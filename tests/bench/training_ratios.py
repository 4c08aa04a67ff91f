#!/usr/bin/env python3
"""A training step on the machine beside a float32 emulation of it in PyTorch, one thread each; then
how the machine's time grows with the batch and with the network's width.

Every round runs each once, one after the other; a ratio is formed within its round, and the median
over the rounds counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def beside_pytorch(options):
    try:
        import torch
        from pytorch_step import Step
    except ImportError:
        print("python3-torch is not installed: the training step has nothing to be compared with")
        return
    torch.set_num_threads(1)
    step = Step(options.network, options.batch)
    rounds = []
    for _ in range(options.rounds):
        lines = subprocess.run(
            [options.programs / "wagesim_bench_training", options.data, options.network, str(options.batch), "1"],
            check=True, capture_output=True, text=True).stdout.splitlines()
        times = {line[2:24].strip(): float(line[24:].split()[0]) for line in lines if line.startswith("  ")}
        rounds.append(times | {"pytorch": 1000 * statistics.median(step.run() for _ in range(3))})

    print(f"training step of {options.network.stem}, images: {options.batch}; medians of {options.rounds} rounds in turn")
    for name, what in (("pytorch", "PyTorch, fake-quantised, float32"), ("machine", "machine"),
                       ("golden model", "golden model"), ("checked", "checked (golden model on a second thread)")):
        median = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r["pytorch"] for r in rounds)
        print(f"  {what:42} {median:8.1f} ms  {ratio:5.2f}x PyTorch's time")


def widened(network, factor, directory):
    """The network with so many times the channels, as a file."""
    network = json.loads(network.read_text())
    for layer in network["layers"]:
        if "out_channels" in layer:
            layer["out_channels"] = round(layer["out_channels"] * factor)
    path = Path(directory) / f"{network['name']}_x{factor:g}.json"
    path.write_text(json.dumps(network))
    return path


def cost(options):
    """Time of a step of several sizes, once each."""
    print(f"machine: a step of {options.network.stem} by batch and width")
    print(f"  {'batch':>5} {'width':>6} {'GMACs':>8} {'Mcycles':>8} {'seconds':>8} {'MMAC/s':>8}")
    with tempfile.TemporaryDirectory() as directory:
        for batch, factor in ((1, 0.5), (1, 1), (1, 2), (2, 1), (4, 1), (8, 1)):
            out = subprocess.run(
                [options.programs / "wagesim", "run", widened(options.network, factor, directory), "--mode", "train",
                 "--steps", "1", "--batch", str(batch), "--data", options.data, "--golden", "none", "--json"],
                check=True, capture_output=True, text=True).stdout
            run = json.loads(out)
            print(f"  {batch:5} {factor:6g} {run['macs'] / 1e9:8.2f} {run['cycles'] / 1e6:8.1f}"
                  f" {run['wall_seconds']:8.2f} {run['macs'] / run['wall_seconds'] / 1e6:8.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="directory of the built programs")
    parser.add_argument("data", help="directory of the data set")
    parser.add_argument("--network", type=Path, default=ROOT / "networks/resnet18.json")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    beside_pytorch(options)
    cost(options)


if __name__ == "__main__":
    sys.exit(main())
