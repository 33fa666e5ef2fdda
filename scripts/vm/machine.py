# SPDX-License-Identifier: GPL-2.0
"""Picks the machine to run on, and returns why."""

import shutil

from vm import kvm
from vm.bochs import Bochs
from vm.qemu import BINARY, Qemu

KINDS = ("auto", "tcg", "kvm", "bochs")


def pick(kind, cpus, memory, bochs_binary, probe):
    """Returns (machine, why).  probe(machine) boots the test kernel once and returns None, or what went wrong."""
    if kind == "bochs" or (kind == "auto" and bochs_binary):
        if not bochs_binary:
            raise SystemExit("machine bochs: set BOCHS=/path/to/bochs (a VMX-enabled build)")
        return Bochs(bochs_binary, cpus, memory), "requested" if kind == "bochs" else "BOCHS= is set"
    if kind == "tcg":
        return Qemu("tcg", cpus, memory), "requested"
    machine = Qemu("kvm", cpus, memory)
    offered, why = kvm.offers_vmx(machine, shutil.which(BINARY), lambda: probe(machine))
    if offered:
        return machine, f"requested; {why}" if kind == "kvm" else why
    if kind == "kvm":
        raise SystemExit(f"machine kvm: {why}")
    return Qemu("tcg", cpus, memory), why
