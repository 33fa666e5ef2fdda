# SPDX-License-Identifier: GPL-2.0
"""The list of mutants, selftests/mutants/*.mutants: each breaks one rule of the product in one place.

    # a comment
    [marks_before_it_stores]
    breaks: 2. a register is marked available after its value is cached
    host: interrupt_test cache_test:CacheTest.Miss*
    file: include/vregcache/cache.h
    - value_[index(reg)] = value;
    - compiler_barrier();
    - available_ |= reg;
    + available_ |= reg;
    + value_[index(reg)] = value;

`breaks` is the rule.  `host` names the programs of selftests/unit that should catch it, in this order, each alone or with
a filter of GoogleTest.  `guest` names tests in selftests/ instead, which run in a virtual machine; then `kernel`
(debian) and `cpus` (1) say in which, and `verify: on` loads the module with verification (off).  `rom` names a machine of
scripts/rom-test instead.  `rejected: REGEX` instead of all: the compiler rejects it, with such an error.

Lines with `-` are the old text, which must be in the file exactly once, and those with `+` after it the new text.  Any
white space in the old text matches any other.  There may be several such pairs, and several files.
"""

import dataclasses
import pathlib
import re
import typing

KEYS = ("breaks", "host", "guest", "rom", "kernel", "cpus", "verify", "rejected")


class Machine(typing.NamedTuple):
    """The machine for a mutant."""

    kernel: str
    cpus: str
    verify: str

    def __str__(self):
        return f"{self.kernel} with {self.cpus} CPUs and verification {self.verify}"


class ListError(Exception):
    """The list of mutants does not fit the tree, or is invalid."""


@dataclasses.dataclass
class Change:
    file: str
    old: list = dataclasses.field(default_factory=list)
    new: list = dataclasses.field(default_factory=list)

    def pattern(self):
        return re.compile(r"\s+".join(re.escape(word) for word in " ".join(self.old).split()))

    def apply(self, text):
        found = list(self.pattern().finditer(text)) if any(line.strip() for line in self.old) else []
        if len(found) != 1:
            raise ListError(f"the old text occurs {len(found)} times in {self.file}: {' '.join(self.old).strip()}")
        return text[:found[0].start()] + "\n".join(self.new) + text[found[0].end():]


@dataclasses.dataclass
class Mutant:
    name: str
    place: str
    changes: list = dataclasses.field(default_factory=list)
    breaks: str = ""
    host: str = ""
    guest: str = ""
    rom: str = ""
    kernel: str = "debian"
    cpus: str = "1"
    verify: str = "off"
    rejected: str = ""

    @property
    def machine(self):
        return Machine(self.kernel, self.cpus, self.verify)

    def changed(self, tree):
        """The files that change, as {path: text}.  ListError: it does not fit the tree."""
        texts = {}
        for change in self.changes:
            path = pathlib.Path(tree) / change.file
            if path not in texts:
                try:
                    texts[path] = path.read_text()
                except FileNotFoundError:
                    raise ListError(f"{self.name}: {change.file} does not exist") from None
            try:
                texts[path] = change.apply(texts[path])
            except ListError as error:
                raise ListError(f"{self.name}: {error}") from None
        return texts

    def check(self):
        if not self.breaks:
            raise ListError(f"{self.place}: {self.name} has no 'breaks:' line")
        if bool(self.host) + bool(self.guest) + bool(self.rom) + bool(self.rejected) != 1:
            raise ListError(f"{self.place}: {self.name} must have exactly one of 'host:', 'guest:', 'rom:' and 'rejected:'")
        if self.verify not in ("on", "off"):
            raise ListError(f"{self.place}: {self.name}: verify must be on or off")
        if not self.changes:
            raise ListError(f"{self.place}: {self.name} changes nothing")
        for change in self.changes:
            if not change.old:
                raise ListError(f"{self.place}: {self.name} has no old text for {change.file}")


def parse(text, name="list"):
    mutants, mutant, change, file = [], None, None, None
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{name}:{number}"
        if match := re.fullmatch(r"\[(\w+)\]", line):
            mutant, change, file = Mutant(match[1], place), None, None
            mutants.append(mutant)
        elif not line.strip() or line.startswith("#"):
            change = None
        elif mutant is None:
            raise ListError(f"{place}: this line belongs to no mutant; begin one with [NAME]")
        elif line[0] in "-+":
            if file is None:
                raise ListError(f"{place}: 'file:' must come before '-' and '+'")
            if line[0] == "-" and (change is None or change.new):
                change = Change(file)
                mutant.changes.append(change)
            if change is None:
                raise ListError(f"{place}: '+' must come after '-'")
            (change.old if line[0] == "-" else change.new).append(line[1:].removeprefix(" "))
        elif line.startswith("file: "):
            change, file = None, line.removeprefix("file: ").strip()
        else:
            key, colon, value = line.partition(": ")
            if not colon or key not in KEYS:
                raise ListError(f"{place}: unknown line: {line}")
            setattr(mutant, key, value.strip())
    for mutant in mutants:
        mutant.check()
    return mutants


def read(folder):
    """All lists in the folder."""
    mutants = []
    for path in sorted(pathlib.Path(folder).glob("*.mutants")):
        mutants += parse(path.read_text(), path.name)
    names = [mutant.name for mutant in mutants]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ListError(f"duplicate mutant names: {' '.join(sorted(duplicates))}")
    return mutants


@dataclasses.dataclass
class Verdict:
    """The outcome of a mutant."""

    CAUGHT, SURVIVED, ERROR = "caught", "SURVIVED", "ERROR"

    what: str
    by: str = ""       # the test that caught it, or what went wrong
    seconds: float = 0
