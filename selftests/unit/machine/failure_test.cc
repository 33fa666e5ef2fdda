// SPDX-License-Identifier: GPL-2.0
// VM-entries that fail, and VMREADs and VMWRITEs that fail: userspace gets an errno or a reason, the log a line, and
// state set by userspace reaches the guest when it runs again.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

std::vector<std::string> lines_with(const std::vector<std::string>& lines, const std::string& part)
{
	std::vector<std::string> found;
	for (const std::string& line : lines) {
		if (line.find(part) != std::string::npos)
			found.push_back(line);
	}
	return found;
}

constexpr u32 kVector = 0x31;

// A value in each kind of field that is written for a VM-entry.
void set_registers(Machine& machine)
{
	kvm_sregs sregs = machine.sregs();
	sregs.cr3 = 0x5000;
	sregs.cr0 ^= cr0::kAm;
	sregs.cr4 |= cr4::kFsgsbase;
	sregs.fs.base = 0x123000;
	sregs.gdt.base = 0x124000;
	sregs.idt.limit = 0xabc;
	EXPECT_EQ(machine.ioctl(KVM_SET_SREGS, sregs), 0);
	kvm_regs regs = machine.regs();
	regs.rip = 0x7777;
	regs.rsp = 0x8888;
	regs.rflags = kFlagsFixed | kFlagIf;
	EXPECT_EQ(machine.ioctl(KVM_SET_REGS, regs), 0);
	kvm_debugregs debug = {};
	debug.dr6 = 0xffff0ff0;
	debug.dr7 = 0x401;
	EXPECT_EQ(machine.ioctl(KVM_SET_DEBUGREGS, debug), 0);
}

// Also an interrupt.
void set_much(Machine& machine)
{
	set_registers(machine);
	kvm_interrupt interrupt = {kVector};
	EXPECT_EQ(machine.ioctl(KVM_INTERRUPT, interrupt), 0);
}

void expect_much(Machine& machine, std::size_t entry)
{
	auto has = [&](auto field) { return machine.guest.at_entry(entry, field); };
	EXPECT_EQ(has(kGuestCr3), 0x5000u);
	EXPECT_EQ(has(kCr0ReadShadow) & cr0::kAm, 0u);
	EXPECT_EQ(has(kGuestCr0) & cr0::kAm, 0u);
	EXPECT_TRUE(has(kCr4ReadShadow) & cr4::kFsgsbase);
	EXPECT_TRUE(has(kGuestCr4) & cr4::kFsgsbase);
	EXPECT_EQ(has(kGuestFsBase), 0x123000u);
	EXPECT_EQ(has(kGuestGdtrBase), 0x124000u);
	EXPECT_EQ(has(kGuestIdtrLimit), 0xabcu);
	EXPECT_EQ(has(kGuestRip), 0x7777u);
	EXPECT_EQ(has(kGuestRsp), 0x8888u);
	EXPECT_EQ(has(kGuestRflags), kFlagsFixed | kFlagIf);
	EXPECT_EQ(has(kGuestDr7), 0x401u);
	EXPECT_EQ(has(kVmEntryInterruptionInformation), interrupt_event(kVector));
}

// ---- accesses ----

class FailedAccess : public testing::TestWithParam<Error> {};

void expect_errno_and_one_line(Machine& machine, long result, const std::string& where)
{
	EXPECT_EQ(result, -EIO) << where;
	std::vector<std::string> lines = machine.host.take_errors();
	EXPECT_EQ(lines.size(), 1u) << where;
	EXPECT_EQ(lines_with(lines, "access to its VMCS failed").size(), 1u) << where;
}

// Each access on the way to a VM-entry fails in turn.
TEST_P(FailedAccess, BeforeVmEntryLosesNothing)
{
	u32 nth = 1;
	for (;; nth++) {
		Machine machine;
		// Does the extra work of the very first VM-entry.
		machine.run_to_hlt();
		set_much(machine);
		// The state that VM-exit loads has changed, too; the checks of the guest's VM-entry detect whether it was
		// written.
		machine.hardware.cpu().cr3 = 0x77000;
		machine.hardware.cpu().cr4 ^= cr4::kSmap;
		machine.hardware.cpu().msr[msr::kFsBase] = 0x7f0000007000;
		machine.hardware.cpu().vmx.fail_nth_access(nth, GetParam());
		machine.guest.then(hlt_exit());
		long result = machine.run_vcpu();
		machine.hardware.cpu().vmx.stop_failing();
		if (machine.guest.entry_count() > 1) {
			// It came after the VM-entry, if at all.
			expect_much(machine, 1);
			machine.guest.forget_script();
			machine.host.take_errors();
			break;
		}
		expect_errno_and_one_line(machine, result, "access " + std::to_string(nth));
		machine.run_vcpu();
		expect_much(machine, 1);
		if (HasFailure())
			break;
	}
	// CR3, FS base, GDTR base, IDTR limit, RIP, RSP, RFLAGS, DR7, CR0 and CR4 with their shadows, the interrupt,
	// three of the host's.
	EXPECT_GE(nth, 16u);
}

// The reason of the very first VM-exit cannot be read.  The guest ran nevertheless: the interrupt was delivered, and the
// VMCS is launched.
TEST_P(FailedAccess, ReasonOfTheFirstVmExitLeavesNoEventToDeliverAgain)
{
	Machine machine;
	kvm_interrupt interrupt = {kVector};
	ASSERT_EQ(machine.ioctl(KVM_INTERRUPT, interrupt), 0);
	machine.hardware.cpu().vmx.fail_field(decltype(kExitReason)::kEncoding, GetParam());
	machine.guest.then(cpuid_exit());
	expect_errno_and_one_line(machine, machine.run_vcpu(), "exit reason");
	machine.hardware.cpu().vmx.stop_failing();
	EXPECT_EQ(machine.guest.at_entry(0, kVmEntryInterruptionInformation), interrupt_event(kVector));
	machine.run_to_hlt();
	EXPECT_FALSE(machine.guest.at_entry(1, kVmEntryInterruptionInformation) & kEventValid);
}

// Each access between a VM-exit and the next VM-entry fails in turn.
TEST_P(FailedAccess, BehindVmExitIsReported)
{
	const std::pair<const char*, Step> exits[] = {
		{"CPUID", cpuid_exit()},
		{"CPUID with single step", cpuid_exit(has_rflags(kFlagsFixed | kFlagTf))},
		{"CPUID behind STI", cpuid_exit(has_interruptibility(kStiBlocks))},
		{"RDMSR of a field", rdmsr_exit(msr::kFsBase)},
		{"WRMSR of a field", wrmsr_exit(msr::kSysenterCs, 0x77)},
		{"WRMSR of EFER", wrmsr_exit(msr::kEfer, 0xd01)},
		{"HLT", hlt_exit()},
		{"OUT", out_exit()},
		{"VMCALL", vmcall_exit()},
		{"MOV to CR0", mov_to_cr0_exit()},
		{"EPT violation", ept_violation_exit()},
		{"EPT violation of an interrupt", ept_violation_exit(kEptWrite, interrupt_event(0x31))},
		{"EPT violation of a page fault",
		 ept_violation_exit(kEptWrite, exception_event(14) | kEventHasErrorCode)},
		{"EPT violation of an NMI", ept_violation_exit(kEptWrite, kNmiEvent)},
		{"EPT violation of IRET", ept_violation_exit(kEptWrite | kEptNmiUnblockedByIret)},
		{"external interrupt", external_interrupt_exit()},
		{"interrupt window", interrupt_window_exit()},
	};
	for (const auto& [name, exit] : exits) {
		u32 nth = 1;
		for (;; nth++) {
			Machine machine;
			machine.run_to_hlt();
			machine.guest.at_each_entry = [&machine, nth = nth] {
				if (machine.guest.entry_count() == 2)
					machine.hardware.cpu().vmx.fail_nth_access(nth, GetParam());
			};
			machine.guest.then(exit);
			machine.guest.then(hlt_exit(has_rflags(kFlagsFixed)));
			long result = machine.run_vcpu();
			machine.hardware.cpu().vmx.stop_failing();
			if (!machine.guest.an_access_failed()) {
				// There are no more.
				machine.guest.forget_script();
				break;
			}
			std::string where = std::string(name) + ", access " + std::to_string(nth);
			expect_errno_and_one_line(machine, result, where);
			machine.guest.forget_script();
			// The run can be retried.
			set_registers(machine);
			u64 entries = machine.guest.entry_count();
			machine.guest.then(hlt_exit([](GuestState& guest) {
						   guest.set(kGuestRflags, kFlagsFixed);
						   guest.set(kGuestInterruptibilityState, 0);
					   }),
					   3);
			machine.run_vcpu();
			EXPECT_EQ(machine.guest.at_entry(entries, kGuestRip), 0x7777u) << where;
			EXPECT_EQ(machine.guest.at_entry(entries, kGuestCr3), 0x5000u) << where;
			machine.guest.forget_script();
			if (HasFailure())
				break;
		}
		EXPECT_GT(nth, 1u) << name;
		if (HasFailure())
			break;
	}
}

INSTANTIATE_TEST_SUITE_P(Errors, FailedAccess,
			 testing::Values(Error::kVmFailInvalid, Error::kVmFailValid, Error::kFault),
			 [](const testing::TestParamInfo<Error>& info) {
				 return std::string(info.param == Error::kVmFailInvalid ? "VmFailInvalid"
						    : info.param == Error::kVmFailValid ? "VmFailValid"
											: "Fault");
			 });

// ---- VM-entries ----

class FailedEntry : public VcpuFixture {
 protected:
	FailedEntry()
	{
		machine_.run_to_hlt();
		set_much(machine_);
	}

	void run_to_failure(const Step& step, u64 why)
	{
		guest_.then(step);
		EXPECT_EQ(machine_.run_vcpu(), 0);
		EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_FAIL_ENTRY));
		EXPECT_EQ(machine_.run().fail_entry.hardware_entry_failure_reason, why);
	}

	// Since the VM-entry that failed.
	std::string accesses_are(const AccessList& stated) { return difference(guest_.accesses(), stated); }

	std::string only_error()
	{
		std::vector<std::string> lines = host_.take_errors();
		EXPECT_EQ(lines.size(), 1u);
		return lines.empty() ? "" : lines[0];
	}

	void expect_much_at_next_entry()
	{
		std::size_t entry = guest_.entry_count();
		machine_.run_to_hlt();
		expect_much(machine_, entry);
	}
};

// VM entry with events blocked by MOV SS (SDM Vol. 3C, 31.4).
TEST_F(FailedEntry, VmFailReadsWhyAndKeepsTheState)
{
	run_to_failure({.kind = Step::Kind::kVmFailValid, .reason = 26}, 26);
	EXPECT_EQ(accesses_are({{kVmInstructionError}, {kVmEntryInterruptionInformation}}), "");
	EXPECT_NE(only_error().find("VM-instruction error 26"), std::string::npos);
	guest_.forget_accesses();
	machine_.regs();
	machine_.sregs();
	EXPECT_EQ(accesses_are({}), "");
	expect_much_at_next_entry();
}

// It is a VM-exit, so the cache holds no guest state; RFLAGS is read for kvm_run.
TEST_F(FailedEntry, MsrLoadingReadsWhyAndKeepsTheState)
{
	run_to_failure({.kind = Step::Kind::kEntryFailure, .reason = 34, .qualification = 1}, 1u << 31 | 34);
	EXPECT_EQ(accesses_are({{kExitReason, kExitQualification, kVmEntryMsrLoadCount, kGuestRflags},
				{kVmEntryInterruptionInformation}}),
		  "");
	EXPECT_NE(only_error().find("exit reason 34"), std::string::npos);
	expect_much_at_next_entry();
}

TEST_F(FailedEntry, InvalidGuestStateIsNamedAndCanBeMended)
{
	constexpr u64 kFlagVm = 1u << 17;
	machine_.set_rflags(kFlagsFixed | kFlagIf | kFlagVm);
	guest_.checks_entries = false;
	run_to_failure({.kind = Step::Kind::kEntryFailure, .reason = 33}, 1u << 31 | 33);
	guest_.checks_entries = true;
	EXPECT_NE(only_error().find("guest RFLAGS is 0x20202"), std::string::npos);
	machine_.set_rflags(kFlagsFixed | kFlagIf);
	expect_much_at_next_entry();
}

TEST_F(FailedEntry, NoCurrentVmcsIsAnErrno)
{
	guest_.then({.kind = Step::Kind::kVmFailInvalid});
	EXPECT_EQ(machine_.run_vcpu(), -EIO);
	EXPECT_NE(only_error().find("VMfailInvalid"), std::string::npos);
	expect_much_at_next_entry();
}

TEST_F(FailedEntry, FaultIsAnErrno)
{
	guest_.then({.kind = Step::Kind::kFault});
	EXPECT_EQ(machine_.run_vcpu(), -EIO);
	EXPECT_NE(only_error().find("the instruction faulted"), std::string::npos);
	expect_much_at_next_entry();
}

// A register that is set after write-back is an error, and the NMI that caused the VM-exit is not lost.
TEST_F(FailedEntry, RegisterSetBehindWriteBackIsAnErrnoAndAnNmiIsHandled)
{
	Step nmi = exit_for(reason::kExceptionOrNmi);
	nmi.interruption = kEventValid | 2u << 8 | 2;
	u64 rsp = 0x9000;
	guest_.at_each_entry = [&] {
		vrc_cache_use use = {.operation = VRC_CACHE_WRITE, .reg = index(Reg::kRsp), .value = ++rsp, .error = 0};
		vrc_vcpu_use_cache(machine_.vcpu, &use);
		EXPECT_EQ(use.error, 0);
	};
	for (const Step& step : {cpuid_exit(), nmi}) {
		guest_.then(step);
		EXPECT_EQ(machine_.run_vcpu(), -EIO);
		EXPECT_EQ(host_.take_errors().size(), 1u);
	}
	EXPECT_EQ(host_.nmis_handled, 1u);
}

}  // namespace
}  // namespace vregcache::test
