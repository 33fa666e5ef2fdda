#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Makes an option ROM of a flat binary: pads it to blocks of 512 bytes, and sets its size and its checksum."""

import pathlib
import sys

BLOCK = 512


def main():
    source, target = map(pathlib.Path, sys.argv[1:])
    rom = bytearray(source.read_bytes())
    blocks = len(rom) // BLOCK + 1
    if blocks > 255:
        raise SystemExit(f"{target}: {len(rom)} bytes do not fit into an option ROM")
    rom += bytes(blocks * BLOCK - len(rom))
    rom[2] = blocks
    rom[-1] = -sum(rom) & 0xff
    target.write_bytes(rom)


if __name__ == "__main__":
    main()
