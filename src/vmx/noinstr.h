// SPDX-License-Identifier: GPL-2.0
// Functions that must not be traced, probed or single-stepped: in them the CPU is between host and guest.
#pragma once

// The kernel's noinstr for C++, for functions that are not templates (GCC drops a template's section).  The functions that they
// call must be [[gnu::always_inline]], or noinstr as well; scripts/noinstr fails the build on any other call.
#define VRC_NOINSTR                                                                                \
	[[maybe_unused, gnu::noinline, gnu::section(".noinstr.text"), gnu::no_instrument_function, \
	  gnu::no_stack_protector, gnu::no_profile_instrument_function, gnu::no_sanitize_address,  \
	  gnu::no_sanitize_thread, gnu::no_sanitize_undefined, gnu::no_sanitize_coverage]]
