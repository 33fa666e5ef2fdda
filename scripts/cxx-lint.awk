# SPDX-License-Identifier: GPL-2.0
# Reads nm's output for a C++ object and fails the build on symbols that a kernel module must not contain.
function reject(why) { print "cxx-lint: " $NF ": " why > "/dev/stderr"; failed = 1 }
$(NF-1) ~ /^[WVwv]$/ { reject("weak symbol: put the definition into an anonymous namespace") }
$(NF-1) == "u" { reject("unique symbol: needs -fno-gnu-unique") }
$(NF-1) == "C" { reject("COMMON symbol: give it an initialiser") }
$(NF-1) == "U" && $NF ~ /^(_Z|__cxa_|__gxx|_Unwind|atexit|__dso_handle)/ { reject("reference to the C++ runtime") }
# Sanitizers emit constructors of their own (_sub_[ID]_00099), which the kernel runs.
$NF ~ /^_GLOBAL__(sub_)?I|__static_initialization_and_destruction/ && $NF !~ /_00099_/ { reject("static constructor: make it constinit") }
$NF ~ /^_ZT[IS]/ { reject("run-time type information") }
END { exit failed }
