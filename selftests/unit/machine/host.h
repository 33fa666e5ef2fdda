// SPDX-License-Identifier: GPL-2.0
// The kernel, as far as the module asks for it (src/linux/host.h), and a check of what lockdep would check.
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
	bool resident = false;
	bool fpu_is_guests = false;
	alignas(16) unsigned char fpu_image[512] = {};
	bool fpu_is_compacted = true;
	unsigned long long fpu_components = 3;  // those that are not initial
};

// Without jump labels the kernel's tracepoint has a counter of its listeners.
struct tracepoint {  // NOLINT(readability-identifier-naming): the kernel's
	int listeners = 0;
};

// And so has a key of the module's own.
struct static_key_false {  // NOLINT(readability-identifier-naming): the kernel's
	int enabled = 0;
};

namespace vregcache::test {

// The module asked whether the caller may use this vCPU's register cache.
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

	// Something that the kernel would warn of, or that would hang it.
	void complain(const std::string& what) const;
	void check_may_sleep(const char* what) const;

	// The module's errors since the last call.
	std::vector<std::string> take_errors() { return std::exchange(errors, {}); }

	// Somebody listens to every trace event, or nobody.
	void trace(bool on) const;
	// Verification, from the next VM-exit or ioctl on.  A mismatch is a failure.
	void verify(bool on) const;

	// The module parameter check_context.
	void check_contexts(bool on) const;

	// What a test changes.
	std::function<bool()> signal_pending;
	std::function<bool()> need_resched;
	std::function<void()> reschedule;                          // the task gives its CPU away
	std::function<bool()> task_work;                           // once; true: the task has a signal behind it
	bool user_memory_is_there = true;                          // false: each copy from or to userspace fails
	u64 allocations_until_failure = ~0u;                       // that many succeed
	std::function<void(vrc_host_vcpu&)> interruption_handler;  // of NMIs and interrupts that have hit the guest

	bool detects_split_locks = false;  // before the module is loaded
	bool permits_split_locks = false;

	// What a test looks at.
	std::vector<u64> split_locks;  // where the guest has made them
	u32 nmis_handled = 0;
	u32 interrupts_taken = 0;
	u32 machine_checks_handled = 0;
	std::vector<vrc_trace_entry> traced_entries;
	std::vector<vrc_trace_exit> traced_exits;
	std::vector<ContextCheck> context_checks;
	u64 blocks_in_use = 0;
	std::map<u64, void*> pages;  // by physical address, which is never used again

	// The state that the checks need.
	u32 interrupts_off = 0;
	bool globally_locked = false;
	vrc_host_vcpu* fpu_owner = nullptr;
	u64 next_page = 0x100000;
	std::vector<std::string> errors;
};

// What the module tells from the middle of its code (trace_events.cc), while somebody listens.
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

// The one that the module runs on now.
Host& host();

}  // namespace vregcache::test
