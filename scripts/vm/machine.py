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
            raise SystemExit("machine bochs: say BOCHS=/path/to/bochs, a VMX-enabled build")
        return Bochs(bochs_binary, cpus, memory), "as told" if kind == "bochs" else "BOCHS= is given"
    if kind == "tcg":
        return Qemu("tcg", cpus, memory), "as told"
    machine = Qemu("kvm", cpus, memory)
    offered, why = kvm.offers_vmx(machine, shutil.which(BINARY), lambda: probe(machine))
    if offered:
        return machine, f"as told; {why}" if kind == "kvm" else why
    if kind == "kvm":
        raise SystemExit(f"machine kvm: {why}")
    return Qemu("tcg", cpus, memory), why
