// SPDX-License-Identifier: GPL-2.0
// Calls of instruments from the middle of other code.
#pragma once

#include "vmx/types.h"

// A call that preserves all registers, so that nothing has to be saved on the path without it.  The function must preserve
// them itself; its argument registers are set here, and restored.
// clang-format off
#define VRC_CALL_ASIDE(function, first, second, third)                                                 \
	({                                                                                             \
		/* Keeps the call after the setup of the function's own stack frame, if any. */        \
		register u64 stack asm("rsp");                                                         \
		asm volatile("push %%rdi\n\tpush %%rsi\n\tpush %%rdx\n\t"                             \
			     "push %[a]\n\tpush %[b]\n\tpush %[c]\n\tpop %%rdx\n\tpop %%rsi\n\tpop %%rdi\n\t" \
			     "call " #function "\n\tpop %%rdx\n\tpop %%rsi\n\tpop %%rdi"            \
			     : "+r"(stack) : [a] "r"(static_cast<u64>(first)), [b] "r"(static_cast<u64>(second)),  \
				 [c] "r"(static_cast<u64>(third)) : "memory");                         \
	})
// clang-format on
