# SPDX-License-Identifier: GPL-2.0
"""Runs the tests in a virtual machine: kernel, initramfs, machine, and the judge of the guest's output."""
