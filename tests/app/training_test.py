#!/usr/bin/env python3
"""A training run of 200 steps, killed and resumed, against one that was left alone.

usage: training_test.py WAGESIM SOURCE_DIRECTORY
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

WAGESIM, SOURCE = sys.argv[1], Path(sys.argv[2])
STEPS = 200


def command(out, *options):
    return [WAGESIM, "train", str(SOURCE / "networks/convnet.json"), "--checkpoint-every", "20", "--out", str(out),
            *(options if "--steps" in options else ("--steps", str(STEPS), *options))]


def arrays(path):
    """Name -> bytes of every array: the zip file itself has times in it or not, the codes count."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def step_of(out):
    try:
        return json.loads((out / "state.json").read_text())["step"]
    except FileNotFoundError:
        return 0


class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.root = Path(cls.directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def interrupt(self, out, after, how, *options):
        """Starts the run (again), and ends it with a signal once a checkpoint is `after` or later."""
        process = subprocess.Popen(command(out, *options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 600
        while step_of(out) < after:
            self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(how)
        process.communicate()
        self.assertLess(step_of(out), STEPS)
        return process.returncode

    def test_killed_and_resumed_it_ends_with_the_same_bits(self):
        alone, killed = self.root / "alone", self.root / "killed"
        subprocess.run(command(alone, "--golden", "none", "--quiet"), check=True)

        self.assertEqual(self.interrupt(killed, 40, signal.SIGKILL), -signal.SIGKILL)
        refused = subprocess.run(command(killed), capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--resume", refused.stderr)
        self.assertEqual(self.interrupt(killed, 100, signal.SIGTERM, "--resume"), 130)
        (killed / "state-7.npz.partial").write_bytes(b"half a file")  # what a kill may leave
        ended = subprocess.run(command(killed, "--resume", "--json"), check=True, capture_output=True, text=True)

        summary = json.loads(ended.stdout)
        self.assertEqual(summary["steps_checked"], STEPS)
        self.assertEqual((summary["mismatches"], summary["uncertified"], summary["findings"]), (0, 0, 0))
        self.assertGreaterEqual(summary["accuracy"], 0.80)
        self.assertEqual(arrays(killed / "weights.npz"), arrays(alone / "weights.npz"))
        manifests = [json.loads((out / "manifest.json").read_text()) for out in (alone, killed)]
        self.assertEqual(manifests[0]["summary"]["loss"], manifests[1]["summary"]["loss"])
        self.assertEqual(manifests[0]["summary"]["accuracy"], manifests[1]["summary"]["accuracy"])
        checked = {point["checked"] for name, point in manifests[1]["points"].items() if name.endswith(".E2")}
        self.assertTrue(all(count % STEPS == 0 for count in checked), "each step is counted once")

    def test_every_choice_of_the_datapath_is_bit_exact(self):
        choices = {
            "reciprocal": {"normalize": "reciprocal"},
            "sse": {"training": {"loss": "sse", "e2": "sq16", "ste": "pass", "sigma_guard": False}},
            "decay": {"training": {"weight_decay_log2": -3, "momentum": "1/4", "random_source": "lfsr"}},
            "decay that rounds": {"training": {"weight_decay_log2": -34}},
            "os": {"machine": {"dataflow": "os", "array_rows": 8, "array_columns": 4}},
        }
        for name in ("int8", "paper", "authors"):
            choices[name] = name
        for name, choice in choices.items():
            for network in ("convnet", "resnet8"):
                with self.subTest(choice=name, network=network):
                    datapath = choice
                    if isinstance(choice, dict):
                        datapath = self.root / "datapath.json"
                        datapath.write_text(json.dumps(choice))
                    run = subprocess.run([WAGESIM, "run", str(SOURCE / "networks" / f"{network}.json"), "--mode", "train",
                                          "--steps", "2", "--batch", "2", "--datapath", str(datapath), "--json",
                                          "--out", str(self.root / "run")], capture_output=True, text=True)
                    self.assertEqual(run.returncode, 0, run.stderr)
                    self.assertEqual(json.loads(run.stdout)["mismatches"], 0)

    def test_tensors_hash_the_same_whether_they_stay_or_not(self):
        def hashes(*options):
            out = self.root / "hashed"
            subprocess.run([WAGESIM, "run", str(SOURCE / "networks/convnet.json"), "--mode", "train", "--steps", "2",
                            "--batch", "2", "--quiet", "--out", str(out), *options], check=True)
            return {tensor["tensor"]: tensor.get("crc32")
                    for tensor in json.loads((out / "manifest.json").read_text())["tensors"]}
        stay = hashes("--dump", "last")
        self.assertGreater(len(stay), 50)
        for options in (("--dump", "none"), ("--dump", "*.y"), ("--dump", "none", "--golden", "none")):
            self.assertEqual(hashes(*options), stay, options)

    def test_refuses_what_it_cannot_resume(self):
        out = self.root / "refused"
        short = ("--steps", "2", "--test-count", "16", "--batch", "4")
        subprocess.run(command(out, *short, "--quiet"), check=True)
        other = subprocess.run(command(out, *short, "--seed", "2", "--resume"),
                               capture_output=True, text=True)
        self.assertEqual(other.returncode, 2)
        self.assertIn("run.seed", other.stderr)
        (out / "state.json").write_text("{")
        damaged = subprocess.run(command(out, *short, "--resume"),
                                 capture_output=True, text=True)
        self.assertEqual(damaged.returncode, 2)
        self.assertIn("state.json", damaged.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
