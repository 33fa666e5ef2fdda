#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Loading and unloading of the module: leftovers and refusals. Leaves the module
# loaded or not, as before.

. ./tap.sh
DEVICE=/dev/vregcache
MODULE=$VRC_MODULES/vregcache.ko

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

# A daemon that needs a moment may create and remove the node.
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

loads_and_makes_the_device() {
	load || { explain; return 1; }
	loaded vregcache && wait_for device_is_there
}

device_is_for_root_only() {
	[ "$(stat -c '%a %u %g' "$DEVICE")" = "600 0 0" ]
}

second_load_is_refused() {
	! load || return 1
	grep -q 'File exists' /tmp/load_unload.error || { explain; return 1; }
	loaded vregcache && device_is_there
}

unload_with_an_open_file_is_refused() {
	exec 3<"$DEVICE" || return 1
	! unload
	refused=$?
	loaded vregcache
	still_loaded=$?
	exec 3<&-
	[ "$refused" -eq 0 ] && [ "$still_loaded" -eq 0 ]
}

unload_leaves_nothing() {
	unload || { explain; return 1; }
	! loaded vregcache && wait_for device_is_gone && [ ! -e /sys/kernel/debug/vregcache ] && [ ! -e /sys/module/vregcache ]
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

# If perf's guest callbacks stay registered, the kernel warns the second time.
perf_guest_ends_with_the_module() {
	for round in 1 2; do
		(VRC_INSMOD_ARGS="$VRC_INSMOD_ARGS perf_guest=1" && load) || { explain; return 1; }
		state=$(cat /sys/module/vregcache/parameters/perf_guest)
		wait_for device_is_there
		unload || { explain; return 1; }
		[ "$state" = Y ] || { echo "# round $round: perf_guest is $state"; return 1; }
	done
	wait_for device_is_gone
}

# vmx_client holds VMX on one CPU, as another hypervisor would.
refused_while_vmx_is_in_use() {
	insmod "$VRC_MODULES/vmx_client.ko" hold=1 || return 1
	! load && grep -q 'busy' /tmp/load_unload.error && told 'VMX is in use'
	refused=$?
	[ "$refused" -eq 0 ] || explain
	rmmod vmx_client && [ "$refused" -eq 0 ]
}

# refused_by_cpu PARAMETER VALUE ERROR WORDS: the VMX ROM presents another CPU, on which the module does not load.
rom_parameter=vmx_on_svm/vmx_rom_parameter
refused_by_cpu() {
	log_lines=$(dmesg | wc -l)
	before=$($rom_parameter "$1") && $rom_parameter "$1" "$2" || return 1
	! load && grep -q "$3" /tmp/load_unload.error && told "$4" && ! loaded vregcache && device_is_gone
	refused=$?
	[ "$refused" -eq 0 ] || explain
	! loaded vregcache || unload
	$rom_parameter "$1" "$before"
	# No CPU was left in VMX operation.
	[ "$refused" -eq 0 ] && load && unload
}

refused_without_vmx() {
	refused_by_cpu hide_vmx 1 'No such device' 'has no VMX'
}

refused_where_firmware_has_disabled_vmx() {
	refused_by_cpu feature_control 1 'not permitted' 'firmware has disabled VMX (IA32_FEATURE_CONTROL is locked, 0x1)'
}

refused_where_firmware_has_enabled_nothing() {
	refused_by_cpu feature_control 0 'not permitted' 'firmware has not enabled VMX (IA32_FEATURE_CONTROL is unlocked)'
}

refused_without_unrestricted_guest() {
	refused_by_cpu absent_secondary 0x80 'not supported' 'does not support the "unrestricted guest" VM-execution (secondary) control'
}

refused_without_ept() {
	refused_by_cpu absent_secondary 0x2 'not supported' 'does not support the "enable EPT" VM-execution (secondary) control'
}

# It fails on the last CPU, so VMX must be turned off on the others.
refused_where_vmxon_fails() {
	last=$(($(nproc) - 1))
	refused_by_cpu vmxon_fails_on "$last" 'Input/output error' "VMXON failed on CPU $last"
}

# If the CPU has an open vulnerability, the module names it, and refuses to load unless guests are declared trusted.
refused_while_a_vulnerability_is_open() {
	VRC_INSMOD_ARGS=
	! load && grep -q 'denied' /tmp/load_unload.error && told 'is affected by'
}

# The module has logged a new line with these words.
told() {
	dmesg | tail -n "+$((log_lines + 1))" | grep 'vregcache: ' | grep -q "$1"
}

kernel_log_is_clean() {
	dmesg | tail -n "+$((log_lines + 1))" >/tmp/load_unload.log
	! grep -E 'WARNING:|BUG:|Oops|Call Trace' /tmp/load_unload.log
}

[ "$VRC_MODULES" ] || skip_all "VRC_MODULES does not name the folder of the modules"
if [ ! -e "$MODULE" ]; then
	echo "1..1"
	echo "not ok 1 vregcache.ko is in $VRC_MODULES"
	exit 1
fi
[ "$(id -u)" -eq 0 ] || skip_all "must be root"

echo "TAP version 13"
echo "1..16"

was_loaded=no
if loaded vregcache; then
	was_loaded=yes
	# An earlier test may have left vregcache_test loaded, which holds vregcache.
	rmmod vregcache_test 2>/dev/null
	unload || { explain; echo "Bail out! the module is in use"; exit 1; }
	wait_for device_is_gone
fi
log_lines=$(dmesg | wc -l)

optional() {
	if [ "$1" = yes ]; then
		$2
		result $? "$2"
	else
		skip "$2" "$3"
	fi
}

for test in loads_and_makes_the_device device_is_for_root_only second_load_is_refused \
	unload_with_an_open_file_is_refused unload_leaves_nothing loads_again_ten_times; do
	$test
	result $? $test
done
alone=yes
[ -z "$VRC_BESIDE_KVM" ] || alone=no
optional $alone perf_guest_ends_with_the_module "KVM has perf's guest callbacks"
kernel_log_is_clean
result $? kernel_log_is_clean
has_client=$alone
[ -e "$VRC_MODULES/vmx_client.ko" ] || has_client=no
optional $has_client refused_while_vmx_is_in_use "VMX is KVM's, or there is no vmx_client.ko to hold it"
has_emulation=no
# On the VMX ROM, whose parameters must then work.
[ "$VRC_MACHINE" != tcg ] || has_emulation=yes
for test in refused_without_vmx refused_without_unrestricted_guest refused_without_ept; do
	optional $has_emulation $test "VMX is the CPU's own"
done
[ $alone = yes ] || has_emulation=no
for test in refused_where_firmware_has_disabled_vmx refused_where_firmware_has_enabled_nothing refused_where_vmxon_fails; do
	optional $has_emulation $test "VMX is the CPU's own, or KVM's"
done
needs_unsafe=no
case " $VRC_INSMOD_ARGS " in *" unsafe=1 "*) needs_unsafe=yes ;; esac
saved_arguments=$VRC_INSMOD_ARGS
optional $needs_unsafe refused_while_a_vulnerability_is_open "no open vulnerability on this machine"
VRC_INSMOD_ARGS=$saved_arguments

if [ "$was_loaded" = yes ]; then
	loaded vregcache || load || { explain; failures=$((failures + 1)); }
elif loaded vregcache; then
	unload || { explain; failures=$((failures + 1)); }
fi

echo "# Totals: pass:$((number - failures)) fail:$failures xfail:0 xpass:0 skip:0 error:0"
[ "$failures" -eq 0 ]
