# SPDX-License-Identifier: GPL-2.0
"""Picks the machine to run on, and says why."""

from vm import kvm
from vm.bochs import Bochs
from vm.qemu import Qemu


def pick(kind, cpus, memory, bochs_binary, probe):
    """Returns (machine, why).  probe(machine) -> bool boots the test kernel once and reports whether that works."""
    if kind == "bochs":
        if not bochs_binary:
            raise SystemExit("machine bochs: say BOCHS=/path/to/bochs, a VMX-enabled build")
        return Bochs(bochs_binary, cpus, memory), "as told"
    if kind == "tcg":
        return Qemu("tcg", cpus, memory), "as told"
    offered, why = kvm.offers_vmx()
    if kind == "kvm":
        if not offered:
            raise SystemExit(f"machine kvm: {why}")
        return Qemu("kvm", cpus, memory), "as told"
    if offered:
        machine = Qemu("kvm", cpus, memory)
        # On some hosts the device opens and says all the right things, but guests hang.
        if probe(machine):
            return machine, f"{why}, and a probe boot came up"
        why = f"{why}, but a probe boot did not come up"
    return Qemu("tcg", cpus, memory), why
