// SPDX-License-Identifier: GPL-2.0
#include "guest.h"

#include <gtest/gtest.h>
#include <vmx/architecture.h>
#include <vmx/entry.h>
// NOLINTBEGIN(bugprone-suspicious-include)
#include <vmx/exit_reason.cc>
#include <vmx/explain/entry_check_controls.cc>
#include <vmx/explain/entry_check_guest.cc>
#include <vmx/explain/entry_check_host.cc>
#include <vmx/explain/entry_check_rules.cc>
#include <vmx/explain/field_name.cc>
// NOLINTEND(bugprone-suspicious-include)

#include "host.h"

namespace vregcache::test {

namespace {

Guest* g_guest;

// The content of fields that a VM-exit does not write: nothing that looks like a real value.
constexpr u64 kStale = 0xbadbadbadbadbad;
constexpr u32 kValid = 1u << 31;

// The module's own diagnosis (src/vmx/explain/entry_check.h), which entry_check_test.cc checks against the SDM.
struct Reader {
	Result<u64> vmread(u32 encoding) const
	{
		return hardware().vmcs_memory.peek(hardware().cpu().vmx.current(), encoding);
	}
};

AllowedSettings allowed(u64 capability) { return {static_cast<u32>(capability), static_cast<u32>(capability >> 32)}; }

EntryFacts facts_of(const HostCpu& cpu)
{
	auto msr = [&cpu](u32 index) { return cpu.msr.at(index); };
	EntryFacts facts;
	facts.basic = msr(msr::kVmxBasic);
	facts.pin_based = allowed(msr(msr::kVmxTruePinbased));
	facts.primary = allowed(msr(msr::kVmxTrueProcbased));
	facts.secondary = allowed(msr(msr::kVmxProcbased2));
	facts.vm_exit = allowed(msr(msr::kVmxTrueExit));
	facts.vm_entry = allowed(msr(msr::kVmxTrueEntry));
	facts.cr0_fixed0 = msr(msr::kVmxCr0Fixed0);
	facts.cr0_fixed1 = msr(msr::kVmxCr0Fixed1);
	facts.cr4_fixed0 = msr(msr::kVmxCr4Fixed0);
	facts.cr4_fixed1 = msr(msr::kVmxCr4Fixed1);
	facts.misc = msr(msr::kVmxMisc);
	facts.ept_vpid = msr(msr::kVmxEptVpid);
	const u32 sizes = hardware().cpuid[{0x80000008, 0}].eax;
	facts.physical_bits = sizes & 0xff;
	facts.linear_bits = sizes >> 8 & 0xff;
	return facts;
}

void report(const char* group, const EntryFinding& finding)
{
	if (finding.found())
		ADD_FAILURE() << "VM-entry would fail on " << group << " (" << finding.section
			      << "): " << field_name(finding.field) << " is 0x" << std::hex << finding.value << ", "
			      << finding.rule;
}

}  // namespace

Guest::Guest()
{
	g_guest = this;
	for (HostCpu& cpu : hardware().cpus)
		cpu.vmx.set_hook([this](const FieldAccess& access) {
			accesses_.push_back(access);
			an_access_failed_ = an_access_failed_ || access.error != Error::kNone;
		});
}

Guest::~Guest() { g_guest = nullptr; }
Guest& guest() { return *g_guest; }

void Guest::check_entry(bool resume) const
{
	const HostCpu& cpu = hardware().cpu();
	const Fields fields;
	if (!host().interrupts_off)
		ADD_FAILURE() << "VM-entry with interrupts on";
	if (hardware().vmcs_state.at(cpu.vmx.current()).launched != resume)
		ADD_FAILURE() << "VMLAUNCH of a launched VMCS, or VMRESUME of another";
	if (!checks_entries)
		return;
	EntryFacts facts = facts_of(cpu);
	report("controls", find_invalid_control(Reader(), facts));
	report("host state", find_invalid_host_state(Reader(), facts));
	report("guest state", find_invalid_guest_state(Reader(), facts, 0));
	EXPECT_EQ(fields[kHostCr3], cpu.cr3);
	EXPECT_EQ(fields[kHostCr4], cpu.cr4);
	EXPECT_EQ(fields[kHostGsBase], cpu.msr.at(msr::kGsBase));
	EXPECT_EQ(fields[kHostFsBase], cpu.msr.at(msr::kFsBase));
	EXPECT_EQ(fields[kHostGdtrBase], cpu.gdtr.base);
	EXPECT_EQ(fields[kHostIa32SysenterEsp], cpu.msr.at(msr::kSysenterEsp));
}

// SDM Vol. 3C, 28.5: the state that the module has to restore as well as the state that it requests.
void Guest::load_host_state() const
{
	HostCpu& cpu = hardware().cpu();
	const Fields fields;
	cpu.cr0 = fields[kHostCr0];
	cpu.cr3 = fields[kHostCr3];
	cpu.cr4 = fields[kHostCr4];
	cpu.dr[7] = 0x400;
	cpu.msr[msr::kDebugctl] = 0;
	cpu.msr[msr::kSysenterCs] = fields[kHostIa32SysenterCs];
	cpu.msr[msr::kSysenterEsp] = fields[kHostIa32SysenterEsp];
	cpu.msr[msr::kSysenterEip] = fields[kHostIa32SysenterEip];
	cpu.msr[msr::kFsBase] = fields[kHostFsBase];
	cpu.msr[msr::kGsBase] = fields[kHostGsBase];
	cpu.msr[msr::kPat] = fields[kHostIa32Pat];
	cpu.msr[msr::kEfer] = fields[kHostIa32Efer];
	cpu.cs = static_cast<u16>(fields[kHostCsSelector]);
	cpu.ss = static_cast<u16>(fields[kHostSsSelector]);
	cpu.ds = static_cast<u16>(fields[kHostDsSelector]);
	cpu.es = static_cast<u16>(fields[kHostEsSelector]);
	cpu.fs = static_cast<u16>(fields[kHostFsSelector]);
	cpu.gs = static_cast<u16>(fields[kHostGsSelector]);
	cpu.ldtr = 0;
	cpu.gdtr = {0xffff, fields[kHostGdtrBase]};
	cpu.idtr = {0xffff, fields[kHostIdtrBase]};
}

u32 Guest::enter(GprFile& gpr, bool resume)
{
	GuestState state(gpr);
	check_entry(resume);
	host().last_entered = hardware().cpu().vmx.current();
	before_entry_.push_back(std::exchange(accesses_, {}));
	entries_.push_back(hardware().vmcs_memory.vmcs(hardware().cpu().vmx.current()));
	if (at_each_entry)
		at_each_entry();
	Step step = exit_for(static_cast<u32>(ExitReason::kTripleFault));
	if (script_.empty()) {
		ADD_FAILURE() << "the guest is entered once more than the test expects";
	} else {
		step = script_.front();
		script_.pop_front();
	}
	switch (step.kind) {
	case Step::Kind::kVmFailInvalid:
		return static_cast<u32>(EntryResult::kVmFailInvalid);
	case Step::Kind::kFault:
		return static_cast<u32>(EntryResult::kFault);
	case Step::Kind::kVmFailValid:
		state.set(kVmInstructionError, step.reason);
		if (step.guest_did)
			step.guest_did(state);
		return static_cast<u32>(EntryResult::kVmFailValid);
	case Step::Kind::kEntryFailure:
		state.set(kExitReason, step.reason | kEntryFailure);
		state.set(kExitQualification, step.qualification);
		break;
	case Step::Kind::kExit:
		hardware().vmcs_state[hardware().cpu().vmx.current()].launched = true;
		state.set(kExitReason, step.reason);
		state.set(kExitQualification, step.qualification);
		state.set(kExitInstructionLength, step.instruction_length ? step.instruction_length : kStale);
		state.set(kExitInterruptionInformation, step.interruption);
		state.set(kExitInterruptionErrorCode, kStale);
		state.set(kIdtVectoringInformation, step.idt_vectoring);
		state.set(kIdtVectoringErrorCode, kStale);
		state.set(kExitInstructionInformation, kStale);
		state.set(kGuestPhysicalAddress, kStale);
		state.set(kGuestLinearAddress, kStale);
		// The event has been delivered, or is in the IDT-vectoring information.
		state.set(kVmEntryInterruptionInformation, state[kVmEntryInterruptionInformation] & ~kValid);
		break;
	}
	load_host_state();
	if (step.guest_did)
		step.guest_did(state);
	return static_cast<u32>(EntryResult::kExited);
}

}  // namespace vregcache::test

extern "C" u32 vrc_vmx_enter(EntryFrame* frame, bool resume)
{
	return vregcache::test::guest().enter(frame->gpr, resume);
}

extern "C" const char vrc_vmx_exit[1] = {};
