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


def milliseconds(options, *prefix):
    """By name, from wagesim_bench_training; checked: with the golden model on a second thread."""
    lines = subprocess.run(
        [*prefix, options.programs / "wagesim_bench_training", options.data, options.network, str(options.batch), "1"],
        check=True, capture_output=True, text=True).stdout.splitlines()
    return {line[2:24].strip(): float(line[24:].split()[0]) for line in lines if line.startswith("  ")}


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
        times = milliseconds(options)
        times["one core"] = milliseconds(options, "taskset", "-c", "0")["checked"]
        times["pytorch"] = 1000 * statistics.median(step.run() for _ in range(3))
        rounds.append(times)

    print(f"training step of {options.network.stem}, images: {options.batch}; medians of {options.rounds} rounds in turn")
    for name, what in (("pytorch", "PyTorch, fake-quantised, float32"), ("machine", "machine"),
                       ("golden model", "golden model"), ("checked", "checked: both at once, two cores"),
                       ("one core", "checked on one core")):
        median = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r["pytorch"] for r in rounds)
        print(f"  {what:36} {median:8.1f} ms  {ratio:5.2f}x PyTorch's time")
    print(f"  two cores against one {statistics.median(r['one core'] / r['checked'] for r in rounds):5.2f}x")


def widened(network, factor, directory):
    """The network with so many times the channels, as a file."""
    network = json.loads(network.read_text())
    for layer in network["layers"]:
        if "out_channels" in layer:
            layer["out_channels"] = round(layer["out_channels"] * factor)
    path = Path(directory) / f"{network['name']}_x{factor:g}.json"
    path.write_text(json.dumps(network))
    return path


def run_once(options, network, batch, *more):
    """Summary of one step on the machine."""
    return json.loads(subprocess.run(
        [options.programs / "wagesim", "run", network, "--mode", "train", "--steps", "1", "--batch", str(batch),
         "--data", options.data, "--golden", "none", "--json", *more],
        check=True, capture_output=True, text=True).stdout)


def cost(options):
    """Time of a step of several sizes, once each."""
    print(f"machine: a step of {options.network.stem} by array, batch and width")
    print(f"  {'array':>7} {'batch':>5} {'width':>6} {'GMACs':>8} {'Mcycles':>8} {'seconds':>8} {'MMAC/s':>8}")
    with tempfile.TemporaryDirectory() as directory:
        for size, batch, factor in ((16, 1, 0.5), (16, 1, 1), (16, 1, 2), (16, 2, 1), (16, 4, 1), (16, 8, 1),
                                    (32, 1, 1), (64, 1, 1)):
            datapath = Path(directory) / "datapath.json"
            datapath.write_text(json.dumps({"machine": {"array_rows": size, "array_columns": size}}))
            run = run_once(options, widened(options.network, factor, directory), batch, "--datapath", datapath)
            print(f"  {f'{size}x{size}':>7} {batch:5} {factor:6g} {run['macs'] / 1e9:8.2f} {run['cycles'] / 1e6:8.1f}"
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
