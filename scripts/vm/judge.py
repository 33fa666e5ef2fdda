# SPDX-License-Identifier: GPL-2.0
"""The judge of a guest's log.

Whatever is missing is a failure: a test without a result, a log without its end.  So is whatever is unexpected: a reset,
a kernel report that no test announced.

A test announces a report that it provokes on purpose by writing to /dev/kmsg, before it does so:

    vrc-expect: REGEX COUNT

Exactly COUNT reports that match REGEX (anywhere in the report) must then come before the test ends. For a fault of the
kernel's own, which may or may not occur, it writes

    vrc-allow: REGEX COUNT

and at most COUNT may come.

If verification is on, the module must have compared something, and a difference is a report.

A check besides the kselftests is announced by `vrc-run: case NAME`, and has failed unless `vrc-run: passed NAME`
follows.
"""

import dataclasses
import re

from vm import ktap, reports

_STAMP = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])? ?")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|c)|[\r\x00]")
_USERSPACE = re.compile(r"^(#( |$)|(not )?ok\b|TAP version|1\.\.\d|kselftest:)")
# The module's message when it is unloaded.
_COMPARED = re.compile(r"vregcache: verification compared (\d+) reads, (\d+) registers and (\d+) last-written values")
# Two reports that differ only in these count as the same one.
_VARIABLE = re.compile(r"(CPU|PID): ?#?\d+|\b(0x)?[0-9a-f]{8,}\b")
# After this many reports the rest of the run proves nothing, and costs time.
_MAX_REPORTS = 200
_TAINT_DIED, _TAINT_WARN, _TAINT_SOFTLOCKUP = 1 << 7, 1 << 9, 1 << 14


@dataclasses.dataclass
class Problem:
    what: str
    line_number: int
    text: str
    program: str = ""
    times: int = 1


@dataclasses.dataclass
class _Expectation:
    pattern: str
    count: int
    line_number: int
    optional: bool = False
    seen: int = 0


def clean(line):
    """The line without serial noise and without the kernel's time stamp."""
    return _STAMP.sub("", _ESCAPES.sub("", line.rstrip("\n")))


class Judge:
    def __init__(self, expected_programs, mode="tests", listener=None, verification=False):
        self.cases = []
        self.problems = []
        self.finished_programs = []
        self.begun = False
        self.ended = False
        self.facts = {}
        self.command_status = None
        self.notes = []
        self._mode = mode
        self._compared = [0, 0, 0] if verification else None
        self._listener = listener or (lambda *event: None)
        self._expected_programs = list(expected_programs)
        self._expectations = []
        self._open_cases = {}
        self._seen_kinds = {}
        self._reports_seen = 0
        self._line_number = 0
        self._last = (0, "")
        self._tap = ktap.Reader(self._started, self._program_finished)
        self._reports = reports.Finder(self._report)

    # Input.

    def line(self, raw):
        self._line_number += 1
        text = clean(raw)
        if text.strip():
            self._last = (self._line_number, text)
        if text.startswith("vrc-run: "):
            self._control(text.removeprefix("vrc-run: "))
        elif text.startswith(("vrc-expect: ", "vrc-allow: ")):
            self._expect(*text.split(" ", 1))
        elif text.startswith("vrc-out: "):
            self._listener("output", text.removeprefix("vrc-out: "))
        elif text == "vrc-out:":
            self._listener("output", "")
        elif _USERSPACE.match(text):
            self._tap.line(text, self._line_number)
        else:
            if compared := self._compared and _COMPARED.match(text):
                self._compared = [sum(pair) for pair in zip(self._compared, map(int, compared.groups()))]
            self._reports.line(text, self._line_number)

    def finish(self, how):
        """The machine has ended; `how` is the reason if the runner stopped it, such as "hang: ...", else None."""
        self._reports.close()
        self._settle_expectations()
        running = self._tap.current
        during = f" while {running.name} ran" if running else ""
        if how:
            self._problem(how + during, *self._last)
        elif not self.begun:
            self._problem("the guest did not reach its init", *self._last)
        elif not self.ended:
            self._problem(f"the machine powered off or was reset before the end of the run{during}", *self._last)
        if running:
            self.cases += running.cases
            self._tap.current = None
        if self._compared and self.ended and not all(self._compared):
            compared = "{} reads, {} registers and {} last-written values".format(*self._compared)
            self._problem(f"verification should be on, but it compared {compared}", *self._last)
        for name, line_number in self._open_cases.items():
            self.cases.append(ktap.Case("machine", name, ktap.FAIL, "no result", line_number))
        for name in self._expected_programs:
            if name not in self.finished_programs:
                line_number, reason = self._last[0], "no result: the program was not started"
                if running and running.name == name:
                    line_number = running.line_number
                    reason = f"no result; last output: {running.last_line or 'none'}"
                self.cases.append(ktap.Case(name, name.partition(":")[2], ktap.FAIL, reason, line_number))
        if self._mode == "command" and self.ended and self.command_status != 0:
            self._problem(f"the command failed with exit status {self.command_status}", *self._last)

    # The verdict.

    def stop_reason(self):
        """Why the run need not continue; None while it should."""
        unexpected = sum(problem.times for problem in self._seen_kinds.values())
        return f"stopped after {unexpected} unexpected reports" if unexpected >= _MAX_REPORTS else None

    def counts(self):
        """passed, failed, skipped"""
        def of(status):
            return sum(case.status == status for case in self.cases)

        return of(ktap.PASS), of(ktap.FAIL) + len(self.problems), of(ktap.SKIP)

    def failures(self):
        """For each failed test and each problem: its name, and the lines that describe it."""
        cases = [case for case in self.cases if case.status == ktap.FAIL]
        return ([(f"{case.program} {case.name}", case.messages or [case.reason or "not ok"]) for case in cases] +
                [(problem.program or "the machine", [f"{problem.what}: {problem.text}"]) for problem in self.problems])

    # Parts.

    def _problem(self, what, line_number, text):
        program = self._tap.current.name if self._tap.current else ""
        self.problems.append(Problem(what, line_number, text, program))
        self._listener("problem", self.problems[-1])

    def _control(self, text):
        word, _, rest = text.partition(" ")
        self._reports.close()
        if word == "begin":
            if self.begun:
                self._problem("the machine was reset during the run", self._line_number, text)
            self.begun = True
            self.facts.update(item.split("=", 1) for item in rest.split() if "=" in item)
            self._listener("begin", rest)
        elif word == "end":
            self.ended = True
            self._listener("end", "")
        elif word == "case":
            self._open_cases[rest] = self._line_number
            self._listener("note", text)
        elif word == "passed":
            self.cases.append(ktap.Case("machine", rest, ktap.PASS, "", self._open_cases.pop(rest, self._line_number)))
            self._listener("note", text)
        elif word == "fail":
            self._problem(rest, self._line_number, text)
        elif word == "status":
            self.command_status = int(rest)
        elif word == "taint":
            self._taint(int(rest), text)
        elif word == "debug_locks" and rest != "1":
            self._problem("lockdep was disabled during the run", self._line_number, text)
        else:
            self._listener("note", text)

    def _taint(self, taint, text):
        """A report that did not reach the log still taints the kernel."""
        if taint & (_TAINT_DIED | _TAINT_WARN | _TAINT_SOFTLOCKUP) and not self._reports_seen:
            self._problem(f"the kernel is tainted ({taint}) by a report that is not in the log", self._line_number, text)

    def _expect(self, word, text):
        pattern, _, count = text.rpartition(" ")
        try:
            re.compile(pattern)
            self._expectations.append(_Expectation(pattern, int(count), self._line_number, word == "vrc-allow:"))
        except (re.error, ValueError) as error:
            self._problem(f"invalid announcement, it must be '{word} REGEX COUNT' ({error})", self._line_number, text)

    def _report(self, report):
        self._reports_seen += 1
        for expectation in self._expectations:
            if expectation.seen < expectation.count and re.search(expectation.pattern, report.text):
                expectation.seen += 1
                return
        program = self._tap.current.name if self._tap.current else ""
        kind = (program, _VARIABLE.sub("", report.title))
        if kind in self._seen_kinds:
            self._seen_kinds[kind].times += 1
            return
        self._problem("unexpected kernel report", report.line_number, report.title)
        self._seen_kinds[kind] = self.problems[-1]

    def _settle_expectations(self):
        for expectation in self._expectations:
            if expectation.seen != expectation.count and not expectation.optional:
                self._problem(
                    f"announced {expectation.count} report(s), but {expectation.seen} came",
                    expectation.line_number,
                    f"vrc-expect: {expectation.pattern} {expectation.count}",
                )
        self._expectations = []

    def _started(self, program):
        self._reports.close()
        self._settle_expectations()
        self._listener("started", program)

    def _program_finished(self, program):
        self._tap.current = program
        self._reports.close()
        self._settle_expectations()
        self._tap.current = None
        self.cases += program.cases
        self.finished_programs.append(program.name)
        self._listener("finished", program)
