#!/usr/bin/env python3
"""A training step on the machine beside a float32 emulation of it in PyTorch; then how the machine's
time grows with the array, the batch and the network's width.

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


def milliseconds(options, threads):
    """By name, from wagesim_bench_training."""
    lines = subprocess.run(
        [options.programs / "wagesim_bench_training", options.data, options.network, str(options.batch), "1",
         str(threads)],
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
        one, two = milliseconds(options, 1), milliseconds(options, 2)
        rounds.append({"PyTorch, fake-quantised, float32": 1000 * statistics.median(step.run() for _ in range(3)),
                       "golden model": one["golden model"],
                       "machine": one["machine"], "machine, two threads": two["machine"],
                       "checked": one["checked"], "checked, two threads": two["checked"]})

    print(f"training step of {options.network.stem}, images: {options.batch}; medians of {options.rounds} rounds in turn;"
          " one thread unless said")
    pytorch = next(iter(rounds[0]))
    for name in rounds[0]:
        median = statistics.median(r[name] for r in rounds)
        ratio = statistics.median(r[name] / r[pytorch] for r in rounds)
        print(f"  {name:34} {median:8.1f} ms  {ratio:5.2f}x PyTorch's time")
    for name in ("machine", "checked"):
        ratio = statistics.median(r[name] / r[f"{name}, two threads"] for r in rounds)
        print(f"  two threads against one, {name:10} {ratio:5.2f}x")


def widened(network, factor, directory):
    """The network with so many times the channels, as a file."""
    network = json.loads(network.read_text())
    for layer in network["layers"]:
        if "out_channels" in layer:
            layer["out_channels"] = round(layer["out_channels"] * factor)
    path = Path(directory) / f"{network['name']}_x{factor:g}.json"
    path.write_text(json.dumps(network))
    return path


def steps(options, network, batch, datapath, count):
    """Summary of so many steps on the machine, one thread."""
    return json.loads(subprocess.run(
        [options.programs / "wagesim", "run", network, "--mode", "train", "--steps", str(count), "--batch", str(batch),
         "--data", options.data, "--datapath", datapath, "--golden", "none", "--threads", "1", "--json"],
        check=True, capture_output=True, text=True).stdout)


def cost(options):
    """Of a step, start left out: the difference of three steps and one, halved."""
    print(f"machine: a step of {options.network.stem} by array, batch and width, one thread, once each")
    print(f"  {'array':>7} {'batch':>5} {'width':>6} {'GMACs':>8} {'Mcycles':>8} {'seconds':>8} {'MMAC/s':>8}")
    with tempfile.TemporaryDirectory() as directory:
        for size, batch, factor in ((16, 1, 0.5), (16, 1, 1), (16, 1, 2), (16, 2, 1), (16, 4, 1), (16, 8, 1),
                                    (32, 1, 1), (64, 1, 1)):
            datapath = Path(directory) / "datapath.json"
            datapath.write_text(json.dumps({"machine": {"array_rows": size, "array_columns": size}}))
            one, three = (steps(options, widened(options.network, factor, directory), batch, datapath, count)
                          for count in (1, 3))
            macs, cycles, seconds = ((three[key] - one[key]) / 2 for key in ("macs", "cycles", "wall_seconds"))
            print(f"  {f'{size}x{size}':>7} {batch:5} {factor:6g} {macs / 1e9:8.2f} {cycles / 1e6:8.1f}"
                  f" {seconds:8.2f} {macs / seconds / 1e6:8.0f}")


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
