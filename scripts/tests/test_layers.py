# SPDX-License-Identifier: GPL-2.0
"""An include of a higher layer is found."""

import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

from vm.paths import SCRIPTS, TOP

_loader = importlib.machinery.SourceFileLoader("layers", str(SCRIPTS / "layers"))
layers = importlib.util.module_from_spec(importlib.util.spec_from_loader("layers", _loader))
_loader.exec_module(layers)


class Layers(unittest.TestCase):
    def wrong(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            top = pathlib.Path(folder)
            for name, text in {"src/vmx/low.h": "", "src/vcpu/high.h": "", "src/machine.h": "", **files}.items():
                (top / name).parent.mkdir(parents=True, exist_ok=True)
                (top / name).write_text(text)
            return [(name, included) for name, included, _ in layers.wrong(top)]

    def test_include_of_a_lower_or_the_same_layer(self):
        self.assertEqual(self.wrong(**{"src/vcpu/a.cc": '#include "vmx/low.h"\n#include "vcpu/high.h"\n#include <new>\n'}), [])

    def test_include_of_a_higher_layer(self):
        self.assertEqual(self.wrong(**{"src/vmx/a.h": '#include "vcpu/high.h"\n', "src/vmx/b.h": '#include "../vcpu/high.h"\n'}),
                         [("src/vmx/a.h", "src/vcpu/high.h"), ("src/vmx/b.h", "src/vcpu/high.h")])

    def test_include_of_the_boundary(self):
        self.assertEqual(self.wrong(**{"src/vmx/a.cc": '#include "machine.h"\n'}), [])

    def test_folder_without_a_layer(self):
        self.assertEqual(self.wrong(**{"src/new/a.h": "", "src/vcpu/b.h": '#include "new/a.h"\n'}), [("src/vcpu/b.h", "src/new/a.h")])

    def test_the_tree(self):
        self.assertEqual(layers.wrong(TOP), [])


if __name__ == "__main__":
    unittest.main()
