# SPDX-License-Identifier: GPL-2.0
"""A kernel to test on, found or fetched by scripts/test-kernel."""

import dataclasses
import pathlib

from vm.paths import BUILD, script


@dataclasses.dataclass(frozen=True)
class Kernel:
    name: str
    release: str
    version: str
    vmlinuz: pathlib.Path
    modules: pathlib.Path | None
    kdir: pathlib.Path

    def built_modules(self):
        """Our modules for this kernel, as scripts/build-modules built them.  A module that is not in Kbuild's list
        was built from a source that no longer exists."""
        tree = BUILD / self.release
        found = []
        for order in [tree / "modules.order", *sorted(tree.glob("selftests/*/modules.order"))]:
            if not (order.parent / "Kbuild").exists():
                continue
            for line in order.read_text().split():
                # An absolute path or one relative to the folder; .ko, or .o in later kernels.
                path = order.parent / pathlib.Path(line).with_suffix(".ko")
                found.append(path)
        return found


def find(name):
    directory = pathlib.Path(script("test-kernel", name).splitlines()[-1])
    return load(directory)


def load(directory):
    values = {}
    for line in (directory / "kernel.conf").read_text().splitlines():
        key, separator, value = line.partition("=")
        if separator and not key.startswith("#"):
            values[key] = value
    modules = values.get("modules")
    return Kernel(
        name=values["name"],
        release=values["release"],
        version=values.get("version", ""),
        vmlinuz=directory / values["vmlinuz"],
        modules=directory / modules if modules else None,
        kdir=directory / values["kdir"],
    )
