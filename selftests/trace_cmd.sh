#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# trace-cmd, the usual tool, understands the module's events and traces its functions by names that can be typed.

. ./tap.sh
TRACEFS=/sys/kernel/tracing
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "$VRC_DEVICE" ] && [ "$VRC_DEVICE" != /dev/vregcache ]; then
	skip_all "$VRC_DEVICE has no such events"
fi

# Linux 6.1 counts the pages of a trace's buffer without a lock while trace-cmd waits for some, and WARNs, once, if an
# event in the meantime has made the numbers inconsistent.
echo 'vrc-allow: ring_buffer_nr_dirty_pages 1' >/dev/kmsg

echo "TAP version 13"
echo "1..9"

# record FILE OPTION...: traces while counters_test runs its guests.
record() {
	file=$1
	shift
	(cd "$work" && trace-cmd record -o "$file" "$@" "$tests/counters_test") >"$work/said" 2>&1 && return
	sed 's/^/# /' "$work/said"
	return 1
}

# has FILE EXPRESSION: shows the beginning of the file if there is no such line.
has() {
	grep -qE "$2" "$1" && return
	echo "# no line of $1 matches $2"
	head -n 20 "$1" | cut -c 1-300 | sed 's/^/# /'
	return 1
}

tests=$(pwd)
sed -n 's/ \[vregcache\]$//p' $TRACEFS/available_filter_functions >"$work/functions"
functions() {
	cat "$work/functions"
}

[ -n "$(functions)" ]
result $? "functions_of_the_module_can_be_traced"

# Names with the prefix __ come from the kernel's TRACE_EVENT.
functions | grep -vE '^[a-z_][a-z0-9_.]*$' | sed 's/^/# cannot be typed: /' >"$work/bad"
cat "$work/bad"
[ ! -s "$work/bad" ]
result $? "every_name_can_be_typed"

functions | sort | uniq -d | sed 's/^/# more than one: /' >"$work/twice"
cat "$work/twice"
[ ! -s "$work/twice" ]
result $? "every_name_is_there_once"

missing=0
for name in exit cpuid hlt io rdmsr wrmsr control_register mov_dr xsetbv vmcall ept_violation exception_or_nmi \
	interrupt_window invalid_opcode general_protection; do
	functions | grep -qx "vrc_handle_$name" || { echo "# vrc_handle_$name is not there"; missing=1; }
done
functions | grep -qx vrc_cache_read_slowly || { echo "# vrc_cache_read_slowly is not there"; missing=1; }
result $missing "handlers_are_there_by_name"

# The code between host and guest, and the path to the host's NMI handler, must not be traced.
! functions | grep -E '^vrc_(enter_guest|vmx_enter|vmx_exit|host_handle_nmi)'
result $? "nothing_between_host_and_guest_can_be_traced"

# Nor probed.  vrc_handle_exit can be, otherwise this would prove nothing.
probe() {
	echo "p:vrc_probe $1" 2>/dev/null >>$TRACEFS/kprobe_events || return
	echo "-:vrc_probe" >>$TRACEFS/kprobe_events
}
probed=0
probe vrc_handle_exit || { echo "# no probe on vrc_handle_exit"; probed=1; }
for name in vrc_enter_guest vrc_vmx_enter vrc_host_handle_nmi; do
	# The compiler may have added a suffix.
	symbol=$(sed -n "s/.* \(${name}[a-z0-9.]*\)\t\[vregcache\]$/\1/p" /proc/kallsyms)
	[ -n "$symbol" ] || { echo "# $name is not there"; probed=1; }
	! probe "$symbol" || { echo "# a probe on $symbol"; probed=1; }
done
result $probed "nothing_between_host_and_guest_can_be_probed"

record events.dat -e vregcache && (cd "$work" && trace-cmd report events.dat) >"$work/events" 2>"$work/said"
result $? "trace_cmd_records_and_reports_events"

# A format that libtraceevent does not understand is reported as [FAILED TO PARSE], or prints numbers.
! grep -m 1 -E 'FAILED|0x8000000000000000' "$work/events" &&
has "$work/events" 'vm_entry: .*vcpu=0 rip=0x10000 event=none vector=0 error_code=0x0 dirty=[a-z0-9_.|]*rip' &&
has "$work/events" 'vm_exit: .*vcpu=0 reason=cpuid next=guest rip=0x[0-9a-f]+ length=2 .* dirty=rip available=rip\|.*\|exit_reason' &&
has "$work/events" 'vm_exit: .*vcpu=0 reason=io next=userspace ' &&
has "$work/events" 'miss: .*vcpu=0 reg=exit_reason value=0xa$' &&
has "$work/events" 'write_back: .*vcpu=0 reg=tr\.access_rights value=0x8b$' &&
has "$work/events" 'invalidate: .*vcpu=0 set=exit_information\|pdptes\|rip\|rsp\|.*\|segments$' &&
has "$work/events" 'vmcs_load: .*vcpu=0 vmcs=0x[0-9a-f]+000 from=-1$'
result $? "trace_cmd_understands_every_event"

record graph.dat -p function_graph -l 'vrc_*' -g vrc_handle_exit &&
(cd "$work" && trace-cmd report graph.dat) >"$work/graph" 2>"$work/said" &&
has "$work/graph" 'funcgraph_entry: .*\| +vrc_handle_exit\(\) \{' &&
has "$work/graph" 'funcgraph_entry: .*\| +vrc_handle_cpuid\(\) \{' &&
has "$work/graph" 'funcgraph_entry: .*\| +vrc_cache_read_slowly\(\)'
result $? "function_graph_shows_the_way_of_an_exit"

[ $failures -eq 0 ]
