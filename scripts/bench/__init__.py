# SPDX-License-Identifier: GPL-2.0
"""What `make bench` measures: instructions between VM-exit and VM-entry, code generation, parts on this machine."""
