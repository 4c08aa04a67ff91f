"""SCALE-Sim itself (PyPI's scalesim) beside `wagesim cycles --cycle-convention scalesim`.

Arguments: the binary, a Python that may have scalesim where this one has not, and whatever unittest takes.
Skipped (exit status 77) where neither has it.
"""
import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    from scalesim.scale_config import scale_config
    from scalesim.scale_sim import scalesim
    from scalesim.topology_utils import topologies
except ImportError as error:
    other = Path(sys.argv[2])
    if other.exists() and not Path(sys.prefix).samefile(other.parents[1]):
        os.execv(other, [str(other), "-B", *sys.argv])
    print(f"skipped: {error}. `./dev test` installs SCALE-Sim into build/scalesim where there is a network; by hand: "
          "python3 -m venv build/scalesim && build/scalesim/bin/pip install --no-deps scalesim==3.0.0 tqdm 'numpy<2.4'")
    sys.exit(77)

WAGESIM = Path(sys.argv.pop(1)).resolve()
sys.argv.pop(1)

CONFIG = """[general]
run_name = side_by_side
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 10000
FilterSramSzkB: 10000
OfmapSramSzkB: 10000
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: {dataflow}
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 100
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 100
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
CONV_HEADER = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
# Partial folds both ways, exact folds, strides that do not divide, windows as large as the image.
CONV = CONV_HEADER + """one,1,1,1,1,1,1,1,
stride2,9,7,3,2,5,11,2,
stride3,11,11,5,5,2,35,3,
exact,4,8,1,1,32,32,1,
window,3,5,3,5,7,9,4,
pointwise,5,7,1,1,33,17,1,
depthDP,6,6,3,3,2,3,1,
sparse,5,5,3,3,2,6,1,2:4,
"""
GEMM = """Layer, M, N, K,
square,32,32,32,
tall,70,3,5,
wide,3,70,5,
deep,5,3,70,
odd,33,17,9,
"""


def wagesim(*arguments):
    done = subprocess.run([WAGESIM, "cycles", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def quiet(function, *arguments, **named):
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*arguments, **named)


class SideBySide(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="wagesim-scalesim-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.topology = self.folder / "topology.csv"
        self.config = self.folder / "scale.cfg"
        self.layout = self.folder / "layout.csv"  # SCALE-Sim asks for one, and these runs use none
        self.layout.write_text("Layer\n")

    def both_reports(self, gemm):
        """The lines of both COMPUTE_REPORT.csv."""
        run = quiet(scalesim, save_disk_space=True, verbose=False, config=str(self.config), topology=str(self.topology),
                    layout=str(self.layout), input_type_gemm=gemm)
        quiet(run.run_scale, top_path=str(self.folder))
        ours = self.folder / "ours.csv"
        wagesim(self.topology, "--scalesim-config", self.config, "--cycle-convention", "scalesim", "--out", ours)
        theirs = self.folder / "side_by_side" / "COMPUTE_REPORT.csv"
        return [list(csv.reader(path.read_text().splitlines(), skipinitialspace=True)) for path in (theirs, ours)]

    def check_reports(self, topology, layers, gemm):
        self.topology.write_text(topology)
        for dataflow in "ws", "os", "is":
            for rows, columns in (4, 4), (8, 16), (16, 3), (32, 32):
                with self.subTest(dataflow=dataflow, array=f"{rows}x{columns}"):
                    self.config.write_text(CONFIG.format(rows=rows, columns=columns, dataflow=dataflow))
                    theirs, ours = self.both_reports(gemm)
                    self.assertEqual(len(ours), 1 + layers)
                    self.assertEqual(ours[0], theirs[0])
                    self.assertEqual(len(ours), len(theirs))
                    for mine, his in zip(ours[1:], theirs[1:]):
                        # Layer, total without prefetch, stalls, overall utilisation: to the last digit. The
                        # other two it sums over folds: to 12 digits.
                        self.assertEqual([mine[i] for i in (0, 2, 3, 4, 7)], [his[i] for i in (0, 2, 3, 4, 7)])
                        self.assertEqual([f"{float(x):.12g}" for x in mine[5:7]], [f"{float(x):.12g}" for x in his[5:7]])

    def test_convolutions_have_its_cycles_and_utilisations(self):
        self.check_reports(CONV, 9, gemm=False)

    def test_products_have_its_cycles_and_utilisations(self):
        self.check_reports(GEMM, 5, gemm=True)

    def test_topologies_are_read_as_it_reads_them(self):
        gemm_header = "Layer, M, N, K,\n"
        for gemm, text in (
            (False, CONV),
            (False, CONV_HEADER + "\n  a ,\t8, 7,3 ,2,5,11,2, \r\n\n   \nb,8,8,3,3,4,5,1,#dw\nc,8,8,3,3,4,5,1,NPU\n"),
            (False, CONV_HEADER + "last,96,96,3,3,3,8,2, 2\nratio,8,8,3,3,4,5,1,1:2"),  # dropped: no comma behind it
            (False, CONV_HEADER + "e,8,8,3,3,4,5,1,4:4,2\nf,8,8,3,3,4,5,1,2:4,remark\n"),
            (False, CONV_HEADER + "preDPpost,8,8,3,3,4,5,3,1:4,\nlower_dp,8,8,3,3,4,5,1,\n"),
            (True, GEMM),
            (True, gemm_header + "s,3,5,16,3:4,\ng DP,1,5,16,1:4,more,columns,\nh,1,2,3,#\n\ni,1,2,3,"),
        ):
            with self.subTest(text=text):
                self.topology.write_text(text)
                self.config.write_text(CONFIG.format(rows=4, columns=4, dataflow="ws"))
                theirs = topologies()
                theirs.load_arrays(str(self.topology), mnk_inputs=gemm)
                theirs.topo_calc_hyperparams()
                expected = [(theirs.get_layer_name(i), *theirs.calc_spatio_temporal_params("ws", i))
                            for i in range(theirs.get_num_layers())]
                ours = json.loads(wagesim(self.topology, "--scalesim-config", self.config, "--json"))["points"][0]
                self.assertEqual([(w["layer"], w["k"], w["n"], w["m"]) for w in ours["layers"]], expected)
                self.assertGreater(len(expected), 1)

    def test_configurations_are_read_as_it_reads_them(self):
        plain = CONFIG.format(rows=12, columns=34, dataflow="is")
        indented = "".join(line if line.startswith("[") else "    " + line for line in plain.splitlines(True))
        for text in (plain, indented, plain.replace(": ", " = ").replace("\n", "\r\n"), plain.replace(": ", ":"),
                     plain.replace("ArrayHeight: 12", "# one line\n\n  ; another\narrayHEIGHT :\t12"),
                     plain.replace("side_by_side", "a name: with = signs")):
            with self.subTest(text=text):
                self.config.write_text(text)
                self.topology.write_text(GEMM)
                theirs = scale_config()
                theirs.read_conf_file(str(self.config))
                ours = json.loads(wagesim(self.topology, "--scalesim-config", self.config, "--json"))
                point = ours["points"][0]
                self.assertEqual((ours["run_name"], point["array_rows"], point["array_columns"], point["dataflow"]),
                                 (theirs.run_name, *theirs.get_array_dims(), theirs.df.strip()))


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # SCALE-Sim's own
