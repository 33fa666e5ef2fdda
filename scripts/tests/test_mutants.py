# SPDX-License-Identifier: GPL-2.0
"""The list of mutants, and the verdicts on mutants that have no effect, do not fit or do not build."""

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

    def test_parses_all_keys(self):
        one, two = mutant.parse(LIST)
        self.assertEqual((one.name, one.breaks, one.host, len(one.changes)), ("one", "1. a rule", "first_test second_test:Some.*", 2))
        self.assertEqual((two.guest, *two.machine), ("some_test", "6.12", "2", "on"))

    def test_white_space_may_differ(self):
        one, _ = mutant.parse(LIST)
        tree = self.tree(a="f() {\n\tif (x)\n\t\treturn 1;\n}\n", b="keep; gone;\n")
        self.assertEqual(one.changed(tree), {tree / "a.h": "f() {\n\treturn 2;\n}\n", tree / "b.h": "keep; \n"})

    def test_old_text_must_occur_once(self):
        one, two = mutant.parse(LIST)
        for text, times in (("nothing", 0), ("y y", 2)):
            with self.assertRaisesRegex(mutant.ListError, f"the old text occurs {times} times"):
                two.changed(self.tree(a=text))
        with self.assertRaisesRegex(mutant.ListError, "b.h does not exist"):
            one.changed(self.tree(a="if (x) return 1;"))

    def test_invalid_list_is_rejected(self):
        self.refuses("[m]\nbreaks: r\nhost: t\n", "changes nothing")
        self.refuses("[m]\nhost: t\nfile: a\n- x\n", "has no 'breaks:' line")
        self.refuses("[m]\nbreaks: r\nfile: a\n- x\n", "must have exactly one of")
        self.refuses("[m]\nbreaks: r\nhost: t\nguest: u\nfile: a\n- x\n", "must have exactly one of")
        self.refuses("[m]\nbreaks: r\nhost: t\n- x\n", "'file:' must come before")
        self.refuses("[m]\nbreaks: r\nhost: t\nfile: a\n+ x\n", r"'\+' must come after '-'")
        self.refuses("[m]\nbreak: r\n", "unknown line")
        self.refuses("breaks: r\n", "belongs to no mutant")

    def test_real_list_fits_the_tree(self):
        mutants = mutant.read(TOP / "selftests/mutants")
        for one in mutants:
            one.changed(TOP)
        self.assertGreaterEqual(sum(bool(one.host or one.rejected) for one in mutants), 40)
        self.assertGreaterEqual(sum(bool(one.guest) for one in mutants), 20)

    def test_named_tests_exist(self):
        for one in mutant.read(TOP / "selftests/mutants"):
            for test in one.host.split():
                self.assertTrue((TOP / "selftests/unit" / f"{test.partition(':')[0]}.cc").exists(), f"{one.name}: {test}")
            for test in one.guest.split():
                self.assertTrue(any(list((TOP / "selftests").glob(f"**/{test}{end}")) for end in (".c", ".sh", "")),
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
        self.kept, self.record = verdicts.Verdicts(self.path), verdicts.Record(self.tree / "caught")
        for name, digest in self.digests().items():
            self.kept.caught(name, digest)
        self.record.write(self.digests())

    def digests(self):
        return {one.name: verdicts.key(one, self.tree) for one in self.mutants}

    def known(self):
        known = [verdicts.Verdicts(self.path).has(name, digest) for name, digest in self.digests().items()]
        # The record agrees, as long as this machine has not seen otherwise.
        self.assertEqual([self.record.has(name, digest) for name, digest in self.digests().items()], known)
        return known

    def test_verdict_is_valid_without_changes(self):
        (self.tree / "other").write_text("changed")
        self.assertEqual(self.known(), [True, True])

    def test_comments_and_white_space_are_ignored(self):
        (self.tree / "b.h").write_text("// new\ngone;  /* a\n comment */\n")
        self.assertEqual(self.known(), [True, True])

    def test_change_of_source_test_or_mutant_invalidates_the_verdict(self):
        (self.tree / "b.h").write_text("gone; too")
        self.assertEqual(self.known(), [False, True])
        (self.tree / "selftests/some_test.c").write_text("another")
        self.assertEqual(self.known(), [False, False])
        self.setUp()
        self.mutants[1].cpus = "1"
        self.assertEqual(self.known(), [True, False])

    def test_missed_mutant_is_not_caught(self):
        digests = self.digests()
        self.kept.not_caught("one", digests["one"])
        self.assertEqual([(self.kept.has(name, digest), self.kept.missed(name, digest)) for name, digest in digests.items()],
                         [(False, True), (True, False)])
        # Nothing is known of it in a changed tree.
        (self.tree / "b.h").write_text("gone; too")
        self.assertFalse(self.kept.missed("one", self.digests()["one"]))

    def test_record_has_a_line_for_each_mutant(self):
        self.record.write({"long_name": "a" * 64, "b": "c" * 64})
        self.assertEqual((self.tree / "caught").read_text(), f"b          {'c' * 16}\nlong_name  {'a' * 16}\n")

    def test_machine_without_record_knows_nothing(self):
        (self.tree / "caught").unlink()
        self.assertEqual([self.record.has(name, digest) for name, digest in self.digests().items()], [False, False])


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

    def test_mutant_without_effect_survives(self):
        verdict = self.verdict("T value_or(T other) const { return ok()")
        self.assertEqual((verdict.what, verdict.by), (mutant.Verdict.SURVIVED, ""))

    def test_caught_mutant_names_the_test(self):
        verdict = self.verdict("T value_or(T other) const { return !ok()")
        self.assertEqual(verdict.what, mutant.Verdict.CAUGHT)
        self.assertRegex(verdict.by, r"^Result\.\w+$")

    def test_mutant_that_does_not_build_is_an_error(self):
        verdict = self.verdict("T value_or(T other) const { return no_such_thing()")
        self.assertEqual(verdict.what, mutant.Verdict.ERROR)
        self.assertIn("does not build", verdict.by)

    def test_mutant_that_hangs_is_caught(self):
        limit, host.LIMIT = host.LIMIT, 3
        try:
            verdict = self.verdict("T value_or(T other) const { for (volatile int i = 0;;) i = i; return ok()")
        finally:
            host.LIMIT = limit
        self.assertEqual(verdict.what, mutant.Verdict.CAUGHT)
        self.assertIn("timed out after", verdict.by)

    def test_tree_is_restored_after_each_mutant(self):
        self.test_caught_mutant_names_the_test()
        self.test_mutant_without_effect_survives()

    def test_filter_without_a_test_is_an_error(self):
        with self.assertRaisesRegex(mutant.ListError, "runs no test"):
            self.verdict("T value_or(T other) const { return ok()", "result_test:NoSuch.*")

    def test_test_that_fails_without_the_mutant_is_an_error(self):
        with self.assertRaisesRegex(workshop.Unfit, "does not build in the unchanged tree"):
            self.verdict("T value_or(T other) const { return ok()", "no_such_test")


if __name__ == "__main__":
    unittest.main()
