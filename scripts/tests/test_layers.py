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

    def test_downwards_and_within_a_layer_is_right(self):
        self.assertEqual(self.wrong(**{"src/vcpu/a.cc": '#include "vmx/low.h"\n#include "vcpu/high.h"\n#include <new>\n'}), [])

    def test_upwards_is_wrong_by_any_name(self):
        self.assertEqual(self.wrong(**{"src/vmx/a.h": '#include "vcpu/high.h"\n', "src/vmx/b.h": '#include "../vcpu/high.h"\n'}),
                         [("src/vmx/a.h", "src/vcpu/high.h"), ("src/vmx/b.h", "src/vcpu/high.h")])

    def test_each_part_may_include_what_it_defines_for_linux(self):
        self.assertEqual(self.wrong(**{"src/vmx/a.cc": '#include "machine.h"\n'}), [])

    def test_a_folder_that_nobody_has_placed_is_wrong(self):
        self.assertEqual(self.wrong(**{"src/new/a.h": "", "src/vcpu/b.h": '#include "new/a.h"\n'}), [("src/vcpu/b.h", "src/new/a.h")])

    def test_the_tree_is_in_order(self):
        self.assertEqual(layers.wrong(TOP), [])


if __name__ == "__main__":
    unittest.main()
