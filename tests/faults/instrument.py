"""Plants faults into a copy of the source tree, each behind a switch that is off (mutant schemata).

One build then holds every fault: the environment variable WAGESIM_FAULT=<number> turns one on.
The sources themselves never contain any of this.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

HEADER_NAME = "wagesim_fault.h"

# Compile-time evaluation always takes the sound branch: a fault in a table that the compiler
# computes cannot be switched on.
HEADER = """\
// Force-included into every file of the instrumented tree: which planted fault is on.
#pragma once
#include <atomic>
#include <cstdio>
#include <cstdlib>
namespace wagesim_fault {
inline const int chosen = [] {
    const char* text = std::getenv("WAGESIM_FAULT");
    return text == nullptr ? 0 : std::atoi(text);
}();
/// Says once that the planted code runs.
inline bool reached() {
    static std::atomic<bool> told{false};
    if (!told.exchange(true)) std::fputs("[planted fault reached]\\n", stderr);
    return true;
}
constexpr bool active(int id) {
    return !__builtin_is_constant_evaluated() && id == chosen && reached();
}
}  // namespace wagesim_fault
"""
REACHED = "[planted fault reached]"

NOT_COPIED = {"build", "runs"}  # and whatever begins with a dot


class PlantError(Exception):
    """A fault that cannot be planted as it is written; the message says which and why."""


@dataclass
class Fault:
    number: int  # value of WAGESIM_FAULT
    id: str
    file: str
    find: str
    replace: str
    what: str
    caught_by: str = "judge"
    why: str = ""  # no run shows it
    statement: bool = False
    start: int = -1  # offset of `find` in the file
    line: int = 0
    inner: list = field(default_factory=list)  # faults whose `find` lies within this one's

    @property
    def end(self):
        return self.start + len(self.find)


def read_faults(path):
    """The list of tests/faults/faults.json, checked key by key."""
    entries = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise PlantError(f"{path}: expected a list of faults")
    faults, ids = [], set()
    required = ("id", "file", "find", "replace", "what")
    for number, entry in enumerate(entries, start=1):
        place = f"{path}: fault {entry.get('id', number)}"
        for key in required:
            if not isinstance(entry.get(key), str) or not entry[key].strip():
                raise PlantError(f"{place}: {key} is missing or not a text")
        unknown = set(entry) - set(required) - {"caught_by", "why", "statement"}
        if unknown:
            raise PlantError(f"{place}: unknown key {sorted(unknown)[0]}")
        if entry["id"] in ids:
            raise PlantError(f"{place}: the id stands twice")
        ids.add(entry["id"])
        faults.append(Fault(number=number, **entry))
    return faults


# ---- is FIND a complete expression? ----------------------------------------------------------

PRECEDENCE = {
    "*": 10, "/": 10, "%": 10, "+": 9, "-": 9, "<<": 8, ">>": 8,
    "<": 7, ">": 7, "<=": 7, ">=": 7, "==": 6, "!=": 6, "&": 5, "^": 4, "|": 3,
    "&&": 2, "||": 1, "?": 0, ":": 0,
    "=": -1, "+=": -1, "-=": -1, "*=": -1, "/=": -1, "%=": -1,
    "<<=": -1, ">>=": -1, "&=": -1, "|=": -1, "^=": -1,
}
# a op (b op c) is (a op b) op c
ASSOCIATIVE = {"&", "^", "|", "&&", "||"}
WHOLE = 100  # tighter than any operator
OPERATOR = re.compile(r"(?<=\s)(" + "|".join(
    re.escape(op) for op in sorted(PRECEDENCE, key=len, reverse=True)) + r")(?=\s)")


def loosest_operator(text):
    """Precedence of the loosest binary operator outside brackets. clang-format puts blanks around
    binary operators and nowhere else, so `cast<int>(-x)` has none."""
    flat, depth = [], 0
    for char in text:
        depth -= char in ")]}"
        flat.append(char if depth == 0 else "x")
        depth += char in "([{"
    found = [PRECEDENCE[m.group(1)] for m in OPERATOR.finditer("".join(flat))]
    return min(found, default=WHOLE)


def check_expression(fault, source):
    """Refuses a FIND that parentheses would tear out of a larger expression."""
    def refuse(why):
        raise PlantError(f"{fault.id}: find is not a complete expression in {fault.file}:"
                         f"{fault.line}: {why}")

    before, after = source[:fault.start], source[fault.end:]
    if re.search(r"\w$", before) and re.match(r"\w", fault.find):
        refuse("it begins within a word")
    if re.match(r"\w", after) and re.search(r"\w$", fault.find):
        refuse("it ends within a word")
    for opening, closing in ("()", "[]", "{}"):
        if fault.find.count(opening) != fault.find.count(closing):
            refuse(f"its {opening} and {closing} do not pair")
    loosest = loosest_operator(fault.find)
    if loosest == WHOLE:
        return
    if re.search(r"(?:[-!~*&+]|\.|->|::)$", before):
        refuse("what stands before it binds tighter")
    left = re.search(r"\s(\S+)\s+$", before)
    if left and left.group(1) in PRECEDENCE:
        operator = left.group(1)
        bound = PRECEDENCE[operator]
        if bound > loosest or (bound == loosest and bound > 0 and operator not in ASSOCIATIVE):
            refuse(f"the {operator} before it takes its first operand")
    if re.match(r"(?:\.|->|\(|\[|\+\+|--)", after):
        refuse("what follows binds tighter")
    right = re.match(r"\s+(\S+)\s", after)
    if right and right.group(1) in PRECEDENCE and PRECEDENCE[right.group(1)] > loosest:
        refuse(f"the {right.group(1)} after it takes its last operand")


def check_statement(fault, source):
    if not fault.find.rstrip().endswith((";", "}")):
        raise PlantError(f"{fault.id}: find is not a complete statement: no ; at its end")
    before = re.sub(r"//[^\n]*\n", "\n", source[:fault.start]).rstrip()
    if not before.endswith((";", "{", "}", ")", ":", "else", "*/")):
        raise PlantError(f"{fault.id}: find does not begin a statement in {fault.file}:"
                         f"{fault.line}")


# ---- planting --------------------------------------------------------------------------------

def locate(fault, source):
    count = source.count(fault.find)
    if count != 1:
        raise PlantError(f"{fault.id}: find stands {count} times in {fault.file}, expected once:\n"
                         f"    {fault.find}")
    fault.start = source.index(fault.find)
    fault.line = source.count("\n", 0, fault.start) + 1
    if fault.statement:
        check_statement(fault, source)
    else:
        check_expression(fault, source)


def nest(faults):
    """The outermost faults of a file in order, the others in their `inner` lists."""
    outermost, open_faults = [], []
    for fault in sorted(faults, key=lambda f: (f.start, -f.end, f.number)):
        fault.inner = []
        while open_faults and open_faults[-1].end <= fault.start:
            open_faults.pop()
        if not open_faults:
            outermost.append(fault)
        elif fault.end <= open_faults[-1].end:
            open_faults[-1].inner.append(fault)
        else:
            raise PlantError(f"{fault.id} and {open_faults[-1].id}: their finds overlap in "
                             f"{fault.file}:{fault.line}; one must contain the other")
        open_faults.append(fault)
    return outermost


def render(source, start, end, faults):
    pieces, position = [], start
    for fault in faults:
        pieces.append(source[position:fault.start])
        sound = render(source, fault.start, fault.end, fault.inner)
        switch = f"::wagesim_fault::active({fault.number})"
        if fault.statement:
            pieces.append(f"if ({switch}) {{ {fault.replace} }} else {{ {sound} }}")
        else:
            pieces.append(f"({switch} ? ({fault.replace}) : ({sound}))")
        position = fault.end
    pieces.append(source[position:end])
    return "".join(pieces)


def plant(source, faults):
    """The text of one file with all its faults, switched off. Fills in each fault's `line`."""
    for fault in faults:
        locate(fault, source)
    return render(source, 0, len(source), nest(faults))


def locate_all(root, faults):
    """Instrumented text by file; refuses what cannot be planted."""
    by_file = {}
    for fault in faults:
        by_file.setdefault(fault.file, []).append(fault)
    planted = {}
    for name, here in by_file.items():
        path = Path(root) / name
        if not path.is_file():
            raise PlantError(f"{here[0].id}: no file {name}")
        planted[name] = plant(path.read_text(encoding="utf-8"), here)
    return planted


def write_if_changed(path, content):
    """Keeps the time of what is already there, so that only changed files are compiled again."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def instrument(root, destination, faults):
    """Copies the tree at `root` to `destination` with all faults planted in it."""
    root, destination = Path(root), Path(destination)
    planted = locate_all(root, faults)
    wanted = set()
    for entry in sorted(root.iterdir()):
        if entry.name in NOT_COPIED or entry.name.startswith("."):
            continue
        files = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        for path in files:
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            name = path.relative_to(root).as_posix()
            text = planted.get(name)
            write_if_changed(destination / name,
                             path.read_bytes() if text is None else text.encode("utf-8"))
            wanted.add(destination / name)
    write_if_changed(destination / HEADER_NAME, HEADER.encode("utf-8"))
    wanted.add(destination / HEADER_NAME)
    for path in destination.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()
