# SPDX-License-Identifier: GPL-2.0
"""The guest's root file system: busybox, trace-cmd, the kernel modules that tests need, our modules, the kselftests."""

import fcntl
import gzip
import hashlib
import lzma
import pathlib
import re
import shlex
import subprocess
import tempfile

from vm import cpio
from vm.paths import BUILD, SCRIPTS

CACHE = BUILD / "initramfs"
BUSYBOX = pathlib.Path("/bin/busybox")
TRACE_CMD = pathlib.Path("/usr/bin/trace-cmd")


class Tests:
    """The programs that scripts/build-selftests built."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.programs = self._list("kselftest-list.txt")
        self.files = self._list("kselftest-files.txt")

    def _list(self, name):
        path = self.directory / name
        if not path.exists():
            raise SystemExit(f"{path} is missing; run `make selftests`")
        return path.read_text().split()

    def collections(self):
        """In the order to run: the CPU's VMX comes before the tests that use it."""
        names = dict.fromkeys(program.partition(":")[0] for program in self.programs)
        return sorted(names, key=lambda name: not name.endswith("/vmx_on_svm"))

    def select(self, wanted):
        """Programs by name, with or without the collection; all if there is no name."""
        if not wanted:
            return self.programs
        chosen = []
        for name in wanted:
            found = [p for p in self.programs if name in (p, p.partition(":")[2], p.partition(":")[2].partition(".")[0])
                     or name == p.partition(":")[0]]
            if not found:
                raise SystemExit(f"no test '{name}'; available: {' '.join(self.programs)}")
            chosen += [p for p in found if p not in chosen]
        return chosen


def _with_libraries(program):
    """A program of this machine, and its libraries: name in the archive -> path."""
    files = {f"bin/{program.name}": program}
    output = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", and the loader alone.
    for library in re.findall(r"(/\S+) \(0x", output):
        # /lib is a link to /usr/lib; the loader looks in both.
        files[re.sub(r"^/(usr/)?", "", library)] = pathlib.Path(library)
    return files


def _module_bytes(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _contents(kernel, tests):
    """All files of the archive: name -> (path or bytes, executable, to be stripped)."""
    files = {}
    for name in ("timeout", "perl"):
        files[f"bin/{name}"] = (SCRIPTS / "guest" / name, True, False)
    files["init"] = (SCRIPTS / "guest" / "init", True, False)
    files["bin/busybox"] = (BUSYBOX, True, False)
    for name, path in _with_libraries(TRACE_CMD).items():
        files[name] = (path, True, False)

    if kernel.modules:
        depends = {}
        for path in sorted(kernel.modules.rglob("*.ko*")):
            name = path.name.removesuffix(".xz")
            data = _module_bytes(path)
            files[f"lib/modules/{kernel.release}/{name}"] = (data, False, False)
            found = re.search(rb"\0?depends=([^\0]*)\0", data)
            depends[name] = [d.replace("_", "-") for d in found.group(1).decode().split(",") if d] if found else []
        known = {name.removesuffix(".ko").replace("_", "-"): name for name in depends}

        def chain(name):
            direct = [known[d] for d in depends[name] if d in known]
            return list(dict.fromkeys(direct + [c for d in direct for c in chain(d)]))

        lines = [f"{name}: {' '.join(chain(name))}\n" for name in depends]
        files[f"lib/modules/{kernel.release}/modules.dep"] = ("".join(lines).encode(), False, False)

    ours = kernel.built_modules()
    if not ours:
        raise SystemExit(f"no modules are built for {kernel.release}; run `make modules`")
    for path in ours:
        files[f"modules/{path.name}"] = (path, False, True)

    base = tests.directory
    files["selftests/run_kselftest.sh"] = (base / "run_kselftest.sh", True, False)
    files["selftests/kselftest-list.txt"] = (base / "kselftest-list.txt", False, False)
    for name in ("runner.sh", "prefix.pl", "module.sh"):
        files[f"selftests/kselftest/{name}"] = (base / "kselftest" / name, True, False)
    for item in tests.programs + tests.files:
        collection, _, name = item.partition(":")
        path = base / collection / name
        if not path.exists():
            raise SystemExit(f"{path} is missing; run `make selftests`")
        is_elf = path.read_bytes()[:4] == b"\x7fELF"
        files[f"selftests/{collection}/{name}"] = (path, is_elf or path.suffix == ".sh", is_elf)
    return files


def _stripped(path):
    with tempfile.NamedTemporaryFile() as out:
        # Debugging information only: a module needs its symbols, and so do back traces.
        subprocess.run(["strip", "--strip-debug", "-o", out.name, path], check=True)
        return pathlib.Path(out.name).read_bytes()


def base_image(kernel, tests):
    """Returns the archive that all runs share, rebuilt when its contents have changed."""
    files = _contents(kernel, tests)
    digest = hashlib.sha256(pathlib.Path(__file__).read_bytes())
    loaded = {}
    for name, (source, executable, strip) in sorted(files.items()):
        data = source if isinstance(source, bytes) else source.read_bytes()
        loaded[name] = data
        digest.update(f"{name} {executable} {strip} {len(data)} ".encode())
        digest.update(data)
    CACHE.mkdir(parents=True, exist_ok=True)
    # One of two concurrent runs builds it; closing the file ends the wait of the other.
    with open(CACHE / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build(kernel, files, loaded, digest)


def _build(kernel, files, loaded, digest):
    image = CACHE / f"{kernel.release}-{digest.hexdigest()[:16]}.cpio.gz"
    if image.exists():
        return image

    archive = cpio.Archive()
    archive.character_device("dev/console", 5, 1)
    for name in ("proc", "sys", "tmp", "root", "etc", "usr"):
        archive.directory(name)
    for name in ("sbin", "usr/bin", "usr/sbin"):
        archive.link(name, "/bin")
    for applet in subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
        if f"bin/{applet}" not in files:
            archive.link(f"bin/{applet}", "busybox")
    for name, (source, executable, strip) in sorted(files.items()):
        data = _stripped(source) if strip else loaded[name]
        archive.file(name, data, 0o755 if executable else 0o644)
    for old in CACHE.glob(f"{kernel.release}-*.cpio.gz"):
        old.unlink(missing_ok=True)
    part = image.with_suffix(".part")
    part.write_bytes(gzip.compress(archive.bytes(), compresslevel=1, mtime=0))
    part.rename(image)
    return image


def run_image(kernel, tests, settings, path):
    """Writes the image of one run: the base, preceded by the settings of this run."""
    archive = cpio.Archive()
    lines = "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in settings.items())
    archive.file("vrc/run.conf", lines.encode())
    path.write_bytes(archive.bytes() + base_image(kernel, tests).read_bytes())
