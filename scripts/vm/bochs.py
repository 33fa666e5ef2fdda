# SPDX-License-Identifier: GPL-2.0
"""A VMX-enabled Bochs that the user provides: boots the same kernel and initramfs from a CD."""

import os
import pathlib
import re
import shutil
import subprocess

from vm.paths import script

_ISOLINUX = pathlib.Path("/usr/lib/ISOLINUX/isolinux.bin")
_LDLINUX = pathlib.Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")


class Bochs:
    accelerator = "bochs"
    # The kernel cannot calibrate the TSC of this machine, and would assume 3.5 billion ticks per second.
    kernel_args = "tsc_early_khz=100000 no_timer_check"
    # It reports a CPU with L1TF and without the MSR to flush the cache.
    insmod_args = "unsafe=1"
    quiet_timeout = 900
    timeout = 3600

    def __init__(self, binary, cpus, memory):
        self.binary = pathlib.Path(binary).resolve()
        self.cpus = cpus
        self.memory = memory
        self._process = None
        if not os.access(self.binary, os.X_OK):
            raise SystemExit(f"BOCHS={binary}: not an executable file")
        self._bios = self._rom(("BIOS-bochs-latest",), "BOCHS_BIOS")
        self._vga = self._rom(("VGABIOS-lgpl-latest.bin", "VGABIOS-lgpl-latest"), "BOCHS_VGABIOS")
        script("install-deps", "bochs")

    def _rom(self, names, variable):
        if variable in os.environ:
            return pathlib.Path(os.environ[variable])
        folders = (self.binary.parent.parent / "share/bochs", self.binary.parent, self.binary.parent / "bios")
        for folder in folders:
            for name in names:
                if (folder / name).exists():
                    return folder / name
        raise SystemExit(f"{names[0]} was not found near {self.binary} (in ../share/bochs, ., bios); set {variable}=")

    def describe(self):
        return f"Bochs, {self.cpus} CPU{'s' if self.cpus > 1 else ''}"

    def version(self):
        """The version in its banner, which it prints before it rejects this configuration."""
        done = subprocess.run([self.binary, "-q", "-f", "/nonexistent"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        found = re.search(r"Bochs x86 Emulator \S+", done.stdout)
        return found[0] if found else "Bochs"

    def _make_cd(self, kernel, initrd, append, work):
        root = work / "cd"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for source in (_ISOLINUX, _LDLINUX):
            shutil.copy(source, root)
        shutil.copy(kernel.vmlinuz, root / "vmlinuz")
        os.link(initrd, root / "initrd")
        (root / "isolinux.cfg").write_text(f"default l\nprompt 0\nlabel l\nkernel vmlinuz\nappend initrd=initrd {append}\n")
        subprocess.run(
            ["xorriso", "-as", "mkisofs", "-quiet", "-o", work / "boot.iso", "-b", "isolinux.bin", "-c", "boot.cat",
             "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", root],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(root)

    def start(self, kernel, initrd, append, work):
        self._work = work
        self._make_cd(kernel, initrd, append, work)
        console = work / "console"
        console.unlink(missing_ok=True)
        os.mkfifo(console)
        (work / "bochsrc").write_text(f"""\
cpu: model=corei7_skylake_x, count={self.cpus}, ips=100000000, reset_on_triple_fault=0
memory: guest={self.memory}, host={self.memory}
romimage: file={self._bios}
vgaromimage: file={self._vga}
vga: extension=none
display_library: nogui
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={work / "boot.iso"}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={console}
clock: sync=none
log: {work / "bochs.log"}
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
""")
        # Bochs opens the pipe at its start and would wait for a reader.
        read_end = os.open(console, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(read_end, True)
        self._console = os.fdopen(read_end, "rb", buffering=0)
        self._output = open(work / "bochs.out", "wb")
        self._process = subprocess.Popen(
            [self.binary, "-q", "-unlock", "-f", work / "bochsrc"],
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, cwd=work)
        return read_end

    def alive(self):
        return self._process.poll() is None

    def state(self):
        """Bochs's own output."""
        self._output.flush()
        lines = []
        for name in ("bochs.out", "bochs.log"):
            path = self._work / name
            if path.exists():
                lines += [f"{name}: {line}" for line in path.read_text(errors="replace").splitlines()[-40:]]
        return "\n".join(lines)

    def interact(self, *_):
        raise SystemExit("--shell works with QEMU only")

    def stop(self):
        if self._process:
            if self.alive():
                self._process.kill()
            self._process.wait()
            self._console.close()
            self._output.close()
            self._process = None
