#!/usr/bin/env python3
"""Training steps of the networks of full size: every tensor checked, within bounded memory.

usage: large_networks_test.py WAGESIM SOURCE_DIRECTORY
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

WAGESIM, SOURCE = sys.argv[1], Path(sys.argv[2])


def train(network, *options):
    """A step's summary, and the most memory that it held, in bytes."""
    process = subprocess.Popen(
        [WAGESIM, "run", str(SOURCE / "networks" / f"{network}.json"), "--mode", "train", "--steps", "1", "--json",
         *options], stdout=subprocess.PIPE, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{network}: exit status {process.returncode}\n{text}"
    return json.loads(text), usage.ru_maxrss * 1024


class LargeNetworks(unittest.TestCase):
    def assert_exact(self, network, *options):
        summary, memory = train(network, *options)
        self.assertGreater(summary["elements_checked"], 0)
        self.assertEqual((summary["mismatches"], summary["uncertified"], summary["findings"]), (0, 0, 0), network)
        return memory

    def test_the_32x32_and_28x28_ones_in_a_batch_of_two(self):
        for network in ("resnet20", "resnet8_post"):
            self.assert_exact(network, "--batch", "2")

    def test_224x224(self):
        for network in ("resnet18", "resnet18_pre", "resnet34"):
            self.assert_exact(network, "--batch", "1")

    def test_resnet50_in_4_gb_with_the_golden_model(self):
        self.assertLess(self.assert_exact("resnet50", "--batch", "1"), 4e9)

    def test_resnet50_in_1_5_gb_without(self):
        self.assertLess(train("resnet50", "--batch", "1", "--golden", "none")[1], 1.5e9)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
