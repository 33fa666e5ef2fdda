# SPDX-License-Identifier: GPL-2.0
"""Makes QEMU log the instructions of each row that the guest announces on its second serial port.

The guest says when a row begins and when it has ended, and waits; logging is on only in between, so that the boot stays
fast.  The log goes through a pipe: only counts are kept.
"""

import os
import re
import select
import socket
import threading
import time

from bench import exec_log

_SINGLE_STEP = ("one-insn-per-tb", "singlestep")  # its name since QEMU 8.1, and before


# The kernel's functions with a meaning of their own; the others handle interrupts.  Each but the first has one instruction of
# its kind.
_SYMBOLS = {
    "native_irq_return_iret": "handled", "save_fpregs_to_fpstate": "xsave", "restore_fpregs_from_fpstate": "xrstor",
    "native_read_msr": "rdmsr", "native_read_msr_safe": "rdmsr", "native_write_msr": "wrmsr", "native_write_msr_safe": "wrmsr",
}


class Tracer:
    """Serves the guest's second serial port, in a thread of its own, until the machine ends."""

    def __init__(self, machine, work, modules, on_row):
        """modules: name -> (code.Module, owner), for modules whose sections the guest may announce."""
        self._machine = machine
        self._folder = work
        self._modules = modules
        self._on_row = on_row
        self._port = work / "control"
        self._pipe = work / "trace"
        self._device = ""
        self._sections = []
        self._symbols = {}
        self._functions = []
        self._row = None
        self.rows = {}
        self.monitor = {}
        self.error = None
        os.mkfifo(self._pipe)
        # icount: time advances with executed instructions, so that logging them adds no timer ticks of the host.
        machine.extra += ["-icount", "shift=0,sleep=on", "-serial", f"unix:{self._port},server=on,wait=off"]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            with self._connect() as port:
                stream = port.makefile("rw", newline="\n")
                for line in stream:
                    if self._line(line.split()):
                        stream.write("go\n")
                        stream.flush()
        except ConnectionError:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.error = f"{type(error).__name__}: {error}"

    def _connect(self):
        while True:
            port = socket.socket(socket.AF_UNIX)
            try:
                port.connect(str(self._port))
                return port
            except OSError:
                port.close()
                time.sleep(0.1)

    def _line(self, words):
        """True if the guest waits for an answer."""
        match words:
            case ["device", path]:
                self._device, self._sections, self._symbols, self._functions = path, [], {}, []
            case ["section", module, name, address]:
                self._sections.append((module, name, int(address, 16)))
            case ["symbol", name, address]:
                self._symbols[name] = int(address, 16)
            case ["function", name, address]:
                self._functions.append((int(address, 16), name))
            case ["row", name, cpu, instruction, *others]:
                self._begin(name, int(cpu), int(instruction, 16), [int(other, 16) for other in others])
                return True
            case ["end", _]:
                self._end()
                return True
        return False

    def _places(self):
        places = exec_log.Places()
        for module, name, address in self._sections:
            if module not in self._modules:
                continue
            code, owner = self._modules[module]
            size = code.sections.get(name)
            if not size:
                continue
            places.add(address, size, owner)
            for (section, offset), mark in code.marks.items():
                if section == name:
                    places.marks[address + offset] = mark
        for name, address in self._symbols.items():
            places.marks[address] = _SYMBOLS.get(name, "interrupt")
        places.functions = sorted(self._functions)
        return places

    def _begin(self, name, cpu, instruction, others):
        counter = exec_log.Counter(self._places(), cpu)
        ended = threading.Event()
        reader = threading.Thread(target=self._read, args=(counter, ended), daemon=True)
        reader.start()
        self._row = (name, instruction, others, counter, reader, ended, time.monotonic())
        self._monitor(f"logfile {self._pipe}")
        self._single_step("on")
        self._monitor("log exec,nochain")

    def _end(self):
        name, instruction, others, counter, reader, ended, began = self._row
        self._monitor("log none")
        self._single_step("off")
        ended.set()
        reader.join(60)
        if reader.is_alive():
            raise TimeoutError("QEMU does not close its log")
        found = exec_log.of_row(counter.crossings, instruction, others)
        self.rows[self._device, name] = found
        if (self._device, name) == ("/dev/vregcache", "cpuid"):
            self.monitor = counter.monitor
        self._on_row(self._device, name, found, time.monotonic() - began)

    def _read(self, counter, ended):
        # QEMU closes the file some time after it has stopped writing, so the end of the log is when no more data comes.
        pipe = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        try:
            while True:
                last = ended.is_set()
                if select.select([pipe], [], [], 0.2)[0]:
                    counter.feed(os.read(pipe, 1 << 20))
                elif last:
                    return
        finally:
            os.close(pipe)

    def _monitor(self, command):
        reply = self._machine.monitor(command).strip()
        if reply:
            raise RuntimeError(f"QEMU's monitor, {command}: {reply}")

    def _single_step(self, state):
        for name in _SINGLE_STEP:
            reply = self._machine.monitor(f"{name} {state}")
            if not re.search("unknown command", reply):
                return
        raise RuntimeError(f"QEMU has none of the commands {', '.join(_SINGLE_STEP)}")
