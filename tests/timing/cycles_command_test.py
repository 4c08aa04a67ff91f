"""`wagesim cycles` from outside: tables, JSON, report, messages.

Arguments: the binary, the folder of networks, and whatever unittest takes.
"""
import csv
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

WAGESIM = Path(sys.argv.pop(1)).resolve()
NETWORKS = Path(sys.argv.pop(1)).resolve()


def cycles(*arguments):
    done = subprocess.run([WAGESIM, "cycles", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class CyclesCommand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wagesim-cycles-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.gemm = self.folder / "gemm.csv"
        self.gemm.write_text("Layer, M, N, K,\ng,256,128,256,\n")
        self.empty = self.folder / "empty.csv"
        self.empty.write_text("")
        self.huge = self.folder / "huge.csv"  # its MACs fit 64 bits, its cycles do not
        self.huge.write_text("Layer, M, N, K,\ng,1000000000,1000000000,9,\n")
        self.config = self.folder / "scale.cfg"
        self.config.write_text("[general]\nrun_name = r1\n[architecture_presets]\n"
                               "ArrayHeight: 32\nArrayWidth: 32\nDataflow: os\n")

    def test_prints_layers_total_and_convention(self):
        status, out, err = cycles(NETWORKS / "convnet.json", "--batch", 16)
        self.assertEqual((status, err), (0, ""))
        lines = {line.split()[0]: line.split() for line in out.splitlines() if line}
        self.assertIn("12,591", lines["conv1"])    # one tile: 16 + 12544 + 31
        self.assertIn("56,495", lines["conv2"])    # 18 tiles of 3136 rows, 47
        self.assertIn("4,622", lines["fc"])        # 98 tiles: 16 + 97 * 47 + 16 + 31
        self.assertIn("73,708", lines["total"])
        self.assertEqual(lines["convention:"][1], "wagesim")

    def test_configuration_sets_the_array_and_options_go_before_it(self):
        scalesim = (self.gemm, "--scalesim-config", self.config, "--cycle-convention", "scalesim", "--json")
        points = [json.loads(cycles(*scalesim, *more)[1]) for more in ((), ("--dataflow", "is"), ("--array", "16x8"))]
        self.assertEqual([p["run_name"] for p in points], ["r1"] * 3)
        self.assertEqual([p["points"][0]["convention"] for p in points], ["scalesim"] * 3)
        # os at 16x8: 16 * 16 folds of 16 + 8 + 256 - 2
        self.assertEqual([p["points"][0]["cycles"] for p in points], [10176, 14208, 256 * 278])

    def test_datapath_sets_the_dataflow_where_nothing_else_does(self):
        datapath = self.folder / "os.json"
        datapath.write_text('{"extends": "int8", "machine": {"dataflow": "os"}}')
        for more, expected in (((), "os"), (("--scalesim-config", self.config), "os"), (("--dataflow", "is"), "is")):
            _, out, _ = cycles(self.gemm, "--datapath", datapath, "--json", *more)
            self.assertEqual(json.loads(out)["points"][0]["dataflow"], expected)

    def test_sweeps_every_combination(self):
        status, out, err = cycles(self.gemm, "--sweep", "array=32x32,256x128", "--sweep", "dataflow=ws,os,is",
                                  "--sweep", "convention=scalesim,wagesim")
        self.assertEqual((status, err), (0, ""))
        rows = {tuple(line.split()[:3]): tuple(line.split()[3:5]) for line in out.splitlines() if line[:1].isdigit()}
        # SCALE-Sim, 256x128, one fold: ws 512 + 128 + 256 - 2; os 256 + 128 + 256 - 2. is: two of 512 + 128 + 128 - 2
        # wagesim: a row of 32 takes 2 cycles, of 256 takes 16.
        #   32x32: ws 32 + 32 * 512 + 63; os 4 * (32 + 8 * 512 + 95); is 32 + 64 * 256 + 63
        #   256x128: ws 256 + 4096 + 383; os 256 + 4096 + 639; is 256 + 2 * 2048 + 383
        self.assertEqual(rows, {
            ("32x32", "ws", "scalesim"): ("32", "11,200"), ("32x32", "ws", "wagesim"): ("32", "16,479"),
            ("32x32", "os", "scalesim"): ("32", "10,176"), ("32x32", "os", "wagesim"): ("32", "16,892"),
            ("32x32", "is", "scalesim"): ("64", "14,208"), ("32x32", "is", "wagesim"): ("64", "16,479"),
            ("256x128", "ws", "scalesim"): ("1", "894"), ("256x128", "ws", "wagesim"): ("1", "4,735"),
            ("256x128", "os", "scalesim"): ("1", "638"), ("256x128", "os", "wagesim"): ("1", "4,991"),
            ("256x128", "is", "scalesim"): ("2", "1,532"), ("256x128", "is", "wagesim"): ("2", "4,735")})
        for convention in "scalesim", "wagesim":
            self.assertIn(f"\nconvention: {convention} ", out)
        self.assertIn("is: no dataflow of the machine", out)

    def test_writes_the_report_that_scalesim_writes(self):
        report = self.folder / "COMPUTE_REPORT.csv"
        status, out, _ = cycles(self.gemm, "--scalesim-config", self.config, "--cycle-convention", "scalesim",
                                "--out", report)
        self.assertEqual(status, 0)
        self.assertIn("stalls are 0", out)
        rows = [{k.strip(): v.strip() for k, v in row.items()} for row in csv.DictReader(report.read_text().splitlines())]
        self.assertEqual(len(rows), 1)
        self.assertEqual((rows[0]["LayerID"], rows[0]["Total Cycles"], rows[0]["Stall Cycles"]), ("0", "10175", "0"))
        self.assertEqual(rows[0]["Mapping Efficiency %"], "100.0")
        self.assertAlmostEqual(float(rows[0]["Compute Util %"]), 80.50314, 5)

    def test_refuses_with_status_2_and_says_why(self):
        mlp = NETWORKS / "mlp.json"
        for arguments, words in (
            ((mlp, "--dataflow", "rs"), "ws, os or is"),
            ((mlp, "--array", "0x4"), "ROWSxCOLUMNS"),
            ((mlp, "--array", "4x4x4"), "ROWSxCOLUMNS"),
            ((mlp, "--array", ""), "empty"),
            ((mlp, "--sweep", "array="), "ROWSxCOLUMNS"),
            ((mlp, "--sweep", "size=3"), "expected array="),
            ((mlp, "--sweep", "convention=paper"), "scalesim-paper"),
            ((mlp, "--sweep", "array=8x8", "--sweep", "array=4x4"), "already"),
            ((mlp, "--sweep", "array=8x8", "--array", "4x4"), "found both"),
            ((mlp, "--sweep", "convention=scalesim", "--cycle-convention", "wagesim"), "found both"),
            ((mlp, "--sweep", "array=8x8,4x4", "--out", self.folder / "x.csv"), "2 points"),
            ((mlp, "--topology", "conv"), "network file"),
            ((self.gemm, "--batch", 2), "--batch"),
            ((self.gemm, "--topology", "conv"), "gemm.csv:2"),
            ((self.folder / "none.csv",), "none.csv"),
            ((self.empty,), "expected a header"),
            ((self.huge, "--array", "1x1", "--dataflow", "os", "--cycle-convention", "scalesim-paper"), "64 bits"),
            ((self.gemm, "--scalesim-config", self.gemm), "gemm.csv:1"),
        ):
            with self.subTest(arguments=arguments):
                status, out, err = cycles(*arguments)
                self.assertEqual((status, out), (2, ""))
                self.assertIn(words, err)
        self.assertFalse((self.folder / "x.csv").exists())


if __name__ == "__main__":
    unittest.main()
