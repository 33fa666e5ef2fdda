# SPDX-License-Identifier: GPL-2.0
"""Mutants that the tests of selftests/ should catch, in a virtual machine."""

import json
import os
import shutil
import subprocess

from mutation.mutant import ListError, Verdict
from mutation.workshop import Unfit, Workshop, first_error, first_failure
from vm.paths import TOP

PARTS = ("Kbuild", "include", "src", "scripts", "selftests")
# A mutant may leave something unused.  The unchanged tree is built the same way, so that only changes are rebuilt.
FLAGS = {"KCFLAGS": "-w", "WERROR": "", "VRC_TEST_HOOKS": "1"}
# For one machine to boot, run the tests and power off; software emulation of two CPUs is slow.
LIMIT = 600


class GuestWorkshop(Workshop):
    def __init__(self, folder, machine="auto", source=TOP):
        super().__init__(folder)
        self._machine = machine
        self._ready = set()
        self._kdirs = {}
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        ignored = shutil.ignore_patterns("*.o", "*.cmd", "*.ko", "__pycache__", "build", "unit")
        for part in PARTS:
            if (source / part).is_dir():
                shutil.copytree(source / part, self.tree / part, symlinks=True, ignore=ignored)
            else:
                shutil.copy2(source / part, self.tree / part)

    def prepare(self, mutants):
        """The unchanged tree passes all tests that these mutants name.  Unfit: it does not."""
        for machine in sorted({mutant.machine for mutant in mutants}):
            tests = {test for mutant in mutants if mutant.machine == machine for test in mutant.guest.split()}
            self._make_ready(machine.kernel)
            by = self._run(sorted(tests), machine)
            if by:
                raise Unfit(f"the unchanged tree fails, on {machine}: {by}")

    def prepare_for(self, mutant):
        self._make_ready(mutant.kernel)

    def put_back(self, times):
        """The files are now newer than the mutant's build."""

    def verdict(self, mutant):
        problem = self._build(mutant.kernel, ["."])
        if problem:
            return Verdict(Verdict.ERROR, "does not build: " + problem)
        by = self._run(mutant.guest.split(), mutant.machine)
        return Verdict(Verdict.CAUGHT if by else Verdict.SURVIVED, by or "")

    def _make_ready(self, kernel):
        """Builds all modules and programs, of the unchanged tree."""
        if kernel in self._ready:
            return
        done = self._command(["scripts/test-kernel", "--kdir", kernel])
        if done.returncode:
            raise Unfit(f"kernel {kernel} is not available: {last_line(done.stdout)}")
        self._kdirs[kernel] = last_line(done.stdout)
        folders = sorted(path.parent for path in self.tree.glob("selftests/*/Kbuild"))
        problem = self._build(kernel, [".", *(str(folder.relative_to(self.tree)) for folder in folders)])
        if problem:
            raise Unfit(f"the unchanged tree does not build for {kernel}: {problem}")
        if not self._ready:
            debian = last_line(self._command(["scripts/test-kernel", "--kdir"]).stdout).rpartition("/linux-headers-")[2]
            done = self._command(["scripts/build-selftests", debian])
            if done.returncode:
                raise Unfit("the guest programs do not build: " + first_error(done.stdout))
        self._ready.add(kernel)

    def _build(self, kernel, folders):
        """None, or the first error."""
        done = self._command(["scripts/build-modules", self._kdirs[kernel], *folders])
        return first_error(done.stdout) if done.returncode else None

    def _run(self, tests, machine):
        """None, or the test that failed."""
        results = self.tree / "build/results.json"
        results.unlink(missing_ok=True)
        done = self._command(["scripts/vm-run", "--kernel", machine.kernel, "--machine", self._machine, "--cpus", machine.cpus,
                              *(["--verify"] if machine.verify == "on" else []), "--output", "quiet",
                              "--timeout", str(LIMIT), "--json", str(results), *tests])
        if not results.exists():
            raise ListError("the virtual machine did not run: " + last_line(done.stdout))
        if by := first_failure(results):
            return by
        counts = json.loads(results.read_text())
        if done.returncode or not counts["passed"]:
            raise ListError("no test ran: " + last_line(done.stdout))
        return None

    def _command(self, command):
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        return subprocess.run(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=environment | FLAGS, text=True, errors="replace", check=False)


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
