# SPDX-License-Identifier: GPL-2.0
"""Counts instructions between VM-exit and VM-entry in QEMU's log of executed instructions.

QEMU TCG, with one instruction per translation block, writes one line per instruction (-d exec,nochain):

    Trace 0: 0x7f1c080021c0 [0000000000000000/ffffffff8101c3a0/00203005/ff000201] name
          ^CPU                CS base         PC               flags

The CPU's flags show whose code runs.  The monitor of the VMX ROM emulates VMX in SVM host mode, and Linux runs in SVM guest
mode as its guest: an instruction without that flag is the monitor's, and is counted apart.  The guest of Linux's hypervisor
has the flag too, but it runs between VM-entry and VM-exit; only instructions between VM-exit and VM-entry are counted.
"""

import bisect
import collections
import dataclasses
import re

_LINE = re.compile(rb"^Trace (\d+): \S+ \[[0-9a-f]+/([0-9a-f]+)/[0-9a-f]{2}([0-9a-f])[0-9a-f]{5}/", re.MULTILINE)
# QEMU's bit for SVM guest mode is 21: the third digit of eight has bit 1.
_GUEST_DIGITS = frozenset(b"2367abef")
_FIRST_KERNEL_ADDRESS = 1 << 63

USER, KERNEL, MODULE = "userspace", "kernel", "module"
# What brings another VMCS, or other registers, into the CPU, or reads or keeps what was there.
SWITCHES = ("vmptrld", "vmptrst", "vmclear", "invept", "rdmsr", "wrmsr", "xsave", "xrstor")
# What the monitor does: the operation that root software's instruction, or the guest's, brings about.
MONITOR = ("vmread", "vmwrite", "entry", "exit")


class Places:
    """The address map: the hypervisor's modules, and the addresses with a meaning."""

    def __init__(self):
        self._ranges = []
        # PC -> "exit", "entry", or the kind of an instruction; "interrupt" begins the handling of an interrupt, "handled" ends
        # it.
        self.marks = {}
        # The start addresses of functions, sorted, and their names; empty unless requested.
        self.functions = []

    def add(self, start, size, owner):
        bisect.insort(self._ranges, (start, start + size, owner))

    def owner(self, pc):
        if pc < _FIRST_KERNEL_ADDRESS:
            return USER
        at = bisect.bisect_right(self._ranges, (pc, 1 << 64, ""))
        if at:
            start, end, owner = self._ranges[at - 1]
            if start <= pc < end:
                return owner
        return KERNEL

    def function(self, pc):
        if pc < _FIRST_KERNEL_ADDRESS:
            return USER
        at = bisect.bisect_right(self.functions, (pc, "\U0010ffff"))
        return self.functions[at - 1][1] if at else KERNEL


@dataclasses.dataclass
class Crossing:
    """From one VM-exit to the next VM-entry."""

    # The guest's last instruction before the VM-exit; None if it executed none since VM-entry.
    guest_pc: int | None
    # Instructions, including that of the VM-entry; a repeated one counts once.
    module: int = 0
    kernel: int = 0
    userspace: int = 0
    # Of these, the kernel's in its interrupt handlers.
    handler: int = 0
    # Further iterations of repeated ones (REP).
    repetitions: int = 0
    vmreads: int = 0
    vmwrites: int = 0
    # By kind: SWITCHES.
    switches: dict = dataclasses.field(default_factory=collections.Counter)
    # By function, if those are known.
    functions: dict = dataclasses.field(default_factory=collections.Counter)

    @property
    def total(self):
        return self.module + self.kernel + self.userspace


class Counter:
    """Takes the log of one vCPU's CPU; `crossings` has the complete ones."""

    def __init__(self, places, cpu):
        self._places = places
        self._marks = {b"%016x" % pc: mark for pc, mark in places.marks.items()}
        self._cpu = b"%d" % cpu
        self._rest = b""
        self._owners = {}
        self._functions = {}
        # None: before the first VM-exit.  In the guest: its last PC.
        self._guest_pc = None
        self._inside = None
        self.crossings = []
        # Instructions of the monitor since the last one of a guest's, and that one's mark; each operation's counts.
        self._monitor = 0
        self._last_mark = None
        self.monitor = {what: [] for what in MONITOR}

    def feed(self, data):
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        marks, mine = self._marks, self._cpu
        for cpu, pc, digit in _LINE.findall(data[:end]):
            if cpu != mine:
                continue
            if digit[0] not in _GUEST_DIGITS:
                self._monitor += 1
                continue
            mark = marks.get(pc)
            if self._monitor:
                what = "exit" if mark == "exit" else self._last_mark
                if what in self.monitor:
                    self.monitor[what].append(self._monitor)
                self._monitor = 0
            self._last_mark = mark
            if mark == "exit":
                self._inside = []
            if self._inside is None:
                self._guest_pc = pc
                continue
            self._inside.append(pc)
            if mark == "entry":
                self._close()

    def _owner(self, pc):
        owner = self._owners.get(pc)
        if owner is None:
            owner = self._owners[pc] = self._places.owner(int(pc, 16))
        return owner

    def _function(self, pc):
        name = self._functions.get(pc)
        if name is None:
            name = self._functions[pc] = self._places.function(int(pc, 16))
        return name

    def _close(self):
        crossing = Crossing(int(self._guest_pc, 16) if self._guest_pc else None)
        counts = {USER: 0, KERNEL: 0, MODULE: 0}
        previous = None
        handling = False
        for pc in self._inside:
            if pc == previous:
                crossing.repetitions += 1
                continue
            previous = pc
            counts[self._owner(pc)] += 1
            if self._places.functions:
                crossing.functions[self._owner(pc), self._function(pc)] += 1
            mark = self._marks.get(pc)
            crossing.vmreads += mark == "vmread"
            crossing.vmwrites += mark == "vmwrite"
            if mark in SWITCHES:
                crossing.switches[mark] += 1
            handling = handling or mark == "interrupt"
            crossing.handler += handling
            handling = handling and mark != "handled"
        crossing.module, crossing.kernel, crossing.userspace = counts[MODULE], counts[KERNEL], counts[USER]
        self.crossings.append(crossing)
        self._inside = self._guest_pc = None


def summary(values):
    """Median (the lower one of two), minimum and maximum."""
    ordered = sorted(values)
    return {"median": ordered[(len(ordered) - 1) // 2], "min": ordered[0], "max": ordered[-1]}


def of_row(crossings, instruction, others):
    """Those of one row: by the guest's instruction that exits; if that is 0, those that no other one caused."""
    if instruction:
        return [crossing for crossing in crossings if crossing.guest_pc == instruction]
    return [crossing for crossing in crossings if crossing.guest_pc not in others]
