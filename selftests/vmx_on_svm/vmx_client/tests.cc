// SPDX-License-Identifier: GPL-2.0
/*
 * A VMX client that checks the CPU against the SDM, and prints KTAP.  The same module gives the same lines on every VMX
 * CPU that has the controls it asks for; tests of what the SDM leaves to the implementation are not here.
 */

#include "boundary.h"
#include "fields.h"

extern "C" {
// clang-format off
#define GUEST(name) extern const char vc_guest_##name[]
GUEST(cpuid); GUEST(hlt); GUEST(invd); GUEST(wbinvd); GUEST(invlpg); GUEST(invlpg_gs); GUEST(rdpmc); GUEST(rdtsc);
GUEST(rdtscp); GUEST(pause); GUEST(monitor); GUEST(mwait); GUEST(xsetbv); GUEST(vmcall); GUEST(vmclear); GUEST(vmptrld);
GUEST(vmptrst); GUEST(vmread_register); GUEST(vmread_memory); GUEST(vmwrite); GUEST(vmlaunch); GUEST(vmresume);
GUEST(vmxoff); GUEST(vmxon); GUEST(invept); GUEST(invvpid); GUEST(mov_to_cr0); GUEST(mov_from_cr0); GUEST(mov_to_cr3);
GUEST(mov_from_cr3); GUEST(mov_to_cr4); GUEST(mov_from_cr4); GUEST(mov_to_cr8); GUEST(mov_from_cr8); GUEST(clts);
GUEST(lmsw_register); GUEST(lmsw_memory); GUEST(smsw); GUEST(mov_to_dr); GUEST(mov_from_dr); GUEST(out_dx);
GUEST(in_immediate); GUEST(out_immediate); GUEST(rep_outsb); GUEST(outsl_gs); GUEST(rep_insw); GUEST(rdmsr);
GUEST(wrmsr);
GUEST(ud2); GUEST(int3); GUEST(int_n); GUEST(icebp); GUEST(gp); GUEST(div); GUEST(store); GUEST(load); GUEST(nops);
GUEST(sti_nops); GUEST(spin); GUEST(store_and_spin); GUEST(iretq); GUEST(after_iretq); GUEST(handlers);
GUEST(real_mode); GUEST(real_mode_end); GUEST(protected_mode); GUEST(protected_mode_end); GUEST(long_mode);
GUEST(long_mode_end);
// clang-format on
}

namespace {

constexpr u64 kPage = 4096;
constexpr u64 kGsBase = 0x1000;		// of the guest, for linear addresses that nothing is read from

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

Context *context;
u64 basic;
bool launched;
vc_registers registers;
unsigned test_count, failed_count;

u64 address(const void *pointer)
{
	return reinterpret_cast<u64>(pointer);
}

void clear(void *memory, u64 bytes)
{
	asm volatile("rep stosb" : "+D"(memory), "+c"(bytes) : "a"(0) : "memory");
}

void copy(void *to, const void *from, u64 bytes)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

// One KTAP result; the diagnostics of its checks come before it.
class Test {
public:
	explicit Test(const char *name) : name_(name) {}
	~Test()
	{
		if (failed_)
			++failed_count;
		vc_print("%s %u %s\n", failed_ ? "not ok" : "ok", ++test_count, name_);
	}
	Test(const Test &) = delete;

	void equal(const char *what, u64 got, u64 expected)
	{
		if (got == expected)
			return;
		failed_ = true;
		vc_print("# %s: %s: got 0x%lx, expected 0x%lx\n", name_, what, got, expected);
	}
	void check(const char *what, bool holds) { equal(what, holds, true); }

private:
	const char *name_;
	bool failed_ = false;
};

u64 read(u64 field)
{
	u64 value = 0xdeadbeef;
	vc_vmread(field, &value);
	return value;
}

void write(u64 field, u64 value)
{
	vc_vmwrite(field, value);
}

u64 msr(u32 number)
{
	u64 value = 0;
	vc_rdmsr(number, &value);
	return value;
}

u64 read_cr4()
{
	u64 value;
	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

#define READ_REGISTER(name, type)						\
	type read_##name()							\
	{									\
		type value;							\
		asm volatile("mov %%" #name ", %0" : "=r"(value));		\
		return value;							\
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

u16 read_tr()
{
	u16 selector;
	asm volatile("str %0" : "=r"(selector));
	return selector;
}

DescriptorTable read_gdtr()
{
	DescriptorTable table;
	asm volatile("sgdt %0" : "=m"(table));
	return table;
}

DescriptorTable read_idtr()
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

u64 tr_base_of(const DescriptorTable &gdt, u16 selector)
{
	const u8 *const descriptor = reinterpret_cast<const u8 *>(gdt.base + (selector & ~7));
	u64 base = descriptor[2] | descriptor[3] << 8 | descriptor[4] << 16 | u64{descriptor[7]} << 24;
	u32 high;
	copy(&high, descriptor + 8, sizeof(high));
	return base | u64{high} << 32;
}

void read_host_state()
{
	host = {
		read_es(), read_cs(), read_ss(), read_ds(), read_fs(), read_gs(), read_tr(), read_gdtr(), read_idtr(),
		read_cr0(), read_cr3(), read_cr4(), msr(0xc0000080), msr(0x277), msr(0xc0000100), msr(0xc0000101),
		msr(0xc0000102), 0, msr(0x174), msr(0x175), msr(0x176),
	};
	host.tr_base = tr_base_of(host.gdtr, host.tr);
}

unsigned host_state_errors;

void compare_host(const char *what, u64 got, u64 expected)
{
	if (got == expected)
		return;
	if (++host_state_errors <= 20)
		vc_print("# host state after VM-exit: %s: got 0x%lx, expected 0x%lx\n", what, got, expected);
}

// SDM Vol. 3C, section 28.5.
void check_host_state()
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
	compare_host("RFLAGS", registers.rsp & ~u64{0x44}, 2);	// XOR in the exit path sets ZF and PF
	compare_host("FS base", msr(0xc0000100), host.fs_base);
	compare_host("GS base", msr(0xc0000101), host.gs_base);
	compare_host("kernel GS base", msr(0xc0000102), host.kernel_gs_base);
	compare_host("EFER", msr(0xc0000080), host.efer);
	compare_host("PAT", msr(0x277), host.pat);
	compare_host("IA32_SYSENTER_ESP", msr(0x175), host.sysenter_esp);
	compare_host("IA32_SYSENTER_EIP", msr(0x176), host.sysenter_eip);
	compare_host("IA32_DEBUGCTL", msr(0x1d9), 0);
}

u64 adjust(u64 wanted, u32 capability)
{
	const u64 value = msr(capability);
	return (wanted | (value & 0xffffffff)) & value >> 32;
}

constexpr u32 kTruePin = 0x48d, kTrueProc = 0x48e, kTrueExit = 0x48f, kTrueEntry = 0x490, kProc2Capability = 0x48b;

struct Controls {
	u64 pin = kPinInterrupts | kPinNmis;
	u64 proc = 0;
	u64 proc2 = 0;
	u64 exit = kExitLoadEfer | kExitSaveEfer | kExitLoadPat;
	u64 entry = kEntryLoadEfer;
};

constexpr Field kStartOfGroups[] = {
	kGuestEsSelector, kGuestEsLimit, kGuestEsAccess, kGuestEsBase,
};

void set_segment(unsigned number, u16 selector, u64 base, u32 limit, u32 access)
{
	const u64 value[] = { selector, limit, access, base };
	for (unsigned i = 0; i < 4; ++i)
		write(kStartOfGroups[i] + 2 * number, value[i]);
}

void write_host_state()
{
	const struct {
		u64 field, value;
	} fields[] = {
		// clang-format off
		{ kHostEsSelector, u64(host.es & ~7) }, { kHostCsSelector, host.cs }, { kHostSsSelector, host.ss },
		{ kHostDsSelector, u64(host.ds & ~7) }, { kHostFsSelector, 0 }, { kHostGsSelector, 0 },
		{ kHostTrSelector, host.tr }, { kHostCr0, host.cr0 }, { kHostCr3, host.cr3 }, { kHostCr4, host.cr4 },
		{ kHostFsBase, host.fs_base }, { kHostGsBase, host.gs_base }, { kHostTrBase, host.tr_base },
		{ kHostGdtrBase, host.gdtr.base }, { kHostIdtrBase, host.idtr.base }, { kHostEfer, host.efer },
		{ kHostPat, host.pat }, { kHostSysenterCs, host.sysenter_cs }, { kHostSysenterEsp, host.sysenter_esp },
		{ kHostSysenterEip, host.sysenter_eip },
		// clang-format on
	};
	for (const auto &field : fields)
		write(field.field, field.value);
}

// clang-format off
constexpr u64 kZeroed[] = {
	kVpid, kTscOffset, kExceptionBitmap, kPageFaultMask, kPageFaultMatch, kCr3TargetCount, kExitMsrStoreCount,
	kExitMsrLoadCount, kEntryMsrLoadCount, kEntryInfo, kEntryError, kEntryLength, kInterruptibility, kActivity,
	kGuestSysenterCs, kGuestSysenterEsp, kGuestSysenterEip, kCr0Mask, kCr4Mask, kPendingDebug,
	kGuestDebugControl, kGuestPdpte0, kGuestPdpte0 + 2, kGuestPdpte0 + 4, kGuestPdpte0 + 6,
};
// clang-format on

void set_controls(const Controls &controls)
{
	write(kPinControls, adjust(controls.pin, kTruePin));
	write(kProcControls, adjust(controls.proc | (controls.proc2 ? kProcSecondary : 0), kTrueProc));
	write(kProc2Controls, controls.proc2 ? adjust(controls.proc2, kProc2Capability) : 0);
	write(kExitControls, adjust(controls.exit | kExitHost64, kTrueExit));
	write(kEntryControls, adjust(controls.entry, kTrueEntry));
}

// A fresh VMCS, with the host state and nothing of a guest.
void begin(const Controls &controls)
{
	vc_vmclear(vc_physical(context->vmcs));
	vc_vmptrld(vc_physical(context->vmcs));
	launched = false;
	clear(&registers, sizeof(registers));
	for (const u64 field : kZeroed)
		write(field, 0);
	write(kLinkPointer, ~u64{0});
	set_controls(controls);
	write_host_state();
	write(kGuestPat, host.pat);
	write(kGuestDr7, 0x400);
	write(kGuestRflags, 2);
	write(kIoBitmapA, vc_physical(context->io_bitmap_a));
	write(kIoBitmapB, vc_physical(context->io_bitmap_b));
	write(kMsrBitmap, vc_physical(context->msr_bitmap));
}

// A 64-bit guest that shares the host's page tables; its code is in this module.
void begin_long_mode(Controls controls, const char *code)
{
	controls.entry |= kEntryIa32e;
	begin(controls);
	for (const unsigned i : (const unsigned[]){ 0, 3, 4 })
		set_segment(i, 0, 0, 0, kUnusable);
	set_segment(1, host.cs, 0, ~u32{0}, 0xa09b);
	set_segment(2, host.ss, 0, ~u32{0}, 0xc093);
	set_segment(5, 0, kGsBase, ~u32{0}, kUnusable);
	set_segment(6, 0, 0, 0, kUnusable);
	set_segment(7, host.tr, host.tr_base, 0x67, 0x8b);
	write(kGuestGdtrBase, host.gdtr.base);
	write(kGuestGdtrLimit, 127);
	write(kGuestIdtrBase, address(context->idt));
	write(kGuestIdtrLimit, sizeof(context->idt) - 1);
	write(kGuestCr0, host.cr0);
	write(kGuestCr3, host.cr3);
	write(kGuestCr4, host.cr4);
	write(kGuestEfer, host.efer);
	write(kGuestRip, address(code));
	write(kGuestRsp, address(context->stack) + 2048);
}

void map_ept_page(unsigned page, u64 rights = 7)
{
	context->ept[3][page] = vc_physical(context->guest_page[page]) | 6 << 3 | rights;
}

void reset_guest_memory(const char *code, const char *end)
{
	clear(context->guest_page, sizeof(context->guest_page));
	clear(context->ept, sizeof(context->ept));
	for (unsigned i = 0; i < 3; ++i)
		context->ept[i][0] = vc_physical(context->ept[i + 1]) | 7;
	for (unsigned page = 1; page < 4; ++page)
		map_ept_page(page);
	copy(context->guest_page[1], code, end - code);
	write(kEptPointer, vc_physical(context->ept[0]) | 6 | 3 << 3);
	const u64 descriptor[2] = { vc_physical(context->ept[0]) | 6 | 3 << 3, 0 };
	vc_invept(1, descriptor);
}

constexpr u64 kEptControls = kProc2Ept | kProc2Unrestricted;

// A guest without paging, with EPT.  bits is 16 for real mode.
void begin_unpaged(Controls controls, unsigned bits, const char *code, const char *end)
{
	const bool real = bits == 16;
	controls.proc2 |= kEptControls;
	begin(controls);
	reset_guest_memory(code, end);
	for (unsigned i = 0; i < 6; ++i)
		set_segment(i, real ? 0 : 8, 0, real ? 0xffff : ~u32{0}, (i == 1 ? 0x9b : 0x93) | (real ? 0 : 0xc000));
	set_segment(6, 0, 0, 0, kUnusable);
	set_segment(7, 0, 0, 0xffff, 0x8b);
	write(kGuestGdtrBase, 0);
	write(kGuestIdtrBase, 0);
	write(kGuestGdtrLimit, 0xffff);
	write(kGuestIdtrLimit, 0xffff);
	write(kGuestCr0, real ? 0x30 : 0x31);
	write(kGuestCr3, 0);
	write(kGuestCr4, 0x2000);
	write(kGuestEfer, 0);
	write(kGuestRip, 0x1000);
	write(kGuestRsp, 0x2800);
}

constexpr u32 kEntryFailed = 0x1000;	// plus the outcome; not an exit reason

u32 enter_once()
{
	const int outcome = vc_enter(&registers, launched);
	if (outcome)
		return kEntryFailed + outcome;
	const u32 reason = read(kExitReason);
	if (!(reason & kFailedEntry))
		launched = true;
	check_host_state();
	return reason;
}

constexpr u32 kExternalInterrupt = 1;

u64 interrupt_handler(unsigned vector)
{
	const u8 *const gate = reinterpret_cast<const u8 *>(host.idtr.base + 16 * vector);
	u32 high;
	copy(&high, gate + 8, sizeof(high));
	return gate[0] | gate[1] << 8 | u64{gate[6]} << 16 | u64{gate[7]} << 24 | u64{high} << 32;
}

void handle_interrupt()
{
	const u32 info = read(kExitInfo);
	if (info & kInfoValid)
		vc_call_interrupt_handler(interrupt_handler(info & 0xff));
	else
		vc_interrupts_on_and_off();
}

// Runs the guest to the next exit that is not an interrupt of the host's.
u32 run()
{
	for (;;) {
		const u32 reason = enter_once();
		if (reason != kExternalInterrupt)
			return reason;
		handle_interrupt();
	}
}

u64 offset_of(const char *code)
{
	return read(kGuestRip) - address(code);
}

// Instructions that exit.

constexpr u64 kUndefined = ~u64{0} - 1;

void test_one_exit(const char *name, const char *code, const Controls &controls, u32 reason, u32 length,
		   u64 qualification = 0, u64 instruction_info = 0, u64 info_mask = 0)
{
	Test test(name);
	begin_long_mode(controls, code);
	registers.rbx = 0x5000;
	registers.rdi = 0x60;
	registers.rdx = 0x1f0;
	registers.rsi = 0x7000;
	registers.rax = 0xe;
	registers.r15 = 0x1000;
	test.equal("reason", run(), reason);
	test.equal("length", read(kExitLength), length);
	if (qualification != kUndefined)
		test.equal("qualification", read(kQualification), qualification);
	test.equal("RIP", offset_of(code), 0);
	test.equal("instruction information", read(kInstructionInfo) & info_mask, instruction_info);
	test.equal("interruption information is valid", read(kExitInfo) >> 31, 0);
	test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	test.equal("RFLAGS", read(kGuestRflags), 2);
	test.equal("interruptibility", read(kInterruptibility), 0);
	test.equal("activity", read(kActivity), 0);
	test.equal("RSP", read(kGuestRsp), address(context->stack) + 2048);
}

constexpr u64 kMemoryInfo = 0x7fff | 0x3 << 15 | 0xff80000, kSegmentInfo = 7 << 15;

void test_instruction_exits()
{
	const Controls none;
	auto with = [](u64 proc) {
		Controls controls;
		controls.proc = proc;
		return controls;
	};
	Controls secondary;
	secondary.proc2 = kProc2Rdtscp | kProc2Wbinvd;
	Controls rdtscp_exit = secondary;
	rdtscp_exit.proc = kProcRdtsc;

	test_one_exit("exit: CPUID", vc_guest_cpuid, none, 10, 2);
	test_one_exit("exit: HLT", vc_guest_hlt, with(kProcHlt), 12, 1);
	test_one_exit("exit: INVD", vc_guest_invd, none, 13, 2);
	test_one_exit("exit: INVLPG", vc_guest_invlpg, with(kProcInvlpg), 14, 5, 0x50d0);
	test_one_exit("exit: INVLPG with a GS override", vc_guest_invlpg_gs, with(kProcInvlpg), 14, 5, kGsBase + 0x2e);
	test_one_exit("exit: RDPMC", vc_guest_rdpmc, with(kProcRdpmc), 15, 2);
	test_one_exit("exit: RDTSC", vc_guest_rdtsc, with(kProcRdtsc), 16, 2);
	test_one_exit("exit: VMCALL", vc_guest_vmcall, none, 18, 3);
	test_one_exit("exit: VMLAUNCH", vc_guest_vmlaunch, none, 20, 3);
	test_one_exit("exit: VMRESUME", vc_guest_vmresume, none, 24, 3);
	test_one_exit("exit: VMXOFF", vc_guest_vmxoff, none, 26, 3);
	// Table 28-13: scaling 2, 64 bits, DS, index RCX, base RBX.
	test_one_exit("exit: VMCLEAR", vc_guest_vmclear, none, 19, 6, 0x18,
		      2 | 2 << 7 | 3 << 15 | 1 << 18 | 3 << 23, 0x0fff8783 & ~u64{0x400});
	test_one_exit("exit: VMPTRLD", vc_guest_vmptrld, none, 21, 5, 8, 2 << 7 | 2 << 15 | bit(22) | 4 << 23,
			0xfc78380);
	test_one_exit("exit: VMPTRST", vc_guest_vmptrst, none, 22, 6, -0x10, 2 << 7 | 5 << 15 | bit(22) | 13 << 23,
		      0xfc78380);
	test_one_exit("exit: VMREAD to a register", vc_guest_vmread_register, none, 23, 3, kUndefined, 3 << 3 |
			bit(10) | 0u << 28,
		      0xf0000478);
	test_one_exit("exit: VMREAD to memory", vc_guest_vmread_memory, none, 23, 5, 0x20,
		      2 << 7 | 3 << 15 | bit(22) | 6 << 23 | 9ul << 28, 0xffc78780 & ~u64{0x400});
	test_one_exit("exit: VMWRITE", vc_guest_vmwrite, none, 25, 4, kUndefined, 12 << 3 | bit(10) | 2ul << 28,
			0xf0000478);
	test_one_exit("exit: VMXON", vc_guest_vmxon, none, 27, 4, 0, 2 << 7 | 3 << 15 | bit(22) | 7 << 23, 0xfc78380);
	test_one_exit("exit: INVEPT", vc_guest_invept, none, 50, 5, 0, 2 << 7 | 3 << 15 | bit(22) | 7 << 23,
			0xffc78380);
	test_one_exit("exit: INVVPID", vc_guest_invvpid, none, 53, 6, 4, 2 << 7 | 3 << 15 | bit(22) | 7 << 23 |
			1ul << 28,
		      0xffc78380);
	test_one_exit("exit: MOV to CR3", vc_guest_mov_to_cr3, with(kProcCr3Load), 28, 4, 3 | 15 << 8);
	test_one_exit("exit: MOV from CR3", vc_guest_mov_from_cr3, with(kProcCr3Store), 28, 4, 3 | 1 << 4 | 14 << 8);
	test_one_exit("exit: MOV to CR8", vc_guest_mov_to_cr8, with(kProcCr8Load), 28, 4, 8 | 3 << 8);
	test_one_exit("exit: MOV from CR8", vc_guest_mov_from_cr8, with(kProcCr8Store), 28, 4, 8 | 1 << 4 | 1 << 8);
	test_one_exit("exit: MOV to DR3", vc_guest_mov_to_dr, with(kProcMovDr), 29, 3, 3 | 6 << 8);
	test_one_exit("exit: MOV from DR7", vc_guest_mov_from_dr, with(kProcMovDr), 29, 4, 7 | 1 << 4 | 10 << 8);
	test_one_exit("exit: OUT DX, AL", vc_guest_out_dx, with(kProcIo), 30, 1, 0x1f0 << 16);
	test_one_exit("exit: IN EAX, imm8", vc_guest_in_immediate, with(kProcIo), 30, 2, 3 | 1 << 3 | 1 << 6 |
			0x71 << 16);
	test_one_exit("exit: OUT imm8, AX", vc_guest_out_immediate, with(kProcIo), 30, 3, 1 | 1 << 6 | 0x72 << 16);
	test_one_exit("exit: RDMSR", vc_guest_rdmsr, none, 31, 2);
	test_one_exit("exit: WRMSR", vc_guest_wrmsr, none, 32, 2);
	test_one_exit("exit: MWAIT", vc_guest_mwait, with(kProcMwait), 36, 3);
	test_one_exit("exit: MONITOR", vc_guest_monitor, with(kProcMonitor), 39, 3);
	test_one_exit("exit: PAUSE", vc_guest_pause, with(kProcPause), 40, 2);
	test_one_exit("exit: RDTSCP", vc_guest_rdtscp, rdtscp_exit, 51, 3);
	test_one_exit("exit: WBINVD", vc_guest_wbinvd, secondary, 54, 2);
	test_one_exit("exit: XSETBV", vc_guest_xsetbv, none, 55, 3);

	test_one_exit("exit: REP OUTSB", vc_guest_rep_outsb, with(kProcIo), 30, 2, 1 << 4 | 1 << 5 | 0x1f0 << 16,
		      2 << 7 | 3 << 15, 7 << 7 | kSegmentInfo);
	{
		Test test("exit: linear address of REP OUTSB");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x7000);
	}
	test_one_exit("exit: OUTSL with a GS override", vc_guest_outsl_gs, with(kProcIo), 30, 2, 3 | 1 << 4 |
			0x1f0 << 16,
		      2 << 7 | 5 << 15, 7 << 7 | kSegmentInfo);
	{
		Test test("exit: linear address of OUTSL with a GS override");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x7000 + kGsBase);
	}
	test_one_exit("exit: REP INSW with 32-bit addresses", vc_guest_rep_insw, with(kProcIo), 30, 4,
		      1 | 1 << 3 | 1 << 4 | 1 << 5 | 0x1f0 << 16, 1 << 7, 7 << 7);
	{
		Test test("exit: linear address of REP INSW");
		test.equal("guest-linear address", read(kGuestLinearAddress), 0x60);
	}
}

// Instructions that do not exit.

void test_no_exits()
{
	constexpr u32 kVmcall = 18;
	Controls secondary;
	secondary.proc2 = kProc2Rdtscp;
	{
		Test test("no exit: RDTSC with an offset");
		Controls controls;
		constexpr u64 kOffset = u64{1} << 50;
		controls.proc = kProcTscOffset;
		begin_long_mode(controls, vc_guest_rdtsc);
		write(kTscOffset, kOffset);
		test.equal("reason", run(), kVmcall);
		test.equal("offset", (registers.rdx << 32 | (registers.rax & 0xffffffff)) >> 50, 1);
	}
	{
		Test test("no exit: RDTSCP");
		begin_long_mode(secondary, vc_guest_rdtscp);
		test.equal("reason", run(), kVmcall);
		test.equal("RCX", registers.rcx, msr(0xc0000103) & 0xffffffff);
	}
	{
		Test test("RDTSCP that is not enabled raises #UD");
		begin_long_mode(Controls(), vc_guest_rdtscp);
		write(kExceptionBitmap, bit(6));
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 6);
	}
	{
		Test test("no exit: PAUSE, WBINVD");
		begin_long_mode(secondary, vc_guest_pause);
		test.equal("reason after PAUSE", run(), kVmcall);
		write(kGuestRip, address(vc_guest_wbinvd));
		test.equal("reason after WBINVD", run(), kVmcall);
	}
	{
		Test test("CR0: mask and shadow");
		constexpr u64 kTs = bit(3), kWp = bit(16);
		begin_long_mode(Controls(), vc_guest_mov_from_cr0);
		write(kCr0Mask, kWp);
		write(kCr0Shadow, 0);
		test.equal("MOV from CR0", run(), kVmcall);
		test.equal("value read", registers.rax, host.cr0 & ~kWp);
		write(kGuestRip, address(vc_guest_smsw));
		test.equal("SMSW", run(), kVmcall);
		test.equal("value of SMSW", registers.rax, host.cr0 & ~kWp);
		write(kGuestRip, address(vc_guest_mov_to_cr0));
		registers.rax = host.cr0;
		test.equal("MOV to CR0 that differs", run(), 28);
		test.equal("qualification", read(kQualification), 0);
		registers.rax = (host.cr0 & ~kWp) | kTs;
		test.equal("MOV to CR0 of unmasked bits", run(), kVmcall);
		test.equal("guest CR0", read(kGuestCr0), host.cr0 | kTs);
		write(kGuestRip, address(vc_guest_clts));
		test.equal("CLTS that does not exit", run(), kVmcall);
		test.equal("guest CR0 after CLTS", read(kGuestCr0), host.cr0 & ~kTs);
		write(kCr0Mask, kTs);
		write(kCr0Shadow, kTs);
		write(kGuestRip, address(vc_guest_clts));
		test.equal("CLTS that exits", run(), 28);
		test.equal("qualification of CLTS", read(kQualification), 2 << 4);
		test.equal("length of CLTS", read(kExitLength), 2);
	}
	{
		Test test("LMSW");
		begin_long_mode(Controls(), vc_guest_lmsw_register);
		write(kCr0Mask, 0xe);
		write(kCr0Shadow, 0);
		registers.rax = 0x1235;
		test.equal("reason", run(), 28);
		test.equal("qualification", read(kQualification), 3 << 4 | 0x1235 << 16);
		test.equal("length", read(kExitLength), 3);
		write(kGuestRip, address(vc_guest_lmsw_memory));
		registers.rdi = address(context->data);
		*reinterpret_cast<u16 *>(context->data) = 0x8003;
		test.equal("reason with a memory operand", run(), 28);
		test.equal("qualification with a memory operand", read(kQualification), 3 << 4 | 1 << 6 |
				u64{0x8003} << 16);
		test.equal("guest-linear address", read(kGuestLinearAddress), address(context->data));
	}
	{
		Test test("CR4: mask and shadow");
		constexpr u64 kTsd = bit(2), kVmxe = bit(13);
		begin_long_mode(Controls(), vc_guest_mov_from_cr4);
		write(kCr4Mask, kVmxe | kTsd);
		write(kCr4Shadow, 0);
		test.equal("MOV from CR4", run(), kVmcall);
		test.equal("value read", registers.rax, host.cr4 & ~(kVmxe | kTsd));
		write(kGuestRip, address(vc_guest_mov_to_cr4));
		registers.rax = host.cr4 | kTsd;
		test.equal("MOV to CR4 that differs", run(), 28);
		test.equal("qualification", read(kQualification), 4);
	}
	{
		Test test("CR3: targets");
		Controls controls;
		controls.proc = kProcCr3Load;
		begin_long_mode(controls, vc_guest_mov_to_cr3);
		write(kCr3TargetCount, 1);
		write(kCr3Target0, host.cr3);
		registers.r15 = host.cr3;
		test.equal("reason", run(), kVmcall);
	}
	{
		Test test("MSR bitmap");
		Controls controls;
		controls.proc = kProcMsrBitmaps;
		clear(context->msr_bitmap, kPage);
		begin_long_mode(controls, vc_guest_rdmsr);
		registers.rcx = 0x174;
		write(kGuestSysenterCs, 0x55);
		test.equal("reason without the bit", run(), kVmcall);
		test.equal("value", registers.rax, 0x55);
		context->msr_bitmap[0x174 / 8] = 1 << (0x174 & 7);
		write(kGuestRip, address(vc_guest_rdmsr));
		registers.rcx = 0x174;
		test.equal("reason with the bit", run(), 31);
		clear(context->msr_bitmap, kPage);
		context->msr_bitmap[0xc00 + 0x82 / 8] = 1 << (0x82 & 7);
		write(kGuestRip, address(vc_guest_wrmsr));
		registers.rcx = 0xc0000082;
		test.equal("WRMSR of the high range", run(), 32);
		write(kGuestRip, address(vc_guest_rdmsr));
		registers.rcx = 0x40000123;
		test.equal("MSR outside the ranges", run(), 31);
		clear(context->msr_bitmap, kPage);
		write(kGuestRip, address(vc_guest_rdmsr));
		registers.rcx = 0xc0000080;
		test.equal("EFER", run(), kVmcall);
		test.equal("value of EFER", registers.rax, host.efer);
	}
	{
		Test test("I/O bitmaps");
		Controls controls;
		controls.proc = kProcIoBitmaps;
		clear(context->io_bitmap_a, kPage);
		clear(context->io_bitmap_b, kPage);
		begin_long_mode(controls, vc_guest_out_dx);
		registers.rdx = 0x80;
		test.equal("reason without the bit", run(), kVmcall);
		context->io_bitmap_a[0x80 / 8] = 1;
		write(kGuestRip, address(vc_guest_out_dx));
		test.equal("reason with the bit", run(), 30);
		context->io_bitmap_b[0] = 1;
		registers.rdx = 0x8000;
		test.equal("reason with the bit in bitmap B", run(), 30);
	}
}

// Exceptions and injection.

void make_guest_idt()
{
	for (unsigned vector = 0; vector < 256; ++vector) {
		const u64 handler = address(vc_guest_handlers) + 16 * vector;
		context->idt[2 * vector] = (handler & 0xffff) | u64{host.cs} << 16 | u64{0x8e00} << 32 |
			(handler >> 16 & 0xffff) << 48;
		context->idt[2 * vector + 1] = handler >> 32;
	}
}

u64 handler_reached()
{
	return (read(kGuestRip) - address(vc_guest_handlers)) / 16;
}

void test_exceptions()
{
	const struct {
		const char *name;
		const char *code;
		unsigned vector;
		u32 info;
		bool has_length;
		u32 length;
		u64 resume_flag;
	} cases[] = {
		{ "exception: #UD", vc_guest_ud2, 6, 3 << 8 | 6, false, 0, bit(16) },
		{ "exception: #BP", vc_guest_int3, 3, 6 << 8 | 3, true, 1, 0 },
		{ "exception: #DB of INT1", vc_guest_icebp, 1, 5 << 8 | 1, true, 1, 0 },
		{ "exception: #GP", vc_guest_gp, 13, 1 << 11 | 3 << 8 | 13, false, 0, bit(16) },
	};
	for (const auto &one : cases) {
		Test test(one.name);
		begin_long_mode(Controls(), one.code);
		write(kExceptionBitmap, bit(one.vector));
		registers.rax = u64{1} << 62;
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | one.info);
		if (one.has_length)
			test.equal("length", read(kExitLength), one.length);
		if (one.info & 1 << 11)
			test.equal("error code", read(kExitError), 0);
		test.equal("RIP", offset_of(one.code), 0);
		test.equal("RFLAGS", read(kGuestRflags), 2 | one.resume_flag);
	}
	{
		Test test("exception: #PF");
		begin_long_mode(Controls(), vc_guest_store);
		write(kExceptionBitmap, bit(14));
		registers.rdi = 0x7ffffffff000 - 0x123456;	// nothing of a kernel thread's or this process's
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 14);
		test.equal("error code", read(kExitError) & ~u64{1}, 2);
		test.equal("qualification", read(kQualification), 0x7ffffffff000 - 0x123456);
		write(kPageFaultMask, 2);
		write(kPageFaultMatch, 0);
		test.equal("reason if the error code does not match", run(), 18);
		test.equal("handler", handler_reached(), 14);
	}
	{
		Test test("exceptions that the guest handles");
		begin_long_mode(Controls(), vc_guest_ud2);
		test.equal("reason after #UD", run(), 18);
		test.equal("handler of #UD", handler_reached(), 6);
		write(kGuestRip, address(vc_guest_int_n));
		test.equal("reason after INT n", run(), 18);
		test.equal("handler of INT n", handler_reached(), 0x42);
		write(kGuestRip, address(vc_guest_int_n));
		write(kExceptionBitmap, bit(3));
		test.equal("reason after INT n with #BP in the bitmap", run(), 18);
		test.equal("handler of INT n with #BP in the bitmap", handler_reached(), 0x42);
		const u64 *const frame = reinterpret_cast<u64 *>(read(kGuestRsp));
		test.equal("RIP pushed", frame[0], address(vc_guest_int_n) + 2);
	}
	{
		Test test("exception: single step");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 1);
		test.equal("qualification", read(kQualification), bit(14));
		test.equal("RIP", offset_of(vc_guest_nops), 1);
	}
	{
		Test test("triple fault");
		begin_long_mode(Controls(), vc_guest_ud2);
		write(kGuestIdtrLimit, 0);
		test.equal("reason", run(), 2);
	}
}

void test_injection()
{
	const struct {
		const char *name;
		u32 info, error, length;
		u64 frame_words;	// error code included
		u64 pushed_offset;
	} cases[] = {
		{ "injection: external interrupt", 0 << 8 | 0x50, 0, 0, 5, 0 },
		{ "injection: NMI", 2 << 8 | 2, 0, 0, 5, 0 },
		{ "injection: #UD", 3 << 8 | 6, 0, 0, 5, 0 },
		{ "injection: #GP", 1 << 11 | 3 << 8 | 13, 0x1230, 0, 6, 0 },
		{ "injection: software interrupt", 4 << 8 | 0x61, 0, 2, 5, 2 },
		{ "injection: INT1", 5 << 8 | 1, 0, 1, 5, 1 },
		{ "injection: INT3", 6 << 8 | 3, 0, 1, 5, 1 },
	};
	for (const auto &one : cases) {
		Test test(one.name);
		begin_long_mode(Controls(), vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kEntryInfo, kInfoValid | one.info);
		write(kEntryError, one.error);
		write(kEntryLength, one.length);
		test.equal("reason", run(), 18);
		test.equal("handler", handler_reached(), one.info & 0xff);
		const u64 *const frame = reinterpret_cast<u64 *>(read(kGuestRsp));
		const u64 words = (address(context->stack) + 2048 - address(frame)) / 8;
		test.equal("words pushed", words, one.frame_words);
		if (words == 6)
			test.equal("error code", frame[0], one.error);
		test.equal("RIP pushed", frame[words - 5], address(vc_guest_nops) + one.pushed_offset);
		test.equal("valid bit afterwards", read(kEntryInfo) >> 31, 0);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
		test.equal("RFLAGS.IF", read(kGuestRflags) & 0x200, 0);
		const bool nmi = (one.info & 0xff) == 2;
		if (nmi)
			test.equal("blocking by NMI", read(kInterruptibility), 8);
	}
	// The injected NMI has blocked NMIs: end that.
	vc_call_nmi_handler();
	{
		Test test("IDT-vectoring information of an injected event");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kEntryInfo, kInfoValid | 4 << 8 | 0x61);
		write(kEntryLength, 2);
		write(kExceptionBitmap, bit(13));
		write(kGuestIdtrLimit, 0x20 * 16 - 1);
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 11 | 3 << 8 | 13);
		test.equal("error code is of the IDT", read(kExitError) & 7, 2);
		test.equal("IDT-vectoring information", read(kVectoringInfo), kInfoValid | 4 << 8 | 0x61);
		test.equal("length", read(kExitLength), 2);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("pending debug exception");
		begin_long_mode(Controls(), vc_guest_nops);
		write(kExceptionBitmap, bit(1));
		write(kGuestRflags, 0x102);
		write(kPendingDebug, bit(14));
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 3 << 8 | 1);
		test.equal("qualification", read(kQualification), bit(14));
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
}

// Interrupts, NMIs and windows.

void test_interrupts()
{
	Controls acknowledge;
	acknowledge.exit |= kExitAcknowledge;
	{
		Test test("external interrupt");
		begin_long_mode(Controls(), vc_guest_spin);
		write(kGuestRflags, 0x202);
		test.equal("reason", enter_once(), kExternalInterrupt);
		test.equal("information is valid", read(kExitInfo) >> 31, 0);
		test.equal("interruptibility", read(kInterruptibility), 0);
		vc_interrupts_on_and_off();
	}
	{
		Test test("external interrupt, acknowledged");
		begin_long_mode(acknowledge, vc_guest_spin);
		write(kGuestRflags, 0x202);
		test.equal("reason", enter_once(), kExternalInterrupt);
		const u32 info = read(kExitInfo);
		test.equal("valid, type and reserved bits", info & ~u32{0xff}, kInfoValid);
		test.check("vector is one of the kernel's", (info & 0xff) >= 0x20);
		handle_interrupt();
	}
	{
		Test test("interrupt window");
		Controls controls;
		controls.proc = kProcInterruptWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kGuestRflags, 0x202);
		test.equal("reason", run(), 7);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
		begin_long_mode(controls, vc_guest_sti_nops);
		test.equal("reason after STI", run(), 7);
		test.equal("RIP after STI", offset_of(vc_guest_sti_nops), 2);
		test.equal("interruptibility after STI", read(kInterruptibility), 0);
	}
	{
		Test test("interrupt window: blocking by STI at VM-entry");
		Controls controls;
		controls.proc = kProcInterruptWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kInterruptibility, 1);
		test.equal("reason", run(), 7);
		test.equal("RIP", offset_of(vc_guest_nops), 1);
		test.equal("RFLAGS", read(kGuestRflags), 0x202);
	}
	{
		Test test("interrupt window: blocking by MOV SS at VM-entry");
		Controls controls;
		controls.proc = kProcInterruptWindow;
		begin_long_mode(controls, vc_guest_nops);
		write(kGuestRflags, 0x202);
		write(kInterruptibility, 2);
		test.equal("reason", run(), 7);
		test.equal("RIP", offset_of(vc_guest_nops), 1);
	}
}

// The frame of an IRET to vc_guest_after_iretq.
void push_iret_frame()
{
	u64 *const frame = reinterpret_cast<u64 *>(context->stack + 2048) - 5;
	frame[0] = address(vc_guest_after_iretq);
	frame[1] = host.cs;
	frame[2] = 2;
	frame[3] = address(context->stack) + 2048;
	frame[4] = host.ss;
	write(kGuestRsp, address(frame));
}

// The guest sends itself an NMI.  A handler of the host's may change the destination of the next IPI: after each
// interrupt the guest begins anew.
u32 run_to_nmi(u64 apic)
{
	volatile u32 *const page = reinterpret_cast<volatile u32 *>(apic);
	for (;;) {
		page[0x310 / 4] = page[0x20 / 4];
		const u32 reason = enter_once();
		if (reason != kExternalInterrupt)
			return reason;
		handle_interrupt();
		write(kGuestRip, address(vc_guest_store_and_spin));
	}
}

void test_nmis()
{
	Controls virtual_nmis;
	virtual_nmis.pin |= kPinVirtualNmis;
	Controls window = virtual_nmis;
	window.proc |= kProcNmiWindow;
	const u64 apic = vc_local_apic();

	if (apic) {
		Test test("NMI");
		for (unsigned i = 0; i < 3; ++i) {
			begin_long_mode(virtual_nmis, vc_guest_store_and_spin);
			registers.rdi = apic + 0x300;
			registers.rbx = 0x4400;
			write(kGuestRflags, 0x202);
			test.equal("reason", run_to_nmi(apic), 0);
			test.equal("information", read(kExitInfo), kInfoValid | 2 << 8 | 2);
			test.equal("interruptibility", read(kInterruptibility), 0);
			test.check("RIP", offset_of(vc_guest_store_and_spin) >= 2 &&
					offset_of(vc_guest_store_and_spin) <= 5);
			vc_call_nmi_handler();
		}
	}
	{
		Test test("NMI window");
		begin_long_mode(window, vc_guest_nops);
		test.equal("reason", run(), 8);
		test.equal("RIP", offset_of(vc_guest_nops), 0);
	}
	{
		Test test("NMI window: virtual-NMI blocking ends with IRET");
		begin_long_mode(window, vc_guest_iretq);
		write(kInterruptibility, 8);
		push_iret_frame();
		test.equal("reason", run(), 8);
		test.equal("RIP", offset_of(vc_guest_after_iretq), 0);
		test.equal("interruptibility", read(kInterruptibility), 0);
		test.equal("RFLAGS", read(kGuestRflags), 2);
	}
	{
		Test test("virtual-NMI blocking is kept");
		begin_long_mode(virtual_nmis, vc_guest_vmcall);
		write(kInterruptibility, 8);
		test.equal("reason", run(), 18);
		test.equal("interruptibility", read(kInterruptibility), 8);
		write(kGuestRip, address(vc_guest_iretq));
		push_iret_frame();
		test.equal("reason after IRET", run(), 18);
		test.equal("interruptibility after IRET", read(kInterruptibility), 0);
	}
	{
		Test test("IRET that faults ends virtual-NMI blocking");
		begin_long_mode(virtual_nmis, vc_guest_iretq);
		write(kInterruptibility, 8);
		write(kExceptionBitmap, bit(13));
		push_iret_frame();
		reinterpret_cast<u64 *>(context->stack + 2048)[-4] = 0xfff8;
		test.equal("reason", run(), 0);
		test.equal("information", read(kExitInfo), kInfoValid | 1 << 12 | 1 << 11 | 3 << 8 | 13);
		test.equal("error code", read(kExitError), 0xfff8);
		test.equal("interruptibility", read(kInterruptibility), 0);
		test.equal("RIP", offset_of(vc_guest_iretq), 0);
	}
	{
		Test test("NMI window with an event injected");
		begin_long_mode(window, vc_guest_nops);
		write(kEntryInfo, kInfoValid | 3 << 8 | 6);
		test.equal("reason", run(), 8);
		test.equal("handler", handler_reached(), 6);
		test.equal("IDT-vectoring information is valid", read(kVectoringInfo) >> 31, 0);
	}
	{
		Test test("virtual NMI injected");
		begin_long_mode(window, vc_guest_nops);
		write(kEntryInfo, kInfoValid | 2 << 8 | 2);
		test.equal("reason", run(), 18);
		test.equal("handler", handler_reached(), 2);
		test.equal("interruptibility", read(kInterruptibility), 8);
	}
}

// EPT.

void advance()
{
	write(kGuestRip, read(kGuestRip) + read(kExitLength));
}

void test_real_mode()
{
	Test test("EPT: real mode");
	Controls controls;
	controls.proc = kProcHlt | kProcIo | kProcInvlpg;
	begin_unpaged(controls, 16, vc_guest_real_mode, vc_guest_real_mode_end);
	*reinterpret_cast<u16 *>(context->guest_page[5]) = 0xbeef;
	test.equal("CPUID", run(), 10);
	test.equal("store", *reinterpret_cast<u16 *>(context->guest_page[2]), 0x1234);
	test.equal("RIP at CPUID", read(kGuestRip), 0x1006);
	advance();
	test.equal("load without a page", run(), 48);
	test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x5000);
	test.equal("qualification", read(kQualification) & 0x3f, 1);
	test.equal("RFLAGS.RF", read(kGuestRflags) & bit(16), bit(16));
	map_ept_page(5, 1);
	test.equal("HLT", run(), 12);
	test.equal("AX", registers.rax & 0xffff, 0xbeef);
	advance();
	registers.rsi = 0x12340003;
	registers.rdx = 0x60;
	test.equal("REP OUTSB", run(), 30);
	test.equal("qualification of REP OUTSB", read(kQualification), 1 << 4 | 1 << 5 | 0x60 << 16);
	test.equal("instruction information of REP OUTSB", read(kInstructionInfo) & (7 << 7 | 7 << 15), 3 << 15);
	test.equal("guest-linear address of REP OUTSB", read(kGuestLinearAddress), 3);
	advance();
	write(kGuestRip, read(kGuestRip));
	registers.rbx = 0x10;
	test.equal("INVLPG in protected mode", run(), 14);
	test.equal("qualification of INVLPG", read(kQualification), 0x2012);
	test.equal("length of INVLPG", read(kExitLength), 4);
	test.equal("CR0", read(kGuestCr0) & 0x31, 0x31);
}

void test_protected_mode()
{
	Test test("EPT: protected mode without paging");
	Controls controls;
	controls.proc = kProcHlt | kProcIo;
	begin_unpaged(controls, 32, vc_guest_protected_mode, vc_guest_protected_mode_end);
	set_segment(4, 8, 0x700, 0xffff, 0x93);
	test.equal("CPUID", run(), 10);
	test.equal("store", *reinterpret_cast<u32 *>(context->guest_page[2]), 0x89abcdef);
	advance();
	registers.rsi = 0x44;
	registers.rdx = 0x60;
	test.equal("REP OUTSB", run(), 30);
	test.equal("instruction information", read(kInstructionInfo) & (7 << 7 | 7 << 15), 1 << 7 | 4 << 15);
	test.equal("guest-linear address", read(kGuestLinearAddress), 0x744);
	test.equal("length", read(kExitLength), 3);
	test.equal("SMSW", registers.rax & 0xffff, 0x31);
	advance();
	// Read-modify-write of a page without write permission.
	map_ept_page(3, 5);
	const u64 descriptor[2] = { read(kEptPointer), 0 };
	vc_invept(1, descriptor);
	test.equal("locked increment", run(), 48);
	test.equal("write bit of the qualification", read(kQualification) & 2, 2);
	test.equal("rights in the qualification", read(kQualification) >> 3 & 7, 5);
	test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x3000);
	map_ept_page(3);
	// A 2-MByte page.
	const u64 large = vc_physical(context) & ~(bit(21) - 1);
	context->ept[2][1] = large | bit(7) | 6 << 3 | 1;
	test.equal("HLT", run(), 12);
	const u32 *const expected = reinterpret_cast<u32 *>(address(context) - (vc_physical(context) - large));
	test.equal("load from a large page", registers.rax & 0xffffffff, *expected);
	test.equal("increment", *reinterpret_cast<u32 *>(context->guest_page[3]), 1);
}

void begin_long_mode_ept(const Controls &controls)
{
	begin_unpaged(controls, 32, vc_guest_long_mode, vc_guest_long_mode_end);
	for (unsigned page = 8; page < 11; ++page)
		map_ept_page(page);
	*reinterpret_cast<u64 *>(context->guest_page[8]) = 0x9000 | 0x63;
	*reinterpret_cast<u64 *>(context->guest_page[9]) = 0xa000 | 0x63;
	*reinterpret_cast<u64 *>(context->guest_page[10]) = 0xe3;
	write(kGuestCr0, 0x80000031);
	write(kGuestCr3, 0x8000);
	write(kGuestCr4, 0x2020);
	write(kGuestEfer, 0x500);
	write(kEntryControls, read(kEntryControls) | kEntryIa32e);
	write(kGuestCsAccess, 0xa09b);
}

void test_long_mode_ept()
{
	Controls controls;
	controls.proc = kProcHlt;
	controls.proc2 = kProc2Vpid;
	{
		Test test("EPT: long mode");
		begin_long_mode_ept(controls);
		write(kVpid, 1);
		test.equal("CPUID", run(), 10);
		test.equal("store", *reinterpret_cast<u64 *>(context->guest_page[2]), 0x1122334455667788);
		advance();
		test.equal("load", run(), 48);
		test.equal("qualification of the load", read(kQualification) & 0x3f, 1);
		test.equal("guest-physical address of the load", read(kGuestPhysicalAddress), 0x5008);
		map_ept_page(5);
		reinterpret_cast<u64 *>(context->guest_page[5])[1] = 0x77;
		test.equal("store to page 6", run(), 48);
		test.equal("qualification of the store", read(kQualification) & 0x3f, 2);
		test.equal("guest-physical address of the store", read(kGuestPhysicalAddress), 0x6010);
		map_ept_page(6);
		test.equal("fetch from page 7", run(), 48);
		test.equal("qualification of the fetch", read(kQualification) & 0x1bf, 0x184);
		test.equal("guest-linear address of the fetch", read(kGuestLinearAddress) & ~(kPage - 1), 0x7000);
		test.equal("guest-physical address of the fetch", read(kGuestPhysicalAddress) & ~(kPage - 1), 0x7000);
		test.equal("stored", reinterpret_cast<u64 *>(context->guest_page[6])[2], 0x77);
		copy(context->guest_page[7], context->guest_page[1], kPage);
		map_ept_page(7);
		test.equal("HLT", run(), 12);
		test.equal("page of RIP", read(kGuestRip) & ~(kPage - 1), 0x7000);
		test.equal("EFER", read(kGuestEfer), 0x500);
	}
	{
		Test test("EPT: misconfiguration");
		begin_long_mode_ept(controls);
		write(kVpid, 1);
		context->ept[3][2] = vc_physical(context->guest_page[2]) | 6 << 3 | 2;	// writable, not readable
		test.equal("reason", run(), 49);
		test.equal("guest-physical address", read(kGuestPhysicalAddress), 0x2000);
	}
}

// VM-entry failures.

void expect_entry_error(Test &test, const char *what, u64 error)
{
	const int outcome = vc_enter(&registers, launched);
	test.equal(what, outcome ? outcome : 100, VC_FAIL_VALID);
	test.equal(what, read(kInstructionError), error);
}

void with_field(Test &test, const char *what, u64 field, u64 value, u64 error)
{
	const u64 old = read(field);
	write(field, value);
	expect_entry_error(test, what, error);
	write(field, old);
}

void test_control_checks()
{
	Test test("VM-entry: checks on controls");
	Controls controls;
	controls.proc = kProcMsrBitmaps | kProcIoBitmaps;
	begin_long_mode(controls, vc_guest_vmcall);
	with_field(test, "pin controls", kPinControls, 0, 7);
	with_field(test, "processor controls", kProcControls, 0, 7);
	with_field(test, "exit controls", kExitControls, 0, 7);
	with_field(test, "entry controls", kEntryControls, ~u32{0}, 7);
	with_field(test, "CR3-target count", kCr3TargetCount, 256, 7);
	with_field(test, "I/O bitmap", kIoBitmapA, 0x1001, 7);
	with_field(test, "MSR bitmap", kMsrBitmap, u64{1} << 60, 7);
	with_field(test, "virtual NMIs without NMI exiting", kPinControls, (read(kPinControls) & ~kPinNmis) |
			kPinVirtualNmis, 7);
	with_field(test, "NMI-window exiting without virtual NMIs", kProcControls, read(kProcControls) |
			kProcNmiWindow, 7);
	write(kExitMsrStoreCount, 1);
	with_field(test, "MSR-store area", kExitMsrStoreAddress, 8, 7);
	write(kExitMsrStoreCount, 0);
	write(kEntryMsrLoadCount, 1);
	with_field(test, "MSR-load area", kEntryMsrLoadAddress, 8, 7);
	write(kEntryMsrLoadCount, 0);
	with_field(test, "injection: reserved type", kEntryInfo, kInfoValid | 1 << 8 | 3, 7);
	with_field(test, "injection: NMI with another vector", kEntryInfo, kInfoValid | 2 << 8 | 3, 7);
	with_field(test, "injection: exception above 31", kEntryInfo, kInfoValid | 3 << 8 | 32, 7);
	with_field(test, "injection: error code missing", kEntryInfo, kInfoValid | 3 << 8 | 13, 7);
	with_field(test, "injection: error code with #UD", kEntryInfo, kInfoValid | 1 << 11 | 3 << 8 | 6, 7);
	with_field(test, "injection: reserved bits", kEntryInfo, kInfoValid | 1 << 20 | 3 << 8 | 6, 7);
	write(kEntryLength, 16);
	with_field(test, "injection: instruction length", kEntryInfo, kInfoValid | 4 << 8 | 0x61, 7);
	write(kEntryLength, 0);
	Controls secondary;
	secondary.proc2 = kProc2Vpid;
	begin_long_mode(secondary, vc_guest_vmcall);
	expect_entry_error(test, "VPID of 0", 7);
	write(kVpid, 1);
	with_field(test, "unrestricted guest without EPT", kProc2Controls, kProc2Unrestricted, 7);
	write(kProc2Controls, kProc2Ept);
	with_field(test, "EPT pointer: memory type", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 2, 7);
	with_field(test, "EPT pointer: walk length", kEptPointer, vc_physical(context->ept[0]) | 1 << 3 | 6, 7);
	with_field(test, "EPT pointer: reserved bits", kEptPointer, vc_physical(context->ept[0]) | 3 << 3 | 6 |
			bit(11), 7);
}

void test_host_checks()
{
	Test test("VM-entry: checks on the host state");
	begin_long_mode(Controls(), vc_guest_vmcall);
	with_field(test, "CR0", kHostCr0, host.cr0 & ~bit(5), 8);
	with_field(test, "CR4", kHostCr4, host.cr4 & ~bit(13), 8);
	with_field(test, "CR4.PAE", kHostCr4, host.cr4 & ~bit(5), 8);
	with_field(test, "CR3", kHostCr3, u64{1} << 60, 8);
	with_field(test, "CS", kHostCsSelector, 0, 8);
	with_field(test, "TR", kHostTrSelector, 0, 8);
	with_field(test, "RPL", kHostSsSelector, host.ss | 3, 8);
	with_field(test, "TI", kHostDsSelector, 4, 8);
	with_field(test, "GS base", kHostGsBase, u64{1} << 62, 8);
	with_field(test, "GDTR base", kHostGdtrBase, u64{1} << 62, 8);
	with_field(test, "SYSENTER_EIP", kHostSysenterEip, u64{1} << 62, 8);
	with_field(test, "EFER reserved", kHostEfer, host.efer | bit(1), 8);
	with_field(test, "EFER.LMA", kHostEfer, host.efer & ~bit(10), 8);
	with_field(test, "PAT", kHostPat, 2, 8);
}

void with_guest_field(Test &test, const char *what, u64 field, u64 value, u64 qualification = 0)
{
	const u64 old = read(field);
	write(field, value);
	test.equal(what, enter_once(), kFailedEntry | 33);
	test.equal("qualification", read(kQualification), qualification);
	write(field, old);
}

void test_guest_checks()
{
	Test test("VM-entry: checks on the guest state");
	Controls controls;
	controls.entry |= kEntryLoadPat;
	begin_long_mode(controls, vc_guest_vmcall);
	with_guest_field(test, "CR0.NE", kGuestCr0, host.cr0 & ~bit(5));
	with_guest_field(test, "CR0.PG", kGuestCr0, host.cr0 & ~bit(31));
	with_guest_field(test, "CR4.VMXE", kGuestCr4, host.cr4 & ~bit(13));
	with_guest_field(test, "CR4.PAE", kGuestCr4, host.cr4 & ~bit(5));
	with_guest_field(test, "CR3", kGuestCr3, u64{1} << 60);
	with_guest_field(test, "RFLAGS bit 1", kGuestRflags, 0);
	with_guest_field(test, "RFLAGS.VM", kGuestRflags, 2 | bit(17));
	with_guest_field(test, "RFLAGS reserved", kGuestRflags, 2 | bit(30));
	with_guest_field(test, "EFER.LMA", kGuestEfer, host.efer & ~bit(10));
	with_guest_field(test, "EFER reserved", kGuestEfer, host.efer | bit(2));
	with_guest_field(test, "PAT", kGuestPat, 2);
	with_guest_field(test, "link pointer", kLinkPointer, 0x1001, 4);
	with_guest_field(test, "activity state", kActivity, 5);
	with_guest_field(test, "interruptibility reserved", kInterruptibility, bit(7));
	with_guest_field(test, "blocking by STI without IF", kInterruptibility, 1);
	with_guest_field(test, "interrupt injected without IF", kEntryInfo, kInfoValid | 0x50);
	with_guest_field(test, "pending debug exceptions", kPendingDebug, bit(5));
	with_guest_field(test, "GDTR base", kGuestGdtrBase, u64{1} << 62);
	with_guest_field(test, "GDTR limit", kGuestGdtrLimit, 0x10000);
	with_guest_field(test, "TR type", kGuestTrAccess, 0x89);
	with_guest_field(test, "TR unusable", kGuestTrAccess, 0x1008b);
	with_guest_field(test, "CS type", kGuestCsAccess, 0xa093);
	with_guest_field(test, "CS.L and CS.D", kGuestCsAccess, 0xe09b);
	with_guest_field(test, "CS.S", kGuestCsAccess, 0xa08b);
	with_guest_field(test, "CS.P", kGuestCsAccess, 0xa01b);
	with_guest_field(test, "SS type", kGuestSsAccess, 0xc091);
	with_guest_field(test, "SS.DPL", kGuestSsAccess, 0xc0f3);
	with_guest_field(test, "TR selector", kGuestEsSelector + 14, host.tr | 4);
	with_guest_field(test, "CS base", kGuestEsBase + 2, u64{1} << 40);
	with_guest_field(test, "FS base", kGuestEsBase + 8, u64{1} << 62);
	// A failed entry saves nothing and does not launch.
	test.equal("RIP", offset_of(vc_guest_vmcall), 0);
	write(kEntryInfo, kInfoValid | 3 << 8 | 6);
	with_guest_field(test, "injection with a bad state", kGuestRflags, 0);
	test.equal("valid bit after a failed entry", read(kEntryInfo) >> 31, 1);
	write(kEntryInfo, 0);
	test.equal("VMRESUME after failed entries", vc_enter(&registers, 1), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 5);
	test.equal("VMLAUNCH at last", run(), 18);
	test.equal("VMLAUNCH again", vc_enter(&registers, 0), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 4);
	test.equal("VMLAUNCH after MOV SS", vc_launch_after_mov_ss(), VC_FAIL_VALID);
	test.equal("VM-instruction error", read(kInstructionError), 26);
}

void test_msr_areas()
{
	constexpr u32 kStar = 0xc0000081, kSysenterEsp = 0x175, kLstar = 0xc0000082;
	{
		Test test("MSR areas");
		const u64 lstar = msr(kLstar), star = msr(kStar);
		begin_long_mode(Controls(), vc_guest_vmcall);
		write(kGuestSysenterEsp, 0x5555);
		context->entry_load[0] = { kLstar, 0, lstar + 16 };
		context->entry_load[1] = { kStar, 0, star ^ bit(40) };
		context->store[0] = { kLstar, 0, 0 };
		context->store[1] = { kSysenterEsp, 0, 0 };
		context->load[0] = { kLstar, 0, lstar };
		context->load[1] = { kStar, 0, star };
		write(kEntryMsrLoadAddress, vc_physical(context->entry_load));
		write(kEntryMsrLoadCount, 2);
		write(kExitMsrStoreAddress, vc_physical(context->store));
		write(kExitMsrStoreCount, 2);
		write(kExitMsrLoadAddress, vc_physical(context->load));
		write(kExitMsrLoadCount, 2);
		test.equal("reason", run(), 18);
		test.equal("stored LSTAR", context->store[0].value, lstar + 16);
		test.equal("stored SYSENTER_ESP", context->store[1].value, 0x5555);
		test.equal("LSTAR", msr(kLstar), lstar);
		test.equal("STAR", msr(kStar), star);
	}
	{
		Test test("MSR loading fails");
		const u64 lstar = msr(kLstar);
		begin_long_mode(Controls(), vc_guest_vmcall);
		context->entry_load[0] = { kLstar, 0, lstar };
		context->entry_load[1] = { 0xc0000100, 0, 0 };
		write(kEntryMsrLoadAddress, vc_physical(context->entry_load));
		write(kEntryMsrLoadCount, 2);
		test.equal("reason", enter_once(), kFailedEntry | 34);
		test.equal("qualification", read(kQualification), 2);
		context->entry_load[0] = { kLstar, 1, lstar };
		test.equal("reason with reserved bits", enter_once(), kFailedEntry | 34);
		test.equal("qualification with reserved bits", read(kQualification), 1);
		context->entry_load[0] = { kLstar, 0, u64{1} << 62 };
		test.equal("reason with a value that faults", enter_once(), kFailedEntry | 34);
		test.equal("qualification with a value that faults", read(kQualification), 1);
	}
	{
		Test test("controls that save and load MSRs");
		Controls controls;
		controls.exit |= kExitSavePat | kExitSaveDebug;
		controls.entry |= kEntryLoadPat | kEntryLoadDebug;
		begin_long_mode(controls, vc_guest_vmcall);
		const u64 pat = 0x0007040600070406 ^ u64{6} << 56;
		write(kGuestPat, pat);
		write(kGuestDr7, 0x500);
		test.equal("reason", run(), 18);
		test.equal("PAT", read(kGuestPat), pat);
		test.equal("DR7", read(kGuestDr7), 0x500);
		test.equal("EFER", read(kGuestEfer), host.efer);
		test.check("IA-32e mode guest", read(kEntryControls) & kEntryIa32e);
	}
}

// The VMX instructions in root operation.

constexpr u64 kFields[] = {
	kVpid, 0x0800, 0x0802, 0x0804, 0x0806, 0x0808, 0x080a, 0x080c, 0x080e, 0x0c00, 0x0c02, 0x0c04, 0x0c06, 0x0c08,
	0x0c0a,
	0x0c0c, 0x2000, 0x2002, 0x2004, 0x2006, 0x2008, 0x200a, 0x2010, 0x201a, 0x2800, 0x2802, 0x2804, 0x2806,
	0x280a, 0x280c,
	0x280e, 0x2810, 0x2c00, 0x2c02, 0x4000, 0x4002, 0x4004, 0x4006, 0x4008, 0x400a, 0x400c, 0x400e, 0x4010,
	0x4012, 0x4014,
	0x4016, 0x4018, 0x401a, 0x401e, 0x4800, 0x4802, 0x4804, 0x4806, 0x4808, 0x480a, 0x480c, 0x480e, 0x4810,
	0x4812, 0x4824,
	0x4826, 0x482a, 0x4c00, 0x6000, 0x6002, 0x6004, 0x6006, 0x6008, 0x600a, 0x600c, 0x600e, 0x6800, 0x6802,
	0x6804, 0x6806,
	0x6808, 0x680a, 0x680c, 0x680e, 0x6810, 0x6812, 0x6814, 0x6816, 0x6818, 0x681a, 0x681c, 0x681e, 0x6820,
	0x6822, 0x6824,
	0x6826, 0x6c00, 0x6c02, 0x6c04, 0x6c06, 0x6c08, 0x6c0a, 0x6c0c, 0x6c0e, 0x6c10, 0x6c12, 0x6c14, 0x6c16,
};

u64 pattern(u64 field)
{
	const u64 value = 0x1122334455667788 * (field | 1);
	switch (field >> 13 & 3) {
	case 0:
		return value & 0xffff;
	case 2:
		return value & 0xffffffff;
	default:
		return value;
	}
}

void expect_fail(Test &test, const char *what, int outcome, u64 error)
{
	test.equal(what, outcome, VC_FAIL_VALID);
	test.equal(what, read(kInstructionError), error);
}

void test_before_vmxon()
{
	constexpr u32 kBasicMsr = 0x480, kFeatureControl = 0x3a, kFixed0Cr0 = 0x486, kFixed0Cr4 = 0x488;
	u64 value;
	{
		Test test("capability MSRs");
		const u64 feature_control = msr(kFeatureControl);
		test.equal("IA32_FEATURE_CONTROL", feature_control & 5, 5);
		test.equal("revision bit 31", basic >> 31 & 1, 0);
		test.check("region size", (basic >> 32 & 0x1fff) && (basic >> 32 & 0x1fff) <= kPage);
		test.equal("memory type", basic >> 50 & 15, 6);
		test.equal("INS and OUTS information", basic >> 54 & 1, 1);
		test.equal("TRUE MSRs", basic >> 55 & 1, 1);
		test.equal("CR0 fixed to 1", msr(kFixed0Cr0), 0x80000021);
		test.equal("CR4 fixed to 1", msr(kFixed0Cr4), 0x2000);
		test.equal("writing a capability MSR fails", !!vc_wrmsr(kBasicMsr, 0), 1);
		for (u32 number = kBasicMsr; number <= kTrueEntry; ++number)
			test.equal("reading a capability MSR", !!vc_rdmsr(number, &value), 0);
	}
	const struct {
		const char *name;
		u32 msr;
		u64 wanted;
	} groups[] = {
		{ "capability: pin-based controls", kTruePin, kPinInterrupts | kPinNmis | kPinVirtualNmis },
		{ "capability: processor-based controls", kTrueProc,
		  kProcInterruptWindow | kProcTscOffset | kProcHlt | kProcInvlpg | kProcMwait | kProcRdpmc |
				kProcRdtsc |
			  kProcCr3Load | kProcCr3Store | kProcCr8Load | kProcCr8Store | kProcNmiWindow | kProcMovDr |
			  kProcIo | kProcIoBitmaps | kProcMsrBitmaps | kProcMonitor | kProcPause | kProcSecondary },
		{ "capability: secondary controls", kProc2Capability,
		  kProc2Ept | kProc2Rdtscp | kProc2Vpid | kProc2Wbinvd | kProc2Unrestricted },
		{ "capability: VM-exit controls", kTrueExit,
		  kExitSaveDebug | kExitHost64 | kExitAcknowledge | kExitSavePat | kExitLoadPat | kExitSaveEfer |
			  kExitLoadEfer },
		{ "capability: VM-entry controls", kTrueEntry,
		  kEntryLoadDebug | kEntryIa32e | kEntryLoadPat | kEntryLoadEfer },
	};
	for (const auto &group : groups) {
		Test test(group.name);
		test.equal("allowed 1-settings", msr(group.msr) >> 32 & group.wanted, group.wanted);
		test.equal("1-settings that are required", msr(group.msr) & group.wanted, 0);
	}
	{
		Test test("before VMXON");
		test.equal("VMXON with CR4.VMXE clear", vc_vmxon(vc_physical(context->vmxon)), VC_UD);
		vc_set_cr4_vmxe(1);
		test.equal("CR4.VMXE", read_cr4() >> 13 & 1, 1);
		test.equal("VMREAD", vc_vmread(kGuestRip, &value), VC_UD);
		test.equal("VMWRITE", vc_vmwrite(kGuestRip, 0), VC_UD);
		test.equal("VMXOFF", vc_vmxoff(), VC_UD);
		test.equal("VMCLEAR", vc_vmclear(vc_physical(context->vmcs)), VC_UD);
		test.equal("VMCALL", vc_vmcall(), VC_UD);
		test.equal("VMXON, not aligned", vc_vmxon(vc_physical(context->vmxon) + 8), VC_FAIL_INVALID);
		test.equal("VMXON beyond the physical width", vc_vmxon(u64{1} << 60), VC_FAIL_INVALID);
		test.equal("VMXON with a wrong revision", vc_vmxon(vc_physical(context->wrong_revision)),
				VC_FAIL_INVALID);
	}
}

void test_without_vmcs()
{
	u64 value = 0;
	Test test("VMX operation without a current VMCS");
	test.equal("VMXON again", vc_vmxon(vc_physical(context->vmxon)), VC_FAIL_INVALID);
	test.equal("VMPTRST", vc_vmptrst(&value), VC_SUCCEED);
	test.equal("pointer", value, ~u64{0});
	test.equal("VMREAD", vc_vmread(kGuestRip, &value), VC_FAIL_INVALID);
	test.equal("VMWRITE", vc_vmwrite(kGuestRip, 1), VC_FAIL_INVALID);
	test.equal("VMLAUNCH", vc_enter(&registers, 0), VC_FAIL_INVALID);
	test.equal("VMRESUME", vc_enter(&registers, 1), VC_FAIL_INVALID);
	test.equal("VMCALL", vc_vmcall(), VC_FAIL_INVALID);
	test.equal("VMPTRLD, not aligned", vc_vmptrld(vc_physical(context->vmcs) + 4), VC_FAIL_INVALID);
	test.equal("clearing CR4.VMXE", vc_write_cr4(read_cr4() & ~bit(13)), VC_GP);
}

void test_root_instructions()
{
	u64 value;
	const u64 region = vc_physical(context->vmcs);
	{
		Test test("VMCLEAR, VMPTRLD, VMPTRST");
		test.equal("VMCLEAR", vc_vmclear(region), VC_SUCCEED);
		test.equal("VMPTRLD", vc_vmptrld(region), VC_SUCCEED);
		test.equal("VMPTRST", vc_vmptrst(&value), VC_SUCCEED);
		test.equal("pointer", value, region);
		expect_fail(test, "VMXON in VMX operation", vc_vmxon(vc_physical(context->vmxon)), 15);
		expect_fail(test, "VMCLEAR, not aligned", vc_vmclear(region + 1), 2);
		expect_fail(test, "VMCLEAR of the VMXON region", vc_vmclear(vc_physical(context->vmxon)), 3);
		expect_fail(test, "VMPTRLD, not aligned", vc_vmptrld(region + 1), 9);
		expect_fail(test, "VMPTRLD of the VMXON region", vc_vmptrld(vc_physical(context->vmxon)), 10);
		expect_fail(test, "VMPTRLD of a wrong revision", vc_vmptrld(vc_physical(context->wrong_revision)), 11);
		test.equal("VMPTRST afterwards", vc_vmptrst(&value), VC_SUCCEED);
		test.equal("pointer afterwards", value, region);
	}
	{
		Test test("VMREAD and VMWRITE");
		expect_fail(test, "VMWRITE of no field", vc_vmwrite(0x7ffe, 0), 12);
		expect_fail(test, "VMREAD of no field", vc_vmread(0x6c1e, &value), 12);
		expect_fail(test, "VMREAD with bit 40", vc_vmread(u64{1} << 40 | kGuestRip, &value), 12);
		expect_fail(test, "VMREAD of the high half of a natural field", vc_vmread(kGuestRip | 1, &value), 12);
		const bool any_field = msr(0x485) & bit(29);
		const int outcome = vc_vmwrite(kExitReason, 1);
		test.equal("VMWRITE of a read-only field", outcome, any_field ? VC_SUCCEED : VC_FAIL_VALID);
		if (!any_field)
			test.equal("error of VMWRITE of a read-only field", read(kInstructionError), 13);
		for (const u64 field : kFields) {
			if (vc_vmwrite(field, 0x1122334455667788 * (field | 1)))
				test.equal("cannot write field", field, 0);
		}
		for (const u64 field : kFields) {
			if (read(field) != pattern(field))
				test.equal("cannot read back field", field, 0);
		}
		write(kTscOffset + 1, 0xaabbccdd99887766);
		test.equal("high half", read(kTscOffset + 1), 0x99887766);
		test.equal("both halves", read(kTscOffset), (pattern(kTscOffset) & 0xffffffff) | u64{0x99887766} << 32);
		test.equal("VMCLEAR", vc_vmclear(region), VC_SUCCEED);
		test.equal("VMREAD after VMCLEAR", vc_vmread(kGuestRip, &value), VC_FAIL_INVALID);
		vc_vmptrld(region);
		test.equal("kept by VMCLEAR and VMPTRLD", read(kGuestRip), pattern(kGuestRip));
	}
	{
		Test test("VMREAD and VMWRITE with memory operands");
		u64 table[16] = {};
		table[8 + 5] = 0x777;
		vc_vmwrite_sib(kGuestRsp, table, 5);
		test.equal("scaled index", read(kGuestRsp), 0x777);
		test.equal("stack", vc_vmread_stack(kGuestRsp), 0x777);
		test.equal("relative to RIP", vc_vmread_rip_relative(kGuestRsp), 0x777);
		test.equal("flags after success", vc_vmread_flags(kGuestRsp), 0);
		test.equal("flags after failure", vc_vmread_flags(0x6c1e), 0x40);
		test.equal("#GP", vc_vmread_memory(kGuestRsp, reinterpret_cast<u64 *>(u64{1} << 62)), VC_GP);
		test.equal("#PF", vc_vmread_memory(kGuestRsp, reinterpret_cast<u64 *>(0xffffe00000000000)), VC_PF);
		test.equal("#PF of VMPTRST", vc_vmptrst(reinterpret_cast<u64 *>(0xffffe00000000000)), VC_PF);
	}
	{
		Test test("INVEPT and INVVPID");
		u64 descriptor[2] = { vc_physical(context->ept[0]) | 6 | 3 << 3, 0 };
		test.equal("INVEPT, single context", vc_invept(1, descriptor), VC_SUCCEED);
		test.equal("INVEPT, all contexts", vc_invept(2, descriptor), VC_SUCCEED);
		expect_fail(test, "INVEPT, type 0", vc_invept(0, descriptor), 28);
		expect_fail(test, "INVEPT, type 3", vc_invept(3, descriptor), 28);
		descriptor[0] = 1;
		test.equal("INVVPID, address", vc_invvpid(0, descriptor), VC_SUCCEED);
		test.equal("INVVPID, single context", vc_invvpid(1, descriptor), VC_SUCCEED);
		test.equal("INVVPID, all contexts", vc_invvpid(2, descriptor), VC_SUCCEED);
		test.equal("INVVPID, single context but globals", vc_invvpid(3, descriptor), VC_SUCCEED);
		expect_fail(test, "INVVPID, type 4", vc_invvpid(4, descriptor), 28);
		descriptor[0] = 0;
		expect_fail(test, "INVVPID, VPID 0", vc_invvpid(1, descriptor), 28);
		descriptor[0] = 0x10001;
		expect_fail(test, "INVVPID, reserved bits", vc_invvpid(1, descriptor), 28);
		descriptor[0] = 1;
		descriptor[1] = u64{1} << 62;
		expect_fail(test, "INVVPID, address not canonical", vc_invvpid(0, descriptor), 28);
	}
}

struct OtherCpu {
	int vmxon, vmptrld, vmclear, vmxoff;
	u64 rip;
};

void use_on_other_cpu(void *argument)
{
	OtherCpu &result = *static_cast<OtherCpu *>(argument);
	vc_set_cr4_vmxe(1);
	result.vmxon = vc_vmxon(vc_physical(context->second));
	result.vmptrld = vc_vmptrld(vc_physical(context->vmcs));
	result.rip = read(kGuestRip);
	vc_vmwrite(kGuestRip, 0x7654);
	result.vmclear = vc_vmclear(vc_physical(context->vmcs));
	result.vmxoff = vc_vmxoff();
	vc_set_cr4_vmxe(0);
}

void test_migration()
{
	OtherCpu result = {};
	if (vc_cpu_count() < 2) {
		vc_print("ok %u a VMCS on another CPU # SKIP one CPU\n", ++test_count);
		return;
	}
	Test test("a VMCS on another CPU");
	vc_vmclear(vc_physical(context->vmcs));
	vc_vmptrld(vc_physical(context->vmcs));
	write(kGuestRip, 0x4567);
	vc_vmclear(vc_physical(context->vmcs));
	vc_on_other_cpu(use_on_other_cpu, &result);
	test.equal("VMXON", result.vmxon, VC_SUCCEED);
	test.equal("VMPTRLD", result.vmptrld, VC_SUCCEED);
	test.equal("VMCLEAR", result.vmclear, VC_SUCCEED);
	test.equal("VMXOFF", result.vmxoff, VC_SUCCEED);
	test.equal("RIP there", result.rip, 0x4567);
	vc_vmptrld(vc_physical(context->vmcs));
	test.equal("RIP here", read(kGuestRip), 0x7654);
}

void run_in_vmx_operation()
{
	read_host_state();
	test_without_vmcs();
	test_root_instructions();
	test_migration();
	make_guest_idt();
	test_control_checks();
	test_host_checks();
	test_guest_checks();
	test_msr_areas();
	test_instruction_exits();
	test_no_exits();
	test_exceptions();
	test_injection();
	test_interrupts();
	test_nmis();
	test_real_mode();
	test_protected_mode();
	test_long_mode_ept();
	vc_vmclear(vc_physical(context->vmcs));
	{
		Test test("host state after VM-exit");
		test.equal("differences", host_state_errors, 0);
	}
}

bool has_vmx()
{
	u32 eax = 1, ebx, ecx = 0, edx;
	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ecx & bit(5);
}

void set_revision(u8 *region, u32 revision)
{
	copy(region, &revision, sizeof(revision));
}

} // namespace

unsigned long vc_context_bytes(void)
{
	return sizeof(Context);
}

void vc_run_tests(void *memory)
{
	context = static_cast<Context *>(memory);
	vc_print("KTAP version 1\n");
	if (!has_vmx()) {
		vc_print("1..0 # SKIP the CPU has no VMX\n");
		return;
	}
	basic = msr(0x480);
	set_revision(context->vmxon, basic);
	set_revision(context->vmcs, basic);
	set_revision(context->second, basic);
	set_revision(context->wrong_revision, (basic ^ 1) & 0x7fffffff);
	test_before_vmxon();
	if (vc_vmxon(vc_physical(context->vmxon)) == VC_SUCCEED) {
		run_in_vmx_operation();
		Test test("VMXOFF");
		test.equal("VMXOFF", vc_vmxoff(), VC_SUCCEED);
		test.equal("VMXOFF again", vc_vmxoff(), VC_UD);
	} else {
		Test test("VMXON");
		test.check("succeeds", false);
	}
	vc_set_cr4_vmxe(0);
	{
		Test test("CR4.VMXE is clear again");
		test.equal("CR4.VMXE", read_cr4() >> 13 & 1, 0);
	}
	vc_print("1..%u\n", test_count);
	vc_print("# %u of %u failed\n", failed_count, test_count);
}
