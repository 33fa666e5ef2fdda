# SPDX-License-Identifier: GPL-2.0
"""The output of a run for a person: while it runs, and at its end."""

import time

from vm import ktap


class Live:
    def __init__(self, output, is_command):
        self._output = output
        self._is_command = is_command
        self._began = time.monotonic()
        self._program_began = self._began

    def raw(self, line):
        if self._output == "raw":
            print(line.rstrip("\r"), flush=True)

    def event(self, kind, what):
        if self._output == "raw":
            return
        if kind == "output":
            print(what, flush=True)
        elif kind == "problem":
            print(f"  PROBLEM  {what.what}: {what.text}", flush=True)
        elif self._output == "quiet":
            return
        elif kind == "begin":
            print(f"  booted in {time.monotonic() - self._began:.1f} s: {what}", flush=True)
        elif kind == "note":
            print(f"  {what}", flush=True)
        elif kind == "started":
            self._program_began = time.monotonic()
        elif kind == "finished":
            self._program(what)

    def _program(self, program):
        def count(status):
            return sum(case.status == status for case in program.cases)

        passed, failed, skipped = count(ktap.PASS), count(ktap.FAIL), count(ktap.SKIP)
        word = "FAIL" if failed else "ok" if passed else "skip"
        seconds = time.monotonic() - self._program_began
        details = f"{passed} passed" + (f", {failed} failed" if failed else "") + (f", {skipped} skipped" if skipped else "")
        print(f"  {word:<4}  {program.name:<40} {details} ({seconds:.1f} s)", flush=True)


def summary(judge, log, output, is_command, seconds):
    """Every failure with its place in the log, every skip with its reason."""
    skipped = [case for case in judge.cases if case.status == ktap.SKIP]
    failed = [case for case in judge.cases if case.status == ktap.FAIL]
    if skipped:
        print("skipped:")
        for case in skipped:
            print(f"  {case.program} {case.name}: {case.reason}")
    if failed or judge.problems:
        print("failed:")
        for case in failed:
            print(f"  {log}:{case.line_number}: {case.program} {case.name}: {case.reason or 'not ok'}")
        for problem in judge.problems:
            during = f" [{problem.program}]" if problem.program else ""
            times = f" ({problem.times} times)" if problem.times > 1 else ""
            print(f"  {log}:{problem.line_number}: {problem.what}{times}{during}: {problem.text}")
    if output != "quiet":
        passed, failed, skipped = judge.counts()
        counts = f"{passed} passed, {failed} failed, {skipped} skipped"
        if is_command:
            counts = f"{failed} problem{'s' if failed != 1 else ''}" if failed else "finished"
        print(f"vm-run: {counts} in {seconds:.0f} s; log: {log}", flush=True)
