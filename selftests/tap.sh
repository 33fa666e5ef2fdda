# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Output of the tests in shell, and their checks of modules.  Sourced from the folder of the tests.

KSFT_SKIP=4
number=0
failures=0

# skip_all REASON: none of the tests can run.
skip_all() {
	echo "1..0 # SKIP $1"
	exit $KSFT_SKIP
}

# result STATUS NAME
result() {
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		failures=$((failures + 1))
	fi
}

# skip NAME REASON: one of the tests.
skip() {
	number=$((number + 1))
	echo "ok $number $1 # SKIP $2"
}

# loaded MODULE
loaded() {
	grep -q "^$1 " /proc/modules
}
