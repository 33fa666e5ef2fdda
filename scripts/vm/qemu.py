# SPDX-License-Identifier: GPL-2.0
"""QEMU, with TCG or KVM."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile

from vm.paths import script

BINARY = "qemu-system-x86_64"


class Qemu:
    # Seconds for a whole run.
    timeout = 1200

    def __init__(self, accelerator, cpus, memory):
        self.accelerator = accelerator
        self.cpus = cpus
        self.memory = memory
        # Seconds of silence that mean a hang: more than the longest test may take (selftests/settings).
        self.quiet_timeout = 150
        self.insmod_args = ""
        # More arguments for the command, such as a second serial port.
        self.extra = []
        # TCG adds the base of DS if an instruction of 64-bit code has a DS prefix, which a CPU ignores; Linux with one
        # CPU has that prefix in place of LOCK, and crashes when a task has a selector with a base in DS.
        self.kernel_args = "noreplace-smp" if accelerator == "tcg" else ""
        self._process = None

    def describe(self):
        return f"QEMU {'TCG' if self.accelerator == 'tcg' else 'KVM'}, {self.cpus} CPU{'s' if self.cpus > 1 else ''}"

    def command(self, kernel, initrd, append):
        return [
            BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            *self._accelerator(), *self._vmx(), "-smp", str(self.cpus), "-m", str(self.memory),
            "-kernel", str(kernel.vmlinuz), "-initrd", str(initrd), "-append", append,
        ]

    def version(self):
        """The first line that --version prints."""
        done = subprocess.run([BINARY, "--version"], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.splitlines()[0]

    def rom_command(self, rom):
        """A machine that runs just this ROM, which ends it by a write to port 0xf4."""
        return [
            BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", *self._accelerator(), "-m", "16",
            "-bios", rom, "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
        ]

    def _accelerator(self):
        # One thread for all CPUs: with one each, QEMU 7.2 sometimes still executes an INT3 that Linux has patched into its
        # code on another CPU and removed long before.  Loading modules patches code.
        accel, cpu = {"tcg": ("tcg,thread=single", "max"), "kvm": ("kvm", "host")}[self.accelerator]
        return ["-accel", accel, "-cpu", cpu]

    def _vmx(self):
        """QEMU's software CPU has no VMX of its own."""
        if self.accelerator != "tcg":
            return []
        return ["-option-rom", script("build-rom"), "-fw_cfg", "name=opt/vmx-rom/testing,string=1"]

    def start(self, kernel, initrd, append, work):
        """Starts the machine; returns the file descriptor of its console."""
        self._qmp = pathlib.Path(tempfile.mkdtemp(prefix="vrc-")) / "qmp"
        command = self.command(kernel, initrd, append)
        command += ["-serial", "stdio", "-qmp", f"unix:{self._qmp},server=on,wait=off", *self.extra]
        (work / "command").write_text(" ".join(f"'{word}'" if " " in word else word for word in command) + "\n")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        return self._process.stdout.fileno()

    def interact(self, kernel, initrd, append):
        """The console on this terminal."""
        return subprocess.run(self.command(kernel, initrd, append) + ["-serial", "mon:stdio"]).returncode

    def alive(self):
        return self._process.poll() is None

    def state(self):
        """The CPUs' registers, for the log of a hang."""
        if not self.alive():
            return f"(QEMU exited with status {self._process.returncode})"
        try:
            return self.monitor("info registers -a")
        except (OSError, ValueError) as error:
            return f"(QEMU does not answer: {error})"

    def monitor(self, command):
        """Sends the human monitor a command; returns its output.  OSError, ValueError: it does not answer."""
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(30)
            qmp.connect(str(self._qmp))
            stream = qmp.makefile("rw")
            stream.readline()
            for execute, arguments in (
                ("qmp_capabilities", {}),
                ("human-monitor-command", {"command-line": command}),
            ):
                stream.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "return" not in answer and "error" not in answer:
                    answer = json.loads(stream.readline())
            return answer.get("return", "")

    def stop(self):
        if self._process:
            if self.alive():
                self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._qmp.unlink(missing_ok=True)
            os.rmdir(self._qmp.parent)
            self._process = None
