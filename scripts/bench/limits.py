# SPDX-License-Identifier: GPL-2.0
"""The limits for the cost of an exit, and the measured cost."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ExitKind:
    name: str
    title: str
    # The most VMREADs and VMWRITEs that an exit may take; None: no limit.
    vmreads: int | None = None
    vmwrites: int | None = None
    # Instructions between VM-exit and VM-entry: half of KVM's (Linux 6.12, -O2).
    instructions: int | None = None
    # The most instructions beside KVM, as a multiple of those alone.
    beside: float | None = None


KINDS = (
    ExitKind("cpuid", "CPUID", 5, 1, 470, beside=1.15),
    ExitKind("rdmsr", "RDMSR", 5, 1, beside=1.15),
    ExitKind("wrmsr", "WRMSR", 5, 1, 550, beside=1.15),
    ExitKind("hlt", "HLT to userspace and back", 5, 1, beside=1.2),
    ExitKind("out", "OUT to userspace and back", 6, 1, beside=1.2),
    ExitKind("in", "IN from userspace", 6, 1),
    ExitKind("vmcall", "VMCALL", 5, 1, beside=1.15),
    ExitKind("mov_cr0", "MOV to CR0, same paging mode", 6, 3, beside=1.15),
    ExitKind("wbinvd", "WBINVD"),
    ExitKind("ept", "EPT violation", 4, 0),
    ExitKind("interrupt", "external interrupt", 1, 0),
)


OF_KVM = ("hlt", "out", "interrupt")


def median(row, column):
    return row[column]["median"]


def own(row):
    """Instructions without those of the host's interrupt handler."""
    return median(row, "total") - median(row, "handler")


def target(kind, kvm):
    """How many of its own instructions an exit should take.  If much of the sum is the kernel's own, and so depends on
    its configuration, it is half of KVM's in the same run: for an external interrupt, without the host's handler, and
    for a round trip to userspace, with system calls and the FPU's registers."""
    if kind.name in OF_KVM:
        return own(kvm) // 2 if kvm else None
    return kind.instructions


def verdicts(rows):
    """rows: {"vregcache": {kind: row}, "kvm": ...}.  Yields (kind, what, found, limit) if there is a limit."""
    for kind in KINDS:
        row = rows.get("vregcache", {}).get(kind.name)
        if not row:
            continue
        for what in ("vmreads", "vmwrites"):
            if getattr(kind, what) is not None:
                yield kind, what, median(row, what), getattr(kind, what)
        limit = target(kind, rows.get("kvm", {}).get(kind.name))
        if limit is not None:
            yield kind, "instructions", own(row), limit
