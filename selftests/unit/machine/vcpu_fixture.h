// SPDX-License-Identifier: GPL-2.0
// A virtual machine with one vCPU in 64-bit mode, driven through the module's ioctls.
#pragma once

#include <gtest/gtest.h>
#include <machine.h>
#include <vcpu/uapi.h>
#include <vregcache/vmcs_fields.h>

#include <functional>
#include <string>
#include <vector>

#include "access_lists.h"
#include "guest.h"
#include "host.h"

namespace vregcache::test {

// Basic exit reasons (SDM Vol. 3D, Appendix C).
namespace reason {
constexpr u32 kExceptionOrNmi = 0, kExternalInterrupt = 1, kTripleFault = 2, kInterruptWindow = 7, kNmiWindow = 8,
	      kCpuid = 10, kHlt = 12, kVmcall = 18, kControlRegister = 28, kIo = 30, kRdmsr = 31, kWrmsr = 32,
	      kInvalidGuestState = 33, kEptViolation = 48, kWbinvd = 54;
}

constexpr u64 kStartRip = 0x1000;

class Machine {
 public:
	// @before_load: changes the CPU from the usual one.
	explicit Machine(const std::function<void(Machine&)>& before_load = {}, bool beside_kvm = false)
	{
		if (before_load)
			before_load(*this);
		EXPECT_EQ(vrc_init(beside_kvm, false), 0);
		vrc_host_on_each_cpu([](void*) { EXPECT_EQ(vrc_cpu_enable(), 0); }, nullptr);
		vm = vrc_vm_create(&host_vm);
		kvm_userspace_memory_region region = {};
		region.memory_size = sizeof(memory);
		region.userspace_addr = reinterpret_cast<u64>(memory);
		EXPECT_EQ(vrc_vm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, reinterpret_cast<unsigned long>(&region)), 0);
		EXPECT_EQ(vrc_vcpu_create(vm, 0, &host_vcpu, run_pages, &vcpu), 0);
		host_vcpu.machine = vcpu;
		EXPECT_EQ(vrc_vcpu_set_up(vcpu), 0);
		enter_64bit_mode();
	}

	Machine(const Machine&) = delete;

	~Machine()
	{
		EXPECT_TRUE(guest.script_is_done());
		EXPECT_EQ(host.take_errors(), std::vector<std::string>());
		vrc_vcpu_destroy(vcpu, false);
		vrc_vm_destroy(vm);
		vrc_host_on_each_cpu([](void*) { vrc_cpu_disable(); }, nullptr);
		vrc_exit();
		EXPECT_EQ(host.blocks_in_use, 0u);
		EXPECT_TRUE(host.pages.empty());
	}

	template <class T>
	long ioctl(unsigned command, T& argument)
	{
		return vrc_vcpu_ioctl(vcpu, command, reinterpret_cast<unsigned long>(&argument));
	}
	long ioctl(unsigned command) { return vrc_vcpu_ioctl(vcpu, command, 0); }

	// KVM_RUN: 0 or an errno; run().exit_reason says why it returned.
	long run_vcpu() { return ioctl(KVM_RUN); }
	kvm_run& run() { return *reinterpret_cast<kvm_run*>(run_pages); }

	kvm_regs regs()
	{
		kvm_regs regs = {};
		EXPECT_EQ(ioctl(KVM_GET_REGS, regs), 0);
		return regs;
	}

	kvm_sregs sregs()
	{
		kvm_sregs sregs = {};
		EXPECT_EQ(ioctl(KVM_GET_SREGS, sregs), 0);
		return sregs;
	}

	void set_rflags(u64 rflags)
	{
		kvm_regs now = regs();
		now.rflags = rflags;
		EXPECT_EQ(ioctl(KVM_SET_REGS, now), 0);
	}

	// A Linux kernel's state, as far as VM-entry checks it.
	void enter_64bit_mode()
	{
		kvm_sregs state = sregs();
		kvm_segment code = {};
		code.limit = 0xffffffff;
		code.selector = 0x10;
		code.type = 0xb;
		code.present = code.s = code.l = code.g = 1;
		kvm_segment data = code;
		data.selector = 0x18;
		data.type = 0x3;
		data.l = 0;
		data.db = 1;
		state.cs = code;
		state.ss = state.ds = state.es = state.fs = state.gs = data;
		state.cr0 = 0x80050033;  // PE MP ET NE WP AM PG
		state.cr3 = 0x2000;
		state.cr4 = 0x6a0;   // PAE PGE OSFXSR OSXMMEXCPT
		state.efer = 0xd01;  // SCE LME LMA NXE
		EXPECT_EQ(ioctl(KVM_SET_SREGS, state), 0);
		kvm_regs start = {};
		start.rip = kStartRip;
		start.rsp = 0x8000;
		start.rflags = 0x202;
		EXPECT_EQ(ioctl(KVM_SET_REGS, start), 0);
	}

	// The guest runs through the script, and then to an HLT that exits to userspace.
	void run_to_hlt()
	{
		guest.then(exit_for_instruction(reason::kHlt, 1));
		EXPECT_EQ(run_vcpu(), 0);
		EXPECT_EQ(run().exit_reason, static_cast<u32>(KVM_EXIT_HLT));
	}

	Hardware hardware;
	Host host;
	Guest guest;
	vrc_host_vm host_vm;
	vrc_host_vcpu host_vcpu;
	vrc_vm* vm = nullptr;
	vrc_vcpu* vcpu = nullptr;
	alignas(4096) u8 memory[16 * 4096] = {};
	alignas(4096) u8 run_pages[VRC_RUN_PAGES * 4096] = {};
};

class VcpuFixture : public testing::Test {
 protected:
	Machine machine_;
	Guest& guest_ = machine_.guest;
	Host& host_ = machine_.host;
};

}  // namespace vregcache::test
