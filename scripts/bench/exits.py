# SPDX-License-Identifier: GPL-2.0
"""Instructions between VM-exit and VM-entry, of vregcache alone, of KVM, and of vregcache beside KVM, in one virtual machine."""

import os
import re

from bench import code, exec_log
from bench.trace import Tracer
from vm import initramfs, run
from vm.judge import Judge
from vm.paths import BUILD

_TICKS = re.compile(r"ticks (\S+) (\S+) (.*)")
# With a random kernel stack offset at each system call, RSP differs at most VM-entries and has to be written to the
# VMCS by either hypervisor, so it is off for both.
KERNEL_ARGUMENTS = "mitigations=off randomize_kstack_offset=off"
DEVICES = {"/dev/vregcache": "vregcache", "/dev/kvm": "kvm", "beside": "beside"}


def _module_files(kernel):
    ours = {path.stem: path for path in kernel.built_modules()}
    yield "vregcache", ours["vregcache"], exec_log.MODULE
    for path in kernel.modules.rglob("*.ko*") if kernel.modules else ():
        name = path.name.partition(".")[0].replace("-", "_")
        if name in ("kvm", "kvm_intel"):
            yield name, path, exec_log.MODULE


def row(crossings):
    """The results for one exit kind."""
    columns = {name: [getattr(crossing, name) for crossing in crossings]
               for name in ("total", "module", "kernel", "userspace", "handler", "repetitions", "vmreads", "vmwrites")}
    found = {"exits": len(crossings)} | {name: exec_log.summary(values) for name, values in columns.items()}
    found["switches"] = {name: exec_log.summary([crossing.switches[name] for crossing in crossings]) for name in exec_log.SWITCHES}
    middle = sorted(crossings, key=lambda crossing: crossing.total)[(len(crossings) - 1) // 2]
    if middle.functions:
        found["functions"] = [{"in": owner, "function": name, "instructions": count}
                              for (owner, name), count in middle.functions.most_common()]
    return found


def net(ticks):
    """The host's ticks: without those between two RDTSCs, and without the guest's own instructions."""
    nothing = ticks["none"]["median"] if "none" in ticks else 0
    for found in ticks.values():
        found["host"] = {key: found[key] - nothing - found["own"] for key in ("median", "min", "max")}


def measure(machine, kernel, tests, rounds, only, profile, say):
    """Returns (rows, ticks, monitor, problems).  rows: {device: {name: row()}}, and monitor: {operation: summary}, if
    instructions can be logged.  The monitor's are those of vregcache's CPUID exits."""
    work = BUILD / "run" / f"bench.{os.getpid()}"
    work.mkdir(parents=True)
    options = f"-n {rounds}" + (f" -r {only}" if only else "")
    tracer = None
    if machine.accelerator == "tcg":
        modules = {name: (code.read(path), owner) for name, path, owner in _module_files(kernel)}

        def on_row(device, name, crossings, seconds):
            if crossings:
                say(f"{DEVICES.get(device, device)} {name}: {len(crossings)} exits, {seconds:.1f} s")

        tracer = Tracer(machine, work, modules, on_row)
        options += " -c /dev/ttyS1" + (" -f" if profile else "")
    settings = {
        "VRC_MODE": "command", "VRC_MODULES": "/modules", "VRC_MACHINE": machine.accelerator,
        "VRC_INSMOD_ARGS": machine.insmod_args, "VRC_COMMAND": f"cd bench && ./exits.sh {options}",
    }
    image = work / "initrd"
    initramfs.run_image(kernel, tests, settings, image)
    ticks = {}
    problems = []

    def event(kind, what):
        if kind == "problem":
            problems.append(f"{what.what}: {what.text}")
        elif kind == "begin":
            say(f"booted: {what}")
        elif kind == "output":
            if found := _TICKS.match(what):
                ticks.setdefault(DEVICES[found[1]], {})[found[2]] = {
                    key: int(value) for key, value in (item.split("=") for item in found[3].split())}
                if not tracer:
                    say(f"{DEVICES[found[1]]} {found[2]}")
            else:
                say(what)

    judge = Judge([], "command", event)
    log = BUILD / "logs" / f"bench-{machine.accelerator}.log"
    how = run.follow(machine, kernel, image, KERNEL_ARGUMENTS, work, log, machine.timeout, judge.line, judge)
    judge.finish(how)
    for found in ticks.values():
        net(found)
    rows, monitor = {}, {}
    if tracer:
        monitor = {what: exec_log.summary(counts) for what, counts in tracer.monitor.items() if counts}
        if tracer.error:
            problems.append(tracer.error)
        for (device, name), crossings in tracer.rows.items():
            if crossings:
                rows.setdefault(DEVICES[device], {})[name] = row(crossings)
    run.remove(work)
    return rows, ticks, monitor, problems
