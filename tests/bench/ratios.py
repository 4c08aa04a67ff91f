#!/usr/bin/env python3
"""The array at register fidelity against RTL and SystemC, side by side.

Every round runs each program once, one after the other, so that all meet the same machine; a ratio is
formed within its round, and the median over the rounds counts.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIZES = (16, 32)
WAVES = ("vcd", "fst")
WINDOW = "60000:60064"


def measure(command):
    """(kcycles/s, bytes a cycle of the wave) from a program's one line."""
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(words[1]), int(words[5]) / int(words[3])


def seconds(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def array_round(programs, directory, least):
    """One measurement of each array program, by name."""
    result = {}
    array = str(programs / "wagesim_bench_array")
    for size in SIZES:
        for name, quantum in (("clocked", 1), ("quantum", 64)):
            result[name, size] = measure([array, "--size", str(size), "--quantum", str(quantum),
                                          "--seconds", least])
        result["systemc", size] = measure([str(programs / "wagesim_bench_systemc_pes"), str(size), least])
        rtl = programs / f"wagesim_bench_rtl_{size}"
        if not rtl.exists():
            continue
        result["verilator", size] = measure([str(rtl), least])
        for wave in WAVES:
            for name, command in ((f"verilator {wave}", [f"{rtl}_{wave}"]),
                                  (f"quantum {wave}", [array, "--size", str(size), "--tiles", "8", "--wave"])):
                file = directory / f"wave.{wave}"
                result[name, size] = measure(command + [str(file)])
                file.unlink()
    return result


def window_round(programs, directory):
    """Wall times of a checked run without a wave, and with a window of every register."""
    run = [str(programs / "wagesim"), "run", str(ROOT / "networks/convnet.json"), "--count", "128"]
    window = ["--wave", str(directory / "window.fst"), "--wave-scope", "machine.array.*", "--wave-window", WINDOW]
    return seconds(run), seconds(run + window)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, help="directory of the built programs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", default="0.5", help="of each speed, at least")
    options = parser.parse_args()

    memory = Path("/dev/shm")  # a disk would be measured instead
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        directory = Path(name)
        rounds = [array_round(options.programs, directory, options.seconds) for _ in range(options.rounds)]
        windows = [window_round(options.programs, directory) for _ in range(options.rounds)]

    def ratio(over, under, size, column=0):
        return statistics.median(r[over, size][column] / r[under, size][column] for r in rounds)

    def speed(name, size):
        return statistics.median(r[name, size][0] for r in rounds)

    print(f"array at register fidelity, medians of {options.rounds} rounds in turn, one thread (kcycles/s)")
    print(f"{'':28}" + "".join(f"{f'{size}x{size}':>10}" for size in SIZES))
    for name in sorted({name for name, _ in rounds[0]}):
        print(f"  {name:26}" + "".join(f"{speed(name, size):10.1f}" for size in SIZES))

    print("ratios of the same rounds")

    def row(what, target, values):
        print(f"  {what:50}" + "".join(f"{value:9.2f}x" for value in values) + f"   {target}")

    has_rtl = ("verilator", 16) in rounds[0]
    if has_rtl:
        row("machine, clocked / Verilator", "2x at 16x16, 3x at 32x32",
            [ratio("clocked", "verilator", s) for s in SIZES])
        row("machine, quantum / Verilator", "8x", [ratio("quantum", "verilator", s) for s in SIZES])
    row("machine, quantum / an SC_MODULE per PE", "100x", [ratio("quantum", "systemc", s) for s in SIZES])
    if has_rtl:
        for wave in WAVES:
            row(f"{wave.upper()} of all registers / Verilator's", "2x",
                [ratio(f"quantum {wave}", f"verilator {wave}", s) for s in SIZES])
        row("size of VCD / FST", "15x", [ratio("quantum vcd", "quantum fst", s, 1) for s in SIZES])
    else:
        print("  verilator is not installed: nothing to compare with")
    row(f"convnet, checked: window of all registers / no wave", "1.05x",
        [statistics.median(shown / plain for plain, shown in windows)])


if __name__ == "__main__":
    sys.exit(main())
