// SPDX-License-Identifier: GPL-2.0
/*
 * A VMX client that checks the CPU against the SDM, and prints KTAP.  The same module gives the same lines on every VMX
 * CPU that has the controls it asks for; tests of what the SDM leaves to the implementation are not here.
 */

#include "blocking.h"
#include "delivery.h"
#include "entry_checks.h"
#include "halted.h"
#include "injection.h"
#include "instruction_exits.h"
#include "monitor_trap_flag.h"
#include "msr_areas.h"
#include "no_exits.h"
#include "pae.h"
#include "preemption_timer.h"
#include "root_operation.h"
#include "timing.h"
#include "tpr_shadow.h"
#include "windows.h"

namespace {

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
	test_guest_checks_of_the_sdm();
	test_msr_areas();
	test_instruction_exits();
	test_no_exits();
	test_exceptions();
	test_injection();
	test_interrupts();
	test_nmis();
	test_blocking_by_execution();
	test_blocking_at_entry();
	test_blocked_instructions();
	test_halted();
	test_preemption_timer();
	test_monitor_trap_flag();
	test_tpr_shadow();
	test_tsc_scaling();
	test_pause_loops();
	test_nested_exceptions();
	test_real_mode();
	test_protected_mode();
	test_long_mode_ept();
	test_ept_flags();
	test_ept_of_page_tables();
	test_interrupted_delivery();
	test_pae();
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

void set_revision(u8* region, u32 revision) { copy(region, &revision, sizeof(revision)); }

}  // namespace

unsigned long vc_context_bytes(void) { return sizeof(Context); }

void vc_run_tests(void* memory)
{
	context = static_cast<Context*>(memory);
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
		// VM-entry and VM-exit leave DR6 alone, and a debug exception in a guest sets bits that the kernel takes for its own.
		u64 dr6 = 0;
		asm volatile("mov %%dr6, %0" : "=r"(dr6));
		run_in_vmx_operation();
		asm volatile("mov %0, %%dr6" : : "r"(dr6));
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
