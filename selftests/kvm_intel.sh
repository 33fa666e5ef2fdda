#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel's own kvm_intel, on the same CPU and with the same guests.  If a test fails here, the machine has no VMX
# CPU or the test needs something that KVM does not do.  Leaves vregcache loaded or not, as before.

. ./tap.sh
PROGRAMS="registers_test guest_modes_test signals_test ioctl_errors_test"
modules=/lib/modules/$(uname -r)

[ -e "$modules/kvm-intel.ko" ] || skip_all "this kernel has no kvm_intel"
[ "$VRC_MODULES" ] || skip_all "VRC_MODULES does not name the folder of the modules"

echo "TAP version 13"

was_loaded=no
if loaded vregcache; then
	was_loaded=yes
	! loaded vregcache_test || rmmod vregcache_test
	rmmod vregcache || { echo "Bail out! vregcache is in use"; exit 1; }
fi

for module in irqbypass kvm kvm-intel; do
	insmod "$modules/$module.ko" 2>&1 | sed 's/^/# /'
done
loaded kvm_intel && [ -c /dev/kvm ]
result $? "kvm_intel loads"

lines=$(dmesg | wc -l)
# Word splitting is wanted: these are several parameters.
# shellcheck disable=SC2086
! insmod "$VRC_MODULES/vregcache.ko" $VRC_INSMOD_ARGS perf_guest=1 2>/dev/null && ! loaded vregcache &&
	dmesg | tail -n "+$((lines + 1))" | grep -q 'load it without perf_guest=1'
result $? "vregcache with perf_guest=1 is refused, with a reason"

# Each result of the programs is reported here, with this file's numbering.
VRC_DEVICE=/dev/kvm
export VRC_DEVICE
for program in $PROGRAMS; do
	"./$program" >/tmp/kvm_intel.out 2>&1
	status=$?
	awk -v program="$program" -v number="$number" '
		/RUN  / { running = $3 }
		/^(not )?ok / {
			bad = /^not / ? "not " : ""
			what = $0
			sub(/^(not )?ok [0-9]+ */, "", what)
			name = what ~ /^#/ ? running " " what : what
			print bad "ok " ++number " " program " " name
			next
		}
		# Of several plans a TAP reader uses the first.
		!/^(1\.\.|TAP version)/ { print (/^#/ ? "" : "# ") $0 }
	' /tmp/kvm_intel.out
	number=$((number + $(grep -cE '^(not )?ok ' /tmp/kvm_intel.out)))
	result "$status" "$program ends well"
done
unset VRC_DEVICE

for module in kvm_intel kvm irqbypass; do
	! loaded "$module" || rmmod "$module" 2>&1 | sed 's/^/# /'
done
! loaded kvm_intel && ! loaded kvm
result $? "kvm_intel unloads"

if [ -n "$VRC_BESIDE_KVM" ]; then
	for module in irqbypass kvm kvm-intel; do
		insmod "$modules/$module.ko" 2>&1 | sed 's/^/# /'
	done
fi
if [ "$was_loaded" = yes ]; then
	# Word splitting is wanted: these are several parameters.
	# shellcheck disable=SC2086
	insmod "$VRC_MODULES/vregcache.ko" $VRC_INSMOD_ARGS
	result $? "vregcache loads again"
fi
echo "1..$number"
[ "$failures" -eq 0 ]
