#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs vmx_client on this CPU's VMX, be it the VMX ROM's or another one, and compares what it observes with
# vmx_client/expected.  Needs root.  VRC_MODULES names the directory of the modules; the default is that of the script.

modules=${VRC_MODULES:-$(dirname "$0")}
results=/sys/kernel/debug/vmx_client/results
observations=/sys/kernel/debug/vmx_client/observations
here=$(dirname "$0")
skip=4
emulated=
declared='^$'
case $VRC_MACHINE in
tcg)
	emulated=yes
	# QEMU 7.2 does not intercept XSETBV in SVM guests, STI blocks also when interrupts were enabled before, and with
	# RFLAGS.TF there is no trap after STI and MOV SS.
	declared='^exit: XSETBV$|^STI when interrupts are enabled blocks nothing$|^single step over STI$|^monitor trap flag: MOV SS$'
	why="QEMU cannot: see the declared differences"
	;;
bochs)
	declared='^VM-entry: checks of RIP, DEBUGCTL, the BS flag and events for a halted guest$|^EPT: page table .*, with flags$'
	# With several CPUs it saves the RIP of the instruction when an exit comes right behind the delivery of its fault.
	[ "$(nproc)" = 1 ] || declared="$declared|^monitor trap flag: events of the guest\$"
	why="Bochs differs from the SDM, Vol. 3C: sections 27.3.1.1, 27.3.1.4, 27.3.1.5, and table 28-7, note 1"
	;;
esac

count=0
failed=0
skipped=0

ok() {
	count=$((count + 1))
	echo "ok $count $1"
}

not_ok() {
	count=$((count + 1))
	failed=$((failed + 1))
	echo "not ok $count $1"
}

# check NAME COMMAND...
check() {
	name=$1
	shift
	if "$@"; then
		ok "$name"
	else
		not_ok "$name"
	fi
}

loaded() {
	grep -q "^$1 " /proc/modules
}

cpu_has() {
	grep -q "^flags.*[[:space:]]$1\\([[:space:]]\\|\$\\)" /proc/cpuinfo
}

not() {
	! "$@"
}

# load MODULE PARAMETERS...
load() {
	module=$1
	shift
	insmod "$modules/$module.ko" "$@" 2>/dev/null
}

unload() {
	rmmod "$1" 2>/dev/null
}

# Passes the client's lines on, numbered as ours.
run_client() {
	if ! load vmx_client ${VRC_TRACE:+trace=1}; then
		not_ok "load vmx_client"
		return
	fi
	planned=0
	given=0
	while read -r line; do
		case $line in
		"1.."*)
			planned=${line#1..}
			;;
		"ok "* | "not ok "*)
			given=$((given + 1))
			;;
		esac
		case $line in
		"ok "*)
			name=${line#ok * }
			if echo "$name" | grep -Eq "$declared"; then
				not_ok "$name is right here, and declared to be wrong"
			else
				ok "$name"
			fi
			case $line in *"# SKIP"*) skipped=$((skipped + 1)) ;; esac
			;;
		"not ok "*)
			name=${line#not ok * }
			if echo "$name" | grep -Eq "$declared"; then
				ok "$name # SKIP $why"
				skipped=$((skipped + 1))
			else
				not_ok "$name"
			fi
			;;
		"#"*)
			echo "$line"
			;;
		esac
	done < "$results"
	if [ "$VRC_RECORD" ]; then
		sed 's/^/# record: /' "$observations"
	else
		check "the observations are those of an independent VMX CPU, but for the declared differences" \
			awk -v machine="${emulated:+vmx_rom}" -f "$here/compare_observations.awk" \
			"$here/vmx_client/differences" "$here/vmx_client/expected" "$observations"
	fi
	check "every planned test of vmx_client gave a result" [ "$planned" -gt 0 -a "$given" -eq "$planned" ]
	check "unload vmx_client" unload vmx_client
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit $skip
}

echo "TAP version 13"
[ "$(id -u)" = 0 ] || skip_all "not root"
release=$(uname -r)
minor=${release#*.}
[ "${release%%.*}" -lt 7 ] && { [ "${release%%.*}" -lt 6 ] || [ "${minor%%[!0-9]*}" -lt 19 ]; } || [ -f "$modules/vmx_client.ko" ] ||
	skip_all "this kernel lets only KVM turn VMX on"
[ -f "$modules/vmx_client.ko" ] || { echo "1..1"; echo "not ok 1 vmx_client.ko is in $modules"; exit 1; }
loaded vmx_client && skip_all "vmx_client is loaded"
cpu_has vmx || { echo "1..1"; echo "not ok 1 the CPU has VMX"; exit 1; }
grep -q ' /sys/kernel/debug ' /proc/mounts || mount -t debugfs debugfs /sys/kernel/debug || skip_all "no debugfs"

# The client checks the CPU that it is loaded on.  Bochs has the unsupported VMCS fields right on the first one only.
[ "$emulated" ] || taskset -p -c 0 $$ >/dev/null
[ -z "$emulated" ] || check "CPU features hide SVM" not cpu_has svm
run_client

echo "1..$count"
echo "# Totals: pass:$((count - failed - skipped)) fail:$failed xfail:0 xpass:0 skip:$skipped error:0"
[ $failed = 0 ]
