"""The harness on a toy tree, whose program judges itself, and on faults that cannot be planted."""

import contextlib
import io
import json
import struct
import tempfile
import unittest
import zipfile
from pathlib import Path

import instrument
import masters
import plant

CMAKE = """\
cmake_minimum_required(VERSION 3.25)
project(toy CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(wagesim main.cpp)
if(WAGESIM_BUILD_TESTS)
  add_executable(toy_test toy_test.cpp)
endif()
"""

ARITHMETIC = """\
#pragma once
#include <array>
constexpr int twice(int x) { return x + x; }
constexpr std::array<int, 2> table{twice(1), twice(2)};
inline int halve(int x) {
    if (x < 0) return -((-x) / 2);
    return x / 2;
}
inline int unused(int x) { return x + 3; }
inline int cycles = 0;
inline void wait(int n) { cycles += n; }
"""

# What the real program does as seen from outside: values against other values, exit status 1.
MAIN = """\
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include "arithmetic.h"
int finding(const char* qp, const char* cause) {
    std::fprintf(stderr, "first mismatch: conv1.%s[0,1,2,3] at cycle 7 (command 8)\\n"
                 "  first differing bit 0, probable cause: %s; 1 of 2 differ\\n", qp, cause);
    return 1;
}
int main(int, char** argv) {
    wait(3);
    const bool negative = std::strcmp(argv[2], "negative") == 0;
    static_assert(table[1] == 4, "");
    if (twice(5) != 10) return finding("y", "other");
    if (!negative && halve(9) != 4) return finding("A", "rounding");
    if (negative && halve(-9) != -4) return finding("A", "rounding");
    if (twice(7) > 100) std::abort();
    return 0;
}
"""

TEST = """\
#include <cstdio>
#include "arithmetic.h"
int main() {
    wait(2);
    if (cycles == 2) return 0;
    std::puts("[  FAILED  ] Cycles.AreCounted (0 ms)");
    return 1;
}
"""

FAULTS = [
    {"id": "twice", "file": "arithmetic.h", "find": "x + x", "replace": "x + x + 1",
     "what": "one too many"},
    {"id": "twice-inner", "file": "arithmetic.h", "find": "return x + x;",
     "replace": "return 3 * x;", "what": "three times", "statement": True},
    {"id": "positive", "file": "arithmetic.h", "find": "return x / 2;",
     "replace": "return (x + 1) / 2;", "what": "up instead of toward zero", "statement": True},
    {"id": "negative", "file": "arithmetic.h", "find": "-((-x) / 2)", "replace": "(x - 1) / 2",
     "what": "floor instead of toward zero"},
    {"id": "wait", "file": "arithmetic.h", "find": "cycles += n;", "replace": "cycles += n + 1;",
     "what": "a cycle more", "statement": True, "caught_by": "unit:toy_test",
     "why": "timing only"},
]
CASES = {"cases": [{"name": "plain", "network": "positive", "what": "positive numbers"},
                   {"name": "signed", "network": "negative", "what": "negative numbers",
                    "options": ["--out", "{out}"]}]}


def fault(find, replace="0", number=1, **more):
    return instrument.Fault(number=number, id=more.pop("id", f"f{number}"), file="a.cpp",
                            find=find, replace=replace, what="w", **more)


class Planting(unittest.TestCase):
    def test_puts_the_switch_around_an_expression(self):
        text = instrument.plant("int f() { return a + b; }", [fault("a + b", "a - b", 17)])
        self.assertEqual(text, "int f() { return (::wagesim_fault::active(17) ? (a - b) : "
                               "(a + b)); }")

    def test_puts_a_statement_into_an_if(self):
        text = instrument.plant("{ x = 1; y = 2; }", [fault("y = 2;", "y = 3;", statement=True)])
        self.assertEqual(text, "{ x = 1; if (::wagesim_fault::active(1)) { y = 3; } else "
                               "{ y = 2; } }")

    def test_nests_a_fault_in_the_sound_branch_of_another(self):
        faults = [fault("b * c", "9", 1), fault("a + b * c", "8", 2)]
        text = instrument.plant("x = a + b * c;", faults)
        self.assertEqual(text, "x = (::wagesim_fault::active(2) ? (8) : (a + "
                               "(::wagesim_fault::active(1) ? (9) : (b * c))));")

    def test_takes_two_faults_of_one_expression(self):
        text = instrument.plant("x = a;", [fault("a", "8", 1), fault("a", "9", 2)])
        self.assertEqual(text, "x = (::wagesim_fault::active(1) ? (8) : "
                               "((::wagesim_fault::active(2) ? (9) : (a))));")

    def test_refuses_finds_that_cross(self):
        with self.assertRaisesRegex(instrument.PlantError, "f2 and f1: their finds overlap"):
            instrument.plant("f(a, b, c);", [fault("a, b"), fault("b, c", number=2)])

    def test_refuses_a_find_that_stands_twice_or_not_at_all(self):
        for source, count in (("a; a;", 2), ("b;", 0)):
            with self.assertRaisesRegex(instrument.PlantError, f"stands {count} times"):
                instrument.plant(source, [fault("a")])

    def test_refuses_a_torn_expression(self):
        for source, find in (
                ("x = a + b * c;", "a + b"),      # b belongs to the product
                ("x = a * b + c;", "b + c"),
                ("x = a - b + c;", "b + c"),      # (a - b) + c
                ("x = -a + b;", "a + b"),
                ("x = a + b.size;", "a + b"),
                ("x = a << b + c;", "a << b"),
                ("x = a && b == c;", "a && b"),
                ("x = alpha;", "alph"),
                ("x = f(a);", "f(a")):
            with self.subTest(find=find, source=source):
                with self.assertRaisesRegex(instrument.PlantError, "not a complete expression"):
                    instrument.plant(source, [fault(find)])

    def test_takes_what_only_looks_torn(self):
        for source, find in (
                ("x = a + b * c;", "b * c"), ("x = a + b + c;", "a + b"),
                ("x = a && b && c;", "b && c"), ("x = y + static_cast<int>(z) * w;",
                                                 "static_cast<int>(z)"),
                ("if (a - b < c - d) return;", "a - b"), ("x = c ? a + b : d;", "a + b"),
                ("x -= a + b;", "a + b"), ("return a + b;", "a + b"),
                ("f(a + b, c);", "a + b"), ("x = v[i].n * 2;", "v[i].n")):
            with self.subTest(find=find, source=source):
                self.assertIn("active(1)", instrument.plant(source, [fault(find)]))

    def test_refuses_what_is_no_statement(self):
        with self.assertRaisesRegex(instrument.PlantError, "no ; at its end"):
            instrument.plant("{ x = 1; }", [fault("x = 1", statement=True)])
        with self.assertRaisesRegex(instrument.PlantError, "does not begin a statement"):
            instrument.plant("{ x = 1; }", [fault("1;", statement=True)])


class Reading(unittest.TestCase):
    def read(self, errors):
        outcome = plant.Outcome(found=True)
        plant.read_finding(outcome, errors)
        self.stopped = outcome.stopped
        return outcome.layer, outcome.qp, outcome.cause

    def test_prefers_the_first_mismatch(self):
        self.assertEqual(self.read("first mismatch: b1.conv.run_mu[0,0,0,0] at cycle 1 (command 2)\n"
                                   "  expected 1\n  probable cause: rounding tie; 1 of 2 differ\n"
                                   "finding: b1.A: delivered twice\nmachine error: no\n"),
                         ("b1.conv", "run_mu", "rounding tie"))
        self.assertFalse(self.stopped)

    def test_takes_another_finding_or_the_machines_error(self):
        self.assertEqual(self.read("[planted fault reached]\nfinding: b1.A: delivered twice\n"),
                         ("b1", "A", "delivered twice"))
        self.assertFalse(self.stopped)
        self.assertEqual(self.read("machine error: weights: byte 7 was never written\n"),
                         ("", "", "weights: byte 7 was never written"))
        self.assertEqual(self.read("wagesim: internal error: no such tensor\n"),
                         ("", "", "internal error: no such tensor"))
        self.assertTrue(self.stopped)


class FaultFile(unittest.TestCase):
    def refuse(self, entries, message):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "faults.json"
            path.write_text(json.dumps(entries))
            with self.assertRaisesRegex(instrument.PlantError, message):
                instrument.read_faults(path)

    def test_is_checked_key_by_key(self):
        good = FAULTS[0]
        self.refuse([good, good], "the id stands twice")
        self.refuse([{**good, "colour": 1}], "unknown key colour")
        self.refuse([{**good, "find": " "}], "find is missing")
        self.refuse({"faults": []}, "expected a list")


class Masters(unittest.TestCase):
    def rewrite(self, seed, scale=None):
        """Codes by name after rewriting an archive of start values."""
        start = {"c.W": ("<i4", 1 << 20), "b.gamma": ("<i4", 1 << 23), "b.run_sigma": ("<u4", 1 << 23)}
        with tempfile.TemporaryDirectory() as directory:
            source, destination = Path(directory) / "a.npz", Path(directory) / "b.npz"
            with zipfile.ZipFile(source, "w") as archive:
                for name, (descr, code) in start.items():
                    header = (f"{{'descr': '{descr}', 'fortran_order': False, "
                              "'shape': (20, 10), }").ljust(117) + "\n"
                    archive.writestr(name + ".npy", b"\x93NUMPY\x01\x00" + struct.pack(
                        "<H", len(header)) + header.encode() + struct.pack("<200I", *[code] * 200))
            masters.rewrite(source, destination, seed, scale or {})
            with zipfile.ZipFile(destination) as archive:
                return {entry.removesuffix(".npy"): masters.read_array(archive.read(entry))[2]
                        for entry in archive.namelist()}

    def test_have_both_signs_ties_and_extremes_within_their_widths(self):
        codes = self.rewrite(1)
        self.assertTrue(min(codes["b.gamma"]) < 0 < max(codes["b.gamma"]) < 1 << 24)
        self.assertGreater(sum(code % (1 << 17) == 1 << 16 for code in codes["b.gamma"]), 20)
        self.assertIn((1 << 23) - 1, [abs(code) for code in codes["c.W"]])
        self.assertGreater(codes["c.W"].count(1 << 20), 100)
        self.assertTrue(0 <= min(codes["b.run_sigma"]) <= max(codes["b.run_sigma"]) < 1 << 26)

    def test_depend_on_the_seed_alone(self):
        self.assertEqual(self.rewrite(1), self.rewrite(1))
        self.assertNotEqual(self.rewrite(1), self.rewrite(2))

    def test_are_scaled_by_name(self):
        codes = self.rewrite(1, {"gamma": 0.01})
        ordinary = [code for code in codes["b.gamma"] if code % (1 << 17) != 1 << 16]
        self.assertLess(max(map(abs, ordinary)), 0.02 * (1 << 23))
        self.assertEqual(codes["c.W"], self.rewrite(1)["c.W"])


class Toy:
    """A source tree with its faults and cases, and the harness run on it."""

    def __init__(self, directory):
        self.root = Path(directory)
        self.write("CMakeLists.txt", CMAKE)
        self.write("arithmetic.h", ARITHMETIC)
        self.write("main.cpp", MAIN)
        self.write("toy_test.cpp", TEST)
        self.write("tests/faults/faults.json", json.dumps(FAULTS))
        self.write("tests/faults/cases.json", json.dumps(CASES))

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *arguments):
        """(exit status, what was printed)"""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = plant.main(["--root", str(self.root), *arguments])
        return status, printed.getvalue()

    def document(self):
        return (self.root / "docs" / "faults.md").read_text()


class Harness(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.toy = Toy(cls.directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def setUp(self):
        self.toy.write("tests/faults/faults.json", json.dumps(FAULTS))
        self.toy.write("arithmetic.h", ARITHMETIC)

    def test_finds_every_fault_and_writes_where(self):
        status, printed = self.toy.run()
        self.assertEqual(status, 0, printed)
        self.assertIn("5 of 5 faults found", printed)
        rows = {line.split("`")[1]: line for line in self.toy.document().splitlines()
                if line.startswith("| `")}
        self.assertEqual(list(rows), [f["id"] for f in FAULTS])
        self.assertIn("`arithmetic.h:3` | one too many | plain | conv1 | y | other |",
                      rows["twice"])
        self.assertIn("| plain | conv1 | A | rounding |", rows["positive"])
        self.assertIn("| signed | conv1 | A | rounding |", rows["negative"])
        self.assertIn("| timing only | toy_test: Cycles.AreCounted |", rows["wait"])
        self.assertEqual(self.toy.root.joinpath("arithmetic.h").read_text(), ARITHMETIC)
        again = self.toy.document()
        self.toy.run()
        self.assertEqual(self.toy.document(), again)

    def test_names_a_survivor_and_says_whether_its_code_ran(self):
        harmless = {"id": "harmless", "file": "arithmetic.h", "find": "return x / 2;",
                    "replace": "return x >> 1;", "what": "the same value", "statement": True}
        dead = {"id": "dead", "file": "arithmetic.h", "find": "x + 3", "replace": "x + 4",
                "what": "in code that nobody calls"}
        self.toy.write("tests/faults/faults.json", json.dumps([FAULTS[0], harmless, dead]))
        status, printed = self.toy.run()
        self.assertEqual(status, 1)
        self.assertRegex(printed, r"SURVIVOR  harmless .*the planted code ran in plain")
        self.assertRegex(printed, r"SURVIVOR  dead .*the planted code never ran")
        self.assertIn("survivors: harmless, dead", printed)
        self.assertIn("**survivor**", self.toy.document())

    def test_does_not_take_a_breakdown_for_a_finding(self):
        crash = {"id": "crash", "file": "main.cpp", "find": "twice(7) > 100",
                 "replace": "twice(7) == 14", "what": "ends in abort"}
        self.toy.write("tests/faults/faults.json", json.dumps([crash]))
        status, printed = self.toy.run()
        self.assertEqual(status, 1)
        self.assertIn("a breakdown: plain: killed by signal 6", printed)

    def test_stops_when_a_case_fails_without_a_fault(self):
        self.toy.write("arithmetic.h", ARITHMETIC.replace("(-x) / 2", "(1 - x) / 2"))
        self.toy.write("tests/faults/faults.json", json.dumps(FAULTS[:1]))
        with self.assertRaisesRegex(plant.Abort, "case signed without a fault: exit status 1"):
            self.toy.run()

    def test_shows_the_compilers_words_when_a_fault_does_not_compile(self):
        bad = {**FAULTS[0], "replace": "nonsense"}
        self.toy.write("tests/faults/faults.json", json.dumps([bad]))
        with self.assertRaisesRegex(plant.Abort, "nonsense"):
            self.toy.run()

    def test_runs_only_the_faults_asked_for(self):
        self.toy.run()
        document = self.toy.document()
        status, printed = self.toy.run("--only", "negative")
        self.assertEqual(status, 0)
        self.assertIn("1 of 1 faults found", printed)
        self.assertNotIn("positive", printed)
        self.assertEqual(self.toy.document(), document)
        with self.assertRaisesRegex(plant.Abort, "no fault nobody"):
            self.toy.run("--only", "nobody")

    def test_lists_faults_with_their_places(self):
        status, printed = self.toy.run("--list")
        self.assertEqual(status, 0)
        self.assertRegex(printed, r"4 negative +arithmetic.h:6  floor instead of toward zero")


if __name__ == "__main__":
    unittest.main()
