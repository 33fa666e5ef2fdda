# SPDX-License-Identifier: GPL-2.0
"""Checks whether this host can run virtual machines with VMX: the cheapest check first."""

import fcntl
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile

from vm.paths import SCRIPTS, cache

_KVM_GET_SUPPORTED_CPUID = 0xC008AE05
_ENTRY = struct.Struct("10I")
_HEADER = struct.Struct("II")
_VMX_BIT = 5
_ROM_SECONDS = 5
# vmx_probe.S's output on the port, which QEMU's exit status contains.
_ROM_RESULTS = {
    "W": None,
    "N": "finds no VMX",
    "D": "finds VMX disabled by firmware",
    "F": "cannot execute VMXON",
}


def _cpu(cpuinfo):
    text = pathlib.Path(cpuinfo).read_text(errors="replace")
    model = re.search(r"^model name\s*:\s*(.*)", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)", text, re.MULTILINE)
    return model.group(1) if model else "unknown", flags.group(1).split() if flags else []


def claims_vmx(device="/dev/kvm", cpuinfo="/proc/cpuinfo", nested="/sys/module/kvm_intel/parameters/nested"):
    """The host's own claim, without a guest.  Returns (yes or no, why)."""
    if not os.path.exists(device):
        return False, f"{device} does not exist"
    model, flags = _cpu(cpuinfo)
    if "vmx" not in flags:
        return False, f"{device} exists, but this host's CPU has no VMX ({model})"
    try:
        if pathlib.Path(nested).read_text().strip() not in ("Y", "1"):
            return False, f"{device} exists, but {nested} is off"
    except OSError:
        # Not visible in every container; the next check detects it, too.
        pass
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return False, f"{device} cannot be opened: {error.strerror}"
    try:
        capacity = 256
        buffer = bytearray(_HEADER.pack(capacity, 0) + bytes(_ENTRY.size * capacity))
        fcntl.ioctl(fd, _KVM_GET_SUPPORTED_CPUID, buffer)
    except OSError as error:
        return False, f"{device} can be opened, but KVM_GET_SUPPORTED_CPUID fails: {error.strerror}"
    finally:
        os.close(fd)
    count = _HEADER.unpack_from(buffer)[0]
    for i in range(count):
        function, _, _, _, _, ecx, *_ = _ENTRY.unpack_from(buffer, _HEADER.size + i * _ENTRY.size)
        if function == 1:
            if ecx >> _VMX_BIT & 1:
                return True, f"{device} offers VMX to guests"
            return False, f"{device} offers no VMX to guests"
    return False, f"{device} reports no CPUID leaf 1"


def runs_rom(command, seconds=_ROM_SECONDS):
    """Runs a guest of a few instructions that turns VMX on and off.  command(rom) is the machine's command line.
    Returns None, or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="vrc-") as work:
        source, rom = SCRIPTS / "vm/vmx_probe.S", f"{work}/rom"
        subprocess.run(["as", "--32", "-o", f"{rom}.o", source], check=True, stdin=subprocess.DEVNULL)
        subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0", "-e", "0", "--oformat", "binary", "-o", rom, f"{rom}.o"],
                       check=True, stdin=subprocess.DEVNULL)
        try:
            done = subprocess.run(command(rom), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds)
        except subprocess.TimeoutExpired:
            return f"a minimal guest hangs (for {seconds} s)"
    for letter, wrong in _ROM_RESULTS.items():
        if done.returncode == ord(letter) << 1 | 1:
            return f"a minimal guest {wrong}" if wrong else None
    output = done.stdout.strip().splitlines()
    return f"QEMU exited with status {done.returncode}: {output[-1] if output else 'no output'}"


def _host(binary):
    """The answer holds for this boot of this kernel, and this QEMU."""
    stat = os.stat(binary)
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot": boot, "kernel": os.uname().release, "qemu": [binary, stat.st_size, stat.st_mtime]}


def offers_vmx(machine, binary, boots, claims=claims_vmx, rom=runs_rom, memory=None):
    """Returns (yes or no, why).  boots() boots the test kernel on `machine` to its init and back, and returns None or
    what went wrong.  The guests, which may hang, run once per boot of the host."""
    claimed, why = claims()
    if not claimed:
        return False, why
    memory = memory or cache() / "kvm-probe.json"
    host = _host(binary)
    try:
        known = json.loads(memory.read_text())
        if known["host"] == host:
            return known["answer"], f"{known['why']}; checked earlier in this boot of the host"
    except (OSError, ValueError, KeyError):
        pass
    wrong = rom(machine.rom_command) or boots()
    why = f"{why}, but {wrong}" if wrong else f"{why}, and a probe boot succeeded"
    memory.parent.mkdir(parents=True, exist_ok=True)
    part = memory.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"host": host, "answer": not wrong, "why": why}) + "\n")
    part.rename(memory)
    return not wrong, why
