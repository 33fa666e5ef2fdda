# SPDX-License-Identifier: GPL-2.0
"""Reads the nested TAP that run_kselftest.sh prints: programs outside, their test cases inside."""

import dataclasses
import re

PASS, FAIL, SKIP = "pass", "fail", "skip"

_RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*?)\s*(?:(?<!\\)#\s*(\w+)\b\s*(.*))?$")
_PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?", re.IGNORECASE)
_START = re.compile(r"^# selftests: (\S+): (\S+)")
_OUTER_NAME = re.compile(r"^selftests: (\S+): (\S+)")
_RUN = re.compile(r"^#?\s*RUN\s+(\S+)")
# "# file.c:12:test:Expected ...": the harness's message on a failed check.  The first one is the cause.
_MESSAGE = re.compile(r"^#? *[\w./-]+\.(c|h|S|sh):\d+: ?\S")
_SKIP_REASON = re.compile(r"#?\s*\[?SKIP\]?:?\s+(.*)", re.IGNORECASE)


@dataclasses.dataclass
class Case:
    program: str
    name: str
    status: str
    reason: str = ""
    line_number: int = 0
    # The messages of a failed test.
    messages: list = dataclasses.field(default_factory=list)


class Program:
    """One test program while it runs."""

    def __init__(self, name, line_number):
        self.name = name
        self.line_number = line_number
        self.cases = []
        self.planned = None
        self.running = None
        self.last_line = ""
        self.messages = []
        self.skip_reason = ""

    @property
    def message(self):
        return self.messages[0] if self.messages else ""

    def inner(self, text, line_number):
        """A line of the program's own output."""
        found = _RUN.match(text)
        if found:
            self.running = found.group(1)
            self.messages = []
        elif _MESSAGE.match(text):
            self.messages.append(text.lstrip("# "))
        found = _PLAN.match(text)
        if found and self.planned is None:
            self.planned = int(found.group(1))
            self.skip_reason = found.group(2) or ""
            return
        found = re.match(r"^(not )?ok\b", text) and _RESULT.match(text)
        if found:
            self._result(found, line_number)
            return
        found = _SKIP_REASON.match(text)
        if found:
            self.skip_reason = found.group(1)
        if text.strip("# "):
            self.last_line = text.strip("# ")

    def _result(self, found, line_number):
        failed, number, name, directive, rest = found.groups()
        directive = (directive or "").upper()
        # The harness names a skipped test only in its RUN line.
        name = name or self.running or f"test {number}"
        self.running = None
        if directive == "SKIP":
            status, reason = SKIP, rest or self.skip_reason or "no reason given"
        elif failed:
            status, reason = FAIL, f"# {directive} {rest}".strip() if directive else self.message or self.last_line
        else:
            status, reason = PASS, ""
        messages, self.messages = self.messages, []
        self.cases.append(Case(self.name, name, status, reason, line_number, messages if status == FAIL else []))

    def finish(self, failed, directive, rest, line_number):
        """The runner's verdict on the program.  Completes the list of cases."""
        def case(status, reason, name=None):
            self.cases.append(Case(self.name, name or self.name.partition(":")[2], status, reason, line_number))

        directive = (directive or "").upper()
        if directive == "SKIP":
            if not self.cases:
                case(SKIP, self.skip_reason or self.last_line or "no reason given")
                return
        ran = len(self.cases)
        if failed:
            verdict = f"{directive.lower()} {rest}".strip() if directive != "EXIT" else f"exit status {rest.lstrip('=')}"
            if not any(c.status == FAIL for c in self.cases):
                case(FAIL, f"{verdict}; last output: {self.message or self.last_line or 'none'}")
        elif not self.cases:
            if self.planned == 0:
                case(SKIP, self.skip_reason or "its plan has no tests")
            else:
                case(FAIL, "exited successfully without a result")
        if self.planned is not None and ran < self.planned:
            case(FAIL, f"planned {self.planned} tests, reported {ran}", "plan")


class Reader:
    """Takes userspace's lines of the log."""

    def __init__(self, started, finished):
        self._started = started
        self._finished = finished
        self.current = None

    def line(self, text, line_number):
        found = _START.match(text)
        if found:
            self.current = Program(f"{found.group(1)}:{found.group(2)}", line_number)
            self._started(self.current)
            return
        if text.startswith("#"):
            if self.current:
                self.current.inner(text[2:] if text.startswith("# ") else text[1:], line_number)
            return
        found = re.match(r"^(not )?ok\b", text) and _RESULT.match(text)
        if not found:
            return
        failed, _, name, directive, rest = found.groups()
        outer = _OUTER_NAME.match(name)
        if outer and self.current and self.current.name == f"{outer.group(1)}:{outer.group(2)}":
            program, self.current = self.current, None
            program.finish(bool(failed), directive, rest or "", line_number)
            self._finished(program)
