# SPDX-License-Identifier: GPL-2.0
"""Which machine is picked, on hosts of every kind."""

import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

from vm import kvm, machine
from vm.qemu import Qemu


class Claims(unittest.TestCase):
    """A host's own claim."""

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
        self.refused("there is no", device="/nonexistent/kvm")

    def test_cpu_without_vmx_is_named(self):
        self.refused("no VMX (A CPU)", flags="fpu svm")

    def test_nested_is_off(self):
        self.refused("nested is off", nested="N\n")
        self.refused("nested is off", nested="0\n")

    def test_device_that_is_none(self):
        self.refused("does not answer KVM_GET_SUPPORTED_CPUID")


class Rom(unittest.TestCase):
    """The guest of a few instructions, on machines that are shell commands."""

    def wrong(self, script, seconds=5):
        return kvm.runs_rom(lambda rom: ["sh", "-c", script, "sh", rom], seconds)

    def test_works(self):
        self.assertIsNone(self.wrong(f"exit {ord('W') << 1 | 1}"))

    def test_other_ends(self):
        self.assertIn("shows it no VMX", self.wrong(f"exit {ord('N') << 1 | 1}"))
        self.assertIn("fails its VMXON", self.wrong(f"exit {ord('F') << 1 | 1}"))
        self.assertIn("status 1: no such CPU", self.wrong("echo no such CPU; exit 1"))
        self.assertIn("status 0", self.wrong("exit 0"))

    def test_hang(self):
        self.assertIn("hangs in it", self.wrong("exec sleep 60", 0.3))

    def test_the_rom_fills_its_place(self):
        self.assertIsNone(self.wrong(f'[ $(stat -c %s "$1") = 65536 ] && exit {ord("W") << 1 | 1}'))

    def test_qemu_without_vmx_runs_it(self):
        self.assertIn("shows it no VMX", kvm.runs_rom(Qemu("tcg", 1, 16).rom_command, 30))


class Offers(unittest.TestCase):
    """The order of the checks, and the kept answers."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.memory = pathlib.Path(folder.name) / "deep/probe.json"
        self.asked = []

    def offers(self, claims=(True, "it claims"), rom=None, boots=None):
        def asked(name, answer):
            self.asked.append(name)
            return answer

        return kvm.offers_vmx(
            Qemu("kvm", 1, 16), sys.executable, lambda: asked("boots", boots), claims=lambda: asked("claims", claims),
            rom=lambda command: asked("rom", rom), memory=self.memory)

    def test_no_guest_runs_where_the_host_claims_nothing(self):
        self.assertEqual(self.offers(claims=(False, "no")), (False, "no"))
        self.assertEqual(self.asked, ["claims"])
        self.assertFalse(self.memory.exists())

    def test_no_kernel_boots_where_the_small_guest_hangs(self):
        answer, why = self.offers(rom="it hangs")
        self.assertEqual((answer, self.asked), (False, ["claims", "rom"]))
        self.assertIn("it claims, but it hangs", why)

    def test_a_failed_boot_is_a_no(self):
        answer, why = self.offers(boots="it did not come up")
        self.assertEqual((answer, self.asked), (False, ["claims", "rom", "boots"]))
        self.assertIn("did not come up", why)

    def test_yes_and_no_are_remembered(self):
        for rom in (None, "it hangs"):
            self.memory.unlink(missing_ok=True)
            first = self.offers(rom=rom)
            self.asked.clear()
            again = self.offers(rom="another answer", boots="another answer")
            self.assertEqual((again[0], self.asked), (first[0], ["claims"]))
            self.assertIn("seen before", again[1])

    def test_another_boot_asks_again(self):
        self.offers(rom="it hangs")
        known = json.loads(self.memory.read_text())
        known["host"]["boot"] = "another"
        self.memory.write_text(json.dumps(known))
        self.assertTrue(self.offers()[0])

    def test_a_damaged_memory_asks_again(self):
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

    def test_bochs_that_is_given_is_taken(self):
        self.assertEqual(self.pick("auto", "/b"), ("Bochs /b", "BOCHS= is given"))
        self.assertEqual(self.pick("bochs", "/b"), ("Bochs /b", "as told"))
        self.assertEqual(self.pick("tcg", "/b")[0].accelerator, "tcg")

    def test_what_cannot_be_had_is_said(self):
        with self.assertRaisesRegex(SystemExit, "BOCHS="):
            self.pick("bochs")
        with self.assertRaisesRegex(SystemExit, "no VMX"):
            self.pick("kvm")


if __name__ == "__main__":
    unittest.main()
