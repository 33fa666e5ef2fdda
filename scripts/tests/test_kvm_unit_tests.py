# SPDX-License-Identifier: GPL-2.0
"""scripts/kvm-unit-tests."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "kvm-unit-tests"


def load():
    loader = importlib.machinery.SourceFileLoader("kvm_unit_tests", str(SCRIPT))
    spec = importlib.util.spec_from_loader("kvm_unit_tests", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kvm_unit_tests"] = module
    loader.exec_module(module)
    return module


OUTPUT = """\
enabling apic
filter = x, test = one
Test suite: one
PASS: a
PASS: b
FAIL: took 17 cycles
Test suite: two
SKIP: no such control
SUMMARY: 4 tests, 1 unexpected failures, 1 skipped
"""


class KvmUnitTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.script = load()

    def declared(self, text):
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write(text)
            file.flush()
            return self.script.Declared.read(pathlib.Path(file.name))

    def test_suites_and_their_lines(self):
        suites, counted = self.script.parse(OUTPUT)
        self.assertEqual(counted, 4)
        self.assertEqual((suites["one"].passed, suites["one"].failures), (2, ["took 17 cycles"]))
        self.assertEqual(suites["two"].skipped, ["no such control"])

    def test_output_that_ends_early(self):
        self.assertEqual(self.script.parse(OUTPUT.partition("SUMMARY")[0])[1], 0)

    def test_failure_that_is_declared(self):
        suites, _ = self.script.parse(OUTPUT)
        declared = self.declared("# comment\nfails | one | took * cycles | slow\nleft out | three | never ends\n")
        self.assertEqual(self.script.judge("one", suites["one"], declared), [])
        self.assertEqual(declared.left_out, {"three": "never ends"})

    def test_failure_that_is_not_declared(self):
        suites, _ = self.script.parse(OUTPUT)
        self.assertEqual(self.script.judge("one", suites["one"], self.declared("fails | two | took * | slow\n")), ["took 17 cycles"])

    def test_declared_failure_that_does_not_occur(self):
        suites, _ = self.script.parse(OUTPUT)
        wrong = self.script.judge("two", suites["two"], self.declared("fails | two | took * | slow\nskips | two | absent\n"))
        self.assertEqual(wrong, ["declared, and does not fail: took *"])

    def test_older_suite_that_is_not_supported(self):
        suites, _ = self.script.parse("filter = x, test = old\n\tThe timer is not supported\nSUMMARY: 1 tests\n")
        self.assertEqual(self.script.judge("old", suites["old"], self.declared("")), ["it checks nothing: The timer is not supported"])

    def test_suite_that_checks_nothing(self):
        suites, _ = self.script.parse(OUTPUT)
        self.assertEqual(self.script.judge("two", suites["two"], self.declared("")), ["it checks nothing: no such control"])
        self.assertEqual(self.script.judge("two", suites["two"], self.declared("skips | two | absent\n")), [])

    def test_declared_skip_that_does_not_occur(self):
        suites, _ = self.script.parse(OUTPUT)
        wrong = self.script.judge("one", suites["one"], self.declared("fails | one | took * | slow\nskips | one | absent\n"))
        self.assertEqual(wrong, ["declared to be skipped, and is not"])

    def test_line_that_cannot_be_read(self):
        with self.assertRaises(SystemExit):
            self.declared("fails | one\n")


if __name__ == "__main__":
    unittest.main()
