# SPDX-License-Identifier: GPL-2.0
"""The measurements of `make bench`: instructions between VM-exit and VM-entry, code generation, parts on this machine."""
