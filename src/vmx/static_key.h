// SPDX-License-Identifier: GPL-2.0
// The kernel's static keys for C++: a branch that is a five-byte NOP while the key is off, and that the kernel turns into
// a jump when the key is switched on.
#pragma once

#include "offsets_generated.h"

struct tracepoint;

namespace {

// Is anybody listening?  A template's argument is a constant that the assembler can take.
template <tracepoint& kTracepoint>
[[gnu::always_inline]] inline bool is_traced()
{
#if !defined(CONFIG_TRACEPOINTS)
	return false;
#elif defined(CONFIG_JUMP_LABEL)
	// An entry of the kernel's jump table: where the NOP is, where the jump would go, which key.  An even key
	// address means that the jump is to be there while the key is on.
	// clang-format off
	asm inline goto("1: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"
			".pushsection __jump_table, \"aw\"\n\t"
			".balign 8\n\t"
			".long 1b - .\n\t.long %l[traced] - .\n\t"
			".quad %c[tracepoint] + %c[key] - .\n\t"
			".popsection"
			: : [tracepoint] "i"(&kTracepoint), [key] "i"(VRC_TRACEPOINT_KEY) : : traced);
	// clang-format on
	return false;
traced:
	return true;
#else
	// Without them the key is a counter.
	const char* key = reinterpret_cast<const char*>(&kTracepoint) + VRC_TRACEPOINT_KEY + VRC_STATIC_KEY_ENABLED;
	return __atomic_load_n(reinterpret_cast<const int*>(key), __ATOMIC_RELAXED) > 0;
#endif
}

}  // namespace
