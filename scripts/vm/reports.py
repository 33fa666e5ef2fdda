# SPDX-License-Identifier: GPL-2.0
"""Finds the kernel's error reports (WARN, BUG, oops, lockdep, panic, stalls, sanitizers) in its log."""

import re

# A line that starts a report.  A message of mitigations at boot ("Spectre V2 : WARNING: ...") does not.
_START = re.compile(
    "|".join(
        (
            r"WARNING: CPU: ",
            r"WARNING: \S+\.[ch]:\d+",
            r"WARNING: (possible|inconsistent|suspicious|lock held|held lock|bad unlock|Nested lock)",
            r"possible (circular|recursive) locking",
            r"irq lock inversion|-safe -> \S+-unsafe lock order|bad contention|still has locks held",
            r"inconsistent lock state",
            r"suspicious RCU usage",
            r"INFO: (lockdep|trying to register non-static key)",
            r"INFO: task .* blocked for more than",
            r"INFO: rcu.* (stall|detected)",
            r"turning off the locking correctness validator",
            r"DEBUG_LOCKS_WARN_ON",
            r"\bBUG: ",
            r"kernel BUG at",
            r"\bOops\b",
            r"\[#\d+\]",
            r"general protection fault[,:]",
            r"[Dd]ouble [Ff]ault|DOUBLE FAULT",
            r"unable to handle",
            r"Kernel panic",
            r"(KASAN|KMSAN|KCSAN|KFENCE): ",
            r"UBSAN: ",
            r"Call Trace:",
            r"unchecked MSR access error",
            r"stack guard page|stack-protector:|Kernel stack is corrupted",
            r"refcount_t: ",
            r"list_(add|del).* corruption",
            r"irq \d+: nobody cared",
            r"kmemleak: \d+ new suspicious",
            r"NMI watchdog: Watchdog detected",
            r"soft lockup|hard LOCKUP",
        )
    )
)
_CUT_HERE = "[ cut here ]"
_END = re.compile(r"---\[ end (trace|Kernel panic)")
# lockdep draws a line above its reports.
_RULE = re.compile(r"^={20,}$")
# A report without an end mark is considered complete after so many lines.
_LONGEST = 250


class Report:
    def __init__(self, line_number, text):
        self.line_number = line_number
        self.title = None
        self.lines = []
        self.add(text, line_number)

    def add(self, text, line_number):
        self.lines.append(text)
        if self.title is None and _START.search(text):
            self.title = text
            self.line_number = line_number

    @property
    def text(self):
        return "\n".join(self.lines)


class Finder:
    """Takes the kernel's lines; passes each complete report to `found`."""

    def __init__(self, found):
        self._found = found
        self._open = None

    def line(self, text, line_number):
        if _CUT_HERE in text or _RULE.match(text):
            # The first rule opens a lockdep report, the second one is inside it.
            if self._open is None or self._open.title or _CUT_HERE in text:
                self.close()
                self._open = Report(line_number, text)
                return
        if self._open is None:
            if not _START.search(text):
                return
            self._open = Report(line_number, text)
        else:
            self._open.add(text, line_number)
        if _END.search(text) or len(self._open.lines) >= _LONGEST:
            self.close()

    def close(self):
        report, self._open = self._open, None
        if report and report.title:
            self._found(report)
