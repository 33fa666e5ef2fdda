// SPDX-License-Identifier: GPL-2.0
// The module's VMCS access for the register cache.
#include "vmx/raw_vmx.h"

namespace {

VREGCACHE_COLD VmcsId RawVmx::really_current(VmcsId believed) const
{
	unsigned long flags = vrc_host_irq_save();
	VmcsId current = believed;
	if (is_current(believed))
		current = static_cast<VmcsId>(vmptrst().value_or(static_cast<u64>(believed)));
	vrc_host_irq_restore(flags);
	return current;
}

}  // namespace
