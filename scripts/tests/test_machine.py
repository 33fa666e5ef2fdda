# SPDX-License-Identifier: GPL-2.0
"""Which machine is picked on which host."""

import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from vm import kvm, machine
from vm.qemu import Qemu


class Claims(unittest.TestCase):
    """What the host itself claims."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def file(self, name, text):
        path = pathlib.Path(self.folder.name) / name
        path.write_text(text)
        return str(path)

    def claims(self, flags="fpu vmx", nested="Y\n", device=None):
        cpuinfo = self.file("cpuinfo", f"model name\t: A CPU\nflags\t\t: {flags}\n")
        return kvm.claims_vmx(device or self.file("kvm", ""), cpuinfo, self.file("nested", nested))

    def refused(self, text, **host):
        answer, why = self.claims(**host)
        self.assertFalse(answer)
        self.assertIn(text, why)

    def test_no_device(self):
        self.refused("does not exist", device="/nonexistent/kvm")

    def test_cpu_without_vmx_is_named(self):
        self.refused("no VMX (A CPU)", flags="fpu svm")

    def test_nested_is_off(self):
        self.refused("nested is off", nested="N\n")
        self.refused("nested is off", nested="0\n")

    def test_device_that_is_not_kvm(self):
        self.refused("KVM_GET_SUPPORTED_CPUID fails")


class Rom(unittest.TestCase):
    """The guest of a few instructions, on machines that are shell commands."""

    def wrong(self, script, seconds=5):
        return kvm.runs_rom(lambda rom: ["sh", "-c", script, "sh", rom], seconds)

    def test_vmx_works(self):
        self.assertIsNone(self.wrong(f"exit {ord('W') << 1 | 1}"))

    def test_other_results(self):
        self.assertIn("finds no VMX", self.wrong(f"exit {ord('N') << 1 | 1}"))
        self.assertIn("cannot execute VMXON", self.wrong(f"exit {ord('F') << 1 | 1}"))
        self.assertIn("status 1: no such CPU", self.wrong("echo no such CPU; exit 1"))
        self.assertIn("status 0", self.wrong("exit 0"))

    def test_hang(self):
        self.assertIn("a minimal guest hangs", self.wrong("exec sleep 60", 0.3))

    def test_rom_size(self):
        self.assertIsNone(self.wrong(f'[ $(stat -c %s "$1") = 65536 ] && exit {ord("W") << 1 | 1}'))

    def test_qemu_without_vmx_runs_it(self):
        self.assertIn("finds no VMX", kvm.runs_rom(Qemu("tcg", 1, 16).rom_command, 30))


class Offers(unittest.TestCase):
    """The order of the checks, and the kept answers."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.memory = pathlib.Path(folder.name) / "deep/probe.json"
        self.called = []

    def offers(self, claims=(True, "it claims"), rom=None, boots=None):
        def called(name, answer):
            self.called.append(name)
            return answer

        return kvm.offers_vmx(
            Qemu("kvm", 1, 16), sys.executable, lambda: called("boots", boots), claims=lambda: called("claims", claims),
            rom=lambda command: called("rom", rom), memory=self.memory)

    def test_no_guest_runs_if_the_host_claims_no_vmx(self):
        self.assertEqual(self.offers(claims=(False, "no")), (False, "no"))
        self.assertEqual(self.called, ["claims"])
        self.assertFalse(self.memory.exists())

    def test_no_kernel_boots_if_the_minimal_guest_hangs(self):
        answer, why = self.offers(rom="it hangs")
        self.assertEqual((answer, self.called), (False, ["claims", "rom"]))
        self.assertIn("it claims, but it hangs", why)

    def test_failed_boot_means_no(self):
        answer, why = self.offers(boots="it did not come up")
        self.assertEqual((answer, self.called), (False, ["claims", "rom", "boots"]))
        self.assertIn("did not come up", why)

    def test_yes_and_no_are_remembered(self):
        for rom in (None, "it hangs"):
            self.memory.unlink(missing_ok=True)
            first = self.offers(rom=rom)
            self.called.clear()
            again = self.offers(rom="another answer", boots="another answer")
            self.assertEqual((again[0], self.called), (first[0], ["claims"]))
            self.assertIn("checked earlier", again[1])

    def test_checked_again_after_reboot(self):
        self.offers(rom="it hangs")
        known = json.loads(self.memory.read_text())
        known["host"]["boot"] = "another"
        self.memory.write_text(json.dumps(known))
        self.assertTrue(self.offers()[0])

    def test_checked_again_if_the_file_is_damaged(self):
        self.offers(rom="it hangs")
        self.memory.write_text("{")
        self.assertTrue(self.offers()[0])


class Pick(unittest.TestCase):
    def pick(self, kind, bochs=None, offered=(False, "no VMX")):
        with mock.patch.object(machine.kvm, "offers_vmx", return_value=offered), \
                mock.patch.object(machine, "Bochs", side_effect=lambda binary, *_: f"Bochs {binary}"), \
                mock.patch.object(machine.shutil, "which", return_value="/qemu"):
            return machine.pick(kind, 1, 16, bochs, None)

    def test_auto(self):
        taken, why = self.pick("auto")
        self.assertEqual((taken.accelerator, why), ("tcg", "no VMX"))
        taken, why = self.pick("auto", offered=(True, "it runs"))
        self.assertEqual((taken.accelerator, why), ("kvm", "it runs"))

    def test_bochs_is_used_if_set(self):
        self.assertEqual(self.pick("auto", "/b"), ("Bochs /b", "BOCHS= is set"))
        self.assertEqual(self.pick("bochs", "/b"), ("Bochs /b", "requested"))
        self.assertEqual(self.pick("tcg", "/b")[0].accelerator, "tcg")

    def test_unavailable_machine_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, "BOCHS="):
            self.pick("bochs")
        with self.assertRaisesRegex(SystemExit, "no VMX"):
            self.pick("kvm")


if __name__ == "__main__":
    unittest.main()
