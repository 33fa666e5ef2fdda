// SPDX-License-Identifier: GPL-2.0
// One CPU: what entry.S shares with C++, the two control blocks, and the state of VMX operation.
#ifndef VMX_ON_SVM_CPU_H
#define VMX_ON_SVM_CPU_H

#include "boundary.h"
#include "capability.h"
#include "fatal.h"
#include "vmcb.h"

namespace {

// Known to entry.S by offset.
struct SwitchState {
	u64 registers[16];  // RAX and RSP are in the control block
	u64 run_vmcb;       // physical
	u64 stub_cr3;
	Vmcb* linux_vmcb;
	u64 interrupts_open;  // RFLAGS.IF at VMRUN
	u64 nmi_taken;
	u64 vector_taken;
	u64 leave_rip, leave_cs, leave_rflags, leave_rsp, leave_ss, leave_cr3;
	u8 stub_idtr_padding[6];
	DescriptorTable stub_idtr;
	u8 leave_idtr_padding[6];
	DescriptorTable leave_idtr;
};

// An event being delivered through the guest's IDT, in the format of the interruption-information fields.
struct Delivery {
	u32 info;  // 0 if there is none
	u32 error;
	u32 length;     // of the instruction, for software events
	u64 rip;        // of that instruction
	bool injected;  // by VM-entry, and not by the guest's execution
};

// What single-stepping the guest is for.
enum class Step : u8 {
	None,
	Shadow,  // out of blocking by STI or MOV SS that VMRUN cannot load
	Iret,    // over the IRET that ends blocking by NMI
};

constexpr u64 kNoVmcs = ~u64{0};
constexpr unsigned kNestedPages = 48;
constexpr unsigned kIoMapBytes = 3 * kPageBytes;
constexpr unsigned kMsrMapBytes = 2 * kPageBytes;
constexpr u64 kNoVector = ~u64{0};

// The C glue knows it as struct vos_cpu, and nothing of what is in it.
struct alignas(4096) Cpu {
	u8 stack[VOS_STACK_BYTES];
	SwitchState state;

	vos_environment environment;
	CpuFacts facts;
	u64 misc;
	u64 feature_control;

	// VMX operation.
	bool vmxon;
	bool vmxe;      // CR4.VMXE as Linux sees it
	bool in_guest;  // VMX non-root operation
	u64 vmxon_pointer;
	u64 current_vmcs;   // physical, or kNoVmcs
	u64 debug_control;  // IA32_DEBUGCTL, which the machine beneath does not have

	// The guest, from VM-entry to VM-exit.
	u64 pin_controls, proc_controls, proc2_controls, exit_controls, entry_controls;
	u64 exception_bitmap;
	Delivery delivery;
	Step step;
	bool step_guest_trap;  // the guest's own RFLAGS.TF
	u8 shadow;             // interruptibility bits 0 and 1, as long as RIP is shadow_rip
	u64 shadow_rip;
	bool nmi_blocked;     // virtual-NMI blocking, or blocking by NMI without virtual NMIs
	bool iret_unblocked;  // an IRET ended that, and has not completed
	u64 iret_rip;
	bool window_by_nmi;  // an NMI was sent to this CPU to open the NMI window after an injection
	u64 entry_dr6;
	u64 step_dr6;            // DR6 when single-stepping began
	bool step_pushes_flags;  // the instruction is PUSHF: the image must not show the stub's RFLAGS.TF
	bool step_loads_flags;   // it is POPF or IRET: RFLAGS.TF is what it has loaded
	u64 pending_debug;       // debug exceptions that blocking by MOV SS holds back, as in DR6
	u64 lent_cr4;            // in the VMCB alone (entry.h)
	u64 debug_reported;      // what the #DB that is being raised reports, if the stub raises it
	bool halted;             // activity state HLT

	u64 pdpte[4];  // with EPT and PAE paging; see pae_paging.h
	u64 pae_cr3;
	u64 pdpte_window;  // where nested paging finds them, or 0

	u64 ept_pointer;  // that the nested page tables below were filled from
	unsigned nested_pages_used;

	vos_statistics statistics;

	Vmcb linux_vmcb;
	Vmcb guest_vmcb;
	Vmcb halt_vmcb;
	alignas(4096) u8 host_save[kPageBytes];
	alignas(4096) u8 linux_msr_map[kMsrMapBytes];
	alignas(4096) u8 guest_msr_map[kMsrMapBytes];
	alignas(4096) u8 io_map[kIoMapBytes];
	alignas(4096) u64 stub_page_table[512];
	alignas(4096) u64 stub_idt[512];
	alignas(4096) u64 nested_root[512];
	alignas(4096) u64 nested_page[kNestedPages][512];
	alignas(4096) u64 pdpte_page[512];
	alignas(4096) u8 unbacked[kPageBytes];  // stands for physical memory that is not there

	Vmcb& vmcb() { return in_guest ? guest_vmcb : linux_vmcb; }
	u64 physical(const void* pointer) const { return reinterpret_cast<u64>(pointer) - environment.direct_map; }

	// The memory at a physical address, up to the end of its page.  Where there is none, reads give ones.
	void* memory(u64 address)
	{
		void* const pointer = reinterpret_cast<void*>(environment.direct_map + address);
		if (!vos_probe_address(pointer))
			return pointer;
		fill_bytes(unbacked, 0xff, sizeof(unbacked));
		return unbacked + (address & ~kPageMask);
	}

	VmcsRegion& vmcs() { return *reinterpret_cast<VmcsRegion*>(environment.direct_map + current_vmcs); }
	u64 read(Field field) { return vmcs().read(field); }
	void write(Field field, u64 value) { vmcs().write(field, value); }

	u64 general_register(unsigned number)
	{
		if (number == kRax)
			return vmcb().rax;
		if (number == kRsp)
			return vmcb().rsp;
		return state.registers[number];
	}
	void set_general_register(unsigned number, u64 value)
	{
		if (number == kRax)
			vmcb().rax = value;
		else if (number == kRsp)
			vmcb().rsp = value;
		else
			state.registers[number] = value;
	}

	bool long_mode() { return vmcb().efer & kEferLongModeActive; }
	bool code_64() { return long_mode() && (vmcb().cs.attributes & kAttributeLong); }
	unsigned privilege_level() { return vmcb().cpl; }
	bool ept() const { return proc2_controls & kProc2Ept; }
};

static_assert(offsetof(Cpu, state.registers) == VOS_REGISTERS);
static_assert(offsetof(Cpu, state.run_vmcb) == VOS_RUN_VMCB);
static_assert(offsetof(Cpu, state.stub_cr3) == VOS_STUB_CR3);
static_assert(offsetof(Cpu, state.linux_vmcb) == VOS_LINUX_VMCB);
static_assert(offsetof(Cpu, state.interrupts_open) == VOS_INTERRUPTS_OPEN);
static_assert(offsetof(Cpu, state.nmi_taken) == VOS_NMI_TAKEN);
static_assert(offsetof(Cpu, state.vector_taken) == VOS_VECTOR_TAKEN);
static_assert(offsetof(Cpu, state.leave_rip) == VOS_LEAVE_RIP);
static_assert(offsetof(Cpu, state.leave_cs) == VOS_LEAVE_CS);
static_assert(offsetof(Cpu, state.leave_rflags) == VOS_LEAVE_RFLAGS);
static_assert(offsetof(Cpu, state.leave_rsp) == VOS_LEAVE_RSP);
static_assert(offsetof(Cpu, state.leave_ss) == VOS_LEAVE_SS);
static_assert(offsetof(Cpu, state.leave_cr3) == VOS_LEAVE_CR3);
static_assert(offsetof(Cpu, state.stub_idtr) == VOS_STUB_IDTR + 6);
static_assert(offsetof(Cpu, state.leave_idtr) == VOS_LEAVE_IDTR + 6);

}  // namespace

#endif
