# SPDX-License-Identifier: GPL-2.0
"""A copy of the tree, in which mutants are tried one after the other: the common part for host and guest."""

import json
import pathlib
import time

from mutation.mutant import ListError, Verdict


class Unfit(Exception):
    """The unchanged tree does not pass."""


class Workshop:
    """Subclasses have prepare_for(), verdict() and put_back()."""

    def __init__(self, folder):
        self.tree = pathlib.Path(folder)

    def try_out(self, mutant):
        """The verdict on one mutant.  Unfit: a test that it names fails on the unchanged tree."""
        try:
            texts = mutant.changed(self.tree)
        except ListError as error:
            return Verdict(Verdict.ERROR, str(error))
        self.prepare_for(mutant)
        times = {path: path.stat() for path in texts}
        old = {path: path.read_text() for path in texts}
        began = time.monotonic()
        try:
            for path, text in texts.items():
                path.write_text(text)
            verdict = self.verdict(mutant)
        finally:
            for path, text in old.items():
                path.write_text(text)
            self.put_back(times)
        verdict.seconds = time.monotonic() - began
        return verdict

    def prepare_for(self, mutant):
        """Makes sure that the unchanged tree is fit for the tests that the mutant names."""
        raise NotImplementedError

    def verdict(self, mutant):
        """The mutant is in the tree."""
        raise NotImplementedError

    def put_back(self, times):
        """The tree is unchanged again, and the mutant's build must not remain; times are those of the files."""
        raise NotImplementedError


def first_failure(results):
    """The test that failed first by a file of results, with its first line; None if none did."""
    counts = json.loads(results.read_text())
    if not counts["failed"]:
        return None
    name, lines = counts["failures"][0]
    return f"{name}: {(lines or [''])[0][:80]}"


def first_error(output):
    lines = output.splitlines()
    return next((line for line in lines if "error" in line), lines[-1] if lines else "")
