# SPDX-License-Identifier: GPL-2.0
"""The mutants that were caught, kept between runs and checkouts.  A verdict is valid while the mutant, the files that it
changes and the tests that it names do not change."""

import hashlib
import json
import pathlib


def key(mutant, tree):
    """A digest of everything that the verdict depends on, as far as the mutant names it."""
    tree = pathlib.Path(tree)
    if mutant.guest:
        tests = [tree / "selftests" / (name if "." in name else f"{name}.c") for name in mutant.guest.split()]
    else:
        tests = [tree / "selftests/unit" / f"{test.partition(':')[0]}.cc" for test in mutant.host.split()]
    files = sorted({tree / change.file for change in mutant.changes} | set(tests))
    told = [mutant.name, mutant.host, mutant.guest, mutant.rejected, str(mutant.machine),
            *(line for change in mutant.changes for line in ("-", change.file, *change.old, "+", *change.new)),
            *(path.read_text() if path.exists() else "" for path in files)]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


class Verdicts:
    def __init__(self, path):
        self._path = pathlib.Path(path)
        try:
            self._caught = json.loads(self._path.read_text())
        except (OSError, ValueError):
            self._caught = {}

    def has(self, mutant, tree):
        return self._caught.get(mutant.name) == key(mutant, tree)

    def add(self, mutant, digest):
        """It was caught, with this key()."""
        self._caught[mutant.name] = digest

    def drop(self, mutant):
        self._caught.pop(mutant.name, None)

    def save(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._caught, indent=0, sort_keys=True))
        new.rename(self._path)
