# SPDX-License-Identifier: GPL-2.0
"""`make check`: its plan, its output and its times; and the check of a kernel's configuration."""

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
    def test_each_kernel_once_and_each_setting(self):
        machines = check.plan(["debian", "6.12", "7.3"], "auto", [1, 2], "/b", False)
        self.assertEqual([one.kernel for one in machines], ["7.3", "6.12", "debian"])
        for setting in ("cpus", "beside", "verify"):
            self.assertEqual(len({getattr(one, setting) for one in machines}), 2, setting)
        self.assertEqual({one.kind for one in machines}, {"auto"})

    def test_one_kernel_with_verification(self):
        self.assertEqual(check.plan(["6.12"], "auto", [1, 2], None, False), [check.Run("6.12", "auto", 2, False, True)])
        self.assertEqual(check.plan(["7.3"], "auto", [1], None, False), [check.Run("7.3", "auto", 1, True, True)])

    def test_all_settings_of_all_kernels(self):
        self.assertEqual(sorted(check.plan(["debian", "7.3"], "auto", [1, 2], None, True)),
                         sorted(check.Run(kernel, "auto", count, beside, verify)
                                for kernel, beside in (("7.3", True), ("debian", False), ("debian", True))
                                for count, verify in ((1, False), (2, False), (2, True))))

    def test_bochs_runs_first(self):
        machines = check.plan(["7.3"], "auto", [1, 2], "/b", True)
        self.assertEqual([one.kind for one in machines], 3 * ["bochs"] + 3 * ["auto"])

    def test_bochs_alone(self):
        self.assertEqual([(one.kind, one.verify) for one in check.plan(["7.3"], "bochs", [1], "/b", True)],
                         [("bochs", True), ("bochs", False)])

    def test_kernels_that_let_only_kvm_own_vmx(self):
        for kernel, only_kvm in (("debian", False), ("6.12", False), ("6.18", False), ("6.19", True), ("7.3", True), ("/a/7.3", False)):
            self.assertEqual(check.only_kvm_may_own_vmx(kernel), only_kvm, kernel)

    def test_bochs_without_a_path_is_an_error(self):
        done = subprocess.run([SCRIPTS / "check", "--machine", "bochs"], env={"PATH": "/usr/bin:/bin"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual((done.returncode, "set BOCHS=" in done.stdout), (1, True), done.stdout)


class Times(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "new/times.json"

    def test_no_duration_is_known_on_the_first_run(self):
        self.assertIsNone(check.Times(self.path).expected("a level"))

    def test_median_of_the_last_three_runs(self):
        times = check.Times(self.path)
        for seconds in (900, 10, 30, 20):
            times.took("a level", seconds)
        times.save()
        times = check.Times(self.path)
        self.assertEqual((times.expected("a level"), times.last("a level"), times.count("a level")), (20, 20, 3))

    def test_invalid_file_is_ignored(self):
        self.path.parent.mkdir()
        self.path.write_text("{")
        self.assertIsNone(check.Times(self.path).expected("a level"))


class FailedTests(unittest.TestCase):
    """The lines below the table, for a reader who sees only the last lines."""

    def shown(self, *failures, failed=None, **more):
        level = check.Level("a level", 6)
        level.remark = "ended abnormally"
        level.failures = list(failures)
        level.failed = len(failures) if failed is None else failed
        return check.failed_tests([check.Level("a good one", 1), level], **more)

    def test_no_lines_without_a_failure(self):
        self.assertEqual(self.shown(), [])

    def test_level_program_test_and_output(self):
        self.assertEqual(self.shown(("vregcache:a_test fixture.one", ["a_test.c:5:one:Expected 1 (1) == n (2)", "", "a_test.c:6:one:n"])),
                         ["  a level: vregcache:a_test fixture.one", "      a_test.c:5:one:Expected 1 (1) == n (2)",
                          "      a_test.c:6:one:n"])

    def test_failure_without_a_name_is_counted(self):
        self.assertEqual(self.shown(failed=2), ["  a level: 2 more", "      ended abnormally"])

    def test_names_take_precedence_over_details(self):
        shown = self.shown(*[(f"test {number}", ["1", "2", "3"]) for number in range(10)], limit=12)
        self.assertEqual(len(shown), 12)
        self.assertEqual([line for line in shown if "test " in line], [f"  a level: test {number}" for number in range(10)])

    def test_limit_of_lines(self):
        shown = self.shown(*[(f"test {number}", ["words"]) for number in range(30)], limit=12)
        self.assertEqual((len(shown), shown[0], shown[-1]), (12, "  a level: test 0", "  and 19 more"))

    def test_long_line_is_cut(self):
        self.assertLessEqual(max(map(len, self.shown(("x" * 500, ["y" * 500])))), 160)

    def test_build_errors_take_precedence_over_last_lines(self):
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            log.write_text("g++ a.cc\na.cc:1:2: error: no\nmake: Leaving directory\nbye\n")
            self.assertEqual(check.errors_of(log), ["a.cc:1:2: error: no"])
            log.write_text("one\ntwo\nthree\n\n")
            self.assertEqual(check.errors_of(log), ["two", "three"])


class ConfigTook(unittest.TestCase):
    def missing(self, config, fragment):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder) / name for name in ("config", "fragment")]
            for path, text in zip(paths, (config, fragment)):
                path.write_text(text)
            done = subprocess.run([SCRIPTS / "config-took", *paths], stderr=subprocess.PIPE, text=True)
        self.assertEqual(bool(done.returncode), bool(done.stderr))
        return done.stderr

    def test_all_options_are_set(self):
        self.assertEqual(self.missing("CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n",
                                      "# a comment\n\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n# CONFIG_D is not set\n"), "")

    def test_differing_options_are_named(self):
        output = self.missing("CONFIG_B=y\nCONFIG_C=y\nCONFIG_AA=y\n", "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n")
        for text in ("CONFIG_A=y was requested, but the kernel has CONFIG_A=n", "CONFIG_B=m was requested, but the kernel has CONFIG_B=y",
                     "CONFIG_C=n was requested, but the kernel has CONFIG_C=y"):
            self.assertIn(text, output)


if __name__ == "__main__":
    unittest.main()
