# SPDX-License-Identifier: GPL-2.0
"""The input of `make bench`: QEMU's log, disassemblies, Google Benchmark's report; and the results from it."""

import unittest

from bench import code, codegen, disassembly, exec_log, limits, parts, report

_LINUX, _MONITOR = 0x18f0c2b0, 0x18d0c2b0
_EXIT, _VMREAD, _VMRESUME = 0xffffffffc0001000, 0xffffffffc0001010, 0xffffffffc0001020
_MODULE, _KERNEL, _USER, _GUEST = 0xffffffffc0001100, 0xffffffff81000000, 0x401000, 0x10012
_IRQ, _IRET = 0xffffffff81a00000, 0xffffffff81a00100


def log(*instructions, cpu=0):
    lines = []
    for pc in instructions:
        flags = _LINUX
        if isinstance(pc, tuple):
            pc, flags = pc
        lines.append(f"Trace {cpu}: 0x7fd8f419ea00 [0000000000000000/{pc:016x}/{flags:08x}/ff020201] name\n")
    return "".join(lines).encode()


class Log(unittest.TestCase):
    def setUp(self):
        places = exec_log.Places()
        places.add(0xffffffffc0001000, 0x1000, exec_log.MODULE)
        places.marks = {_EXIT: "exit", _VMREAD: "vmread", _VMRESUME: "entry", _IRQ: "interrupt", _IRET: "handled"}
        self.counter = exec_log.Counter(places, 0)

    def crossings(self, *data):
        for piece in data:
            self.counter.feed(piece)
        return self.counter.crossings

    def test_one_crossing(self):
        found, = self.crossings(log(_KERNEL, _GUEST, _EXIT, _VMREAD, _KERNEL, _USER, _VMRESUME, _GUEST))
        self.assertEqual((found.total, found.module, found.kernel, found.userspace), (5, 3, 1, 1))
        self.assertEqual((found.vmreads, found.vmwrites, found.guest_pc), (1, 0, _GUEST))

    def test_monitor_is_counted_apart(self):
        monitor = [(_KERNEL, _MONITOR), (_MODULE, _MONITOR), (_MODULE, _MONITOR)]
        found, = self.crossings(log(_GUEST, *monitor, _EXIT, _VMREAD, *monitor, *monitor, _MODULE, _VMREAD, _VMRESUME,
                                    (_KERNEL, _MONITOR), _GUEST, (_KERNEL, _MONITOR), _KERNEL))
        self.assertEqual((found.total, found.vmreads), (5, 2))
        self.assertEqual(self.counter.monitor, {"vmread": [6], "vmwrite": [], "entry": [1], "exit": [3]})

    def test_repeated_instruction_is_counted_once(self):
        found, = self.crossings(log(_EXIT, _KERNEL, _KERNEL, _KERNEL, _MODULE, _KERNEL, _VMRESUME))
        self.assertEqual((found.total, found.repetitions), (5, 2))

    def test_interrupt_handler(self):
        found, = self.crossings(log(_EXIT, _KERNEL, _IRQ, _KERNEL, _IRET, _KERNEL, _VMRESUME))
        self.assertEqual((found.handler, found.kernel, found.total), (3, 5, 7))

    def test_other_cpus_are_not_counted(self):
        found, = self.crossings(log(_EXIT), log(_KERNEL, _VMRESUME, cpu=1), log(_VMRESUME))
        self.assertEqual(found.total, 2)

    def test_chunks_may_end_anywhere(self):
        data = log(_GUEST, _EXIT, _VMREAD, _VMRESUME, _GUEST, _EXIT, _VMRESUME)
        found = self.crossings(*(data[at:at + 7] for at in range(0, len(data), 7)))
        self.assertEqual([crossing.total for crossing in found], [3, 2])

    def test_incomplete_crossing_is_not_counted(self):
        self.assertEqual(self.crossings(log(_KERNEL, _VMRESUME, _GUEST, _EXIT, _VMREAD)), [])

    def test_no_guest_instruction(self):
        found = self.crossings(log(_GUEST, _EXIT, _VMRESUME, _EXIT, _VMRESUME))
        self.assertEqual([crossing.guest_pc for crossing in found], [_GUEST, None])

    def test_rows(self):
        found = self.crossings(log(_GUEST, _EXIT, _VMRESUME, 0x10020, _EXIT, _VMRESUME, _EXIT, _VMRESUME))
        self.assertEqual(len(exec_log.of_row(found, _GUEST, [])), 1)
        self.assertEqual(len(exec_log.of_row(found, 0, [_GUEST])), 2)

    def test_summary(self):
        self.assertEqual(exec_log.summary([5, 1, 9, 7]), {"median": 5, "min": 1, "max": 9})


class Code(unittest.TestCase):
    def test_marks(self):
        module = code.parse(
            ["  0 .text         00000040  0000000000000000  0000000000000000  00000040  2**4",
             "                  CONTENTS, ALLOC, LOAD, RELOC, READONLY, CODE",
             "  1 .rodata       00000010  0000000000000000  0000000000000000  00000080  2**4",
             "                  CONTENTS, ALLOC, LOAD, READONLY, DATA"],
            ["0000000000000020 g       .text\t0000000000000000 .hidden vmx_vmexit"],
            ["Disassembly of section .text:", "      10:\tvmread %rax,(%rbx)", "      18:\tvmresume ",
             "      1c:\tmov    %rax,%rbx"])
        self.assertEqual(module.sections, {".text": 0x40})
        self.assertEqual(module.marks, {(".text", 0x20): "exit", (".text", 0x10): "vmread", (".text", 0x18): "entry"})


_PROBE = """\
Disassembly of section .text:

0000000000000000 <slow>:
       0:\tcall   5 <slow+0x5>\t1: R_X86_64_PLT32\t__fentry__-0x4
       5:\tcmp    $0x7,%esi
       8:\tje     20 <slow+0x20>
       a:\tmov    $0x681e,%eax
       f:\tvmread %rax,%rax
      12:\tjbe    30 <slow+0x30>
      14:\tmov    %rax,0x80(%rdi)
      1b:\tjmp    20 <slow+0x20>\t1c: R_X86_64_PLT32\t__x86_return_thunk-0x4
      20:\tvmread %rax,%rax
      23:\tjmp    28 <slow+0x28>\t24: R_X86_64_PLT32\t__x86_return_thunk-0x4
      30:\tjmp    35 <slow+0x35>\t31: R_X86_64_PLT32\t__x86_return_thunk-0x4

0000000000000040 <probe>:
      40:\tcall   45 <probe+0x5>\t41: R_X86_64_PLT32\t__fentry__-0x4
      45:\ttestb  $0x1,(%rdi)
      48:\tje     53 <probe+0x13>
      4a:\tmov    0x18(%rdi),%rax
      4e:\tjmp    53 <probe+0x13>\t4f: R_X86_64_PLT32\t__x86_return_thunk-0x4
      53:\tmov    $0x3,%esi
      58:\tcall   0 <slow>
      5d:\tjmp    62 <probe+0x22>\t5e: R_X86_64_PLT32\t__x86_return_thunk-0x4
"""


class Paths(unittest.TestCase):
    def setUp(self):
        self.object = disassembly.Object(_PROBE.splitlines())

    def test_hit(self):
        path = self.object.path("probe", vmreads=0)
        self.assertEqual((path.instructions, path.bytes, path.calls), (3, 9, 0))

    def test_miss(self):
        # TESTB, JE, MOV, CALL; CMP, JE (3 is not 7), MOV, VMREAD, JBE (not taken), MOV, JMP back.
        path = self.object.path("probe", vmreads=1)
        self.assertEqual((path.instructions, path.vmreads, path.calls), (11, 1, 1))

    def test_additional_instruction_is_counted(self):
        longer = _PROBE.replace("      4a:\tmov    0x18", "      4a:\tnopl   (%rax)\n      4d:\tmov    0x18")
        self.assertEqual(disassembly.Object(longer.splitlines()).path("probe", vmreads=0).instructions,
                         codegen.HIT_LIMIT + 1)

    def test_variable_that_is_zero(self):
        text = _PROBE.replace("testb  $0x1,(%rdi)", "cmpb   $0x0,0x0(%rip)\t46: R_X86_64_PC32\twatching-0x5")
        found = disassembly.Object(text.splitlines()).path("probe", vmreads=1, zero=("watching",))
        self.assertEqual(found.instructions, 11)
        with self.assertRaises(LookupError):
            disassembly.Object(text.splitlines()).path("probe", vmreads=0, zero=("watching",))

    def test_no_such_function(self):
        with self.assertRaises(LookupError):
            self.object.path("nothing", vmreads=0)


def _row(total, handler=0, vmreads=5, vmwrites=1):
    def same(value):
        return {"median": value, "min": value, "max": value}

    return {"exits": 3, "total": same(total), "module": same(total - handler), "kernel": same(handler),
            "userspace": same(0), "handler": same(handler), "repetitions": same(0), "vmreads": same(vmreads),
            "vmwrites": same(vmwrites), "switches": {name: same(0) for name in exec_log.SWITCHES}}


class Limits(unittest.TestCase):
    def found(self, rows, kind):
        return {what: (found, limit) for which, what, found, limit in limits.verdicts(rows) if which.name == kind}

    def test_limits_of_each_figure(self):
        found = self.found({"vregcache": {"cpuid": _row(471, vmreads=6)}}, "cpuid")
        self.assertEqual(found, {"vmreads": (6, 5), "vmwrites": (1, 1), "instructions": (471, 470)})

    def test_interrupt_is_measured_without_its_handler(self):
        rows = {"vregcache": {"interrupt": _row(1200, 800, 1, 0)}, "kvm": {"interrupt": _row(1530, 800, 3, 0)}}
        self.assertEqual(self.found(rows, "interrupt")["instructions"], (400, 365))

    def test_exit_to_userspace_is_compared_with_kvm_in_the_same_run(self):
        rows = {"vregcache": {"hlt": _row(1500)}, "kvm": {"hlt": _row(2876, vmreads=6)}}
        self.assertEqual(self.found(rows, "hlt")["instructions"], (1500, 1438))
        self.assertNotIn("instructions", self.found({"vregcache": {"hlt": _row(1500)}}, "hlt"))

    def test_tables(self):
        rows = {who: {kind.name: _row(500) for kind in limits.KINDS} for who in ("vregcache", "kvm")}
        self.assertTrue(any("NOT MET" in line for line in report.targets(rows)))
        self.assertEqual(sum("KVM" in line for line in report.instructions(rows)), len(limits.KINDS))
        self.assertEqual(len(report.switches(rows)), 2 + 2 * len(limits.KINDS))

    def test_beside_kvm(self):
        rows = {"vregcache": {"cpuid": _row(100), "hlt": _row(100)}, "beside": {"cpuid": _row(116), "hlt": _row(120)}}
        verdicts = {line.split()[0]: line.rsplit(None, 1)[1] for line in report.beside(rows)[2:4]}
        self.assertEqual((verdicts["CPUID"], verdicts["HLT"]), ("MET", "met"))

    def test_switches_are_counted(self):
        places = exec_log.Places()
        places.marks = {_EXIT: "exit", _VMREAD: "wrmsr", _VMRESUME: "entry"}
        counter = exec_log.Counter(places, 0)
        counter.feed(log(_GUEST, _EXIT, _VMREAD, _KERNEL, _VMREAD, _VMRESUME))
        self.assertEqual(dict(counter.crossings[0].switches), {"wrmsr": 2})


class Parts(unittest.TestCase):
    def test_median(self):
        runs = [{"run_type": "iteration", "run_name": "hit", "cpu_time": time, "iterations": 9}
                for time in (3.0, 1.0, 2.0)]
        found, = parts.parse({"benchmarks": [*runs, {"run_type": "aggregate", "run_name": "hit", "cpu_time": 7.0}]})
        self.assertEqual((found["ns"], found["min"], found["max"]), (2.0, 1.0, 3.0))


if __name__ == "__main__":
    unittest.main()
