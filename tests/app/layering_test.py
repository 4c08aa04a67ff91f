"""Dependencies point one way: what each layer includes, and what each target is given to include.

Arguments: the top of the tree. The golden model is worth something only while it shares no
arithmetic with the hardware model.
"""
import re
import sys
import unittest
from pathlib import Path

TOP = Path(sys.argv.pop(1)) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)

# Folder -> prefixes of our own headers that its sources may include.
ALLOWED = {
    "include/wagesim/format": ["wagesim/format/"],
    "include/wagesim/arith": ["wagesim/format/", "wagesim/tensor/", "wagesim/arith/"],
    "include/wagesim/tensor": ["wagesim/format/"],
    "include/wagesim/network": ["wagesim/format/", "wagesim/tensor/", "wagesim/network/", "wagesim/error.h"],
    "include/wagesim/program": ["wagesim/format/", "wagesim/tensor/", "wagesim/program/", "wagesim/error.h"],
    "include/wagesim/trace": ["wagesim/format/", "wagesim/tensor/", "wagesim/trace/", "wagesim/error.h"],
    "sim/golden": ["wagesim/format/", "wagesim/tensor/", "wagesim/network/", "wagesim/error.h", "golden/"],
    "sim/compile": ["wagesim/format/", "wagesim/tensor/", "wagesim/network/", "wagesim/program/",
                    "wagesim/error.h", "compile/"],
    "sim/timing": ["wagesim/format/", "wagesim/tensor/", "wagesim/network/", "wagesim/error.h", "timing/"],
}
SYSTEMC = re.compile(r"^(systemc|tlm|sysc/)")
RTL_FOLDERS = ("machine.h", "array/", "buffer/", "control/", "dma/", "update/", "vector/")


def sources(folder):
    found = [p for p in (TOP / folder).rglob("*") if p.suffix in (".h", ".cpp")]
    assert found, f"no sources in {folder}"
    return found


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def is_ours(header):
    return header.startswith(("wagesim/", "golden/", "compile/", "check/", "report/", "timing/")) or header.startswith(RTL_FOLDERS)


class Layering(unittest.TestCase):
    def test_each_layer_includes_only_what_lies_below_it(self):
        checked = 0
        for folder, allowed in ALLOWED.items():
            for path in sources(folder):
                for header in includes(path):
                    beside = (path.parent / header).exists()
                    if not is_ours(header) or beside:
                        continue
                    checked += 1
                    with self.subTest(file=str(path.relative_to(TOP)), include=header):
                        self.assertTrue(header.startswith(tuple(allowed)))
        self.assertGreater(checked, 50)

    def test_golden_model_has_neither_the_machines_arithmetic_nor_the_machine(self):
        for path in sources("sim/golden"):
            text = path.read_text(encoding="utf-8")
            with self.subTest(file=str(path.relative_to(TOP))):
                for header in includes(path):
                    self.assertNotIn("arith", header)
                    self.assertNotIn("rtl_model", header)
                    self.assertFalse(header.startswith(RTL_FOLDERS), header)
                    self.assertIsNone(SYSTEMC.match(header), header)
                self.assertNotRegex(text, r"\b(arith|rtl)::")
                self.assertNotIn("sc_core", text)

    def test_systemc_stays_in_the_machine_and_the_command_line(self):
        for folder in ("include", "sim/golden", "sim/compile", "sim/check", "sim/report", "sim/timing"):
            for path in sources(folder):
                for header in includes(path):
                    with self.subTest(file=str(path.relative_to(TOP)), include=header):
                        self.assertIsNone(SYSTEMC.match(header))

    def test_machine_knows_neither_networks_nor_golden_model_nor_judge(self):
        for path in sources("rtl_model"):
            for header in includes(path):
                with self.subTest(file=str(path.relative_to(TOP)), include=header):
                    self.assertFalse(header.startswith(("golden/", "compile/", "check/", "report/")))
                    # datapath.h has the machine's settings beside network.h; the network's own is not for it
                    self.assertNotEqual(header, "wagesim/network/network.h")

    def test_include_roots_are_given_only_to_dependents(self):
        libraries = {}
        for path in list((TOP / "include").rglob("CMakeLists.txt")) + list((TOP / "sim").rglob("CMakeLists.txt")) \
                + list((TOP / "sim").rglob("*.cmake")) + [TOP / "rtl_model" / "CMakeLists.txt"]:
            for name, arguments in re.findall(r"target_link_libraries\((\w+)([^)]*)\)", path.read_text()):
                libraries.setdefault(name, set()).update(re.findall(r"wagesim::(\w+)", arguments))

        def reach(name, seen):
            for other in libraries.get(name, ()):
                target = f"wagesim_{other}"
                if target not in seen:
                    seen.add(target)
                    reach(target, seen)
            return seen

        golden = reach("wagesim_golden", set())
        self.assertIn("wagesim_network", golden)  # the walk does follow links
        for wrong in ("wagesim_arith", "wagesim_rtl", "wagesim_compile", "wagesim_check"):
            self.assertNotIn(wrong, golden)
        for wrong in ("wagesim_golden", "wagesim_check", "wagesim_compile"):
            self.assertNotIn(wrong, reach("wagesim_rtl", set()))
        for wrong in ("wagesim_rtl", "wagesim_golden", "wagesim_check"):
            self.assertNotIn(wrong, reach("wagesim_compile", set()))
        self.assertNotIn("wagesim_rtl", reach("wagesim_cycles", set()))


if __name__ == "__main__":
    unittest.main()
