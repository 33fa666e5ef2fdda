# SPDX-License-Identifier: GPL-2.0
"""A trace event that costs more than a NOP is found."""

import importlib.machinery
import importlib.util
import pathlib
import subprocess
import tempfile
import unittest

_path = pathlib.Path(__file__).resolve().parent.parent / "trace-sites"
_loader = importlib.machinery.SourceFileLoader("trace_sites", str(_path))
sites = importlib.util.module_from_spec(importlib.util.spec_from_loader("trace_sites", _loader))
_loader.exec_module(sites)

NOP = ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00"


def entry(code, target, event):
    return f'''
        .pushsection __jump_table, "aw"
        .balign 8
        .long {code} - .
        .long {target} - .
        .quad __tracepoint_{event} + 8 - .
        .popsection
    '''


def function(name, body, section=".text", binding=".globl"):
    return f'''
        .section {section}, "ax"
        {binding} {name}
        .type {name}, @function
        {name}: {body}
        .size {name}, . - {name}
    '''


SHIM = function("vrc_trace_miss", "ret", ".text.unlikely")
COLD = function("f.cold", "2: call vrc_trace_miss; jmp 3f", ".text.unlikely", ".local").replace("3f", "f_back")
GOOD = function("f", f"mov %rdi, %rax; f_nop: {NOP}; f_back: ret") + entry("f_nop", "f.cold", "miss") + COLD + SHIM


class Sites(unittest.TestCase):
    def check(self, source, events=("miss",)):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "module.o"
            subprocess.run(["as", "--64", "-o", out], input=source, text=True, check=True)
            wrong, found, _ = sites.check(sites.Module(out), events)
        return wrong, found

    def assert_wrong(self, source, what, events=("miss",)):
        wrong, _ = self.check(source, events)
        self.assertEqual(len(wrong), 1, wrong)
        self.assertIn(what, wrong[0])

    def test_switch_that_is_always_on(self):
        source = GOOD + function("vrc_check_context", "ret") + function("g", "call vrc_check_context; ret")
        problem = "vrc_check_context is called from g"
        self.assert_wrong(source, problem)
        lockdep = function("h", "call lock_is_held_type; ret")
        self.assertEqual(self.check(source + lockdep, ("miss", "check_context"))[0], [])

    def test_good(self):
        wrong, found = self.check(GOOD)
        self.assertEqual(wrong, [])
        self.assertEqual([name for _, name in found["miss"]], ["f"])

    def test_event_that_is_never_emitted(self):
        self.assert_wrong(GOOD, "invalidate: no code tests its key", ("miss", "invalidate"))

    def test_unknown_event(self):
        self.assert_wrong(GOOD + function("g", f"g_nop: {NOP}; ret; g_out: ret") + entry("g_nop", "g_out", "hit"),
                          "hit: its key is not expected")

    def test_call_without_key(self):
        self.assert_wrong(GOOD + function("g", "call vrc_trace_miss; ret"), "vrc_trace_miss is called from g")

    def test_call_without_key_in_a_callee(self):
        source = GOOD + function("g", "test %rdi, %rdi; jne 1f; ret; 1: jmp h")
        self.assert_wrong(source + function("h", "call vrc_trace_miss; ret", ".text.unlikely", ".local"),
                          "vrc_trace_miss is called from h")

    def test_local_function_reached_only_through_the_key(self):
        wrong, _ = self.check(GOOD.replace("call vrc_trace_miss", "call emit")
                              + function("emit", "jmp vrc_trace_miss", ".text", ".local"))
        self.assertEqual(wrong, [])

    def test_call_of_a_function_by_its_address(self):
        source = GOOD + function("h", "call vrc_trace_miss; ret", ".text", ".local") + ".data\n.quad h\n"
        self.assert_wrong(source, "vrc_trace_miss is called from h")

    def test_branch_instead_of_key(self):
        self.assert_wrong(GOOD + function("g", "cmpl $0, __tracepoint_miss+8(%rip); jne 1f; ret; 1: call vrc_trace_miss; ret"),
                          "vrc_trace_miss is called from g")

    def test_short_nop(self):
        self.assert_wrong(GOOD.replace(NOP, ".byte 0x66, 0x90"), "66 90 instead of a five-byte NOP")

    def test_jump_instead_of_nop(self):
        self.assert_wrong(GOOD.replace(NOP, ".byte 0xe9, 0, 0, 0, 0"), "instead of a five-byte NOP")

    def test_inline_arguments(self):
        source = function("f", f"f_nop: {NOP}; f_in: mov 8(%rdi), %rsi; test %rsi, %rsi; jne f.cold; f_back: ret")
        source += entry("f_nop", "f_in", "miss") + SHIM + COLD
        wrong, _ = self.check(source)
        self.assertIn("miss in f: the code that emits it is inline", wrong)

    def test_kernel_key_may_be_on(self):
        source = GOOD + function("g", f"g_nop: {NOP}; ret; g_out: call vrc_trace_miss; ret")
        source += entry("g_nop", "g_out", "x").replace("__tracepoint_x", "another_key")
        self.assert_wrong(source, "vrc_trace_miss is called from g")

    def test_switch_of_the_module(self):
        source = GOOD + function("vrc_report_mismatch", "ret")
        source += function("g", f"g_nop: {NOP}; ret; g_out: call vrc_report_mismatch; ret")
        source += entry("g_nop", "g_out", "x").replace("__tracepoint_x + 8", "vrc_verify_key")
        wrong, found = self.check(source, ("miss", "verify"))
        self.assertEqual(wrong, [])
        self.assertEqual([name for _, name in found["verify"]], ["g"])
        self.assert_wrong(source + function("h", "call vrc_report_mismatch; ret"), "vrc_report_mismatch is called from h",
                          ("miss", "verify"))

    def test_code_after_a_call_that_does_not_return(self):
        wrong, _ = self.check(GOOD + function("g", "call __stack_chk_fail; call vrc_trace_miss"))
        self.assertEqual(wrong, [])

    def test_exception_fixup(self):
        source = GOOD + function("g", "1: mov (%rdi), %rax; ret; g_fixup: call vrc_trace_miss; ret")
        source += '.section __ex_table, "a"\n.long 1b - .\n.long g_fixup - .\n.long 1\n'
        source = source.replace("1: mov", "g_at: mov").replace("1b", "g_at")
        self.assert_wrong(source, "vrc_trace_miss is called from g")
        # Unreachable code does not fault.
        wrong, _ = self.check(source.replace("g: g_at", "g: ret; g_at"))
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
