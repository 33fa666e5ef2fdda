# SPDX-License-Identifier: GPL-2.0
"""The list of mutants, and the outcome of one that changes nothing, that does not fit and that does not build."""

import pathlib
import tempfile
import unittest

from mutation import host, mutant, verdicts, workshop
from vm.paths import TOP

LIST = """
# a comment
[one]
breaks: 1. a rule
host: first_test second_test:Some.*
file: a.h
- if (x) return  1;
+ return 2;
file: b.h
- gone;

[two]
breaks: another
guest: some_test
kernel: 6.12
cpus: 2
verify: on
file: a.h
- y
"""


class Form(unittest.TestCase):
    def tree(self, **files):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in files.items():
            (pathlib.Path(folder.name) / f"{name}.h").write_text(text)
        return pathlib.Path(folder.name)

    def refuses(self, text, reason):
        with self.assertRaisesRegex(mutant.ListError, reason):
            mutant.parse(text)

    def test_reads_what_it_says(self):
        one, two = mutant.parse(LIST)
        self.assertEqual((one.name, one.breaks, one.host, len(one.changes)), ("one", "1. a rule", "first_test second_test:Some.*", 2))
        self.assertEqual((two.guest, *two.machine), ("some_test", "6.12", "2", "on"))

    def test_white_space_of_the_sources_may_differ(self):
        one, _ = mutant.parse(LIST)
        tree = self.tree(a="f() {\n\tif (x)\n\t\treturn 1;\n}\n", b="keep; gone;\n")
        self.assertEqual(one.changed(tree), {tree / "a.h": "f() {\n\treturn 2;\n}\n", tree / "b.h": "keep; \n"})

    def test_old_text_must_be_there_once(self):
        one, two = mutant.parse(LIST)
        for text, times in (("nothing", 0), ("y y", 2)):
            with self.assertRaisesRegex(mutant.ListError, f"the old text {times} times"):
                two.changed(self.tree(a=text))
        with self.assertRaisesRegex(mutant.ListError, "there is no b.h"):
            one.changed(self.tree(a="if (x) return 1;"))

    def test_what_is_no_list_is_refused(self):
        self.refuses("[m]\nbreaks: r\nhost: t\n", "changes nothing")
        self.refuses("[m]\nhost: t\nfile: a\n- x\n", "does not say what it breaks")
        self.refuses("[m]\nbreaks: r\nfile: a\n- x\n", "says not one way to catch it")
        self.refuses("[m]\nbreaks: r\nhost: t\nguest: u\nfile: a\n- x\n", "says not one way to catch it")
        self.refuses("[m]\nbreaks: r\nhost: t\n- x\n", "no file")
        self.refuses("[m]\nbreaks: r\nhost: t\nfile: a\n+ x\n", "without an old one")
        self.refuses("[m]\nbreak: r\n", "not understood")
        self.refuses("breaks: r\n", "belongs to no mutant")

    def test_the_real_list_fits_the_tree(self):
        mutants = mutant.read(TOP / "selftests/mutants")
        for one in mutants:
            one.changed(TOP)
        self.assertGreaterEqual(sum(bool(one.host or one.rejected) for one in mutants), 40)
        self.assertGreaterEqual(sum(bool(one.guest) for one in mutants), 20)

    def test_each_names_tests_that_are_there(self):
        for one in mutant.read(TOP / "selftests/mutants"):
            for test in one.host.split():
                self.assertTrue((TOP / "selftests/unit" / f"{test.partition(':')[0]}.cc").exists(), f"{one.name}: {test}")
            for test in one.guest.split():
                self.assertTrue(any((TOP / "selftests" / f"{test}{end}").exists() for end in (".c", ".sh", "")),
                                f"{one.name}: {test}")


class Kept(unittest.TestCase):
    """Verdicts that are kept between runs."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = pathlib.Path(folder.name)
        (self.tree / "selftests/unit").mkdir(parents=True)
        for name, text in (("a.h", "if (x) return 1;"), ("b.h", "gone;"), ("selftests/some_test.c", "t"),
                           ("selftests/unit/first_test.cc", "t"), ("selftests/unit/second_test.cc", "t"), ("other", "o")):
            (self.tree / name).write_text(text)
        self.path = self.tree / "kept/mutants.json"
        self.mutants = mutant.parse(LIST)
        kept = verdicts.Verdicts(self.path)
        for one in self.mutants:
            kept.add(one, verdicts.key(one, self.tree))

    def known(self):
        kept = verdicts.Verdicts(self.path)
        return [kept.has(one, self.tree) for one in self.mutants]

    def test_counts_while_nothing_of_it_changes(self):
        (self.tree / "other").write_text("changed")
        self.assertEqual(self.known(), [True, True])

    def test_comments_and_white_space_do_not_count(self):
        (self.tree / "b.h").write_text("// new\ngone;  /* a\n comment */\n")
        self.assertEqual(self.known(), [True, True])

    def test_a_changed_source_a_changed_test_and_a_changed_mutant_are_tried_again(self):
        (self.tree / "b.h").write_text("gone; too")
        self.assertEqual(self.known(), [False, True])
        (self.tree / "selftests/some_test.c").write_text("another")
        self.assertEqual(self.known(), [False, False])
        self.setUp()
        self.mutants[1].cpus = "1"
        self.assertEqual(self.known(), [True, False])

    def test_one_that_survives_is_forgotten(self):
        kept = verdicts.Verdicts(self.path)
        kept.drop(self.mutants[0])
        self.assertEqual(self.known(), [False, True])


class Verdicts(unittest.TestCase):
    """In a real copy of the tree, with a test that builds in a second."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.workshop = host.HostWorkshop(pathlib.Path(folder.name) / "host")

    def verdict(self, new, test="result_test"):
        text = f"[m]\nbreaks: r\nhost: {test}\nfile: include/vregcache/result.h\n- T value_or(T other) const {{ return ok()\n+ {new}\n"
        return self.workshop.try_out(mutant.parse(text)[0])

    def test_one_that_changes_nothing_survives(self):
        verdict = self.verdict("T value_or(T other) const { return ok()")
        self.assertEqual((verdict.what, verdict.by), (mutant.Verdict.SURVIVED, ""))

    def test_one_that_is_caught_names_the_test(self):
        verdict = self.verdict("T value_or(T other) const { return !ok()")
        self.assertEqual(verdict.what, mutant.Verdict.CAUGHT)
        self.assertRegex(verdict.by, r"^Result\.\w+$")

    def test_one_that_does_not_build_is_an_error(self):
        verdict = self.verdict("T value_or(T other) const { return no_such_thing()")
        self.assertEqual(verdict.what, mutant.Verdict.ERROR)
        self.assertIn("does not build", verdict.by)

    def test_one_that_hangs_is_caught(self):
        limit, host.LIMIT = host.LIMIT, 3
        try:
            verdict = self.verdict("T value_or(T other) const { for (volatile int i = 0;;) i = i; return ok()")
        finally:
            host.LIMIT = limit
        self.assertEqual(verdict.what, mutant.Verdict.CAUGHT)
        self.assertIn("does not end within", verdict.by)

    def test_one_after_the_other_finds_the_unchanged_tree(self):
        self.test_one_that_is_caught_names_the_test()
        self.test_one_that_changes_nothing_survives()

    def test_a_filter_that_runs_nothing_is_an_error(self):
        with self.assertRaisesRegex(mutant.ListError, "runs no test"):
            self.verdict("T value_or(T other) const { return ok()", "result_test:NoSuch.*")

    def test_a_test_that_fails_without_it_is_an_error(self):
        with self.assertRaisesRegex(workshop.Unfit, "does not build of the unchanged tree"):
            self.verdict("T value_or(T other) const { return ok()", "no_such_test")


if __name__ == "__main__":
    unittest.main()
