# SPDX-License-Identifier: GPL-2.0
"""The code of a hit and of a miss: the cache's, the same semantics in C the way KVM does it, and an eager policy's."""

import dataclasses

from vm.paths import BUILD

# The hit path of RIP, on a kernel with -O2 and without lockdep.
HIT_LIMIT = 3
REGISTERS = {"rip": "RIP", "rflags": "RFLAGS", "cs_base": "CS base"}
_NOT_SET = ("vrc_watched_reads",)


def object_file(kernel):
    return BUILD / kernel.release / "selftests/codegen/codegen.ko"


def _path(code, function, vmreads):
    return dataclasses.asdict(code.path(function, vmreads=vmreads, zero=_NOT_SET))


def measure(code):
    """Paths by kind: {"rip": {"cache": {"hit": ..., "miss": ...}, "kvm_way": ...}}, and the eager policy's."""
    registers = {}
    for register in REGISTERS:
        registers[register] = {
            way: {what: _path(code, f"codegen_{way}_read_{register}", what == "miss") for what in ("hit", "miss")}
            for way in ("cache", "kvm_way")}
    eager = {what: _path(code, f"codegen_eager_{what}", what == "vm_exit") for what in ("read_rip", "vm_exit", "vm_entry")}
    return {"registers": registers, "eager": eager}


def hit_of_rip(code):
    return code.path("codegen_cache_read_rip", vmreads=0, zero=_NOT_SET)


def lines(found, table):
    rows = []
    for register, title in REGISTERS.items():
        for what in ("hit", "miss"):
            ours, theirs = (found["registers"][register][way][what] for way in ("cache", "kvm_way"))
            rows.append([title, what, *(f"{path['instructions']} in {path['bytes']}" for path in (ours, theirs))])
    eager = found["eager"]
    rows.append(["any", "eager load", "-", "-", f"{eager['read_rip']['instructions']} in {eager['read_rip']['bytes']}"])
    heading = ["register", "", "cache", "KVM's way in C", "eager"]
    return table(heading, [row + [""] * (len(heading) - len(row)) for row in rows]) + [
        "",
        "N in M: N instructions in M bytes, on the shortest path in the disassembly, without the function's own frame (ENDBR,",
        "ftrace's call, return).  A miss includes the functions that it calls, and a VMREAD that succeeds.",
        f"The eager policy also takes {eager['vm_exit']['vmreads']} VMREADs in {eager['vm_exit']['instructions']} instructions at "
        f"each VM-exit, {eager['vm_entry']['vmwrites']} VMWRITEs in {eager['vm_entry']['instructions']} at each VM-entry.",
    ]
