# SPDX-License-Identifier: GPL-2.0
"""Mutants that the tests of selftests/unit should catch, on this machine."""

import os
import re
import shutil
import subprocess

from mutation.mutant import ListError, Verdict
from mutation.workshop import Unfit, Workshop, first_error
from vm.paths import TOP

# The parts of the tree for a build of the tests.
PARTS = ("include", "src", "selftests/unit")
# Quick to compile; a mutant may leave something unused.
LEAN = ("UNIT_SANITIZE=", "UNIT_WARNINGS=-w", "UNIT_CXXFLAGS=-O0 -fno-pie", "UNIT_FIRST=-include {tree}/precompiled/gtest.h", "LDFLAGS=-no-pie")
# Tests end within seconds.
LIMIT = 60

_FAILED = re.compile(r"^\[  FAILED  \] (\S+?)(?:, where .*)?(?: \(\d+ ms\))?$", re.MULTILINE)


class HostWorkshop(Workshop):
    def __init__(self, folder, source=TOP):
        super().__init__(folder)
        self._build = self.tree / "build"
        self._unchanged = self.tree / "unchanged"
        self._fit = set()
        shutil.rmtree(self.tree, ignore_errors=True)
        for part in PARTS:
            shutil.copytree(source / part, self.tree / part, ignore=shutil.ignore_patterns("*.o", "*.cmd", "__pycache__"))
        pch = self.tree / "precompiled"
        pch.mkdir(parents=True)
        # Precompiled only to make the rest faster.
        (pch / "gtest.h").write_text("#include <gtest/gtest.h>\n")
        subprocess.run(["g++", "-std=gnu++20", "-O0", "-fno-pie", "-w", "-x", "c++-header", "gtest.h"], cwd=pch, check=False,
                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._build.mkdir()
        self._unchanged.mkdir()

    def prepare_for(self, mutant):
        for test in mutant.host.split():
            self._make_sure(test)

    def put_back(self, times):
        for path, was in times.items():
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        shutil.rmtree(self._build)
        shutil.copytree(self._unchanged, self._build, symlinks=True)

    def verdict(self, mutant):
        if mutant.rejected:
            return self._rejection(mutant.rejected)
        for test in mutant.host.split():
            problem = self._make(test)
            if problem:
                return Verdict(Verdict.ERROR, "does not build: " + problem)
            by = self._run(test)
            if by:
                return Verdict(Verdict.CAUGHT, by)
        return Verdict(Verdict.SURVIVED)

    def _rejection(self, pattern):
        """The compiler is the test: it compiles the mutant's cache and module."""
        done = self._command(["make", "-C", str(self.tree / "selftests/unit"), *self._variables(),
                              str(self._build / "unit/machine/module.o"), str(self._build / "unit/cache_test.o")])
        if not done.returncode:
            return Verdict(Verdict.SURVIVED)
        error = next((line for line in done.stdout.splitlines() if re.search("error: .*(" + pattern + ")", line)), "")
        if not error:
            return Verdict(Verdict.ERROR, "is rejected with a different error: " + first_error(done.stdout))
        return Verdict(Verdict.CAUGHT, "the compiler: " + error.partition("error: ")[2])

    def _make_sure(self, test):
        """Checks that the unchanged tree passes the test, and keeps its build."""
        if test in self._fit:
            return
        problem = self._make(test)
        if problem:
            raise Unfit(f"{test} does not build in the unchanged tree: {problem}")
        by = self._run(test)
        if by:
            raise Unfit(f"the unchanged tree fails {by} in {test}")
        self._fit.add(test)
        shutil.rmtree(self._unchanged)
        shutil.copytree(self._build, self._unchanged, symlinks=True)

    def _variables(self):
        return ["UNIT_BUILD=" + str(self._build / "unit"), *(text.format(tree=self.tree) for text in LEAN)]

    def _make(self, test):
        """None, or the first error."""
        program = test.partition(":")[0]
        done = self._command(["make", "-C", str(self.tree / "selftests/unit"), *self._variables(),
                              str(self._build / "unit/alone" / program)])
        return first_error(done.stdout) if done.returncode else None

    def _run(self, test):
        """None, or the test that failed."""
        program, _, wanted = test.partition(":")
        command = [str(self._build / "unit/alone" / program), "--gtest_fail_fast", "--gtest_brief=1"]
        if wanted:
            command.append("--gtest_filter=" + wanted)
        try:
            done = self._command(command, LIMIT)
        except subprocess.TimeoutExpired as hang:
            begun = re.findall(r"^\[ RUN      \] (\S+)", (hang.stdout or b"").decode(errors="replace"), re.MULTILINE)
            return f"{begun[-1] if begun else program} (timed out after {LIMIT} s)"
        failed = _FAILED.findall(done.stdout)
        if failed:
            return failed[0]
        if done.returncode:
            return f"{program} (exit status {done.returncode})"
        if not re.search(r"^\[==========\] [1-9]\d* tests? ", done.stdout, re.MULTILINE):
            raise ListError(f"{test} runs no test")
        return None

    def _command(self, command, limit=600):
        environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        return subprocess.run(command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=limit, check=False)
