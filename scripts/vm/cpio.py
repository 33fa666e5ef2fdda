# SPDX-License-Identifier: GPL-2.0
"""Writes cpio archives ("newc") as the kernel unpacks them, without root and reproducibly."""

import io
import stat


class Archive:
    def __init__(self):
        self._out = io.BytesIO()
        self._inode = 0
        self._directories = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(encoded), 0)
        self._out.write(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self._pad()
        self._out.write(data)
        self._pad()

    def _pad(self):
        self._out.write(bytes(-self._out.tell() % 4))

    def directory(self, name):
        if name and name not in self._directories:
            self.directory(name.rpartition("/")[0])
            self._directories.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.directory(name.rpartition("/")[0])
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.directory(name.rpartition("/")[0])
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor):
        self.directory(name.rpartition("/")[0])
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def bytes(self):
        self._inode = 0
        self._entry("TRAILER!!!", 0)
        self._out.write(bytes(-self._out.tell() % 512))
        return self._out.getvalue()
