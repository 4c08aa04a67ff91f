# The README shows what the program prints: runs the demo's commands and compares, line by line.
"""usage: readme_test.py WAGESIM README NETWORKS_DIR DATA_DIR

Only wall-clock lines may differ. Skipped (exit status 77) where the data set is not installed."""
import os
import re
import subprocess
import sys

wagesim, readme, networks, data = sys.argv[1:5]
if not os.path.isdir(data):
    print(f"skipped: {data} is not there (package dataset-fashion-mnist)")
    sys.exit(77)


def shown(marker):
    """The indented block after <!-- marker --> in the README."""
    text = open(readme, encoding="utf-8").read()
    block = re.search(rf"<!-- {marker} -->\n\n((?:    .*\n|\n)+)", text)
    assert block, f"{readme}: no block {marker}"
    return [line.strip() for line in block.group(1).splitlines() if line.strip()]


def printed(*arguments):
    done = subprocess.run([wagesim, "run", f"{networks}/convnet.json", "--data", data, *arguments],
                          capture_output=True, text=True, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


failures = 0
weights = ["--weights", f"{networks}/../traces/convnet/weights.npz"]
cases = {
    "demo": printed(*weights),
    "step": printed("--mode", "train", *weights),
    "inject": printed(*weights, "--inject", "activations:0x104:6@66000"),
}
for marker, lines in cases.items():
    there = [line for line in lines if not line.startswith("wall")]
    for line in shown(marker):
        if line.startswith(("wall", "$", "...", "convnet, ")) or line in there:
            continue
        print(f"{marker}: the README shows a line that the program does not print:\n  {line}")
        failures += 1
    compared = len([line for line in shown(marker) if line in there])
    print(f"{marker}: {compared} lines compared")
    failures += compared < 5
sys.exit(1 if failures else 0)
