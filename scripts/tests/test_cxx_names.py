# SPDX-License-Identifier: GPL-2.0
"""Names of C++ functions without mangling."""

import pathlib
import re
import subprocess
import tempfile
import unittest

AWK = pathlib.Path(__file__).resolve().parent.parent / "cxx-names.awk"

SOURCE = r"""
#define KEEP [[gnu::noinline, gnu::used]]
namespace vregcache { namespace {
template <class A> struct Cache {
	KEEP int miss(int x) { asm volatile(""); return x; }
	KEEP int operator[](int x) const { asm volatile(""); return x; }
};
struct CamelCaseABIName { KEEP static int run_it(int x) { asm volatile(""); return x; } };
template <class A, int n> KEEP A template_function(A x) { asm volatile(""); return x + n; }
} }
namespace {
KEEP int overload(int x) { asm volatile(""); return x; }
KEEP int overload(long x) { asm volatile(""); return x; }
KEEP int taken(int x) { asm volatile(""); return x; }
KEEP int with_lambda(int x) { auto inner = [](int y) __attribute__((noinline)) { asm volatile(""); return y; }; return inner(x); }
struct Scope { KEEP Scope() { asm volatile(""); } KEEP ~Scope() { asm volatile(""); } };
KEEP void rare() { asm volatile(""); }
[[gnu::cold, gnu::noinline]] void never(int x) { asm volatile("" : : "r"(x)); }
KEEP int has_a_cold_part(int x) { if (x == 3) { never(1); never(x); never(4); } rare(); return x; }
KEEP int specialised(int x, int y) { asm volatile(""); return x * y; }
extern "C" int vrc_taken(int x) { return taken(x); }
int kTable[] = {1, 2, 3};
}
extern "C" int vrc_all(int x, int y)
{
	vregcache::Cache<long> cache;
	Scope scope;
	asm volatile("" : : "r"(kTable));
	return cache.miss(x) + cache[x] + vregcache::CamelCaseABIName::run_it(x) + vregcache::template_function<long, 5>(x) + overload(x) +
	       overload(1L * x) + with_lambda(x) + has_a_cold_part(x) + vrc_taken(x) + specialised(x, 7) + specialised(y, 7);
}
"""


def table(objects, *options):
    return subprocess.run(["nm", *options, objects], stdout=subprocess.PIPE, text=True, check=True).stdout


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            (work / "x.cc").write_text(SOURCE)
            subprocess.run(["g++", "-std=gnu++20", "-O2", "-fno-exceptions", "-fno-pic", "-c", "-w", "-o", work / "x.o", work / "x.cc"],
                           check=True)
            (work / "m").write_text(table(work / "x.o", "-p"))
            (work / "d").write_text(table(work / "x.o", "-pC"))
            lines = subprocess.run(["awk", "-v", "prefix=vrc_", "-v", "own=vregcache", "-f", AWK, work / "m", work / "d"],
                                   stdout=subprocess.PIPE, text=True, check=True).stdout
            (work / "names").write_text(lines)
            subprocess.run(["objcopy", f"--redefine-syms={work / 'names'}", work / "x.o"], check=True)
            cls.names = [line.split()[-1] for line in table(work / "x.o", "-p", "--defined-only").splitlines()]
            cls.renamed = dict(line.split() for line in lines.splitlines())

    def test_no_name_is_mangled_or_duplicate(self):
        self.assertEqual([name for name in self.names if name.startswith("_Z")], [])
        self.assertEqual(len(set(self.names)), len(self.names))

    def test_names_are_lower_case_identifiers(self):
        for name in self.renamed.values():
            self.assertTrue(re.fullmatch(r"vrc_[a-z0-9_]+(\.[a-z0-9_]+)*", name), name)

    def test_member_has_its_class_as_prefix(self):
        self.assertIn("vrc_cache_miss", self.names)
        self.assertIn("vrc_camel_case_abi_name_run_it", self.names)

    def test_template_result_and_arguments_are_removed(self):
        self.assertIn("vrc_template_function", self.names)

    def test_overloads_are_numbered(self):
        self.assertIn("vrc_overload", self.names)
        self.assertIn("vrc_overload_2", self.names)

    def test_existing_name_is_not_reused(self):
        self.assertIn("vrc_taken", self.names)
        self.assertIn("vrc_taken_2", self.names)
        self.assertNotIn("vrc_taken", self.renamed.values())

    def test_lambda_constructor_and_destructor(self):
        # The compiler clones it, and adds a suffix.
        self.assertTrue([name for name in self.names if name.startswith("vrc_with_lambda_lambda_1")])
        self.assertIn("vrc_scope_construct", self.names)
        self.assertIn("vrc_scope_destroy", self.names)

    def test_variable(self):
        self.assertIn("vrc_table", self.names)

    def test_cold_part_keeps_its_suffix(self):
        self.assertIn("vrc_has_a_cold_part", self.names)
        self.assertIn("vrc_has_a_cold_part.cold", self.names)


if __name__ == "__main__":
    unittest.main()
