#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading and unloading of the module: what it leaves, and what it refuses.
# Leaves the module loaded, or not, as it was found.

KSFT_SKIP=4
DEVICE=/dev/vregcache
MODULE=$VRC_MODULES/vregcache.ko

number=0
failures=0

loaded() {
	grep -q '^vregcache ' /proc/modules
}

load() {
	# Word splitting is wanted: these are several parameters.
	# shellcheck disable=SC2086
	insmod "$MODULE" $VRC_INSMOD_ARGS 2>/tmp/load_unload.error
}

unload() {
	rmmod vregcache 2>/tmp/load_unload.error
}

explain() {
	sed 's/^/# /' /tmp/load_unload.error
}

# The node may be made, and taken away, by a daemon that needs a moment.
wait_for() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -lt 20 ] || return 1
		sleep 0.1
	done
}

device_is_there() {
	[ -c "$DEVICE" ]
}

device_is_gone() {
	[ ! -e "$DEVICE" ]
}

result() {
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number $2"
	else
		echo "not ok $number $2"
		failures=$((failures + 1))
	fi
}

loads_and_makes_the_device() {
	load || { explain; return 1; }
	loaded && wait_for device_is_there
}

device_is_for_root_only() {
	[ "$(stat -c '%a %u %g' "$DEVICE")" = "600 0 0" ]
}

second_load_is_refused() {
	! load || return 1
	grep -q 'File exists' /tmp/load_unload.error || { explain; return 1; }
	loaded && device_is_there
}

unload_with_an_open_file_is_refused() {
	exec 3<"$DEVICE" || return 1
	! unload
	refused=$?
	loaded
	still_loaded=$?
	exec 3<&-
	[ "$refused" -eq 0 ] && [ "$still_loaded" -eq 0 ]
}

unload_leaves_nothing() {
	unload || { explain; return 1; }
	! loaded && wait_for device_is_gone && [ ! -e /sys/kernel/debug/vregcache ] && [ ! -e /sys/module/vregcache ]
}

# A CPU left in VMX operation, or CR4.VMXE left set, makes the next load fail.
loads_again_ten_times() {
	round=0
	while [ "$round" -lt 10 ]; do
		load || { explain; return 1; }
		wait_for device_is_there || return 1
		unload || { explain; return 1; }
		round=$((round + 1))
	done
	wait_for device_is_gone
}

kernel_log_is_clean() {
	dmesg | tail -n "+$((log_lines + 1))" >/tmp/load_unload.log
	! grep -E 'WARNING:|BUG:|Oops|Call Trace' /tmp/load_unload.log
}

if [ -z "$VRC_MODULES" ] || [ ! -e "$MODULE" ]; then
	echo "1..0 # SKIP VRC_MODULES does not name a folder with vregcache.ko"
	exit $KSFT_SKIP
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "1..0 # SKIP must be root"
	exit $KSFT_SKIP
fi

echo "TAP version 13"
echo "1..7"

was_loaded=no
if loaded; then
	was_loaded=yes
	unload || { explain; echo "Bail out! the module is in use"; exit 1; }
	wait_for device_is_gone
fi
log_lines=$(dmesg | wc -l)

for test in loads_and_makes_the_device device_is_for_root_only second_load_is_refused \
	unload_with_an_open_file_is_refused unload_leaves_nothing loads_again_ten_times kernel_log_is_clean; do
	$test
	result $? $test
done

if [ "$was_loaded" = yes ]; then
	loaded || load || { explain; failures=$((failures + 1)); }
elif loaded; then
	unload || { explain; failures=$((failures + 1)); }
fi

echo "# Totals: pass:$((number - failures)) fail:$failures xfail:0 xpass:0 skip:0 error:0"
[ "$failures" -eq 0 ]
