# SPDX-License-Identifier: GPL-2.0
"""Parts of the library on this machine, by Google Benchmark."""

import json
import os
import subprocess

from vm.paths import BUILD, TOP

_SOURCE = TOP / "selftests/bench/host/cache_benchmark.cc"
_PROGRAM = BUILD / "bench/cache_benchmark"
_FLAGS = ["-std=gnu++20", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{TOP / 'include'}"]


def _build():
    """Rebuilds if a source is newer than the program."""
    sources = [_SOURCE, *(TOP / "include/vregcache").glob("*.h")]
    if _PROGRAM.exists() and all(source.stat().st_mtime < _PROGRAM.stat().st_mtime for source in sources):
        return
    _PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    part = _PROGRAM.with_suffix(f".{os.getpid()}")
    subprocess.run(["g++", *_FLAGS, _SOURCE, "-o", part, "-lbenchmark", "-pthread"], check=True)
    part.replace(_PROGRAM)


def measure():
    """Nanoseconds of CPU time, the median of five: [{"name":, "ns":, "iterations":}]."""
    _build()
    done = subprocess.run(
        [_PROGRAM, "--benchmark_format=json", "--benchmark_min_time=0.05", "--benchmark_repetitions=5"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return parse(json.loads(done.stdout))


def parse(report):
    found = {}
    for run in report["benchmarks"]:
        if run["run_type"] == "iteration":
            found.setdefault(run["run_name"], []).append(run)
    return [{"name": name, "ns": sorted(run["cpu_time"] for run in runs)[len(runs) // 2],
             "min": min(run["cpu_time"] for run in runs), "max": max(run["cpu_time"] for run in runs),
             "iterations": runs[0]["iterations"]} for name, runs in found.items()]


def lines(found, table):
    return table(["part", "", "ns", "min", "max"],
                 [[part["name"], "", *(f"{part[key]:.2f}" for key in ("ns", "min", "max"))] for part in found])
