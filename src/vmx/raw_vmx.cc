// SPDX-License-Identifier: GPL-2.0
// The module's VMCS access for the register cache.
#include "vmx/raw_vmx.h"

namespace {

VREGCACHE_COLD VmcsId RawVmx::really_current(VmcsId believed) const
{
	if (!is_current(believed))
		return believed;
	return static_cast<VmcsId>(vmptrst().value_or(static_cast<u64>(believed)));
}

}  // namespace
