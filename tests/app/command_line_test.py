"""The wagesim binary from outside: exit statuses, messages, run directories.

Arguments: the binary, the top of the tree, and whatever unittest takes.
"""
import csv
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
import zlib
from pathlib import Path

WAGESIM = Path(sys.argv.pop(1)).resolve()
TOP = Path(sys.argv.pop(1)).resolve()
REAL_DATA = Path("/usr/share/datasets/fashion-mnist")
IMAGES = 20

TINY = {
    "name": "tiny",
    "input": {"shape": [1, 28, 28]},
    "layers": [
        {"name": "conv", "type": "conv2d", "out_channels": 4, "kernel": 3, "stride": 2, "padding": 1},
        {"name": "bn", "type": "batch_norm"},
        {"name": "relu", "type": "relu"},
        {"name": "fc", "type": "linear", "out_features": 10, "bias": True},
    ],
}
TINY_LAYERS = [layer["name"] for layer in TINY["layers"]]

# What scripts may rely on.
JSON_KEYS = ["mode", "fidelity", "images", "steps", "tensors_checked", "elements_checked", "mismatches",
             "uncertified", "findings", "cycles", "macs", "saturations", "wraps", "underflows", "accuracy", "loss",
             "wall_seconds", "seed", "version"]


def setUpModule():
    global WORK, DATA
    WORK = Path(tempfile.mkdtemp(prefix="wagesim-cli-"))
    DATA = WORK / "data"
    write_data(DATA, IMAGES)


def tearDownModule():
    shutil.rmtree(WORK, ignore_errors=True)


def write_data(folder, count, compress=False):
    """Random images with random labels, as IDX files."""
    folder.mkdir()
    numbers = random.Random(5)
    images = struct.pack(">IIII", 0x803, count, 28, 28) + numbers.randbytes(count * 784)
    labels = struct.pack(">II", 0x801, count) + bytes(numbers.randrange(10) for _ in range(count))
    for name, data in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)):
        if compress:
            (folder / (name + ".gz")).write_bytes(gzip.compress(data, 1))
        else:
            (folder / name).write_bytes(data)


def wagesim(*arguments, **options):
    done = subprocess.run([WAGESIM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    return done.returncode, done.stdout, done.stderr


def read_npz(path):
    """name -> (shape, codes), by the format's description and not by our reader."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            data = archive.read(name)
            assert data[:6] == b"\x93NUMPY" and name.endswith(".npy"), name
            length = struct.unpack("<H", data[8:10])[0]
            assert (10 + length) % 64 == 0, "the header's padding"
            header = eval(data[10:10 + length].decode(), {})  # a Python literal by definition
            kind = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}
            codes = list(struct.iter_unpack("<" + kind[header["descr"][1:]], data[10 + length:]))
            size = 1
            for extent in header["shape"]:
                size *= extent
            assert size == len(codes) and not header["fortran_order"]
            arrays[name[:-4]] = (header["shape"], [code for (code,) in codes])
    return arrays


def crc_of(codes):
    return format(zlib.crc32(b"".join(struct.pack("<Q", code & (2**64 - 1)) for code in codes)), "08x")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(dir=WORK))
        self.network = self.write("tiny.json", TINY)

    def write(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def run_tiny(self, *arguments, network=None):
        for option, value in (("--data", DATA), ("--count", 3)):
            if option not in arguments:
                arguments += (option, value)
        return wagesim("run", network or self.network, *arguments)

    def run_to(self, name, *arguments, network=None):
        """A run with --out; returns its directory and manifest."""
        out = self.folder / name
        status, text, errors = self.run_tiny("--out", out, *arguments, network=network)
        self.assertEqual(status, 0, text + errors)
        return out, json.loads((out / "manifest.json").read_text())

    def refused(self, arguments, *fragments, status=2):
        """It ends with this status, says all of the fragments, prints no result and leaves nothing."""
        before = sorted(self.folder.iterdir())
        found, text, errors = wagesim(*arguments)
        self.assertEqual(found, status, text + errors)
        self.assertEqual(text, "", "a refusal belongs on stderr")
        for fragment in fragments:
            self.assertIn(str(fragment), errors)
        self.assertEqual(sorted(self.folder.iterdir()), before)
        self.assertNotIn("internal error", errors)
        return errors


class BadNetworks(Case):
    def bad(self, change, *fragments):
        network = json.loads(json.dumps(TINY))
        change(network)
        path = self.write("bad.json", network)
        self.refused(["run", path, "--data", DATA, "--out", self.folder / "out"], path, *fragments)

    def test_unknown_and_misspelt_keys(self):
        self.bad(lambda n: n["layers"][0].update(strid=1), "strid", "did you mean", "stride")
        self.bad(lambda n: n.update(layer=[]), "layer", "did you mean", "layers")
        self.bad(lambda n: n["input"].update(size=3), "input.size")
        self.bad(lambda n: n["layers"][0].update(kernel_size=3), "kernel_size", "kernel")

    def test_unknown_layers_and_types(self):
        self.bad(lambda n: n["layers"][1].update(type="batchnorm"), "batchnorm", "batch_norm")
        self.bad(lambda n: n["layers"][3].update(inputs=["rleu"]), "rleu", "relu")
        self.bad(lambda n: n["layers"][3].update(inputs=["fc"]), "reads itself")
        self.bad(lambda n: n["layers"][0].update(inputs=["relu"]), "further down")
        self.bad(lambda n: n["layers"][1].update(name="conv"), "already the name")

    def test_impossible_shapes(self):
        self.bad(lambda n: n["layers"][0].update(kernel=40), "kernel", "larger than the padded input")
        self.bad(lambda n: n["layers"][0].update(groups=2), "groups", "divide")
        self.bad(lambda n: n["layers"][0].update(out_channels=0), "out_channels")
        self.bad(lambda n: n["layers"][0].update(kernel=[3, 3, 3]), "kernel")
        self.bad(lambda n: n["input"].update(shape=[28, 28]), "input.shape")
        self.bad(lambda n: n["layers"][0].update(stride=-1), "stride", "-1")
        self.bad(lambda n: n["layers"].clear(), "layers")

    def test_an_input_smaller_than_the_images(self):
        self.bad(lambda n: n["input"].update(shape=[3, 32, 27]), "[3, 32, 27]", "28 x 28")

    def test_files_that_are_no_network(self):
        for content, fragment in (("{", "not valid JSON"), ("", "not valid JSON"), ("[]", "a network file"),
                                  ('{"name": "a", "name": "b"}', "twice")):
            path = self.write("bad.json", content)
            self.refused(["run", path, "--data", DATA], path, fragment)
        self.refused(["run", self.folder / "absent.json", "--data", DATA], "absent.json", "No such file")
        self.refused(["run", self.folder, "--data", DATA], self.folder)


class BadDatapaths(Case):
    def bad(self, datapath, *fragments):
        path = self.write("bad.json", datapath)
        self.refused(["run", self.network, "--data", DATA, "--datapath", path, "--out", self.folder / "out"],
                     *fragments)

    def test_unknown_and_misspelt_keys(self):
        self.bad({"machine": {"array_row": 8}}, "bad.json", "machine.array_row", "array_rows")
        self.bad({"quantizers": {"xhta": {"bits": 9}}}, "bad.json", "xhta", "xhat")
        self.bad({"quantizers": {"A": {"bit": 9}}}, "quantizers.A.bit", "bits")
        self.bad({"layers": {"rleu": {"A": {"bits": 7}}}}, "rleu", "relu")
        self.bad({"layers": {"relu": {"Wq": {"bits": 7}}}}, "relu", "Wq")
        self.bad({"quantizers": {"A": {"rounding": "nearest"}}}, "rounding", "nearest", "half_even")
        self.bad({"normalise": "divide"}, "normalise", "normalize")

    def test_impossible_machines(self):
        self.bad({"machine": {"array_rows": 0}}, "machine.array_rows", "from 1 to", "found 0")
        self.bad({"machine": {"dram_burst_bytes": 48}}, "dram_burst_bytes", "power of two", "48")
        self.bad({"machine": {"weight_buffer_bytes": 100}}, "weight_buffer_bytes", "at least 512")
        self.bad({"machine": {"queue_depth": "8"}}, "queue_depth")
        self.bad({"machine": {"vector_lanes": 1.5}}, "vector_lanes", "1.5")

    def test_layers_that_do_not_fit_the_buffers_are_named(self):
        self.bad({"machine": {"activation_buffer_bytes": 64}}, "layer ", "16")
        self.bad({"machine": {"parameter_bytes": 8}}, "bn")
        self.bad({"machine": {"dram_bytes": 1000}}, "dram_bytes", "1000")

    def test_exact_registers_that_do_not_fit_are_named(self):
        self.bad({"quantizers": {"x2": {"bits": 12}}}, "bn", "x2", "12")
        self.bad({"quantizers": {"Wq": {"bits": 9}}}, "conv", "Wq", "9")

    def test_registers_that_the_machine_does_not_have_are_refused(self):
        for quantizers, fragment in (
                ({"S": {"bits": 47}}, "S: expected 48 bits"), ({"SS": {"signed": True}}, "SS: expected 80 bits"),
                ({"var": {"frac": 20}}, "var: expected twice sigma's"),
                ({"run_mu": {"bits": 12, "frac": 8}}, "run_mu: expected at least mu's 15"),
                ({"run_sigma": {"frac": 12}}, "run_sigma: expected at least sigma's 15")):
            path = self.write("bad.json", {"quantizers": quantizers})
            with self.subTest(quantizers=quantizers):
                self.refused(["run", self.network, "--data", DATA, "--datapath", path, "--bn", "batch"], "bn", fragment)
        self.bad({"quantizers": {"inv": {"rounding": "floor"}}}, "quantizers.inv", "half_even")
        self.bad({"quantizers": {"fold_a": {"bits": 8}}}, "quantizers.fold_a", "16-bit mantissa")

    def test_neither_a_preset_nor_a_file(self):
        self.refused(["config", "int9"], "int9", "int8")


class BadData(Case):
    def test_missing_files_are_named(self):
        self.refused(["run", self.network, "--data", self.folder / "absent"], "absent")
        empty = self.folder / "empty"
        empty.mkdir()
        self.refused(["run", self.network, "--data", empty], empty, "t10k-images-idx3-ubyte")
        (empty / "t10k-images-idx3-ubyte").write_bytes((DATA / "t10k-images-idx3-ubyte").read_bytes())
        self.refused(["run", self.network, "--data", empty], "t10k-labels-idx1-ubyte")

    def test_truncated_files_are_refused_wherever_they_end(self):
        whole = self.folder / "whole"
        write_data(whole, 4, compress=True)
        self.assertEqual(self.run_tiny("--data", whole)[0], 0)
        for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
            data = (whole / name).read_bytes()
            for length in (0, 1, 5, 12, len(data) // 2, len(data) - 9, len(data) - 1):
                with self.subTest(name=name, length=length):
                    copy = self.folder / "copy"
                    shutil.copytree(whole, copy, dirs_exist_ok=True)
                    (copy / name).write_bytes(data[:length])
                    self.refused(["run", self.network, "--data", copy, "--count", 1], copy / name)
        for length in (3, 10, 15, 16, 500, 16 + 784 * IMAGES - 1):
            copy = self.folder / "plain"
            shutil.copytree(DATA, copy, dirs_exist_ok=True)
            data = (DATA / "t10k-images-idx3-ubyte").read_bytes()
            (copy / "t10k-images-idx3-ubyte").write_bytes(data[:length])
            self.refused(["run", self.network, "--data", copy, "--count", 1], "t10k-images-idx3-ubyte")

    @unittest.skipUnless((REAL_DATA / "t10k-images-idx3-ubyte.gz").exists(), "dataset-fashion-mnist is not installed")
    def test_the_real_file_cut_in_the_middle(self):
        for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
            shutil.copy(REAL_DATA / name, self.folder)
        path = self.folder / "t10k-images-idx3-ubyte.gz"
        os.truncate(path, path.stat().st_size // 2)
        self.refused(["run", self.network, "--data", self.folder, "--count", 1], path)

    def test_damaged_and_foreign_files(self):
        copy = self.folder / "copy"
        shutil.copytree(DATA, copy)
        path = copy / "t10k-images-idx3-ubyte"
        data = bytearray(path.read_bytes())
        data[2] = 13
        path.write_bytes(data)
        self.refused(["run", self.network, "--data", copy], path)
        path.write_text("not an image file, but long enough to have a header and something behind it")
        self.refused(["run", self.network, "--data", copy], path)

    def test_more_images_than_there_are(self):
        self.refused(["run", self.network, "--data", DATA, "--count", IMAGES + 1], str(IMAGES + 1), str(IMAGES))


class BadWeights(Case):
    def setUp(self):
        super().setUp()
        self.weights = self.run_to("run")[0] / "weights.npz"

    def test_truncated_files_are_refused_wherever_they_end(self):
        data = self.weights.read_bytes()
        for length in (0, 3, 40, len(data) // 3, len(data) // 2, len(data) - 30, len(data) - 1):
            with self.subTest(length=length):
                path = self.folder / "cut.npz"
                path.write_bytes(data[:length])
                self.refused(["run", self.network, "--data", DATA, "--weights", path, "--out", self.folder / "out"],
                             path)

    def test_a_flipped_bit_is_noticed(self):
        data = bytearray(self.weights.read_bytes())
        data[len(data) // 3] ^= 16
        path = self.folder / "flipped.npz"
        path.write_bytes(data)
        self.refused(["run", self.network, "--data", DATA, "--weights", path], path)

    def test_weights_of_another_network(self):
        other = json.loads(json.dumps(TINY))
        other["layers"][0]["out_channels"] = 5
        path = self.write("other.json", other)
        self.refused(["run", path, "--data", DATA, "--weights", self.weights], self.weights, "(4", "(5")
        other = json.loads(json.dumps(TINY))
        other["layers"][0]["name"] = "first"
        path = self.write("renamed.json", other)
        self.refused(["run", path, "--data", DATA, "--weights", self.weights], "first.W", "(4, 1, 3, 3)")

    def test_weights_that_are_missing(self):
        self.refused(["run", self.network, "--data", DATA, "--weights", self.folder / "absent.npz"], "absent.npz")


class BadOptions(Case):
    def test_usage_errors_end_with_status_2(self):
        run = ["run", self.network, "--data", DATA]
        for arguments, fragment in (
                (run + ["--batch", "0"], "--batch"), (run + ["--batch", "-3"], "--batch"),
                (run + ["--count", "0"], "--count"), (run + ["--count", "many"], "--count"),
                (run + ["--bacth", "2"], "--bacth"), (run + ["--golden", "float16"], "--golden"),
                (run + ["--threads", "0"], "--threads"), (run + ["--bn", "both"], "--bn"),
                (run + ["--seed", "-1"], "--seed"), (["run"], "network"), (["rnu"], "rnu"), ([], "ubcommand"),
                (["compile", self.network, "--batch", "0"], "--batch"),
                (run + ["--wave", "w.vcd", "--wave-window", "10"], "--wave-window"),
                (run + ["--wave", "w.vcd", "--wave-window", "20:10"], "--wave-window"),
                (run + ["--wave", "w.vcd", "--wave-window", "a:b"], "--wave-window"),
                (run + ["--wave-window", "1:2"], "--wave"), (run + ["--wave-scope", "*"], "--wave")):
            with self.subTest(arguments=arguments[-2:]):
                self.refused(arguments, fragment)

    def test_bad_injections_say_what_was_expected(self):
        for text, fragment in (
                ("weights", "incomplete"), ("weights:0:0", "incomplete"), ("wieghts:0:0@5", "wieghts"),
                ("weights:0:8@5", "bit 8"), ("weights:x:0@5", "address"), ("weights:0:b@5", "bit"),
                ("weights:0:0@soon", "cycle"), ("weights:-4:0@5", "address"), ("weights:0:0@", "cycle"),
                (":0:0@5", "unknown buffer")):
            with self.subTest(text=text):
                self.refused(["run", self.network, "--data", DATA, "--inject", text, "--out", self.folder / "out"],
                             f"--inject {text}", fragment, "BUFFER:ADDRESS:BIT@CYCLE")


class OutputPlaces(Case):
    def test_places_that_cannot_be_written_are_refused_before_any_work(self):
        self.write("file", "")
        run = ["run", self.network, "--data", DATA, "--out"]
        self.refused(run + [self.folder / "file" / "run"], "file/run")
        self.refused(run + [self.folder / "file"], "is a file")
        self.refused(run + ["/proc/wagesim/run"], "/proc/wagesim")
        self.refused(run + [""], "--out", "empty")

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_a_directory_without_permission(self):
        closed = self.folder / "closed"
        closed.mkdir(mode=0o500)
        self.refused(["run", self.network, "--data", DATA, "--out", closed / "run"], "closed/run", "ermission")

    def test_a_directory_that_is_no_run_stays_as_it_is(self):
        mine = self.folder / "mine"
        mine.mkdir()
        (mine / "thesis.tex").write_text("years")
        self.refused(["run", self.network, "--data", DATA, "--out", mine], mine, "no manifest.json")
        self.assertEqual((mine / "thesis.tex").read_text(), "years")

    def test_an_empty_directory_and_an_earlier_run_are_replaced(self):
        (self.folder / "run").mkdir()
        first = self.run_to("run")[1]
        (self.folder / "run" / "stale").write_text("")
        second = self.run_to("run", "--seed", 2)[1]
        self.assertNotEqual(first["tensors"], second["tensors"])
        self.assertFalse((self.folder / "run" / "stale").exists())
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["run", "tiny.json"])

    def test_a_wave_that_cannot_be_written(self):
        run = ["run", self.network, "--data", DATA, "--wave"]
        self.refused(run + [self.folder / "absent" / "w.vcd"], "absent/w.vcd")
        self.refused(run + [self.folder / "w.wave"], "w.wave", ".vcd", ".fst")
        (self.folder / "w.gtkw").mkdir()
        self.refused(run + [self.folder / "w.vcd"], "w.gtkw", "is a directory")


class FullDisk(Case):
    def test_files_that_cannot_grow_end_with_status_3_and_leave_nothing(self):
        for limit in (0, 100, 5000):
            out = self.folder / "out"

            def small_files():
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

            status, text, errors = wagesim("run", self.network, "--data", DATA, "--count", 3, "--out", out,
                                           preexec_fn=small_files)
            self.assertEqual(status, 3, text + errors)
            self.assertIn("File too large", errors)
            self.assertEqual([p.name for p in self.folder.iterdir()], ["tiny.json"])

    def test_a_full_file_system_ends_with_status_3_and_leaves_nothing(self):
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True,
                                 text=True) if shutil.which("mount") else None
        if mounted is None or mounted.returncode != 0:
            self.skipTest("cannot mount a small tmpfs here")
        try:
            status, text, errors = self.run_tiny("--out", disk / "run")
            self.assertEqual(status, 3, text + errors)
            self.assertIn("No space left", errors)
            self.assertEqual(list(disk.iterdir()), [])
        finally:
            subprocess.run(["umount", disk], check=True)

    @unittest.skipUnless(Path("/dev/full").exists(), "there is no /dev/full")
    def test_a_wave_on_a_full_disk(self):
        (self.folder / "w.vcd.partial").symlink_to("/dev/full")
        status, text, errors = self.run_tiny("--wave", self.folder / "w.vcd")
        self.assertEqual(status, 3, text + errors)
        self.assertIn("w.vcd", errors)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["tiny.json"])

    @unittest.skipUnless(Path("/dev/full").exists(), "there is no /dev/full")
    def test_results_that_nobody_could_read(self):
        for arguments in (["config"], ["run", self.network, "--data", DATA, "--count", "1", "--json"],
                          ["compile", self.network, "--listing"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([WAGESIM, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 3, arguments)
            self.assertIn("standard output", done.stderr)


class Killed(Case):
    def test_a_killed_run_leaves_no_run_and_the_next_one_works(self):
        data = self.folder / "data"
        write_data(data, 2000)
        out = self.folder / "out"
        process = subprocess.Popen([WAGESIM, "run", TOP / "networks" / "resnet8.json", "--data", data, "--count", "2000",
                                    "--batch", "4", "--out", out, "--wave", "w.vcd"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while time.monotonic() < until:  # until it has written something
            if any(p.stat().st_size > 0 for p in self.folder.glob("out.partial-*/*")):
                break
            time.sleep(0.02)
        self.assertIsNone(process.poll(), "it ended before it could be killed")
        process.kill()
        process.wait()
        self.assertFalse(out.exists())
        self.assertTrue(list(self.folder.glob("out.partial-*/*")))
        self.run_to("out")
        self.assertTrue((out / "manifest.json").exists())


class Results(Case):
    def test_json_is_one_object_with_the_promised_keys(self):
        status, text, errors = self.run_tiny("--json")
        self.assertEqual((status, errors), (0, ""))
        self.assertEqual(text.count("\n"), 1)
        summary = json.loads(text)
        self.assertEqual(list(summary), JSON_KEYS)
        self.assertEqual((summary["mode"], summary["fidelity"], summary["images"], summary["seed"]),
                         ("infer", "tile", 3, 1))
        macs = 14 * 14 * 4 * 9 + 10 * 4 * 14 * 14
        self.assertEqual(summary["macs"], 3 * macs)
        self.assertEqual((summary["mismatches"], summary["uncertified"], summary["findings"]), (0, 0, 0))
        plane = 4 * 14 * 14
        self.assertEqual(summary["elements_checked"],
                         3 * (784 + plane + 2 * plane + plane + 10) + 36 + 4 * 4 + 10 * plane + 10)
        self.assertGreaterEqual(summary["accuracy"], 0)
        self.assertLessEqual(summary["accuracy"], 1)

    def test_quiet_prints_nothing(self):
        self.assertEqual(self.run_tiny("--quiet"), (0, "", ""))

    def test_the_table_goes_to_stdout_and_nothing_to_stderr(self):
        status, text, errors = self.run_tiny()
        self.assertEqual((status, errors), (0, ""))
        for word in TINY_LAYERS + ["BIT-EXACT", "cycles", "MACs", "accuracy"]:
            self.assertIn(word, text)

    def test_without_a_golden_model_it_says_that_nothing_was_checked(self):
        status, text, _ = self.run_tiny("--golden", "none")
        self.assertEqual(status, 0)
        self.assertIn("NOT CHECKED", text)
        self.assertNotIn("BIT-EXACT", text)
        summary = json.loads(self.run_tiny("--golden", "none", "--json")[1])
        self.assertEqual((summary["elements_checked"], summary["tensors_checked"]), (0, 0))
        self.assertGreater(summary["cycles"], 0)

    def test_float32_runs_as_a_comparison(self):
        status, text, errors = self.run_tiny("--golden", "float32", "--json")
        self.assertIn(status, (0, 1), errors)
        self.assertGreater(json.loads(text)["elements_checked"], 0)

    def test_version_and_help(self):
        status, text, _ = wagesim("--version")
        self.assertEqual(status, 0)
        self.assertRegex(text, r"^\d+\.\d+\.\d+\n$")
        for command in ("run", "compile", "config", "show", "diff", "report"):
            status, text, _ = wagesim(command, "--help")
            self.assertEqual(status, 0)
            self.assertIn(command, text)

    def test_accuracy_counts_the_largest_logits(self):
        labels = (DATA / "t10k-labels-idx1-ubyte").read_bytes()[8:]
        for last in ("fc", "gap"):  # logits z, or activations
            network = json.loads(json.dumps(TINY))
            if last == "gap":
                network["layers"][3:] = [{"name": "gap", "type": "global_avg_pool"}]
                network["layers"][0]["out_channels"] = 10
            path = self.write("network.json", network)
            out, manifest = self.run_to(last, "--count", IMAGES, network=path)
            arrays = read_npz(out / "tensors.npz")
            _, codes = arrays["fc.z" if last == "fc" else "gap.A"]
            rows = [codes[i:i + 10] for i in range(0, len(codes), 10)]
            right = sum(row.index(max(row)) == label for row, label in zip(rows, labels))
            self.assertEqual(manifest["summary"]["accuracy"], right / IMAGES, last)

    def test_batches_do_not_change_the_answer(self):
        whole = json.loads(self.run_tiny("--json")[1])
        parts = json.loads(self.run_tiny("--json", "--batch", 2)[1])
        for key in ("accuracy", "macs", "images", "saturations", "wraps"):
            self.assertEqual(whole[key], parts[key], key)
        self.assertNotEqual(whole["cycles"], parts["cycles"])

    def test_stalls_change_cycles_and_no_bit(self):
        plain = self.run_to("plain")[1]
        stalled = self.run_to("stalled", "--stall-seed", 3)[1]
        self.assertEqual([t.get("crc32") for t in plain["tensors"]], [t.get("crc32") for t in stalled["tensors"]])
        self.assertGreater(stalled["summary"]["cycles"], plain["summary"]["cycles"])


class RunDirectory(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(dir=WORK))
        network = cls.shared / "tiny.json"
        network.write_text(json.dumps(TINY))
        cls.shown = cls.shared / "run"
        cls.status, cls.text, cls.errors = wagesim("run", network, "--data", DATA, "--count", 5, "--batch", 3, "--out",
                                                   cls.shown, "--wave", "w.vcd")
        cls.manifest = json.loads((cls.shown / "manifest.json").read_text())
        cls.cycles = cls.manifest["summary"]["cycles"]

    def table(self, name):
        return list(csv.DictReader(io.StringIO((self.shown / name).read_text())))

    def test_has_every_file(self):
        self.assertEqual(self.status, 0, self.errors)
        self.assertEqual(sorted(p.name for p in self.shown.iterdir()),
                         sorted(["manifest.json", "tensors.npz", "weights.npz", "stats.csv", "tensors.csv", "commands.csv",
                                 "timeline.json", "report.html", "network.json", "w.vcd", "w.gtkw"]))
        self.assertEqual((self.shown / "network.json").read_text(), (self.shared / "tiny.json").read_text())

    def test_manifest_has_configuration_seeds_version_and_a_hash_per_tensor(self):
        self.assertEqual(list(self.manifest["summary"]), JSON_KEYS)
        self.assertEqual(self.manifest["run"]["batch"], 3)
        self.assertEqual(self.manifest["configuration"]["machine"]["array_rows"]["value"], 16)
        self.assertEqual(self.manifest["summary"]["seed"], 1)
        checked = sum(t["checked"] for t in self.manifest["tensors"])
        self.assertEqual(checked, self.manifest["summary"]["elements_checked"])

    def test_tensors_hash_to_what_the_manifest_says(self):
        arrays = read_npz(self.shown / "tensors.npz")
        hashed = {t["tensor"]: t for t in self.manifest["tensors"]}
        self.assertEqual(arrays["relu.A"][0], (2, 4, 14, 14))  # the last batch
        self.assertEqual(arrays["fc.z"][0], (2, 10))
        for name, (_, codes) in arrays.items():
            self.assertEqual(crc_of(codes), hashed[name]["crc32"], name)
        self.assertEqual(set(arrays), {n for n, t in hashed.items() if "crc32" in t})

    def test_activations_follow_from_the_stored_x2(self):
        arrays = read_npz(self.shown / "tensors.npz")
        x2, a = arrays["bn.x2"][1], arrays["relu.A"][1]
        self.assertGreater(len(set(a)), 5)

        def half_even(code):  # frac 11 to 5
            floor, rest = code >> 6, code & 63
            return floor + (rest > 32 or (rest == 32 and floor & 1))
        self.assertEqual(a, [min(127, half_even(max(0, code))) for code in x2])

    def test_numpy_reads_the_archives(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("numpy is not installed")
        for file in ("tensors.npz", "weights.npz"):
            ours = read_npz(self.shown / file)
            with numpy.load(self.shown / file) as arrays:
                self.assertEqual(set(arrays.files), set(ours))
                for name in arrays.files:
                    self.assertEqual(arrays[name].shape, tuple(ours[name][0]))
                    self.assertEqual(arrays[name].flatten().tolist(), ours[name][1])

    def test_stats_add_up(self):
        rows = self.table("stats.csv")
        passes = {row["pass"]: row for row in rows}
        self.assertEqual(sum(int(row["cycles"]) for row in passes.values()), self.cycles)
        self.assertEqual(sum(int(row["macs"]) for row in passes.values()), self.manifest["summary"]["macs"])
        self.assertEqual(len({row["unit"] for row in rows}), 7)
        self.every_cycle_has_its_place(rows)

    def every_cycle_has_its_place(self, rows):
        """busy + stalls + idle = cycles, for every unit of every pass."""
        for row in rows:
            parts = [int(n) for name, n in row.items() if name in ("busy", "idle") or name.startswith("stall_")]
            self.assertEqual(len(parts), 10)
            self.assertGreaterEqual(min(parts), 0, row)
            self.assertEqual(sum(parts), int(row["cycles"]), row)

    def test_stats_add_up_under_random_stalls(self):
        out = self.shared / "stalled"
        wagesim("run", self.shared / "tiny.json", "--data", DATA, "--count", 5, "--batch", 3, "--out", out,
                "--stall-seed", 4)
        rows = list(csv.DictReader((out / "stats.csv").open()))
        self.every_cycle_has_its_place(rows)
        self.assertGreater(sum(int(row["stall_backpressure"]) for row in rows), 0)

    def test_stats_have_the_bytes_of_a_layer_worked_out_by_hand(self):
        network = self.shared / "one.json"
        network.write_text('{"name": "one", "input": {"shape": [1, 28, 28]},'
                           ' "layers": [{"name": "fc", "type": "linear", "out_features": 10}]}')
        out = self.shared / "one"
        self.assertEqual(wagesim("run", network, "--data", DATA, "--count", 1, "--out", out)[0], 0)
        rows = {(row["phase"], row["unit"]): {name[:-6]: int(n) for name, n in row.items() if name.endswith("_bytes") and n != "0"}
                for row in csv.DictReader((out / "stats.csv").open())}
        weights = 784 * 10  # of 24 bits in Dram, of 8 in the array; 49 K tiles, one column tile
        expected = {
            ("prepare", "dma_read"): {"dram_read": 3 * weights, "activations_written": 3 * weights},
            ("prepare", "update"): {"activations_read": 3 * weights, "activations_written": weights},
            ("prepare", "dma_write"): {"activations_read": weights, "dram_written": weights},
            ("forward", "dma_read"): {"dram_read": weights + 784, "weights_written": weights, "activations_written": 784},
            ("forward", "weight_loader"): {"weights_read": weights},
            # 10 sums of 5 bytes: every tile writes them, all but the first read them
            ("forward", "array"): {"activations_read": 784, "accumulators_read": 48 * 50, "accumulators_written": 49 * 50},
            ("forward", "drain"): {"accumulators_read": 50, "activations_written": 40},
            ("forward", "dma_write"): {"activations_read": 40, "dram_written": 40},
        }
        self.assertEqual({key: bytes for key, bytes in rows.items() if bytes}, expected)
        total = json.loads((out / "manifest.json").read_text())["total"]
        self.assertEqual(total["bytes"]["dram"], {"read": 4 * weights + 784, "written": weights + 40})
        forward = json.loads((out / "manifest.json").read_text())["passes"][1]
        intensity = weights / (weights + 784 + 40)  # MACs a byte: the Dram's 16 bytes a cycle bound
        self.assertEqual(forward["roofline"]["bound"], "memory")
        self.assertAlmostEqual(forward["roofline"]["macs_per_dram_byte"], intensity)
        self.assertAlmostEqual(forward["roofline"]["attainable_macs_per_cycle"], 16 * intensity)
        self.assertAlmostEqual(forward["roofline"]["share"], weights / forward["cycles"] / (16 * intensity))

    def test_commands_are_in_order_and_within_the_run(self):
        rows = self.table("commands.csv")
        self.assertEqual({row["batch"] for row in rows}, {"0", "1"})
        for row in rows:
            self.assertLessEqual(int(row["issued"]), int(row["started"]))
            self.assertLessEqual(int(row["started"]), int(row["finished"]))
            self.assertLessEqual(int(row["started"]) + int(row["busy"]), int(row["finished"]))
            self.assertLessEqual(int(row["finished"]), self.cycles)
        self.assertEqual(max(int(row["finished"]) for row in rows), self.cycles)

    def test_timeline_loads_and_lies_within_the_run(self):
        timeline = json.loads((self.shown / "timeline.json").read_text())
        events = [e for e in timeline["traceEvents"] if e["ph"] == "X"]
        self.assertGreater(len(events), 20)
        for event in events:
            self.assertGreaterEqual(event["ts"], 0)
            self.assertGreaterEqual(event["dur"], 0)
            self.assertLessEqual(event["ts"] + event["dur"], self.cycles)
        fences = sum(row["mnemonic"] == "FENCE" for row in self.table("commands.csv"))
        self.assertEqual(len(events) + fences, len(self.table("commands.csv")))

    def test_report_html_is_a_page_on_its_own(self):
        page = (self.shown / "report.html").read_text()
        for name in TINY_LAYERS:
            self.assertIn(name, page)
        self.assertNotRegex(page, r'(src|href)="(https?:)?//')
        self.assertTrue(page.rstrip().endswith("</html>"))

    def test_report_prints_the_table_again(self):
        self.assertEqual(wagesim("report", self.shown), (0, self.text, ""))

    def test_wave_converts_and_ends_with_the_run(self):
        text = (self.shown / "w.vcd").read_text()
        self.assertIn("$enddefinitions $end", text)
        last = max(int(t) for t in re.findall(r"^#(\d+)$", text, re.M))
        self.assertLessEqual(abs(last // 10 - self.cycles), 1)
        if not shutil.which("vcd2fst"):
            self.skipTest("vcd2fst is not installed")
        subprocess.run(["vcd2fst", self.shown / "w.vcd", self.shared / "w.fst"], check=True, capture_output=True)
        self.assertGreater((self.shared / "w.fst").stat().st_size, 300)

    def test_show_prints_codes_and_their_values(self):
        _, codes = read_npz(self.shown / "tensors.npz")["relu.A"]
        index = codes.index(max(codes))
        n, c, h, w = index // 784, index // 196 % 4, index // 14 % 14, index % 14
        one = f"relu.A[{n},{c},{h},{w}]"
        code = codes[index]
        for option, expected in (("code", str(code)), ("hex", format(code, "02x")), ("bin", format(code, "08b")),
                                 ("real", f"{code / 32:.12g}")):
            status, text, _ = wagesim("show", self.shown, one, "--as", option)
            self.assertEqual((status, text.strip()), (0, expected), option)
        status, text, _ = wagesim("show", self.shown, f"relu.A[{n},{c},{h}]")
        row = codes[index - w:index - w + 14]
        self.assertEqual([int(word) for word in text.split("]")[1].split()], row)
        status, text, _ = wagesim("show", self.shown)
        self.assertEqual(len(text.splitlines()), len(self.manifest["tensors"]))

    def test_show_refuses_what_is_not_there(self):
        for arguments, fragment in (([self.shown, "relu.B"], "relu.B"), ([self.shown, "relu.A[9]"], "9"),
                                    ([self.shown, "relu.A[0,0,0,0,0]"], "4 dimensions"),
                                    ([self.shown, "relu.A[x]"], "'x'"), ([self.shown, "relu.A[0"], "relu.A[0"),
                                    ([self.shared, "relu.A"], "manifest.json"),
                                    ([self.shown, "relu.A", "--as", "octal"], "--as")):
            self.refused(["show", *arguments], fragment)

    def test_weights_of_a_run_give_the_same_tensors(self):
        _, manifest = self.run_to("again", "--count", 5, "--batch", 3, "--weights", self.shown / "weights.npz", "--seed", 77)
        self.assertEqual({t["tensor"]: t.get("crc32") for t in manifest["tensors"]},
                         {t["tensor"]: t.get("crc32") for t in self.manifest["tensors"]})

    def test_diff(self):
        self.assertEqual(wagesim("diff", self.shown, self.shown)[0], 0)
        other, _ = self.run_to("other", "--count", 5, "--batch", 3, "--seed", 2)
        status, text, errors = wagesim("diff", self.shown, other)
        self.assertEqual((status, errors), (1, ""))
        self.assertIn("conv.Wq[", text)
        self.assertNotIn("input.image[", text)
        self.refused(["diff", self.shown, self.shared], "manifest.json")
        self.refused(["report", self.shared], "manifest.json")

    def test_a_manifest_that_is_no_manifest(self):
        for content in ("{}", "[]", "{", '{"summary": 1, "tensors": 2}', '{"summary": {}, "tensors": []}'):
            broken = self.folder / "broken"
            broken.mkdir(exist_ok=True)
            (broken / "manifest.json").write_text(content)
            for command in (["report", broken], ["diff", broken, broken]):
                with self.subTest(content=content, command=command[0]):
                    self.refused(command, "broken")


class Repeatable(Case):
    def test_the_same_seed_gives_the_same_run(self):
        first, one = self.run_to("first")
        second, two = self.run_to("second")
        for manifest in (one, two):
            del manifest["summary"]["wall_seconds"]
        self.assertEqual(one, two)
        for file in ("tensors.npz", "weights.npz", "stats.csv", "commands.csv", "timeline.json", "tensors.csv"):
            self.assertEqual((first / file).read_bytes(), (second / file).read_bytes(), file)

    def test_threads_change_nothing(self):
        one_directory, one = self.run_to("one", "--threads", 1)
        for threads in (2, 3):
            directory, more = self.run_to(str(threads), "--threads", threads)
            self.assertEqual([t.get("crc32") for t in one["tensors"]], [t.get("crc32") for t in more["tensors"]])
            for file in ("tensors.npz", "stats.csv", "commands.csv", "timeline.json"):
                self.assertEqual((one_directory / file).read_bytes(), (directory / file).read_bytes(), file)

    def test_batch_statistics_leave_running_ones_that_inference_takes(self):
        calibrated, manifest = self.run_to("calibrated", "--bn", "batch", "--batch", 1)
        self.assertEqual(manifest["run"]["batch_norm"], "batch")
        weights = read_npz(calibrated / "weights.npz")
        self.assertNotEqual(set(weights["bn.run_mu"][1]), {0})
        self.assertNotEqual(set(weights["bn.run_sigma"][1]), {1 << 23})
        tensors = read_npz(calibrated / "tensors.npz")
        self.assertEqual(tensors["bn.run_mu"][1], weights["bn.run_mu"][1])
        after, _ = self.run_to("after", "--weights", calibrated / "weights.npz")
        rounded = [round(code / 256) for code in weights["bn.run_mu"][1]]  # frac 23 to 15; round() is RNE
        self.assertEqual(read_npz(after / "tensors.npz")["bn.mu"][1], rounded)


class Dumps(Case):
    def names(self, *arguments):
        out, _ = self.run_to("run", "--batch", 2, *arguments)
        return {p.name: set(read_npz(p)) for p in out.glob("tensors*.npz")}

    def test_modes(self):
        last = self.names()["tensors.npz"]
        self.assertIn("conv.y", last)
        self.assertEqual(self.names("--dump", "none"), {})
        every = self.names("--dump", "all")
        self.assertEqual(set(every), {"tensors-batch0.npz", "tensors-batch1.npz"})
        self.assertEqual(every["tensors-batch1.npz"], last)
        self.assertEqual(self.names("--dump", "*.y"), {"tensors.npz": {"conv.y"}})
        self.assertEqual(self.names("--dump", "bn.*")["tensors.npz"], {n for n in last if n.startswith("bn.")})
        self.assertEqual(self.names("--dump", "mismatch").get("tensors.npz", set()), set())

    def test_nothing_to_show_or_compare_is_said(self):
        self.names("--dump", "none")
        run = self.folder / "run"
        self.refused(["show", run, "conv.y"], "tensors.npz")
        self.refused(["diff", run, run], "tensors")


class Injections(Case):
    def start_of(self, mnemonic, layer):
        out, _ = self.run_to("plain")
        rows = list(csv.DictReader(io.StringIO((out / "commands.csv").read_text())))
        return next(int(r["started"]) for r in rows if r["mnemonic"] == mnemonic and r["layer"] == layer
                    and r["phase"] == "forward")

    def test_a_flip_that_matters_is_a_finding(self):
        cycle = self.start_of("GEMM", "conv")
        out = self.folder / "flipped"
        flip = f"activations:0x20:6@{cycle}"
        status, text, errors = self.run_tiny("--inject", flip, "--out", out, "--dump", "mismatch")
        self.assertEqual(status, 1, text + errors)
        self.assertIn("NOT BIT-EXACT", text)
        self.assertIn("first mismatch: conv.y[0,", text)
        self.assertIn(f"injected  {flip}", text)
        self.assertIn("first read by command", text)
        manifest = json.loads((out / "manifest.json").read_text())
        self.assertGreater(manifest["summary"]["mismatches"], 0)
        first = manifest["first_mismatch"]
        self.assertEqual(first["tensor"], "conv.y")
        arrays = read_npz(out / "tensors.npz")
        (_, _, height, width) = arrays["conv.y"][0]
        at = ((first["at"][0] * 4 + first["at"][1]) * height + first["at"][2]) * width + first["at"][3]
        self.assertEqual(arrays["conv.y"][1][at], int(first["got"]))
        self.assertEqual(arrays["conv.y.expected"][1][at], int(first["expected"]))
        self.assertNotIn("conv.Wq", arrays)
        # --quiet still tells the finding, on stderr; --json keeps stdout clean.
        status, text, errors = self.run_tiny("--inject", flip, "--quiet")
        self.assertEqual((status, text), (1, ""))
        self.assertIn("first mismatch: conv.y", errors)
        status, text, errors = self.run_tiny("--inject", flip, "--json")
        self.assertEqual(status, 1)
        self.assertEqual(json.loads(text)["mismatches"], manifest["summary"]["mismatches"])

    def test_a_flip_that_changes_nothing_is_told_and_is_no_finding(self):
        for flip, words in (("parameters:16000:0@10", "held no data"), ("weights:0:0@999999999", "was not reached")):
            status, text, errors = self.run_tiny("--inject", flip)
            self.assertEqual(status, 0, text + errors)
            self.assertIn(words, text)

    def test_a_flip_of_a_host_written_byte_in_dram(self):
        # The image is in the Dram from the start; the first LOAD of it comes after the prologue.
        status, text, errors = self.run_tiny("--inject", "dram:0x190:7@1")
        self.assertEqual(status, 1, text + errors)
        self.assertIn("first mismatch: conv.y[0,", text)


class Waves(Case):
    def times(self, window):
        path = self.folder / "w.vcd"
        status, text, errors = self.run_tiny("--wave", path, "--wave-window", window)
        self.assertEqual(status, 0, text + errors)
        return [int(t) // 10 for t in re.findall(r"^#(\d+)$", path.read_text(), re.M)], errors

    def test_a_window_holds_its_cycles_only(self):
        times, _ = self.times("1000:1200")
        self.assertGreaterEqual(min(times), 1000)
        self.assertLessEqual(max(times), 1200)
        self.assertGreater(len(times), 10)
        self.assertLess(max(self.times(":300")[0]), 301)
        self.assertGreaterEqual(min(self.times("2000:")[0]), 2000)

    def test_a_window_behind_the_end_is_told(self):
        _, errors = self.times("100000000:")
        self.assertIn("--wave-window", errors)


    def test_scopes_choose_the_signals(self):
        status, text, errors = self.run_tiny("--wave", self.folder / "w.vcd", "--wave-scope", "machine.drain.*",
                                             "--wave-scope", "*.state")
        self.assertEqual(status, 0, text + errors)
        names = re.findall(r"^\$var \S+ \d+ \S+ (\S+)", (self.folder / "w.vcd").read_text(), re.M)
        self.assertEqual(sorted(names), ["busy", "clk", "command", "opcode", "stall", "state"])

    def test_a_scope_that_shows_nothing_is_refused_before_any_work(self):
        run = ["run", self.network, "--data", DATA, "--wave", self.folder / "w.vcd", "--wave-scope"]
        self.refused(run + ["machine.arrow.*"], "w.vcd", "'machine.arrow.*'", "machine.accumulators.")
        self.refused(run + ["machine.array"], "expected 'machine.array.*'")

    def test_the_save_file_names_every_signal_of_the_wave(self):
        self.run_tiny("--wave", self.folder / "w.vcd")
        saved = (self.folder / "w.gtkw").read_text()
        self.assertIn('[dumpfile] "w.vcd"', saved)
        scopes, expected = [], []
        for line in (self.folder / "w.vcd").read_text().splitlines():
            words = line.split()
            if words[0] == "$scope":
                scopes.append(words[2])
            elif words[0] == "$upscope":
                scopes.pop()
            elif words[0] == "$var":
                expected.append(".".join(scopes + ["".join(words[4:-1])]))
            elif words[0] == "$enddefinitions":
                break
        self.assertEqual(sorted(re.findall(r"^machine\..*$", saved, re.M)), sorted(expected))
        self.assertIn("@420\nmachine.scheduler.command\n", saved)
        self.assertIn("@22\nmachine.weights.read_address[31:0]\n", saved)

    def test_an_fst_says_the_same_as_the_vcd(self):
        status, text, errors = self.run_tiny("--wave", self.folder / "w.fst")
        if status == 2 and "built without FST" in errors:
            self.skipTest(errors)
        self.assertEqual(status, 0, text + errors)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["tiny.json", "w.fst", "w.gtkw"])
        if not shutil.which("fst2vcd"):
            self.skipTest("fst2vcd is not installed")
        back = subprocess.run(["fst2vcd", self.folder / "w.fst"], check=True, capture_output=True, text=True).stdout
        self.run_tiny("--wave", self.folder / "w.vcd")

        def changes(vcd):
            """(time, signal, value) of every change, with signals by full name."""
            scopes, names, time, found = [], {}, 0, set()
            for line in vcd.splitlines():
                words = line.split()
                if line.startswith("$scope"):
                    scopes.append(words[2])
                elif line.startswith("$upscope"):
                    scopes.pop()
                elif line.startswith("$var"):
                    names[words[3]] = ".".join(scopes + [words[4]])
                elif line.startswith("#"):
                    time = int(line[1:])
                elif line[:1] in ("b", "s"):
                    value = words[0][1:]
                    if line[0] == "b":
                        value = "x" if "x" in value else int(value, 2)
                    found.add((time, names[words[1]], value))
                elif line[:1] in ("0", "1", "x"):
                    found.add((time, names[line[1:]], line[0]))
            return found
        expected = changes((self.folder / "w.vcd").read_text())
        self.assertGreater(len(expected), 1000)
        self.assertEqual(changes(back), expected)


class Configurations(Case):
    def test_config_reads_back_as_it_was_written(self):
        status, text, errors = wagesim("config")
        self.assertEqual((status, errors), (0, ""))
        path = self.write("int8.json", text)
        self.assertEqual(wagesim("config", path), (0, text, ""))
        self.assertEqual(wagesim("config", "int8")[1], text)
        settings = json.loads(text)
        self.assertEqual(settings["quantizers"]["xhat"]["bits"], 8)
        for name, setting in settings["machine"].items():
            self.assertEqual(set(setting), {"value", "unit", "source"}, name)

    def test_a_changed_setting_is_marked_as_the_users_and_acts(self):
        path = self.write("mine.json", {"extends": "int8", "name": "mine", "machine": {"array_rows": 4}})
        status, text, _ = wagesim("config", path)
        changed = json.loads(text)
        self.assertEqual(changed["machine"]["array_rows"], {"value": 4, "unit": "PEs", "source": "user"})
        _, manifest = self.run_to("run", "--datapath", path)
        self.assertEqual(manifest["run"]["datapath"], "mine")
        self.assertEqual(manifest["run"]["array"], [4, 16])
        _, usual = self.run_to("usual")
        self.assertNotEqual(manifest["summary"]["cycles"], usual["summary"]["cycles"])
        self.assertEqual([t.get("crc32") for t in manifest["tensors"]], [t.get("crc32") for t in usual["tensors"]])

    def test_compile_counts_and_lists_the_commands(self):
        status, text, errors = wagesim("compile", self.network, "--batch", 2)
        self.assertEqual((status, errors), (0, ""))
        counts = {name: int(count.replace(",", "")) for name, count in re.findall(r"^  (\w+) +([\d,]+)$", text, re.M)}
        total = int(re.search(r"([\d,]+) commands", text)[1].replace(",", ""))
        self.assertEqual(sum(counts.values()), total)
        status, listing, _ = wagesim("compile", self.network, "--batch", 2, "--listing")
        self.assertEqual(status, 0)
        lines = listing[listing.index("# commands"):].splitlines()[1:]
        self.assertEqual(len(lines), total)
        self.assertEqual(sum(" GEMM " in line for line in lines), counts["GEMM"])
        self.assertEqual(wagesim("compile", self.network, "--batch", 2, "--listing")[1], listing)

    def test_shipped_networks_compile_in_both_modes(self):
        for network in sorted((TOP / "networks").glob("*.json")):
            for mode in ("running", "batch"):
                status, text, errors = wagesim("compile", network, "--batch", 3, "--bn", mode)
                self.assertEqual(status, 0, f"{network.name}: {errors}")
                self.assertIn("commands", text)


if __name__ == "__main__":
    unittest.main()
