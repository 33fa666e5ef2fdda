// SPDX-License-Identifier: GPL-2.0
// CPU instructions other than those of VMX, one wrapper each.
#pragma once

#include "vmx/types.h"

namespace {

struct CpuidResult {
	u32 eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0)
{
	CpuidResult r{leaf, 0, subleaf, 0};
	asm volatile("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
	return r;
}

[[gnu::always_inline]] inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return u64{high} << 32 | low;
}

[[gnu::always_inline]] inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}

// The same for a value in memory: the upper half is loaded from there instead of shifted.
[[gnu::always_inline]] inline void wrmsr_from_memory(u32 msr, const u64& value)
{
	u32 high;
	asm("movl %1, %0" : "=r"(high) : "m"(reinterpret_cast<const u32*>(&value)[1]));
	asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(value)), "d"(high) : "memory");
}

[[gnu::always_inline]] inline void rdmsr_to_memory(u32 msr, u64& value)
{
	u32 half[2];
	asm volatile("rdmsr" : "=a"(half[0]), "=d"(half[1]) : "c"(msr));
	__builtin_memcpy(&value, half, sizeof(value));
}

inline u64 rdtsc()
{
	u32 low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return u64{high} << 32 | low;
}

// @image: aligned to 16 bytes.
inline void fxsave(u8 (&image)[512]) { asm volatile("fxsave64 %0" : "=m"(image)); }

#define VRC_CONTROL_REGISTER(name)                                          \
	[[gnu::always_inline]] inline u64 read_##name()                     \
	{                                                                   \
		u64 value;                                                  \
		asm volatile("mov %%" #name ", %0" : "=r"(value));          \
		return value;                                               \
	}                                                                   \
	[[gnu::always_inline]] inline void write_##name(u64 value)          \
	{                                                                   \
		asm volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
	}
VRC_CONTROL_REGISTER(cr2)
VRC_CONTROL_REGISTER(dr0)
VRC_CONTROL_REGISTER(dr1)
VRC_CONTROL_REGISTER(dr2)
VRC_CONTROL_REGISTER(dr3)
VRC_CONTROL_REGISTER(dr6)
VRC_CONTROL_REGISTER(dr7)
#undef VRC_CONTROL_REGISTER

inline u64 read_cr0()
{
	u64 value;
	asm volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

inline u64 read_cr3()
{
	u64 value;
	asm volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

inline u64 read_hardware_cr4()
{
	u64 value;
	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

#define VRC_SEGMENT_REGISTER(name)                                 \
	inline u16 read_##name()                                   \
	{                                                          \
		u16 value;                                         \
		asm volatile("mov %%" #name ", %0" : "=r"(value)); \
		return value;                                      \
	}
VRC_SEGMENT_REGISTER(cs)
VRC_SEGMENT_REGISTER(ss)
VRC_SEGMENT_REGISTER(ds)
VRC_SEGMENT_REGISTER(es)
VRC_SEGMENT_REGISTER(fs)
VRC_SEGMENT_REGISTER(gs)
#undef VRC_SEGMENT_REGISTER

inline u16 read_tr()
{
	u16 selector;
	asm volatile("str %0" : "=r"(selector));
	return selector;
}

inline u16 read_ldtr()
{
	u16 selector;
	asm volatile("sldt %0" : "=r"(selector));
	return selector;
}

inline void write_ldtr(u16 selector) { asm volatile("lldt %0" : : "r"(selector)); }

struct [[gnu::packed]] DescriptorTable {
	u16 limit;
	u64 base;
};
static_assert(sizeof(DescriptorTable) == 10);  // SDM Vol. 3A, 3.5.1

inline DescriptorTable read_gdtr()
{
	DescriptorTable table;
	asm volatile("sgdt %0" : "=m"(table));
	return table;
}

inline DescriptorTable read_idtr()
{
	DescriptorTable table;
	asm volatile("sidt %0" : "=m"(table));
	return table;
}

inline void write_gdtr(const DescriptorTable& table) { asm volatile("lgdt %0" : : "m"(table)); }

inline void write_idtr(const DescriptorTable& table) { asm volatile("lidt %0" : : "m"(table)); }

inline u64 xgetbv(u32 index)
{
	u32 low, high;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return u64{high} << 32 | low;
}

[[gnu::always_inline]] inline void xsetbv(u32 index, u64 value)
{
	asm volatile("xsetbv" : : "c"(index), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)));
}

[[gnu::always_inline]] inline u32 rdpkru()
{
	u32 value;
	asm volatile("rdpkru" : "=a"(value) : "c"(0) : "edx");
	return value;
}

[[gnu::always_inline]] inline void wrpkru(u32 value)
{
	asm volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

}  // namespace
