# SPDX-License-Identifier: GPL-2.0
"""Paths of the tree and the cache."""

import pathlib
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent
TOP = SCRIPTS.parent
BUILD = TOP / "build"


def script(name, *arguments):
    """Runs one of scripts/ and returns what it prints; its messages go to our stderr."""
    done = subprocess.run([SCRIPTS / name, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"scripts/{name} failed")
    return done.stdout.strip()


def cache():
    """The directory that is kept between builds and checkouts."""
    return pathlib.Path(script("cache-dir"))
