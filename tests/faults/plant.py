#!/usr/bin/env python3
"""Does the judge find every fault that is planted in the machine? See README.md."""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import instrument
import masters
from instrument import PlantError

ROOT = Path(__file__).resolve().parents[2]
UNIT = "unit:"
PROGRAM = "wagesim"


@dataclass
class Case:
    """One run of the judge."""
    name: str
    arguments: list
    what: str
    masters: dict = None  # {"seed", "scale"}: see masters.py


@dataclass
class Outcome:
    """What became of a fault. `found`: by what it was meant to be found by."""
    found: bool
    stopped: bool = False  # no value was compared: the compiler or the machine gave up by itself
    by: str = ""      # case, or unit test
    layer: str = ""
    qp: str = ""
    cause: str = ""
    trouble: str = ""  # why not


class Abort(Exception):
    """The harness cannot go on: the message says why."""


# ---- cases -----------------------------------------------------------------------------------

def read_cases(path, work):
    """tests/faults/cases.json: {"options": [...], "cases": [{name, what, network, datapath,
    masters, options}]}. A datapath written as an object becomes a file in the work directory."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    cases = []
    for entry in content["cases"]:
        unknown = set(entry) - {"name", "what", "network", "datapath", "masters",
                                "options"}
        if unknown:
            raise Abort(f"{path}: case {entry.get('name')}: unknown key {sorted(unknown)[0]}")
        arguments = ["run", entry["network"], "--json", *content.get("options", [])]
        datapath = entry.get("datapath")
        if isinstance(datapath, dict):
            file = work / "datapaths" / f"{entry['name']}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(datapath, indent=2) + "\n", encoding="utf-8")
            datapath = str(file)
        if datapath is not None:
            arguments += ["--datapath", datapath]
        arguments += entry.get("options", [])
        cases.append(Case(entry["name"], arguments, entry.get("what", ""), entry.get("masters")))
    if not cases:
        raise Abort(f"{path}: no cases")
    return cases


# ---- building --------------------------------------------------------------------------------

def checked(command, log):
    """Runs a build step; its output goes to a file and, if it fails, its end to the message."""
    with open(log, "w", encoding="utf-8") as stream:
        status = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT,
                                check=False).returncode
    if status != 0:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if "error" in line][:10]
        raise Abort(f"{' '.join(command)}: exit status {status}\n"
                    + "\n".join(errors or lines[-20:]) + f"\n(all of it: {log})")


def build(arguments, faults, work):
    source, out = work / "src", work / "out"
    instrument.instrument(arguments.root, source, faults)
    units = sorted({unit_of(fault)[0] for fault in faults if fault.caught_by.startswith(UNIT)})
    checked(["cmake", "-S", str(source), "-B", str(out), "-G", "Ninja",
             "-DCMAKE_BUILD_TYPE=Release",
             # Light optimisation: the build takes longer than the runs.
             f"-DCMAKE_CXX_FLAGS_RELEASE={arguments.optimise} -DNDEBUG",
             f"-DCMAKE_CXX_FLAGS=-w -include {source / instrument.HEADER_NAME}",
             f"-DWAGESIM_BUILD_TESTS={'ON' if units else 'OFF'}", "-DWAGESIM_BUILD_BENCH=OFF"],
            work / "configure.log")
    checked(["cmake", "--build", str(out), "-j", str(arguments.jobs), "--target",
             f"bin/{PROGRAM}", *[f"bin/{unit}" for unit in units]], work / "build.log")
    return out / "bin"


def unit_of(fault):
    """unit:PROGRAM or unit:PROGRAM:FILTER -> (program of the tests, --gtest_filter)"""
    program, _, pattern = fault.caught_by[len(UNIT):].partition(":")
    return program, pattern or "*"


# ---- running ---------------------------------------------------------------------------------

class Runner:
    """Runs the instrumented programs; every worker has its own output directory."""

    def __init__(self, arguments, binaries, work):
        self.root, self.binaries, self.work = arguments.root, binaries, work
        self.timeout = arguments.timeout

    def run(self, command, fault_number):
        """(exit status, standard output, standard error); status None: it did not end."""
        directory = self.work / "runs" / str(threading.get_ident())
        directory.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ, WAGESIM_FAULT=str(fault_number))
        command = [part.replace("{out}", str(directory)) for part in command]
        try:
            done = subprocess.run(command, cwd=self.root, env=environment, timeout=self.timeout,
                                  capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return None, "", ""
        return (done.returncode, done.stdout.decode("utf-8", "replace"),
                done.stderr.decode("utf-8", "replace"))

    def case(self, case, fault_number):
        return self.run([str(self.binaries / PROGRAM), *case.arguments], fault_number)

    def unit(self, program, pattern, fault_number):
        return self.run([str(self.binaries / program), f"--gtest_filter={pattern}"], fault_number)


def make_masters(runner, cases, work):
    """Gives each case that asks for them its own master parameters, in the shapes of a run's."""
    directory = work / "masters"
    directory.mkdir(parents=True, exist_ok=True)
    for case in cases:
        if case.masters is None:
            continue
        run = directory / case.name
        status, _, errors = runner.run([str(runner.binaries / PROGRAM), *case.arguments,
                                        "--golden", "none", "--dump", "none",
                                        "--out", str(run)], 0)
        if status != 0:
            raise Abort(f"case {case.name}: {describe_status(status)}: {last_line(errors)}")
        file = directory / f"{case.name}.npz"
        state = run / "state.npz"  # of a training step
        masters.rewrite(state if state.is_file() else run / "weights.npz", file,
                        case.masters["seed"], case.masters.get("scale", {}))
        case.arguments += ["--weights", str(file)]


def describe_status(status):
    if status is None:
        return "did not end"
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def last_line(text):
    lines = [line.strip() for line in text.splitlines()
             if line.strip() and instrument.REACHED not in line]
    return lines[-1] if lines else ""


# How `wagesim run --json` names what it found, on standard error.
FIRST_MISMATCH = re.compile(r"^first mismatch: (\S+)\.([A-Za-z_]\w*)\[(?s:.*?)probable cause: ([^;]+);",
                            re.MULTILINE)
FINDING = re.compile(r"^finding: (\S+)\.([A-Za-z_]\w*): (.*)$", re.MULTILINE)
MACHINE_ERROR = re.compile(r"^(?:machine error|wagesim): (.*)$", re.MULTILINE)


def read_finding(outcome, errors):
    """Layer, QP and cause of what is named first: a mismatch, else a finding that is no single
    element, else the error by which the machine stopped."""
    for pattern in (FIRST_MISMATCH, FINDING):
        match = pattern.search(errors)
        if match:
            outcome.layer, outcome.qp, outcome.cause = match.groups()
            return
    match = MACHINE_ERROR.search(errors)
    outcome.stopped = match is not None
    outcome.cause = match.group(1) if match else last_line(errors)


def judge_fault(runner, fault, cases):
    reached, troubles = [], []
    for case in cases:
        status, _, errors = runner.case(case, fault.number)
        if instrument.REACHED in errors:
            reached.append(case.name)
        if status == 1:
            outcome = Outcome(found=True, by=case.name)
            read_finding(outcome, errors)
            return outcome
        if status != 0:
            troubles.append(f"{case.name}: {describe_status(status)}: {last_line(errors)}")
    if troubles:
        return Outcome(found=False, trouble="not a finding but a breakdown: " + troubles[0])
    ran = f"the planted code ran in {', '.join(reached)}" if reached else \
        "the planted code never ran"
    return Outcome(found=False, trouble=f"every case passes; {ran}")


def test_fault(runner, fault):
    program, pattern = unit_of(fault)
    status, output, errors = runner.unit(program, pattern, fault.number)
    failed = re.search(r"\[  FAILED  \] (\S+?)(?:,|\s|$)", output)
    if status != 0 and status is not None and failed:
        return Outcome(found=True, by=f"{program}: {failed.group(1)}")
    if status == 0:
        ran = "ran" if instrument.REACHED in errors else "never ran"
        return Outcome(found=False, trouble=f"{program} passes; the planted code {ran}")
    return Outcome(found=False, trouble=f"{program}: {describe_status(status)}")


def check_sound(runner, faults, cases, pool):
    """Without a fault everything must pass, or a finding would say nothing."""
    def one_case(case):
        status, _, errors = runner.case(case, 0)
        if status != 0:
            outcome = Outcome(found=False)
            read_finding(outcome, errors)
            raise Abort(f"case {case.name} without a fault: {describe_status(status)}: "
                        f"{outcome.layer} {outcome.qp} {outcome.cause}".rstrip()
                        + f"\n    {PROGRAM} {' '.join(case.arguments)}")

    def one_unit(unit):
        status, output, _ = runner.unit(*unit, 0)
        if status != 0:
            raise Abort(f"{unit[0]} without a fault: {describe_status(status)}")
        if re.search(r"\[==========\] 0 tests", output):
            raise Abort(f"{unit[0]}: no test matches {unit[1]}")

    jobs = [pool.submit(one_case, case) for case in cases]
    units = sorted({unit_of(f) for f in faults if f.caught_by.startswith(UNIT)})
    jobs += [pool.submit(one_unit, unit) for unit in units]
    for job in jobs:
        job.result()


# ---- report ----------------------------------------------------------------------------------

def cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")


def code(text):
    text = cell(text)
    return f"`{text}`" if text else ""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def document(faults, outcomes, cases):
    """docs/faults.md. Nothing in it depends on time or machine."""
    judged = [f for f in faults if not f.caught_by.startswith(UNIT)]
    tested = [f for f in faults if f.caught_by.startswith(UNIT)]

    def place(fault):
        return code(f"{fault.file}:{fault.line}")

    def verdict(fault):
        outcome = outcomes[fault.id]
        if not outcome.found:
            return ["**survivor**", "", "", cell(outcome.trouble)]
        if outcome.stopped:
            return [cell(outcome.by), "-", "-", "stopped: " + cell(outcome.cause)]
        return [cell(outcome.by), cell(outcome.layer), cell(outcome.qp), cell(outcome.cause)]

    found = [outcomes[f.id] for f in judged if outcomes[f.id].found]
    stopped = sum(outcome.stopped for outcome in found)
    first = sum(outcome.by == cases[0].name for outcome in found)
    parts = [
        "<!-- Written by tests/faults/plant.py; do not edit. -->",
        "# Planted faults",
        "",
        "Each row is one fault planted in a copy of the sources: the program was then run through "
        "the cases\nbelow, in their order, until one ended with a finding. Layer, QP and cause are "
        "those of the first\nmismatch in simulated time. How it works, and how to add one: "
        "tests/faults/README.md.",
        "",
        f"{len(found)} of {len(judged)} faults end a case with a finding, {first} of them the first "
        f"case: {len(found) - stopped} by a value\nor a count that differs from the golden model's, "
        f"{stopped} because the compiler's or the machine's own checks stop the\nrun (an unwritten "
        "byte is read, a token is left over).",
        "",
        "## Cases",
        "",
        table(["case", "what it runs"],
              [[cell(case.name), cell(case.what)] for case in cases]),
        "## Found by a run",
        "",
        table(["fault", "place", "what is planted", "case", "layer", "QP", "cause"],
              [[code(f.id), place(f), cell(f.what), *verdict(f)] for f in judged]),
    ]
    if tested:
        parts += [
            "## Found by a test program",
            "",
            "No run shows these, for the reason given; the named test does.",
            "",
            table(["fault", "place", "what is planted", "why no run shows it", "found by"],
                  [[code(f.id), place(f), cell(f.what), cell(f.why),
                    cell(outcomes[f.id].by) if outcomes[f.id].found
                    else "**survivor**: " + cell(outcomes[f.id].trouble)] for f in tested]),
        ]
    return "\n".join(parts)


# ---- command line ----------------------------------------------------------------------------

def parse(argv):
    parser = argparse.ArgumentParser(
        prog="plant.py", description="Plants every fault of faults.json in a copy of the sources "
        "and checks that the judge finds it. Exit status: 0 all found, 1 survivors, 2 cannot run.")
    parser.add_argument("--list", action="store_true", help="print the faults and their places")
    parser.add_argument("--only", action="append", metavar="ID",
                        help="run this fault (may be repeated); leaves the document alone")
    parser.add_argument("--root", type=Path, default=ROOT, help="the source tree")
    parser.add_argument("--faults", type=Path, help="default: tests/faults/faults.json")
    parser.add_argument("--cases", type=Path, help="default: tests/faults/cases.json")
    parser.add_argument("--work", type=Path, help="default: build/faults")
    parser.add_argument("--document", type=Path, help="default: docs/faults.md")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (2)")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one run (120)")
    parser.add_argument("--optimise", default="-O1", help="optimisation of the build (-O1)")
    arguments = parser.parse_args(argv)
    arguments.root = arguments.root.resolve()
    here = arguments.root / "tests" / "faults"
    arguments.faults = arguments.faults or here / "faults.json"
    arguments.cases = arguments.cases or here / "cases.json"
    arguments.work = (arguments.work or arguments.root / "build" / "faults").resolve()
    arguments.document = arguments.document or arguments.root / "docs" / "faults.md"
    return arguments


def print_list(faults):
    for fault in faults:
        print(f"{fault.number:4} {fault.id:32} {fault.file}:{fault.line}  {fault.what}"
              + (f"  [{fault.caught_by}]" if fault.caught_by != "judge" else ""))


def select(faults, ids):
    unknown = set(ids) - {fault.id for fault in faults}
    if unknown:
        raise Abort(f"no fault {sorted(unknown)[0]} (see --list)")
    return [fault for fault in faults if fault.id in ids]


def main(argv):
    arguments = parse(argv)
    faults = instrument.read_faults(arguments.faults)
    for fault in faults:
        if fault.caught_by != "judge" and not fault.caught_by.startswith(UNIT):
            raise Abort(f"{fault.id}: caught_by is 'judge' or 'unit:PROGRAM[:FILTER]'")
        if fault.caught_by.startswith(UNIT) != bool(fault.why):
            raise Abort(f"{fault.id}: a fault that a test program finds says why no run shows it, "
                        "and no other")
    if arguments.list:
        instrument.locate_all(arguments.root, faults)
        print_list(faults)
        return 0
    chosen = select(faults, arguments.only) if arguments.only else faults
    arguments.work.mkdir(parents=True, exist_ok=True)
    cases = read_cases(arguments.cases, arguments.work)

    began = time.monotonic()
    binaries = build(arguments, faults, arguments.work)
    print(f"built {len(faults)} faults in {time.monotonic() - began:.0f} s", flush=True)
    runner = Runner(arguments, binaries, arguments.work)
    outcomes = {}
    make_masters(runner, cases, arguments.work)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        check_sound(runner, chosen, cases, pool)
        print(f"{len(cases)} cases pass without a fault", flush=True)
        jobs = {fault.id: pool.submit(test_fault, runner, fault)
                if fault.caught_by.startswith(UNIT)
                else pool.submit(judge_fault, runner, fault, cases) for fault in chosen}
        for fault in chosen:
            outcome = outcomes[fault.id] = jobs[fault.id].result()
            if outcome.found:
                where = " ".join(filter(None, ("stopped:" if outcome.stopped else "",
                                               outcome.layer, outcome.qp, outcome.cause)))
                print(f"found     {fault.id}: {outcome.by}: {where}", flush=True)
            else:
                print(f"SURVIVOR  {fault.id} ({fault.file}:{fault.line}: {fault.what}): "
                      f"{outcome.trouble}", flush=True)
    if not arguments.only:
        arguments.document.parent.mkdir(parents=True, exist_ok=True)
        arguments.document.write_text(document(faults, outcomes, cases), encoding="utf-8")
    survivors = [fault.id for fault in chosen if not outcomes[fault.id].found]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults found in "
          f"{time.monotonic() - began:.0f} s"
          + (f"; survivors: {', '.join(survivors)}" if survivors else ""))
    return 1 if survivors else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Abort, PlantError) as error:
        print(f"plant.py: {error}", file=sys.stderr)
        sys.exit(2)
