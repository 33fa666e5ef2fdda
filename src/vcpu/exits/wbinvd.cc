// SPDX-License-Identifier: GPL-2.0
// INVD and WBINVD.
#include "vcpu/exits/exits.h"

namespace {

VRC_TRACEABLE Result<Next> handle_cache_flush(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	return resume_after_instruction(vcpu, vmcs);
}

}  // namespace
