// SPDX-License-Identifier: GPL-2.0
// Beside KVM: whatever interrupts, and whenever this task has returned, each CPU is as KVM left it.
#include <vmx/architecture.h>

#include "exits.h"

namespace vregcache::test {
namespace {

// KVM's part of the CPUs: it has turned VMX on, and has a VMCS.
class Kvm {
 public:
	static void turn_vmx_on(Machine& machine)
	{
		for (HostCpu& cpu : machine.hardware.cpus) {
			cpu.cr4 |= cr4::kVmxe;
			cpu.in_vmx_operation = true;
		}
	}

	Kvm()
	{
		region_[0] = static_cast<u32>(hardware().cpu().msr[msr::kVmxBasic]) & 0x7fffffff;
		host().pages[kAddress] = region_;
	}
	~Kvm() { host().pages.erase(kAddress); }
	Kvm(const Kvm&) = delete;

	static constexpr u64 kAddress = 0x7000000;
	static constexpr VmcsId kVmcs{kAddress};

	// Its guest has run on this CPU.
	static void run_guest()
	{
		hardware().vmcs_state[kVmcs] = {.initialized = true, .launched = true, .active_on = hardware().current};
		hardware().cpu().vmx.load(kVmcs);
	}
	static bool is_current() { return hardware().cpu().vmx.current() == kVmcs; }

	// Its guest's values, which wait for a return to userspace.
	static void leave_msrs()
	{
		auto& msr = hardware().cpu().msr;
		msr[msr::kStar] = 0x1111;
		msr[msr::kLstar] = 0x2222;
		msr[msr::kCstar] = 0x3333;
		msr[msr::kSfmask] = 0x4444;
		msr[msr::kTscAux] = 0x5555;
		host().kvm_msrs_in_cpu = true;
	}

 private:
	alignas(4096) u32 region_[1024] = {};
};

class BesideKvm : public testing::Test {
 protected:
	Machine machine_{[](Machine& machine) { Kvm::turn_vmx_on(machine); }, true};
	Guest& guest_ = machine_.guest;
	Host& host_ = machine_.host;
	Kvm kvm_;
};

TEST_F(BesideKvm, VmxStaysOn)
{
	for (HostCpu& cpu : machine_.hardware.cpus)
		EXPECT_TRUE(cpu.in_vmx_operation && (cpu.cr4 & cr4::kVmxe));
}

TEST_F(BesideKvm, PointerIsKvmsAfterEachIoctl)
{
	Kvm::run_guest();
	machine_.regs();
	EXPECT_TRUE(Kvm::is_current());
	machine_.sregs();
	EXPECT_TRUE(Kvm::is_current());
	guest_.then(cpuid_exit());
	machine_.run_to_hlt();
	EXPECT_TRUE(Kvm::is_current());
}

TEST_F(BesideKvm, PointerIsKvmsWhileInterruptsAreOn)
{
	u32 taken = 0;
	host_.interruption_handler = [&](vrc_host_vcpu&) {
		taken++;
		EXPECT_TRUE(Kvm::is_current());
	};
	Kvm::run_guest();
	guest_.then(external_interrupt_exit());
	guest_.then(ept_violation_exit());
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_EQ(taken, 2u);
	EXPECT_TRUE(Kvm::is_current());
}

// A handler that reads the guest's registers changes the pointer, and puts it back.
TEST_F(BesideKvm, HandlerReadsRegistersAndLeavesThePointer)
{
	u64 found = 0;
	host_.interruption_handler = [&](vrc_host_vcpu& vcpu) {
		vrc_bool user = true;
		EXPECT_EQ(vrc_vcpu_pmi_sample(vcpu.machine, &found, &user), 0);
		EXPECT_FALSE(user);
		EXPECT_TRUE(Kvm::is_current());
	};
	Kvm::run_guest();
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_EQ(found, kStartRip);
}

// KVM's guest runs while this task is preempted, and KVM changes the pointer.
TEST_F(BesideKvm, VmcsIsLoadedAgainAfterKvmsGuestHasRun)
{
	bool preempted = false;
	host_.need_resched = [&] { return !preempted && guest_.entry_count() > 0; };
	host_.reschedule = [&] {
		preempted = true;
		vrc_vcpu_sched_out(machine_.vcpu);
		Kvm::run_guest();
		vrc_vcpu_sched_in(machine_.vcpu);
	};
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_TRUE(preempted);
	EXPECT_TRUE(Kvm::is_current());
	host_.need_resched = {};
	host_.reschedule = {};
}

// Another ioctl of the same task may be KVM's.
TEST_F(BesideKvm, VmcsIsLoadedAgainAfterAnIoctlOfKvms)
{
	machine_.run_to_hlt();
	EXPECT_FALSE(Kvm::is_current());
	Kvm::run_guest();
	machine_.run_to_hlt();
	EXPECT_TRUE(Kvm::is_current());
}

// KVM clears its VMCS, in an interrupt from another CPU, while it is not the current one.
TEST_F(BesideKvm, ClearedVmcsOfKvmsDoesNotComeBack)
{
	host_.interruption_handler = [](vrc_host_vcpu&) {
		hardware().cpu().vmx.unload();
		hardware().vmcs_state[Kvm::kVmcs] = {.initialized = true};
	};
	Kvm::run_guest();
	guest_.then(external_interrupt_exit());
	machine_.run_to_hlt();
	EXPECT_FALSE(Kvm::is_current());
}

// Exits in a row, where KVM has no VMCS and where it has one.
TEST_F(BesideKvm, ExitsInARowNeedNoVmptrld)
{
	for (bool kvms : {false, true}) {
		if (kvms)
			Kvm::run_guest();
		machine_.run_to_hlt();
		const u32 before = machine_.hardware.vmptrlds;
		for (int exits = 0; exits < 10; exits++)
			guest_.then(cpuid_exit());
		machine_.run_to_hlt();
		EXPECT_EQ(machine_.hardware.vmptrlds - before, kvms ? 2u : 0u);
	}
}

TEST_F(BesideKvm, MsrsOfKvmsGuestArePutBack)
{
	machine_.run_to_hlt();
	Kvm::leave_msrs();
	const auto left = machine_.hardware.cpu().msr;
	guest_.then(wrmsr_exit(msr::kStar, 0x10));
	guest_.then(wrmsr_exit(msr::kLstar, 0x20));
	guest_.then(wrmsr_exit(msr::kCstar, 0x30));
	guest_.then(wrmsr_exit(msr::kSfmask, 0x40));
	guest_.then(wrmsr_exit(msr::kTscAux, 0x50));
	bool checked = false;
	guest_.then(cpuid_exit([&](GuestState&) {
		checked = true;
		EXPECT_EQ(hardware().cpu().msr[msr::kStar], 0x10u);
		EXPECT_EQ(hardware().cpu().msr[msr::kTscAux], 0x50u);
	}));
	machine_.run_to_hlt();
	EXPECT_TRUE(checked);
	EXPECT_EQ(machine_.hardware.cpu().msr, left);
}

// The host's values, once KVM has put them back itself.
TEST_F(BesideKvm, HostsMsrsArePutBack)
{
	const auto hosts = machine_.hardware.cpu().msr;
	Kvm::leave_msrs();
	machine_.run_to_hlt();
	machine_.hardware.cpu().msr = hosts;
	host_.kvm_msrs_in_cpu = false;
	guest_.then(wrmsr_exit(msr::kLstar, 0x20));
	machine_.run_to_hlt();
	EXPECT_EQ(machine_.hardware.cpu().msr, hosts);
}

// KVM frees a root without a flush, and the page may become ours.
TEST_F(BesideKvm, NewRootIsFlushedOnEveryCpu)
{
	const u32 before = machine_.hardware.invepts;
	vrc_host_vm host_vm;
	vrc_vm* vm = vrc_vm_create(&host_vm);
	EXPECT_EQ(machine_.hardware.invepts - before, kCpuCount);
	vrc_vm_destroy(vm);
}

TEST_F(BesideKvm, GuestRunsAfterABarrierIfKvmsHasRun)
{
	machine_.run_to_hlt();
	u32 before = host_.prediction_barriers;
	guest_.at_each_entry = [&] { EXPECT_EQ(host_.prediction_barriers, before); };
	machine_.run_to_hlt();
	before = host_.prediction_barriers;
	Kvm::run_guest();
	guest_.at_each_entry = [&] { EXPECT_EQ(host_.prediction_barriers, before + 1); };
	guest_.then(cpuid_exit());
	machine_.run_to_hlt();
}

// KVM believes that its guest was the last one on this CPU.
TEST_F(BesideKvm, KvmsGuestRunsAfterABarrier)
{
	Kvm::run_guest();
	const u32 before = host_.prediction_barriers;
	u32 at_entry = 0;
	guest_.at_each_entry = [&] { at_entry = host_.prediction_barriers; };
	machine_.run_to_hlt();
	EXPECT_EQ(at_entry, before + 1);
	EXPECT_EQ(host_.prediction_barriers, before + 2);
	// No guest of ours runs.
	machine_.regs();
	EXPECT_EQ(host_.prediction_barriers, before + 3);
}

// KVM's vCPU has left this CPU and may come back: KVM remembers which one ran last, not which VMCS was current.
TEST_F(BesideKvm, GuestOfAnotherCpuRunsAfterABarrierToo)
{
	machine_.run_to_hlt();
	u32 at_entry = 0;
	guest_.at_each_entry = [&] { at_entry = host_.prediction_barriers; };
	machine_.run_to_hlt();
	EXPECT_EQ(host_.prediction_barriers, at_entry + 1);
}

// KVM's guests run while the module is loaded.
TEST(BesideKvmOnly, MsrsAtLoadMayBeThoseOfAGuest)
{
	std::map<u32, u64> hosts;
	Machine machine(
		[&](Machine& machine) {
			Kvm::turn_vmx_on(machine);
			hosts = machine.hardware.cpu().msr;
			Kvm::leave_msrs();
		},
		true);
	machine.hardware.cpu().msr = hosts;
	machine.host.kvm_msrs_in_cpu = false;
	machine.run_to_hlt();
	EXPECT_EQ(machine.hardware.cpu().msr, hosts);
}

// KVM has turned VMX off, against the module's expectation.
TEST(BesideKvmOnly, CpuOutOfVmxOperationIsRefused)
{
	Hardware hardware;
	Host host;
	EXPECT_EQ(vrc_init(true, false), 0);
	EXPECT_EQ(vrc_cpu_enable(), -EIO);
	EXPECT_EQ(host.take_errors().size(), 1u);
	hardware.cpu().cr4 |= cr4::kVmxe;
	EXPECT_EQ(vrc_cpu_enable(), -EIO);
	EXPECT_EQ(host.take_errors().size(), 1u);
	vrc_exit();
}

}  // namespace
}  // namespace vregcache::test
