# SPDX-License-Identifier: GPL-2.0
"""Mutants of the VMX ROM that scripts/rom-test should catch."""

import os
import shutil
import subprocess

from mutation.mutant import ListError, Verdict
from mutation.workshop import Unfit, Workshop, first_error, first_failure
from vm.paths import TOP

PARTS = ("scripts", "selftests/vmx_on_svm")
# A mutant may leave the machine without an end; rom-test itself gives up after a minute.
LIMIT = 600


class RomWorkshop(Workshop):
    def __init__(self, folder, source=TOP):
        super().__init__(folder)
        self._fit = set()
        shutil.rmtree(self.tree, ignore_errors=True)
        for part in PARTS:
            shutil.copytree(source / part, self.tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))

    def prepare_for(self, mutant):
        if mutant.rom in self._fit:
            return
        if by := self._run(mutant.rom):
            raise Unfit(f"the unchanged tree fails: {by}")
        self._fit.add(mutant.rom)

    def put_back(self, times):
        """The files are now newer than the mutant's build."""

    def verdict(self, mutant):
        by = self._run(mutant.rom)
        return Verdict(Verdict.CAUGHT if by else Verdict.SURVIVED, by or "")

    def _run(self, machine):
        """None, or the test that failed."""
        results = self.tree / "build/rom-test.json"
        results.unlink(missing_ok=True)
        done = subprocess.run(["scripts/rom-test", "--json", str(results), machine], cwd=self.tree, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"WERROR": ""}, text=True,
                              errors="replace", timeout=LIMIT, check=False)
        if not results.exists():
            raise ListError("does not build: " + first_error(done.stdout))
        return first_failure(results)
