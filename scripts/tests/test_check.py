# SPDX-License-Identifier: GPL-2.0
"""What `make check` runs, and the check of a kernel's configuration."""

import importlib.machinery
import importlib.util
import pathlib
import subprocess
import tempfile
import unittest

from vm.paths import SCRIPTS

_loader = importlib.machinery.SourceFileLoader("check", str(SCRIPTS / "check"))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", _loader))
_loader.exec_module(check)


class Plan(unittest.TestCase):
    def test_both_kernels_with_one_and_two_cpus(self):
        self.assertEqual(sorted(check.plan(["debian", "6.12"], "auto", [1, 2], None)),
                         [("6.12", "auto", 1), ("6.12", "auto", 2), ("debian", "auto", 1), ("debian", "auto", 2)])

    def test_bochs_comes_on_top_and_first(self):
        machines = check.plan(["debian"], "auto", [1, 2], "/b")
        self.assertEqual([kind for _, kind, _ in machines], ["bochs", "bochs", "auto", "auto"])

    def test_bochs_alone(self):
        self.assertEqual(check.plan(["debian"], "bochs", [1], "/b"), [("debian", "bochs", 1)])

    def test_bochs_without_a_path_says_so(self):
        done = subprocess.run([SCRIPTS / "check", "--machine", "bochs"], env={"PATH": "/usr/bin:/bin"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((done.returncode, "say BOCHS=" in done.stdout), (1, True), done.stdout)


class ConfigTook(unittest.TestCase):
    def missing(self, config, fragment):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder) / name for name in ("config", "fragment")]
            for path, text in zip(paths, (config, fragment)):
                path.write_text(text)
            done = subprocess.run([SCRIPTS / "config-took", *paths], stderr=subprocess.PIPE, text=True)
        self.assertEqual(bool(done.returncode), bool(done.stderr))
        return done.stderr

    def test_all_took(self):
        self.assertEqual(self.missing("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n",
                                      "# a comment\n\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n# CONFIG_D is not set\n"), "")

    def test_each_that_did_not_is_named(self):
        said = self.missing("CONFIG_B=y\nCONFIG_C=y\nCONFIG_AA=y\n", "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n")
        for text in ("CONFIG_A=y was asked for, and it is n", "CONFIG_B=m was asked for, and it is y",
                     "CONFIG_C=n was asked for, and it is y"):
            self.assertIn(text, said)


if __name__ == "__main__":
    unittest.main()
