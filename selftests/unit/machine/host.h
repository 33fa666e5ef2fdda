// SPDX-License-Identifier: GPL-2.0
// The kernel, as far as the module uses it (src/linux/host.h), with the checks that lockdep would make.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <test_hooks/machine_hooks.h>
#include <vregcache/hooks.h>

#include "emulation.h"

// Opaque to the module.
struct vrc_host_vm {
	bool memory_locked = false;
};

struct vrc_host_vcpu {
	struct vrc_vcpu* machine = nullptr;
	bool runs = false;  // KVM_RUN
	bool fpu_is_guests = false;
	alignas(16) unsigned char fpu_image[512] = {};
	bool fpu_is_compacted = true;
	unsigned long long fpu_components = 3;  // those not in their initial state
};

// Without jump labels the kernel's tracepoint has a counter of its listeners.
struct tracepoint {  // NOLINT(readability-identifier-naming): the kernel's
	int listeners = 0;
};

// So does the module's own key.
struct static_key_false {  // NOLINT(readability-identifier-naming): the kernel's
	int enabled = 0;
};

namespace vregcache::test {

// The module checked whether the caller may use this vCPU's register cache.
struct ContextCheck {
	const vrc_host_vcpu* vcpu;
	Operation operation;
	Reg reg;
};

class Host {
 public:
	Host();
	~Host();
	Host(const Host&) = delete;

	// Reports a fault that the kernel would warn about, or that would hang it.
	void complain(const std::string& what) const;
	void check_may_sleep(const char* what) const;

	// The module's errors since the last call.
	std::vector<std::string> take_errors() { return std::exchange(errors, {}); }

	// Every trace event, or none.
	void trace(bool on) const;
	// Verification, from the next VM-exit or ioctl on.  A mismatch is a failure.
	void verify(bool on) const;

	// The module parameter check_context.
	void check_contexts(bool on) const;

	// Changed by tests.
	std::function<bool()> signal_pending;
	std::function<bool()> need_resched;
	std::function<void()> reschedule;                          // the task yields its CPU
	std::function<bool()> task_work;                           // once; true: the task has a signal afterwards
	bool user_memory_is_there = true;                          // false: each copy from or to userspace fails
	u64 allocations_until_failure = ~0u;                       // that many succeed
	std::function<void(vrc_host_vcpu&)> interruption_handler;  // of NMIs and interrupts that interrupted the guest

	bool detects_split_locks = false;  // before the module is loaded
	bool permits_split_locks = false;
	bool kvm_msrs_in_cpu = false;

	// Checked by tests.
	std::vector<u64> split_locks;  // the guest's RIP at each
	u32 nmis_handled = 0;
	u32 interrupts_taken = 0;
	u32 machine_checks_handled = 0;
	u32 prediction_barriers = 0;
	VmcsId last_entered = VmcsId::kNone;  // the VMCS of the guest that ran last
	std::vector<vrc_trace_entry> traced_entries;
	std::vector<vrc_trace_exit> traced_exits;
	std::vector<ContextCheck> context_checks;
	u64 blocks_in_use = 0;
	std::map<u64, void*> pages;  // by physical address, which is never reused

	// The state that the checks need.
	u32 interrupts_were_on = 0;  // how often they were turned on
	u32 interrupts_off = 0;
	bool globally_locked = false;
	vrc_host_vcpu* fpu_owner = nullptr;
	u64 next_page = 0x100000;
	std::vector<std::string> errors;
};

// Events that the module reports from within its code (trace_events.cc) while they are traced.
enum class AccessEvent : u8 { kMiss, kWriteBack, kInvalidate };
struct TracedAccess {
	AccessEvent event;
	u32 reg;    // kInvalidate: 0
	u64 value;  // kInvalidate: the set

	bool operator==(const TracedAccess&) const = default;
};
constexpr u32 kTracedAccesses = 256;  // how many are kept
extern TracedAccess g_traced_access[kTracedAccesses];
extern u32 g_traced_accesses;

// The one that the module currently runs on.
Host& host();

}  // namespace vregcache::test
