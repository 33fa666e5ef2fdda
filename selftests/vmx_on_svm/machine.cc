// SPDX-License-Identifier: GPL-2.0
/*
 * A VMX CPU on AMD's SVM. Linux is moved into SVM guest mode while it runs, and finds a CPU with VMX: this file and
 * its parts are the stub that Linux's exits reach. It runs with GIF=0, on page tables, an IDT and a stack of its
 * own; it uses no per-CPU data and prints nothing, but for its last words (fatal.h).
 *
 * Declared differences from a VMX CPU:
 *  - MOV to CR0 that clears PE, NE or PG in VMX root operation is not refused.
 *  - Of the inactive activity states only HLT is supported.
 *  - STI blocks interrupts also when they were enabled before, and there is no single-step trap behind it: QEMU's way.
 *  - Task switches of the guest are not intercepted: QEMU executes them.
 *  - EPT: no execute-only pages, no accessed and dirty flags. QEMU probes accesses to guest page tables as stores,
 *    so a page table on a page without write permission gives an EPT violation for a write. The guest-linear
 *    address is reported (qualification bit 7) for instruction fetches only. A guest-physical address is translated
 *    one page at a time: pages larger than 2 MiB are filled in pieces.
 *  - PAE paging without EPT: MOV to CR3 does not load the guest's PDPTEs; they are read from memory at each walk.
 *  - IRET unblocks physical NMIs also with "NMI exiting" and without "virtual NMIs".
 *  - Blocking by STI and by MOV SS at VM-entry is kept by single-stepping, and only where it can be told from its
 *    absence: with interrupt-window or NMI-window exiting, or without external-interrupt exiting. SYSCALL
 *    as that one instruction sees RFLAGS.TF set.
 *  - A software event that is injected and faults before it is delivered pushes the RIP of the next instruction if the
 *    fault is delivered through the guest's IDT.
 *  - QEMU 7.2 does not intercept XSETBV, which the guest then executes, nor INT1, which does nothing there.
 *  - MONITOR and MWAIT with an invalid RCX raise #GP instead of exiting. QEMU has no performance counters: RDPMC
 *    without RDPMC exiting is #UD.
 *  - Breakpoints in a DR7 that VM-entry loads are armed by the guest's next write to DR7: QEMU's VMRUN does not.
 *  - Segment limits are not enforced: QEMU does not.
 *  - IA32_DEBUGCTL holds what is written to it and has no effect.
 *  - A VMX abort stops the machine with a message.
 *  - SMM, SMX and the dual-monitor treatment do not exist.
 *  - Pending debug exceptions are lost if VM-entry injects a software event while MOV SS blocks.
 */

#include "guest_exits.h"
#include "linux_exits.h"

namespace {

Cpu& from_boundary(vos_cpu* cpu) { return *reinterpret_cast<Cpu*>(cpu); }

const Cpu& from_boundary(const vos_cpu* cpu) { return *reinterpret_cast<const Cpu*>(cpu); }

// A 64-bit interrupt gate.  SDM Vol. 3A, section 7.14.1.
struct Gate {
	u16 offset_low;
	u16 selector;
	u16 flags;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
static_assert(sizeof(Gate) == 16);

void prepare_idt(Cpu& cpu)
{
	constexpr u16 kInterruptGatePresent = 0x8e00;
	constexpr unsigned kHandlerBytes = 16;
	Gate* const gates = reinterpret_cast<Gate*>(cpu.stub_idt);
	const u16 selector = read_segment(kCs);

	static_assert(sizeof(cpu.stub_idt) == 256 * sizeof(Gate));
	for (unsigned vector = 0; vector < 256; ++vector) {
		const u64 handler = reinterpret_cast<u64>(vos_handlers) + u64{vector} * kHandlerBytes;
		gates[vector] = {
			// clang-format off
			static_cast<u16>(handler), selector, kInterruptGatePresent, static_cast<u16>(handler >> 16),
			static_cast<u32>(handler >> 32), 0,
			// clang-format on
		};
	}
	cpu.state.stub_idtr = {sizeof(cpu.stub_idt) - 1, reinterpret_cast<u64>(cpu.stub_idt)};
}

// Intercepts both reading and writing.  AMD64 Architecture Programmer's Manual, Vol. 2, section 15.11.
void intercept_msr(u8* map, u32 msr)
{
	u32 number = msr;
	if (msr >= 0xc0010000)
		number = 0x4000 + (msr - 0xc0010000);
	else if (msr >= 0xc0000000)
		number = 0x2000 + (msr - 0xc0000000);
	map[number / 4] |= 3 << number % 4 * 2;
}

void prepare_linux_controls(Cpu& cpu)
{
	static constexpr u32 kIntercepted[] = {
		kMsrFeatureControl, kMsrDebugControl, kMsrEfer, kMsrVmCr, kMsrVmHsavePa,
	};
	constexpr u16 kCr4 = bit(4);
	constexpr u32 kLinuxAsid = 1;
	Vmcb& vmcb = cpu.linux_vmcb;

	for (const u32 msr : kIntercepted)
		intercept_msr(cpu.linux_msr_map, msr);
	for (u32 msr = kMsrVmxBasic; msr <= kMsrVmxLast; ++msr)
		intercept_msr(cpu.linux_msr_map, msr);
	vmcb.intercept_cr_read = vmcb.intercept_cr_write = kCr4;
	vmcb.intercept_exceptions = bit(kInvalidOpcode);
	vmcb.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitCpuid) | intercept(kExitMsr) |
					intercept(kExitShutdown));
	vmcb.io_permission_map = cpu.physical(cpu.io_map);
	vmcb.msr_permission_map = cpu.physical(cpu.linux_msr_map);
	vmcb.asid = kLinuxAsid;
}

void prepare_guest_controls(Cpu& cpu)
{
	constexpr u32 kGuestAsid = 2;
	Vmcb& vmcb = cpu.guest_vmcb;

	fill_bytes(cpu.guest_msr_map, 0xff, sizeof(cpu.guest_msr_map));
	vmcb.io_permission_map = cpu.physical(cpu.io_map);
	vmcb.msr_permission_map = cpu.physical(cpu.guest_msr_map);
	vmcb.nested_page_table = cpu.physical(cpu.nested_root);
	vmcb.asid = kGuestAsid;
}

void read_linux_segment(VmcbSegment& segment, Segment number)
{
	segment.selector = read_segment(number);
	segment.limit = ~u32{0};
	segment.base = 0;
	const u32 rights = segment.selector & ~3 ? load_access_rights(segment.selector) : 0;
	segment.attributes = (rights >> 8 & 0xff) | (rights >> 12 & 0xf00);
}

// The state that Linux goes on with; entry.S adds RIP, RSP and RFLAGS.
void read_linux_state(Cpu& cpu)
{
	Vmcb& vmcb = cpu.linux_vmcb;
	const DescriptorTable gdt = store_gdt();
	const DescriptorTable idt = store_idt();

	read_linux_segment(vmcb.es, kEs);
	read_linux_segment(vmcb.cs, kCs);
	read_linux_segment(vmcb.ss, kSs);
	read_linux_segment(vmcb.ds, kDs);
	vmcb.gdtr.base = gdt.base;
	vmcb.gdtr.limit = gdt.limit;
	vmcb.idtr.base = idt.base;
	vmcb.idtr.limit = idt.limit;
	vmcb.cpl = 0;
	vmcb.efer = rdmsr(kMsrEfer);
	vmcb.cr0 = read_cr0();
	vmcb.cr3 = read_cr3();
	vmcb.cr4 = read_cr4();
	vmcb.dr6 = read_dr6();
	vmcb.dr7 = read_dr7();
	vmcb.rax = 0;
	vmcb.pat = rdmsr(kMsrPat);
	cpu.guest_vmcb.pat = vmcb.pat;
}

}  // namespace

extern "C" {

// Called by entry.S alone.
int vos_handle_exit(vos_cpu* boundary_cpu);
void vos_handle_stub_fault(const u64* frame, u64 cr2);

// From entry.S.  Not zero if Linux leaves SVM guest mode.
int vos_handle_exit(vos_cpu* boundary_cpu)
{
	Cpu& cpu = from_boundary(boundary_cpu);

	++cpu.statistics.exits;
	if (!cpu.in_guest)
		return LinuxExit(cpu).handle();
	take_pae_back(cpu);
	GuestExit(cpu).handle();
	return 0;
}

// From entry.S: the vector, the error code if there is one, RIP and so on; and CR2.
void vos_handle_stub_fault(const u64* frame, u64 cr2)
{
	const u64 vector = frame[0];
	print("\r\nvmx_on_svm: CR2 ");
	print_hex(cr2);
	fatal("exception in the stub", vector, has_error_code(vector) ? frame[2] : frame[1]);
}

enum vos_refusal vos_probe(void)
{
	constexpr u32 kVmx = bit(5), kSvm = bit(2), kNestedPagingFeature = bit(0);

	if (cpuid(1).ecx & kVmx)
		return VOS_VMX_PRESENT;
	if (!(cpuid(0x80000001).ecx & kSvm) || (rdmsr(kMsrVmCr) & kVmCrSvmDisabled))
		return VOS_NO_SVM;
	if (!(cpuid(0x8000000a).edx & kNestedPagingFeature))
		return VOS_NO_NESTED_PAGING;
	if (rdmsr(kMsrEfer) & kEferSvme)
		return VOS_SVM_IN_USE;
	return VOS_OK;
}

unsigned long vos_cpu_bytes(void) { return sizeof(Cpu); }

struct vos_cpu* vos_prepare(void* memory, const struct vos_environment* environment)
{
	Cpu& cpu = *static_cast<Cpu*>(memory);
	constexpr u64 kKernelHalf = 256;

	cpu.environment = *environment;
	cpu.current_vmcs = kNoVmcs;
	cpu.ept_pointer = kNoVmcs;
	cpu.feature_control = environment->feature_control;
	cpu.misc = kVmxMisc | (environment->vmwrite_any_field ? kMiscVmwriteAnyField : 0);
	const u64* const kernel_table = reinterpret_cast<const u64*>(environment->kernel_page_table);
	for (u64 i = kKernelHalf; i < 512; ++i)
		cpu.stub_page_table[i] = kernel_table[i];
	cpu.state.linux_vmcb = &cpu.linux_vmcb;
	cpu.state.run_vmcb = cpu.physical(&cpu.linux_vmcb);
	cpu.state.stub_cr3 = cpu.physical(cpu.stub_page_table);
	prepare_idt(cpu);
	prepare_linux_controls(cpu);
	prepare_guest_controls(cpu);
	return reinterpret_cast<vos_cpu*>(&cpu);
}

void vos_launch(struct vos_cpu* boundary_cpu)
{
	Cpu& cpu = from_boundary(boundary_cpu);

	cpu.facts = read_cpu_facts();
	cpu.facts.absent_secondary = cpu.environment.absent_secondary;
	wrmsr(kMsrEfer, rdmsr(kMsrEfer) | kEferSvme);
	wrmsr(kMsrVmHsavePa, cpu.physical(cpu.host_save));
	read_linux_state(cpu);
	vos_enter(boundary_cpu, cpu.stack + sizeof(cpu.stack) - 16);
}

void vos_leave(struct vos_cpu* cpu)
{
	if (vmmcall(kLeaveRequest, cpu))
		return;
	wrmsr(kMsrEfer, rdmsr(kMsrEfer) & ~kEferSvme);
}

int vos_in_vmx_operation(const struct vos_cpu* cpu) { return from_boundary(cpu).vmxon; }

void vos_get_statistics(const struct vos_cpu* cpu, struct vos_statistics* statistics)
{
	*statistics = from_boundary(cpu).statistics;
}

}  // extern "C"
