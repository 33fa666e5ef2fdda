// SPDX-License-Identifier: GPL-2.0
// The VMX instructions (SDM Vol. 3C, chapter 31), one wrapper each.  Each reports VMfailInvalid (CF), VMfailValid (ZF),
// or a fault, which the kernel's exception table turns into a jump.
#pragma once

#include "offsets_generated.h"
#include "vmx/types.h"

namespace {

// clang-format off
#define VRC_EXCEPTION_TABLE(from, to)                                     \
	".pushsection __ex_table, \"a\"\n\t.balign 4\n\t"                 \
	".long (" from ") - .\n\t.long (" to ") - .\n\t.long %c[ex_type]" \
	"\n\t.popsection"

// One branch on success; the code that distinguishes the two failures is after the section's other code.
#define VRC_ON_VMFAIL "jbe 2f\n\t.subsection 1\n2: jc %l[invalid]\n\tjmp %l[valid]\n\t.previous\n\t"

#define VRC_VMX_INSTRUCTION(text, ...)                                                         \
	asm volatile goto("1: " text "\n\t" VRC_ON_VMFAIL                                      \
			  VRC_EXCEPTION_TABLE("1b", "%l[fault]")                               \
			  : : __VA_ARGS__, [ex_type] "i"(VRC_EX_TYPE_DEFAULT) : "cc", "memory" \
			  : invalid, valid, fault);                                            \
	return {};                                                                             \
invalid:                                                                                       \
	return Error::kVmFailInvalid;                                                          \
valid:                                                                                         \
	return Error::kVmFailValid;                                                            \
fault:                                                                                         \
	return Error::kFault
// clang-format on

inline Result<void> vmxon(u64 region) { VRC_VMX_INSTRUCTION("vmxon %[region]", [region] "m"(region)); }

inline Result<void> vmxoff() { VRC_VMX_INSTRUCTION("vmxoff", [unused] "i"(0)); }

inline Result<void> vmclear(u64 vmcs) { VRC_VMX_INSTRUCTION("vmclear %[vmcs]", [vmcs] "m"(vmcs)); }

inline Result<void> vmptrld(u64 vmcs) { VRC_VMX_INSTRUCTION("vmptrld %[vmcs]", [vmcs] "m"(vmcs)); }

// The current VMCS, or all ones if there is none.
inline Result<u64> vmptrst()
{
	u64 vmcs;
	// clang-format off
	asm volatile goto("1: vmptrst %[vmcs]\n\tjc %l[invalid]\n\tjz %l[valid]\n\t"
			  VRC_EXCEPTION_TABLE("1b", "%l[fault]")
			  : [vmcs] "=m"(vmcs)
			  : [ex_type] "i"(VRC_EX_TYPE_DEFAULT)
			  : "cc" : invalid, valid, fault);
	// clang-format on
	return vmcs;
invalid:
	return Error::kVmFailInvalid;
valid:
	return Error::kVmFailValid;
fault:
	return Error::kFault;
}

struct InveptDescriptor {
	u64 ept_pointer;
	u64 reserved;
};
static_assert(sizeof(InveptDescriptor) == 16);  // SDM Vol. 3C, 31.3, INVEPT

enum class InveptType : u64 { kSingleContext = 1, kAllContexts = 2 };

inline Result<void> invept(InveptType type, u64 ept_pointer)
{
	InveptDescriptor descriptor{ept_pointer, 0};
	VRC_VMX_INSTRUCTION("invept %[descriptor], %[type]", [descriptor] "m"(descriptor), [type] "r"(type));
}

[[gnu::always_inline]] inline Result<void> vmwrite(u32 encoding, u64 value)
{
	VRC_VMX_INSTRUCTION("vmwrite %[value], %[field]", [value] "r"(value), [field] "r"(u64{encoding}));
}

[[gnu::always_inline]] inline Result<u64> vmread(u32 encoding)
{
	u64 value;
	// clang-format off
	asm volatile goto("1: vmread %[field], %[value]\n\t" VRC_ON_VMFAIL
			  VRC_EXCEPTION_TABLE("1b", "%l[fault]")
			  : [value] "=r"(value)
			  : [field] "r"(u64{encoding}), [ex_type] "i"(VRC_EX_TYPE_DEFAULT)
			  : "cc" : invalid, valid, fault);
	// clang-format on
	return value;
invalid:
	return Error::kVmFailInvalid;
valid:
	return Error::kVmFailValid;
fault:
	return Error::kFault;
}

}  // namespace
