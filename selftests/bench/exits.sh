#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Measures the cost of each exit: with vregcache, which is loaded, then with the kernel's own kvm_intel, on the same CPU
# and with the same guests.
#
#   exits.sh OPTION...     the options of ./exits
modules=/lib/modules/$(uname -r)

loaded() {
	grep -q "^$1 " /proc/modules
}

./exits "$@" || exit
if [ ! -e "$modules/kvm-intel.ko" ]; then
	echo "no-kvm this kernel has no kvm_intel"
	exit
fi
rmmod vregcache || exit
for module in irqbypass kvm kvm-intel; do
	loaded "$(echo $module | tr - _)" || insmod "$modules/$module.ko" || exit
done
VRC_DEVICE=/dev/kvm ./exits "$@" || exit
for module in kvm_intel kvm irqbypass; do
	! loaded $module || rmmod $module || exit
done
