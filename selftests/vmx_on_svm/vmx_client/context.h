// SPDX-License-Identifier: GPL-2.0
// Memory that the tests share, and the VMCS and MSR accesses that all of them make.
#ifndef VMX_CLIENT_CONTEXT_H
#define VMX_CLIENT_CONTEXT_H

#include "boundary.h"
#include "fields.h"

namespace {

constexpr u64 kPage = 4096;
constexpr u64 kGsBase = 0x1000;  // of the guest, for linear addresses that nothing is read from

struct [[gnu::packed]] DescriptorTable {
	u16 limit;
	u64 base;
};

struct MsrEntry {
	u32 index, reserved;
	u64 value;
};

struct alignas(4096) Context {
	u8 vmxon[kPage], vmcs[kPage], second[kPage], wrong_revision[kPage];
	u8 io_bitmap_a[kPage], io_bitmap_b[kPage], msr_bitmap[kPage];
	u64 ept[4][512];
	u64 idt[512];
	u8 stack[kPage];
	u8 data[kPage];
	MsrEntry store[4], load[4], entry_load[4];
	alignas(4096) u8 guest_page[16][kPage];
};

Context* context;
u64 basic;
bool launched;
vc_registers registers;
unsigned test_count, failed_count;

inline u64 address(const void* pointer) { return reinterpret_cast<u64>(pointer); }

inline void clear(void* memory, u64 bytes)
{
	asm volatile("rep stosb" : "+D"(memory), "+c"(bytes) : "a"(0) : "memory");
}

inline void copy(void* to, const void* from, u64 bytes)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

inline u64 read(u64 field)
{
	u64 value = 0xdeadbeef;
	vc_vmread(field, &value);
	return value;
}

inline void write(u64 field, u64 value) { vc_vmwrite(field, value); }

inline u64 msr(u32 number)
{
	u64 value = 0;
	vc_rdmsr(number, &value);
	return value;
}

}  // namespace

#endif
