// SPDX-License-Identifier: GPL-2.0
// What the host is before VM-entry, and the comparison after each VM-exit.
#ifndef VMX_CLIENT_HOST_STATE_H
#define VMX_CLIENT_HOST_STATE_H

#include "observed_exit.h"

namespace {

inline u64 read_cr4()
{
	u64 value;
	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

#define READ_REGISTER(name, type)                                  \
	inline type read_##name()                                  \
	{                                                          \
		type value;                                        \
		asm volatile("mov %%" #name ", %0" : "=r"(value)); \
		return value;                                      \
	}
READ_REGISTER(cr0, u64)
READ_REGISTER(cr3, u64)
READ_REGISTER(dr7, u64)
READ_REGISTER(es, u16)
READ_REGISTER(cs, u16)
READ_REGISTER(ss, u16)
READ_REGISTER(ds, u16)
READ_REGISTER(fs, u16)
READ_REGISTER(gs, u16)

inline u16 read_tr()
{
	u16 selector;
	asm volatile("str %0" : "=r"(selector));
	return selector;
}

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

// What the host was before the first VM-entry.
struct HostState {
	u16 es, cs, ss, ds, fs, gs, tr;
	DescriptorTable gdtr, idtr;
	u64 cr0, cr3, cr4, efer, pat, fs_base, gs_base, kernel_gs_base, tr_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
} host;

inline u64 tr_base_of(const DescriptorTable& gdt, u16 selector)
{
	const u8* const descriptor = reinterpret_cast<const u8*>(gdt.base + (selector & ~7));
	u64 base = descriptor[2] | descriptor[3] << 8 | descriptor[4] << 16 | u64{descriptor[7]} << 24;
	u32 high = 0;
	copy(&high, descriptor + 8, sizeof(high));
	return base | u64{high} << 32;
}

inline void read_host_state()
{
	host = {
		read_es(),       read_cs(),       read_ss(),       read_ds(),  read_fs(),  read_gs(),       read_tr(),
		read_gdtr(),     read_idtr(),     read_cr0(),      read_cr3(), read_cr4(), msr(0xc0000080), msr(0x277),
		msr(0xc0000100), msr(0xc0000101), msr(0xc0000102), 0,          msr(0x174), msr(0x175),      msr(0x176),
	};
	host.tr_base = tr_base_of(host.gdtr, host.tr);
}

unsigned host_state_errors;

inline void compare_host(const char* what, u64 got, u64 expected)
{
	if (got == expected)
		return;
	if (++host_state_errors <= 20)
		vc_print("# host state after VM-exit: %s: got 0x%lx, expected 0x%lx\n", what, got, expected);
}

// SDM Vol. 3C, section 28.5.
inline void check_host_state()
{
	const DescriptorTable gdtr = read_gdtr(), idtr = read_idtr();
	compare_host("ES", read_es(), host.es & ~7);
	compare_host("CS", read_cs(), host.cs);
	compare_host("SS", read_ss(), host.ss);
	compare_host("DS", read_ds(), host.ds & ~7);
	compare_host("TR", read_tr(), host.tr);
	compare_host("CR0", read_cr0(), host.cr0);
	compare_host("CR3", read_cr3(), host.cr3);
	compare_host("CR4", read_cr4(), host.cr4);
	compare_host("DR7", read_dr7(), 0x400);
	compare_host("GDTR base", gdtr.base, host.gdtr.base);
	compare_host("GDTR limit", gdtr.limit, 0xffff);
	compare_host("IDTR base", idtr.base, host.idtr.base);
	compare_host("IDTR limit", idtr.limit, 0xffff);
	compare_host("RFLAGS", registers.rsp & ~u64{0x44}, 2);  // XOR in the exit path sets ZF and PF
	compare_host("FS base", msr(0xc0000100), host.fs_base);
	compare_host("GS base", msr(0xc0000101), host.gs_base);
	compare_host("kernel GS base", msr(0xc0000102), host.kernel_gs_base);
	compare_host("EFER", msr(0xc0000080), host.efer);
	compare_host("PAT", msr(0x277), host.pat);
	compare_host("IA32_SYSENTER_ESP", msr(0x175), host.sysenter_esp);
	compare_host("IA32_SYSENTER_EIP", msr(0x176), host.sysenter_eip);
	compare_host("IA32_DEBUGCTL", msr(0x1d9), 0);
}

}  // namespace

#endif
