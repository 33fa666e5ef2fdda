#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Measures the cost of each exit on the same CPU and with the same guests: with vregcache alone, where the kernel allows
# that; with the kernel's own kvm_intel; and with vregcache beside KVM, one of whose guests has run on the CPU last.
#
#   exits.sh OPTION...     the options of ./exits
modules=/lib/modules/$(uname -r)

loaded() {
	grep -q "^$1 " /proc/modules
}

load_vregcache() {
	# Word splitting is wanted: these are several parameters.
	# shellcheck disable=SC2086
	insmod "$VRC_MODULES/vregcache.ko" $VRC_INSMOD_ARGS
}

! loaded vregcache || rmmod vregcache || exit
if ! loaded kvm_intel && load_vregcache 2>/dev/null; then
	./exits "$@" || exit
	rmmod vregcache || exit
fi
if [ ! -e "$modules/kvm-intel.ko" ]; then
	echo "no-kvm this kernel has no kvm_intel"
	exit
fi
for module in irqbypass kvm kvm-intel; do
	loaded "$(echo $module | tr - _)" || insmod "$modules/$module.ko" || exit
done
VRC_DEVICE=/dev/kvm ./exits "$@" || exit

load_vregcache || exit
VRC_DEVICE=/dev/kvm ./exits -w >/tmp/waiting &
waiting=$!
until grep -q waiting /tmp/waiting; do
	sleep 0.1
done
./exits -a beside "$@"
status=$?
kill $waiting
wait $waiting 2>/dev/null
[ $status = 0 ] || exit $status
rmmod vregcache || exit
for module in kvm_intel kvm irqbypass; do
	! loaded $module || rmmod $module || exit
done
