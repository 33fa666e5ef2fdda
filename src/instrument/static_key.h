// SPDX-License-Identifier: GPL-2.0
// The kernel's static keys for C++: a branch that is a five-byte NOP while the key is off, and that the kernel turns into
// a jump when the key is switched on.
#pragma once

#include "offsets_generated.h"

struct tracepoint;
struct static_key_false;

namespace {

// The key is in @kObject, @kOffset bytes from its start.  A template's argument is a constant that the assembler accepts.
template <auto& kObject, unsigned kOffset>
[[gnu::always_inline]] inline bool key_is_on()
{
#if defined(CONFIG_JUMP_LABEL)
	// An entry of the kernel's jump table: the address of the NOP, the target of the jump, and the key.  An even key
	// address means that the jump is in place while the key is on.
	// clang-format off
	asm inline goto("1: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"
			".pushsection __jump_table, \"aw\"\n\t"
			".balign 8\n\t"
			".long 1b - .\n\t.long %l[on] - .\n\t"
			".quad %c[object] + %c[offset] - .\n\t"
			".popsection"
			: : [object] "i"(&kObject), [offset] "i"(kOffset) : : on);
	// clang-format on
	return false;
on:
	return true;
#else
	// Without jump labels the key is a counter.
	const char* key = reinterpret_cast<const char*>(&kObject) + kOffset + VRC_STATIC_KEY_ENABLED;
	return __atomic_load_n(reinterpret_cast<const int*>(key), __ATOMIC_RELAXED) > 0;
#endif
}

// Whether the key is on.  The C part has defined it, with DEFINE_STATIC_KEY_FALSE().
template <static_key_false& kKey>
[[gnu::always_inline]] inline bool is_on()
{
	return key_is_on<kKey, 0>();
}

// Whether the tracepoint is enabled.
template <tracepoint& kTracepoint>
[[gnu::always_inline]] inline bool is_traced()
{
#if !defined(CONFIG_TRACEPOINTS)
	return false;
#else
	return key_is_on<kTracepoint, VRC_TRACEPOINT_KEY>();
#endif
}

}  // namespace
