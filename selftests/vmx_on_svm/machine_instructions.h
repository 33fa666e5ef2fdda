// SPDX-License-Identifier: GPL-2.0
// Wrappers of machine instructions, and the subroutines of entry.S.
#ifndef VMX_ON_SVM_MACHINE_INSTRUCTIONS_H
#define VMX_ON_SVM_MACHINE_INSTRUCTIONS_H

#include "registers.h"

extern "C" {
void vos_open_nmi_window(void);
void vos_open_interrupt_window(void);
void vos_unblock_nmis(void);
void vos_run_halted(unsigned long vmcb, int interrupts_wake);
int vos_rdmsr_safe(unsigned int msr, unsigned long* value);
int vos_wrmsr_safe(unsigned int msr, unsigned long value);
extern const char vos_handlers[];
}

namespace {

struct [[gnu::packed]] DescriptorTable {
	u16 limit;
	u64 base;
};
static_assert(sizeof(DescriptorTable) == 10);

struct CpuidResult {
	u32 eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0)
{
	CpuidResult result;
	asm volatile("cpuid"
		     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
		     : "a"(leaf), "c"(subleaf));
	return result;
}

inline u64 rdmsr(u32 msr)
{
	u32 low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return u64{high} << 32 | low;
}

inline void wrmsr(u32 msr, u64 value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}

inline u64 rdtsc()
{
	u32 low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return u64{high} << 32 | low;
}

inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

inline void outw(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
inline void outl(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

inline u16 inw(u16 port)
{
	u16 value;
	asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

inline u32 inl(u16 port)
{
	u32 value;
	asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

inline u8 inb(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

inline void vmsave(u64 vmcb_address) { asm volatile("vmsave" : : "a"(vmcb_address) : "memory"); }

inline void vmload(u64 vmcb_address) { asm volatile("vmload" : : "a"(vmcb_address) : "memory"); }

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

inline u64 read_cr4()
{
	u64 value;
	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

inline u64 read_cr8()
{
	u64 value;
	asm volatile("mov %%cr8, %0" : "=r"(value));
	return value;
}

inline void write_cr8(u64 value) { asm volatile("mov %0, %%cr8" : : "r"(value)); }

inline void load_idt(const DescriptorTable& table) { asm volatile("lidt %0" : : "m"(table)); }

inline u16 read_segment(Segment segment)
{
	u16 selector = 0;
	switch (segment) {
	case kEs:
		asm volatile("mov %%es, %0" : "=r"(selector));
		break;
	case kCs:
		asm volatile("mov %%cs, %0" : "=r"(selector));
		break;
	case kSs:
		asm volatile("mov %%ss, %0" : "=r"(selector));
		break;
	case kDs:
		asm volatile("mov %%ds, %0" : "=r"(selector));
		break;
	default:
		break;
	}
	return selector;
}

inline void copy_bytes(void* to, const void* from, size_t count)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

inline void fill_bytes(void* to, u8 value, size_t count)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

}  // namespace

#endif
