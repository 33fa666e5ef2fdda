# SPDX-License-Identifier: GPL-2.0
"""Finds the instructions in a module's file that are counted by kind."""

import dataclasses
import lzma
import pathlib
import re
import subprocess
import tempfile


@dataclasses.dataclass
class Module:
    """Sections with code: name -> size.  Marks: (section, offset) -> "exit", "entry", or the kind of an instruction."""

    sections: dict
    marks: dict


_SECTION = re.compile(r"^\s*\d+ (\S+)\s+([0-9a-f]+)\s")
_DISASSEMBLY_OF = re.compile(r"^Disassembly of section (\S+):")
_INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(?:\S+ )*\s*(vmread|vmwrite|vmresume|vmlaunch|vmptrld|vmptrst|vmclear|invept|rdmsr|wrmsr|xsave|xrstor)(?:s|c|opt)?(?:64)?\b")
_EXITS = ("vrc_vmx_exit", "vmx_vmexit")
_SYMBOL = re.compile(r"^([0-9a-f]+) .* (\S+)\t[0-9a-f]+ (?:\.hidden )?(\S+)$")


def _objdump(path, *options):
    done = subprocess.run(["objdump", *options, path], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()


def parse(headers, symbols, disassembly):
    """From the lines of objdump -h, -t and -d --no-show-raw-insn."""
    sections = {}
    for at, line in enumerate(headers):
        found = _SECTION.match(line)
        if found and "CODE" in headers[at + 1]:
            sections[found[1]] = int(found[2], 16)
    marks = {}
    for line in symbols:
        found = _SYMBOL.match(line)
        if found and found[3] in _EXITS:
            marks[found[2], int(found[1], 16)] = "exit"
    section = ""
    for line in disassembly:
        if found := _DISASSEMBLY_OF.match(line):
            section = found[1]
        elif found := _INSTRUCTION.match(line):
            marks[section, int(found[1], 16)] = "entry" if found[2] in ("vmresume", "vmlaunch") else found[2]
    return Module(sections, marks)


def read(path):
    """Reads a .ko or .ko.xz."""
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".xz":
            plain = pathlib.Path(folder) / path.stem
            plain.write_bytes(lzma.decompress(path.read_bytes()))
            path = plain
        return parse(_objdump(path, "-h"), _objdump(path, "-t"), _objdump(path, "-d", "--no-show-raw-insn"))
