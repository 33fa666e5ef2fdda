# SPDX-License-Identifier: GPL-2.0
"""One run of a machine: boots it, follows its console, and stops it when it is done or hangs."""

import os
import pathlib
import select
import shutil
import time

# oops=panic: output after an oops proves nothing.  panic=-1: reboot at once, which ends the run.  loglevel: the boot is
# quiet, init raises the level.
_KERNEL_ARGS = (
    "console=ttyS0,115200 panic=-1 loglevel=5 printk.devkmsg=on "
    "log_buf_len=4M oops=panic rdinit=/init"
)


def kernel_args(machine, extra):
    return " ".join(filter(None, (_KERNEL_ARGS, machine.kernel_args, extra)))


def follow(machine, kernel, initrd, extra_args, work, log_path, timeout, on_line, judge):
    """Runs the machine to its end.  Each line goes to the log and to on_line; the judge knows when the run is
    complete and only the power-off is left, and when it need not continue.  Returns None or the error."""
    work.mkdir(parents=True, exist_ok=True)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    how = None
    began = last = time.monotonic()
    with open(log_path, "wb") as log:
        try:
            console = machine.start(kernel, initrd, kernel_args(machine, extra_args), work)
            rest = b""
            gone = False
            while True:
                ready, _, _ = select.select([console], [], [], 0.5)
                data = os.read(console, 65536) if ready else b""
                now = time.monotonic()
                if data:
                    last = now
                    log.write(data)
                    log.flush()
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        on_line(line.decode(errors="replace"))
                    how = judge.stop_reason() or (now - began > timeout and f"timeout: not finished after {timeout} s") or None
                    if how:
                        break
                    continue
                # All output that the machine wrote before it ended has been read by now.
                if gone:
                    break
                if not machine.alive():
                    gone = True
                    continue
                if ready:
                    # End of file, or a pipe that has no writer yet.
                    time.sleep(0.1)
                if judge.ended:
                    limit, what = 30, "the machine does not power off"
                else:
                    limit, what = machine.quiet_timeout, f"hang: no output for {machine.quiet_timeout} s"
                if now - last > limit:
                    how = what
                elif now - began > timeout:
                    how = f"timeout: not finished after {timeout} s"
                if how:
                    break
            if rest:
                on_line(rest.decode(errors="replace"))
                log.write(b"\n")
            if not judge.ended:
                log.write(f"\n--- vm-run: {how or 'the machine has ended'}; its state:\n{machine.state()}\n".encode())
        finally:
            machine.stop()
    return how


def remove(work):
    shutil.rmtree(pathlib.Path(work), ignore_errors=True)
