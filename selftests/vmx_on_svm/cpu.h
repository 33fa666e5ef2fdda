// SPDX-License-Identifier: GPL-2.0
// One CPU: what entry.S shares with C++, the two control blocks, and the state of VMX operation.
#ifndef VMX_ON_SVM_CPU_H
#define VMX_ON_SVM_CPU_H

#include "area.h"
#include "capability.h"
#include "fatal.h"
#include "offsets.h"
#include "parameters.h"
#include "vmcb.h"

namespace {

// Known to entry.S by offset.
struct SwitchState {
	u64 registers[16];    // RAX and RSP are in the control block
	u64 run_vmcb;         // physical
	u64 interrupts_open;  // RFLAGS.IF at VMRUN
	u64 nmi_taken;
	u64 vector_taken;
	u8 monitor_idtr_padding[6];
	DescriptorTable monitor_idtr;
};

// What this CPU has done since it was started.
struct Statistics {
	u64 exits;
	u64 vmx_instructions;
	u64 entries;
	u64 nested_faults;
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
	Trap,    // the monitor trap flag
};

// What RFLAGS.TF would change besides itself while the monitor single-steps the guest (step.h).
struct StepState {
	bool guest_trap;    // the guest's own RFLAGS.TF
	bool pushes_flags;  // the instruction is PUSHF: the image must not show the monitor's RFLAGS.TF
	bool loads_flags;   // it is POPF or IRET: RFLAGS.TF is what it has loaded
	bool is_syscall;    // it stores RFLAGS in R11 and masks them
	bool is_sysret;     // it loads RFLAGS from R11
	bool repeats;       // it is a string instruction with a REP prefix
	u64 rip;            // of the instruction
	u64 syscall_mask;   // IA32_FMASK, if is_syscall
	u64 sysret_flags;   // R11, if is_sysret
};

// The VMX-preemption timer, and the use that it makes of the local APIC's timer (preemption_timer.h).
struct PreemptionTimer {
	bool active;            // from a VM-entry with the control to the VM-exit
	u64 deadline;           // of the TSC
	bool armed;             // the APIC's timer runs for this one
	bool root_comes_first;  // root software's own use of it ends the guest's run sooner
	u32 armed_count;
	u32 root_lvt, root_initial, root_divide;
	u64 root_left;  // counts with a divisor of 1 up to root software's interrupt; 0 if its timer does not run
	// A periodic timer cannot go on in mid-period: the TSC when it was restarted, and when its period should end.
	u64 root_restarted, root_deadline;  // 0 if it is not late
};

// What ept_translate() has found, for the monitor's own accesses: valid until INVEPT, as in a TLB.
struct GuestPhysicalMapping {
	u64 guest_page;  // kNoPage if the entry is empty
	u64 host_page;
};
constexpr u64 kNoPage = ~u64{0};
constexpr unsigned kMappings = 32;

constexpr u64 kNoVmcs = ~u64{0};
constexpr unsigned kNestedPages = 48;
constexpr unsigned kIoMapBytes = 3 * kPageBytes;
constexpr unsigned kMsrMapBytes = 2 * kPageBytes;
constexpr u64 kNoVector = ~u64{0};

// Activity states.  SDM Vol. 3C, section 25.4.2.
constexpr u32 kActivityActive = 0;
constexpr u32 kActivityHlt = 1;
constexpr u32 kActivityShutdown = 2;
constexpr u32 kActivityWaitForSipi = 3;

constexpr u32 kSipiValid = bit(8);

struct alignas(4096) Cpu {
	u8 stack[VOS_STACK_BYTES];
	SwitchState state;

	u32 apic_id;
	bool boot_cpu;
	bool started;  // it has been a guest since the machine was reset
	// Other CPUs set these.
	bool init_pending;  // an INIT that VMX operation holds back or turns into a VM-exit
	bool nmi_sent;      // root software has sent an NMI, which may be one with an NMI of the monitor's
	u32 sipi;           // a SIPI to a guest that waits for it: its vector, and kSipiValid
	CpuFacts facts;
	u64 misc;
	u64 feature_control;

	// VMX operation.
	bool vmxon;
	bool vmxe;      // CR4.VMXE in VMX root operation
	bool in_guest;  // VMX non-root operation
	u64 vmxon_pointer;
	u64 current_vmcs;   // physical, or kNoVmcs
	u64 debug_control;  // IA32_DEBUGCTL, which the machine beneath does not have

	// The guest, from VM-entry to VM-exit.
	u64 pin_controls, proc_controls, proc2_controls, exit_controls, entry_controls;
	u64 exception_bitmap;
	Delivery delivery;
	Step step;
	StepState step_state;
	u8 shadow;  // interruptibility bits 0 and 1, as long as RIP is shadow_rip
	u64 shadow_rip;
	bool nmi_blocked;     // virtual-NMI blocking, or blocking by NMI without virtual NMIs
	bool iret_unblocked;  // an IRET ended that, and has not completed
	u64 iret_rip;
	bool stop_after_delivery;  // an NMI was sent to this CPU to stop the guest when an event has been delivered
	u64 root_dr7;              // of root software at VM-entry
	u64 guest_dr6;             // the guest's; that in the VMCB shows what the next #DB reports
	u64 pending_debug;         // debug exceptions that blocking by MOV SS holds back, as in DR6
	u64 lent_cr4;              // in the VMCB alone (entry.h)
	u64 debug_reported;        // what the #DB that is being raised reports, if the monitor raises it
	u64 saved_debug;           // pending debug exceptions that the next VM-exit saves besides those
	bool completed;            // the monitor has carried out the instruction that made the guest exit
	u32 activity;              // activity state; other CPUs look whether it is wait-for-SIPI
	PreemptionTimer preemption_timer;
	u64 first_pause, last_pause;  // of a loop, by the TSC; 0 if there is none since VM-entry

	u64 pdpte[4];  // with EPT and PAE paging; see pae_paging.h
	u64 pae_cr3;
	u64 pdpte_window;  // where nested paging finds them, or 0
	u64 last_pdpte_window;

	bool io_map_is_full;  // each bit of io_map is set
	u64 ept_pointer;      // that the nested page tables below were filled from
	unsigned nested_pages_used;
	GuestPhysicalMapping mappings[kMappings];

	Statistics statistics;

	Vmcb root_vmcb;
	Vmcb guest_vmcb;
	Vmcb own_vmcb;  // monitor_guest.h
	alignas(4096) u8 host_save[kPageBytes];
	alignas(4096) u8 root_msr_map[kMsrMapBytes];
	alignas(4096) u8 guest_msr_map[kMsrMapBytes];
	alignas(4096) u8 io_map[kIoMapBytes];
	alignas(4096) u64 monitor_idt[512];
	alignas(4096) u64 nested_root[512];
	alignas(4096) u64 nested_page[kNestedPages][512];
	alignas(4096) u64 pdpte_page[512];
	alignas(4096) u8 unbacked[kPageBytes];  // in place of memory that a guest may not name

	Vmcb& vmcb() { return in_guest ? guest_vmcb : root_vmcb; }
	// Of a Cpu or a part of it, which are used at their physical addresses.
	static u64 physical(const void* pointer) { return reinterpret_cast<u64>(pointer); }

	// The memory at a physical address that a guest has given, up to the end of its page.  The area is not there for a guest,
	// nor is what the page tables do not map: reads give ones.
	static bool is_visible(u64 address) { return !in_area(address) && address < kMappedBytes; }
	void* memory(u64 address)
	{
		if (is_visible(address))
			return at<u8>(address);
		fill_bytes(unbacked, 0xff, sizeof(unbacked));
		return unbacked + (address & ~kPageMask);
	}

	// The current VMCS, which is never in the area: its revision would not be right.
	VmcsRegion& vmcs() { return *at<VmcsRegion>(current_vmcs); }
	[[gnu::always_inline]] u64 read(Field field) { return vmcs().read(field); }
	[[gnu::always_inline]] void write(Field field, u64 value) { vmcs().write(field, value); }

	GuestPhysicalMapping& mapping(u64 guest_physical) { return mappings[guest_physical / kPageBytes % kMappings]; }

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
	// As the address of a memory access, under the paging mode of now.
	bool canonical(u64 address)
	{
		const unsigned unused = vmcb().cr4 & kCr4La57 ? 64 - 57 : 64 - 48;
		return static_cast<u64>(static_cast<s64>(address << unused) >> unused) == address;
	}
	bool ept() const { return proc2_controls & kProc2Ept; }
};

static_assert(offsetof(Cpu, state.registers) == VOS_REGISTERS);
static_assert(offsetof(Cpu, state.run_vmcb) == VOS_RUN_VMCB);
static_assert(offsetof(Cpu, state.interrupts_open) == VOS_INTERRUPTS_OPEN);
static_assert(offsetof(Cpu, state.nmi_taken) == VOS_NMI_TAKEN);
static_assert(offsetof(Cpu, state.vector_taken) == VOS_VECTOR_TAKEN);
static_assert(offsetof(Cpu, state.monitor_idtr) == VOS_MONITOR_IDTR + 6);
static_assert(sizeof(Cpu) <= CPU_STRIDE && CPU_STRIDE % VOS_STACK_BYTES == 0);

// By APIC ID.  It may not have been started.
inline Cpu& cpu_by_id(u32 apic_id) { return *at<Cpu>(g_area + AREA_CPUS + u64{apic_id} * CPU_STRIDE); }

}  // namespace

#endif
