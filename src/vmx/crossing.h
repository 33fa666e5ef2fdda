// SPDX-License-Identifier: GPL-2.0
// Into the guest and out again.
#pragma once

#include "entry.h"
#include "host_state.h"
#include "noinstr.h"

namespace {

// Interrupts off.  From the first host register that has the guest's value until the last has the host's again, a probe or
// a tracer would run with the guest's debug registers, XCR0 or CR2.  @breakpoints: the guest's DR7 enables one.
VRC_NOINSTR EntryResult cross(EntrySwitch& state, EntryFrame& frame, bool breakpoints, bool resume)
{
	state.to_guest(breakpoints);
	EntryResult result = static_cast<EntryResult>(vrc_vmx_enter(&frame, resume));
	state.to_host();
	return result;
}

}  // namespace
