// SPDX-License-Identifier: GPL-2.0
// The virtual machine control block.  AMD64 Architecture Programmer's Manual, Vol. 2, Appendix B.
#ifndef VMX_ON_SVM_VMCB_H
#define VMX_ON_SVM_VMCB_H

#include "types.h"

namespace {

struct VmcbSegment {
	u16 selector;
	u16 attributes;
	u32 limit;
	u64 base;
};
static_assert(sizeof(VmcbSegment) == 16);

constexpr u16 kAttributePresent = bit(7);
constexpr u16 kAttributeDplMask = bits(5, 6);
constexpr u16 kAttributeLong = bit(9);
constexpr u16 kAttributeDefaultBig = bit(10);

struct alignas(4096) Vmcb {
	// Control area.
	u16 intercept_cr_read;
	u16 intercept_cr_write;
	u16 intercept_dr_read;
	u16 intercept_dr_write;
	u32 intercept_exceptions;
	u32 intercept_instructions[2];  // 64 bits, not aligned
	u8 reserved1[0x40 - 0x14];
	u64 io_permission_map;
	u64 msr_permission_map;
	u64 tsc_offset;
	u32 asid;
	u8 tlb_control;
	u8 reserved2[3];
	u32 interrupt_control;
	u32 interrupt_vector;
	u64 interrupt_state;
	u64 exit_code;
	u64 exit_info_1;
	u64 exit_info_2;
	u32 exit_interrupt_info;
	u32 exit_interrupt_error;
	u64 nested_control;
	u8 reserved3[0xa8 - 0x98];
	u32 event;
	u32 event_error;
	u64 nested_page_table;
	u64 lbr_control;
	u8 reserved4[0x400 - 0xc0];
	// State save area.
	VmcbSegment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved5[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved6;
	u64 efer;
	u8 reserved7[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved8[0x5d8 - 0x580];
	u64 rsp;
	u8 reserved9[0x5f8 - 0x5e0];
	u64 rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
	u8 reserved10[0x668 - 0x648];
	u64 pat;
	u8 reserved11[0x1000 - 0x670];

	void set_instruction_intercepts(u64 intercepts)
	{
		intercept_instructions[0] = low_half(intercepts);
		intercept_instructions[1] = intercepts >> 32;
	}
};
static_assert(offsetof(Vmcb, intercept_exceptions) == 0x008);
static_assert(offsetof(Vmcb, intercept_instructions) == 0x00c);
static_assert(offsetof(Vmcb, io_permission_map) == 0x040);
static_assert(offsetof(Vmcb, asid) == 0x058);
static_assert(offsetof(Vmcb, exit_code) == 0x070);
static_assert(offsetof(Vmcb, nested_control) == 0x090);
static_assert(offsetof(Vmcb, event) == 0x0a8);
static_assert(offsetof(Vmcb, nested_page_table) == 0x0b0);
static_assert(offsetof(Vmcb, es) == 0x400);
static_assert(offsetof(Vmcb, tr) == 0x490);
static_assert(offsetof(Vmcb, cpl) == 0x4cb);
static_assert(offsetof(Vmcb, efer) == 0x4d0);
static_assert(offsetof(Vmcb, cr4) == 0x548);
static_assert(offsetof(Vmcb, rflags) == 0x570);
static_assert(offsetof(Vmcb, rip) == 0x578);
static_assert(offsetof(Vmcb, rsp) == 0x5d8);
static_assert(offsetof(Vmcb, rax) == 0x5f8);
static_assert(offsetof(Vmcb, cr2) == 0x640);
static_assert(offsetof(Vmcb, pat) == 0x668);
static_assert(sizeof(Vmcb) == 4096);

// Exit codes.  Those from kExitInterrupt on are also the bits of intercept_instructions.
enum ExitCode : u32 {
	kExitReadCr = 0x00,
	kExitWriteCr = 0x10,
	kExitReadDr = 0x20,
	kExitWriteDr = 0x30,
	kExitException = 0x40,
	kExitInterrupt = 0x60,
	kExitNmi = 0x61,
	kExitVirtualInterrupt = 0x64,
	kExitRdtsc = 0x6e,
	kExitRdpmc = 0x6f,
	kExitCpuid = 0x72,
	kExitIret = 0x74,
	kExitSoftwareInterrupt = 0x75,
	kExitInvd = 0x76,
	kExitPause = 0x77,
	kExitHlt = 0x78,
	kExitInvlpg = 0x79,
	kExitInvlpga = 0x7a,
	kExitIo = 0x7b,
	kExitMsr = 0x7c,
	kExitShutdown = 0x7f,
	kExitVmrun = 0x80,
	kExitVmmcall = 0x81,
	kExitVmload = 0x82,
	kExitVmsave = 0x83,
	kExitStgi = 0x84,
	kExitClgi = 0x85,
	kExitSkinit = 0x86,
	kExitRdtscp = 0x87,
	kExitIcebp = 0x88,
	kExitWbinvd = 0x89,
	kExitMonitor = 0x8a,
	kExitMwait = 0x8b,
	kExitXsetbv = 0x8d,
	kExitNestedPageFault = 0x400,
	kExitInvalid = 0xffffffff,
};

constexpr u64 intercept(ExitCode code) { return bit(code - kExitInterrupt); }

// SVM's own instructions: VMX software must not see them.
constexpr u64 kInterceptSvmInstructions = intercept(kExitVmrun) | intercept(kExitVmmcall) | intercept(kExitVmload) |
					  intercept(kExitVmsave) | intercept(kExitStgi) | intercept(kExitClgi) |
					  intercept(kExitSkinit) | intercept(kExitInvlpga);

// interrupt_control
constexpr u32 kVirtualTprMask = bits(0, 3);
constexpr u32 kVirtualInterruptPending = bit(8);
constexpr u32 kVirtualInterruptPriority = bits(16, 19);
constexpr u32 kVirtualInterruptIgnoreTpr = bit(20);
constexpr u32 kVirtualInterruptMasking = bit(24);

constexpr u64 kInterruptShadow = bit(0);
constexpr u64 kNestedPaging = bit(0);
constexpr u8 kFlushTlb = 1;

// Events, in event and exit_interrupt_info.
constexpr u32 kEventVectorMask = 0xff;
constexpr u32 kEventTypeMask = bits(8, 10);
constexpr u32 kEventInterrupt = 0 << 8;
constexpr u32 kEventNmi = 2 << 8;
constexpr u32 kEventException = 3 << 8;
constexpr u32 kEventSoftware = 4 << 8;
constexpr u32 kEventErrorCode = bit(11);
constexpr u32 kEventValid = bit(31);

// Error code of nested page faults, exit_info_1.
constexpr u64 kNestedFaultWrite = bit(1);
constexpr u64 kNestedFaultFetch = bit(4);
constexpr u64 kNestedFaultPageTable = bit(33);

// exit_info_1 of I/O exits; the port is in bits 16 to 31.
constexpr u64 kIoInput = bit(0);
constexpr u64 kIoString = bit(2);
constexpr u64 kIoRepeat = bit(3);

}  // namespace

#endif
