# SPDX-License-Identifier: GPL-2.0
"""The mutants that were caught: kept on this machine between runs and checkouts, and recorded in the tree for other machines.
A verdict is valid while the mutant, the code of the files that it changes and the code of the tests that it names do not
change; comments and white space may change."""

import contextlib
import fcntl
import hashlib
import json
import pathlib
import re

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


def code_of(text):
    """The text without comments, and with normalized white space."""
    return " ".join(_COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else " ", text).split())


def key(mutant, tree):
    """A digest of everything that the verdict depends on, as far as the mutant names it."""
    tree = pathlib.Path(tree)
    if mutant.guest:
        tests = [path for name in mutant.guest.split()
                 for path in (tree / "selftests").glob(f"**/{name if '.' in name else f'{name}.c'}")]
        # A script may be the front end of a folder of that name.
        tests += [path for test in tests for path in test.with_suffix("").glob("*") if path.is_file()]
    elif mutant.rom:
        tests = [tree / "scripts/rom-test", tree / "selftests/vmx_on_svm/boot_test/boot_test.cc"]
    else:
        tests = [tree / "selftests/unit" / f"{test.partition(':')[0]}.cc" for test in mutant.host.split()]
    files = sorted({tree / change.file for change in mutant.changes} | set(tests))
    parts = [mutant.name, mutant.host, mutant.guest, *([mutant.rom] if mutant.rom else []), mutant.rejected, str(mutant.machine),
             *(line for change in mutant.changes for line in ("-", change.file, *change.old, "+", *change.new)),
             *(code_of(path.read_text()) if path.exists() else "" for path in files)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def recorded_digest(digest):
    """Short, so that a line of the record is."""
    return digest[:16]


class Record:
    """In the tree: one line for each mutant, with its name and the digest at which it was caught."""

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def has(self, name, digest):
        return self._read().get(name) == recorded_digest(digest)

    def write(self, digests):
        """@digests: by the names of the mutants that were caught."""
        width = max(len(name) for name in digests)
        self._path.write_text("".join(f"{name:<{width}}  {recorded_digest(digest)}\n" for name, digest in sorted(digests.items())))

    def _read(self):
        try:
            return dict(line.split() for line in self._path.read_text().splitlines())
        except OSError:
            return {}


class Verdicts:
    """Of this machine, in one file, which concurrent runs may use."""

    # Instead of a digest's first character: not caught, although the record may say otherwise.
    _MISSED = "-"

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def has(self, name, digest):
        return self._read().get(name) == digest

    def missed(self, name, digest):
        return self._read().get(name) == self._MISSED + digest

    def caught(self, name, digest):
        with self._changed() as verdicts:
            verdicts[name] = digest

    def not_caught(self, name, digest):
        with self._changed() as verdicts:
            verdicts[name] = self._MISSED + digest

    def _read(self):
        try:
            return json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}

    @contextlib.contextmanager
    def _changed(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            verdicts = self._read()
            yield verdicts
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(verdicts, indent=0, sort_keys=True))
            new.rename(self._path)
