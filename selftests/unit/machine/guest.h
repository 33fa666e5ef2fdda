// SPDX-License-Identifier: GPL-2.0
// The guest: each VM-entry takes the next step of a script, which determines its outcome.
#pragma once

#include <vregcache/gpr.h>

#include <deque>
#include <functional>
#include <vector>

#include "emulation.h"

namespace vregcache::test {

// The fields of the current VMCS, without an access that is counted.
class Fields {
 public:
	template <class Field>
	u64 operator[](Field field) const
	{
		return hardware().vmcs_memory.peek(hardware().cpu().vmx.current(), field.kEncoding);
	}

	template <class Field>
	void set(Field field, u64 value) const
	{
		hardware().vmcs_memory.poke(hardware().cpu().vmx.current(), field.kEncoding, value);
	}
};

// The guest's state when it exits; a script changes it.
class GuestState : public Fields {
 public:
	explicit GuestState(GprFile& registers) : gpr(registers) {}

	GprFile& gpr;  // without RSP, which is in a field
};

// The outcome of one VM-entry.
struct Step {
	enum class Kind { kExit, kEntryFailure, kVmFailValid, kVmFailInvalid, kFault };

	Kind kind = Kind::kExit;
	u32 reason = 0;              // basic exit reason, or the VM-instruction error
	u64 qualification = 0;       // as the SDM defines it for exits that do not use it
	u32 instruction_length = 0;  // zero: the exit does not save it
	u32 interruption = 0;        // VM-exit interruption information
	u32 idt_vectoring = 0;
	std::function<void(GuestState&)> guest_did = {};  // other changes by the guest or the exit
};

using GuestDid = std::function<void(GuestState&)>;

inline Step exit_for(u32 reason, u64 qualification = 0, GuestDid guest_did = {})
{
	return {.reason = reason, .qualification = qualification, .guest_did = std::move(guest_did)};
}

inline Step exit_for_instruction(u32 reason, u32 length, u64 qualification = 0, GuestDid guest_did = {})
{
	return {.reason = reason,
		.qualification = qualification,
		.instruction_length = length,
		.guest_did = std::move(guest_did)};
}

class Guest {
 public:
	Guest();
	~Guest();
	Guest(const Guest&) = delete;

	void then(const Step& step) { script_.push_back(step); }
	void then(const Step& step, u32 times)
	{
		for (u32 i = 0; i < times; i++)
			then(step);
	}
	bool script_is_done() const { return script_.empty(); }

	// VM-entry.  Returns the same as vrc_vmx_enter().
	u32 enter(GprFile& gpr, bool resume);

	// Accesses since the last VM-exit or attempted VM-entry; the next one clears them.
	const std::vector<FieldAccess>& accesses() const { return accesses_; }
	// Those before the nth VM-entry (from zero) and after the VM-exit of the previous one.
	const std::vector<FieldAccess>& accesses_before_entry(std::size_t n) const { return before_entry_.at(n); }
	// The fields as the nth VM-entry found them.
	template <class Field>
	u64 at_entry(std::size_t n, Field field)
	{
		return entries_.at(n).at(*find_sdm_field(field.kEncoding));
	}
	std::size_t entry_count() const { return entries_.size(); }
	void forget_accesses() { accesses_.clear(); }
	// True if an access has failed so far.
	bool an_access_failed() const { return an_access_failed_; }
	void forget_script() { script_.clear(); }

	// Off if a test needs an entry that the checks of VM-entry would reject.
	bool checks_entries = true;
	std::function<void()> at_each_entry;

 private:
	void check_entry(bool resume) const;
	void load_host_state() const;

	std::deque<Step> script_;
	bool an_access_failed_ = false;
	std::vector<FieldAccess> accesses_;
	std::vector<std::vector<FieldAccess>> before_entry_;
	std::vector<ModelVmcs> entries_;
};

Guest& guest();

}  // namespace vregcache::test
