# SPDX-License-Identifier: GPL-2.0
"""Formats the measurements for people."""

from bench import exec_log, limits

_NAMES = {"vregcache": "vregcache", "beside": "... beside KVM", "kvm": "KVM"}
WHAT = {"vmreads": "VMREADs", "vmwrites": "VMWRITEs", "instructions": "instructions"}


def table(heading, rows):
    """Lines: the first two columns left-aligned, the others right-aligned."""
    cells = [list(map(str, row)) for row in (heading, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) if column < 2 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    lines.insert(1, "-" * max(map(len, lines)))
    return lines


def _spread(summary):
    """A median, and in brackets the range if there is one."""
    if summary["min"] == summary["max"]:
        return str(summary["median"])
    return f"{summary['median']} ({summary['min']}-{summary['max']})"


def instructions(rows):
    heading = ["exit", "by", "exits", "instructions", "module", "kernel", "handler", "userspace", "REP", "VMREADs",
               "VMWRITEs"]
    lines = []
    for kind in limits.KINDS:
        for who, name in _NAMES.items():
            row = rows.get(who, {}).get(kind.name)
            if not row:
                continue
            kernel = limits.median(row, "kernel") - limits.median(row, "handler")
            lines.append([
                kind.title, name, row["exits"], _spread(row["total"]), limits.median(row, "module"), kernel,
                limits.median(row, "handler"), limits.median(row, "userspace"), limits.median(row, "repetitions"),
                _spread(row["vmreads"]), _spread(row["vmwrites"])])
    return table(heading, lines) + [
        "",
        "Medians (with the range in brackets if the values differ), from VM-exit to the VM-entry instruction.  module:",
        "in vregcache.ko, or in kvm.ko and kvm-intel.ko; handler: in the host's interrupt handlers; REP: further iterations",
        "of repeated instructions, not counted as instructions.",
    ]


def beside(rows):
    """What it costs to be beside KVM, one of whose guests has run on this CPU last."""
    heading = ["exit", "", "alone", "beside KVM", "ratio", "at most", ""]
    lines = []
    for kind in limits.KINDS:
        ours, other = (rows.get(who, {}).get(kind.name) for who in ("vregcache", "beside"))
        if not (ours and other):
            continue
        alone, found = limits.own(ours), limits.own(other)
        verdict = "" if kind.beside is None else "met" if found <= kind.beside * alone else "NOT MET"
        lines.append([kind.title, "", alone, found, f"{found / alone:.2f}", "-" if kind.beside is None else kind.beside, verdict])
    return table(heading, lines) + ["", "Instructions, without the host's interrupt handler."]


def switches(rows):
    heading = ["exit", "by", *(name.upper() for name in exec_log.SWITCHES)]
    lines = [[kind.title, name, *(_spread(rows[who][kind.name]["switches"][what]) for what in exec_log.SWITCHES)]
             for kind in limits.KINDS for who, name in _NAMES.items() if kind.name in rows.get(who, {})]
    return table(heading, lines)


def profiles(rows):
    """Yields (title, lines) if functions were counted."""
    for kind in limits.KINDS:
        for who, name in _NAMES.items():
            functions = rows.get(who, {}).get(kind.name, {}).get("functions")
            if functions:
                yield f"{kind.title}, {name}: instructions by function", table(
                    ["function", "in", "instructions"],
                    [[found["function"], found["in"], found["instructions"]] for found in functions])


# At 677bdd2, where a module emulated VMX, in the same run: CPUID on Linux 6.1.  The goal for the ROM is a third less.
MONITOR_BEFORE = {"vmread": 876, "vmwrite": 887, "entry": 15650, "exit": 2467}
_MONITOR = {"vmread": "VMREAD", "vmwrite": "VMWRITE", "entry": "VM-entry", "exit": "VM-exit of CPUID"}


def monitor(counts):
    rows = [[_MONITOR[what], "", _spread(counts[what]), MONITOR_BEFORE[what], f"{counts[what]['median'] / MONITOR_BEFORE[what]:.2f}"]
            for what in _MONITOR if what in counts]
    return table(["operation", "", "instructions", "at 677bdd2", "ratio"], rows) + [
        "", "Executed, with each iteration of a repeated instruction."]


def targets(rows):
    heading = ["exit", "what", "vregcache", "at most", "", "KVM here", "vregcache / KVM"]
    lines = []
    for kind, what, found, limit in limits.verdicts(rows):
        kvm = rows.get("kvm", {}).get(kind.name)
        theirs = (limits.own(kvm) if what == "instructions" else limits.median(kvm, what)) if kvm else None
        verdict = "met" if found <= limit else "NOT MET"
        lines.append([kind.title, WHAT[what], found, limit, verdict, "-" if theirs is None else theirs,
                      f"{found / theirs:.2f}" if theirs else "-"])
    return table(heading, lines) + [
        "",
        "External interrupt (without the host's handler), HLT and OUT: the limit is half of what KVM takes in this run.",
    ]


def ticks(all_ticks, one_per_instruction, logged):
    """TSC ticks around the exiting instruction, less those of the guest's own instructions."""
    heading = ["exit", "by", "TSC ticks"] + (["logged", "difference"] if logged else [])
    lines = []
    for kind in limits.KINDS:
        for who, name in _NAMES.items():
            found = all_ticks.get(who, {}).get(kind.name)
            if not found:
                continue
            line = [kind.title, name, _spread(found["host"])]
            row = logged.get(who, {}).get(kind.name)
            if row:
                instructions_logged = limits.median(row, "total") + limits.median(row, "repetitions")
                line += [instructions_logged, found["host"]["median"] - instructions_logged]
            lines.append(line)
    if one_per_instruction:
        notes = ["This machine's TSC ticks once per instruction, and once per further iteration of a repeated one.  The",
                 "guest's instruction that exits and the exit itself add two."]
        if logged:
            notes.append("logged: instructions and repetitions in QEMU's log, on another CPU model.")
    else:
        notes = ["TSC cycles, including the transitions.  They depend on the machine, and instructions cannot be logged",
                 "here."]
    return table(heading, lines) + ["", *notes]
