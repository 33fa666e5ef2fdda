# SPDX-License-Identifier: GPL-2.0
"""Counts instructions along a path through functions, in their disassembly.

The path is the shortest one of the requested kind: that reads a VMCS field and succeeds (a miss), or that reads none (a
hit).  Known values decide branches: constants in registers, success of VMREAD, variables that are zero.
"""

import dataclasses
import re
import subprocess

_SECTION = re.compile(r"^Disassembly of section (\S+):")
_FUNCTION = re.compile(r"^([0-9a-f]+) <(.+)>:$")
_LINE = re.compile(r"^\s*([0-9a-f]+):\t([^\t]*)(?:\t([0-9a-f]+): (R_X86_64_\S+)\t(\S+))?")
_TARGET = re.compile(r"^([0-9a-f]+)(?: <(.+?)(?:\+0x([0-9a-f]+))?>)?")
_REGISTER = re.compile(r"^%(?:[re]?([abcd])[xl]|[re]?([sd]il?)|[re]?(bpl?|spl?)|r(\d+)[dwb]?)$")
_SUM = re.compile(r"^(.*?)([+-]0x[0-9a-f]+)?$")

RETURN = "__x86_return_thunk"
_LONGEST = 2000
_PREFIXES = ("rep", "repz", "lock", "bnd", "notrack", "cs", "ds", "data16")


@dataclasses.dataclass
class Instruction:
    section: str
    address: int
    size: int
    mnemonic: str
    operands: list
    # The relocation: a symbol, or "" for none, and its addend.
    symbol: str
    addend: int


@dataclasses.dataclass
class Path:
    """Instructions executed, without the probe's own frame: its call to ftrace and its return."""

    instructions: int = 0
    bytes: int = 0
    vmreads: int = 0
    vmwrites: int = 0
    calls: int = 0


class Object:
    def __init__(self, lines):
        self._at = {}
        self.functions = {}
        section, previous = "", None
        for line in lines:
            if found := _SECTION.match(line):
                section, previous = found[1], None
            elif found := _FUNCTION.match(line):
                self.functions[found[2]] = (section, int(found[1], 16))
            elif found := _LINE.match(line):
                address = int(found[1], 16)
                if previous:
                    previous.size = address - previous.address
                words = found[2].split("#")[0].split(None, 1)
                while len(words) > 1 and words[0] in _PREFIXES:
                    words = words[1].split(None, 1)
                if not words:
                    continue
                symbol, addend = "", 0
                if found[5]:
                    name, more = _SUM.match(found[5]).groups()
                    symbol, addend = name, int(more or "0", 16)
                operands = _operands(words[1].strip()) if len(words) > 1 else []
                previous = Instruction(section, address, 0, words[0], operands, symbol, addend)
                self._at[section, address] = previous
        self._static_calls = {
            name.removeprefix("__SCT__"): self._target(self._at[where])
            for name, where in self.functions.items() if name.startswith("__SCT__") and where in self._at}

    def _target(self, instruction):
        """The target of a call or jump: (section, address), or the name of an external symbol."""
        if instruction.symbol:
            if instruction.symbol in self.functions:
                section, address = self.functions[instruction.symbol]
                return section, address + instruction.addend + 4
            if any(where[0] == instruction.symbol for where in self.functions.values()):
                return instruction.symbol, instruction.addend + 4
            return instruction.symbol
        found = _TARGET.match(instruction.operands[0]) if instruction.operands else None
        return (instruction.section, int(found[1], 16)) if found else "?"

    def path(self, function, *, vmreads, zero=()):
        """The shortest path with a VMREAD (vmreads=1) or without one (0).  zero: names of variables that are 0."""
        if function not in self.functions:
            raise LookupError(f"no function {function} in the object")
        best = None
        state = (self.functions[function], (), {}, None, Path())
        pending = [state]
        steps = 0
        while pending:
            where, stack, known, flags, path = pending.pop()
            while True:
                steps += 1
                if steps > 200000:
                    raise RuntimeError(f"{function}: too many paths")
                instruction = self._at.get(where)
                if instruction is None or path.instructions > (best.instructions if best else _LONGEST):
                    break
                after = (where[0], where[1] + instruction.size)
                name = instruction.mnemonic
                if instruction.symbol == "__fentry__" or name == "endbr64":
                    where = after
                    continue
                if name.startswith("ret") or (name == "jmp" and instruction.symbol == RETURN):
                    if stack:
                        where, stack = stack[-1], stack[:-1]
                        path = _with(path, instruction)
                        known = {}
                        continue
                    if (path.vmreads > 0) == bool(vmreads) and (best is None or path.instructions < best.instructions):
                        best = path
                    break
                path = _with(path, instruction)
                if name == "ud2":
                    break
                if name in ("jmp", "call"):
                    target = self._target(instruction)
                    if isinstance(target, str):
                        target = self._static_calls.get(target.removeprefix("__SCT__"))
                    if not isinstance(target, tuple) or target not in self._at:
                        break
                    if name == "call":
                        path.calls += 1
                        stack += (after,)
                    where = target
                    continue
                if name.startswith("j"):
                    target = self._target(instruction)
                    taken = _taken(name, flags)
                    if taken is not False and isinstance(target, tuple) and "unlikely" not in target[0]:
                        if taken:
                            where = target
                            continue
                        pending.append((target, stack, dict(known), flags, dataclasses.replace(path)))
                    elif taken:
                        break
                    where = after
                    continue
                flags = _follow(instruction, known, flags, zero)
                where = after
        if best is None:
            raise LookupError(f"{function}: no such path")
        return best


def read(path):
    """OSError: the file does not exist, or objdump cannot read it."""
    command = ["objdump", "-drw", "--no-show-raw-insn", path]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise OSError(f"objdump fails on {path}")
    return Object(done.stdout.splitlines())


def _operands(text):
    """Split at commas that are not in brackets."""
    return re.split(r",(?![^(]*\))", text.replace(" ", "")) if not _TARGET.match(text) else [text]


def _with(path, instruction):
    path = dataclasses.replace(path, instructions=path.instructions + 1, bytes=path.bytes + instruction.size)
    path.vmreads += instruction.mnemonic == "vmread"
    path.vmwrites += instruction.mnemonic == "vmwrite"
    return path


def _register(operand):
    found = _REGISTER.match(operand)
    return next((part.rstrip("l") for part in found.groups() if part), None) if found else None


def _value(operand, known):
    if operand.startswith("$"):
        return int(operand[1:], 0) & 0xffffffff
    return known.get(_register(operand))


def _follow(instruction, known, flags, zero):
    """Updates `known` for an instruction that is not a jump; returns the flags."""
    name, operands = instruction.mnemonic, instruction.operands
    if name in ("vmread", "vmwrite"):
        flags = "success"
    elif name.startswith("cmp") and len(operands) == 2:
        left, right = (_value(operand, known) for operand in reversed(operands))
        if left is None and instruction.symbol in zero and instruction.symbol:
            left = 0
        return (left, right) if left is not None and right is not None else None
    elif name.startswith("test") and len(operands) == 2:
        left, right = (_value(operand, known) for operand in operands)
        return (left & right, 0) if left is not None and right is not None else None
    elif not name.startswith(("mov", "lea", "push", "pop", "nop", "set", "cmov", "xchg", "not", "endbr")):
        flags = None
    if not operands or name.startswith(("push", "nop", "bt")) and name not in ("bts", "btr", "btc"):
        return flags
    register = _register(operands[-1])
    if register:
        value = None
        if name.startswith("mov") and len(operands) == 2 and not instruction.symbol:
            value = _value(operands[0], known)
        elif name.startswith("xor") and len(operands) == 2 and operands[0] == operands[1]:
            value = 0
        if value is None:
            known.pop(register, None)
        else:
            known[register] = value
    return flags


def _taken(name, flags):
    """True, False, or None if unknown."""
    if flags is None:
        return None
    if flags == "success":
        return {"jbe": False, "jna": False, "jb": False, "jc": False, "je": False, "jz": False,
                "ja": True, "jae": True, "jnc": True, "jne": True, "jnz": True}.get(name)
    left, right = flags
    signed = [value - (1 << 32) if value >> 31 else value for value in (left, right)]
    answers = {
        "je": left == right, "jne": left != right, "ja": left > right, "jae": left >= right, "jb": left < right,
        "jbe": left <= right, "jg": signed[0] > signed[1], "jge": signed[0] >= signed[1], "jl": signed[0] < signed[1],
        "jle": signed[0] <= signed[1],
    }
    return answers.get(name)
