# SPDX-License-Identifier: GPL-2.0
"""Archives have the "newc" format that the kernel documents."""

import unittest

from vm.cpio import Archive


def entries(data):
    """(name, mode, contents) of each entry."""
    at = 0
    while True:
        assert data[at:at + 6] == b"070701"
        fields = [int(data[at + 6 + i * 8:at + 14 + i * 8], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110:at + 110 + name_size - 1].decode()
        at = (at + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return
        yield name, mode, data[at:at + size]
        at = (at + size + 3) // 4 * 4


class Cpio(unittest.TestCase):
    def setUp(self):
        self.archive = Archive()

    def test_directories_of_a_file_are_added_once(self):
        self.archive.file("a/b/c", b"12345", 0o755)
        self.archive.file("a/b/d", b"")
        self.assertEqual(
            list(entries(self.archive.bytes())),
            [("a", 0o40755, b""), ("a/b", 0o40755, b""), ("a/b/c", 0o100755, b"12345"), ("a/b/d", 0o100644, b"")])

    def test_link_and_device(self):
        self.archive.link("sh", "busybox")
        self.archive.character_device("dev/console", 5, 1)
        self.assertEqual([(n, m) for n, m, _ in entries(self.archive.bytes())],
                         [("sh", 0o120777), ("dev", 0o40755), ("dev/console", 0o20600)])

    def test_length_is_a_multiple_of_512(self):
        self.assertEqual(len(self.archive.bytes()) % 512, 0)


if __name__ == "__main__":
    unittest.main()
