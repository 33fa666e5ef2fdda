// SPDX-License-Identifier: GPL-2.0
// VMCSs in host memory, and CPUs that access them as VMREAD and VMWRITE would, count every access and fail on request.
#pragma once

#include <vregcache/hooks.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <ostream>
#include <stdexcept>
#include <vector>

#include "sdm_fields.h"

namespace vregcache::test {

enum class AccessKind { kVmread, kVmwrite };

struct FieldAccess {
	AccessKind kind = AccessKind::kVmread;
	VmcsId vmcs = VmcsId::kNone;
	u32 encoding = 0;
	u64 value = 0;  // VMREAD's result, or VMWRITE's operand before truncation to the field's width
	Error error = Error::kNone;

	bool operator==(const FieldAccess&) const = default;
};

inline void PrintTo(const FieldAccess& access, std::ostream* out)
{
	const SdmField* field = find_sdm_field(access.encoding);
	*out << (access.kind == AccessKind::kVmread ? "VMREAD " : "VMWRITE ") << (field ? field->name : "unknown field")
	     << std::hex << " value 0x" << access.value << " vmcs 0x" << static_cast<u64>(access.vmcs) << std::dec
	     << " error " << static_cast<int>(access.error);
}

// The values of the VM-instruction error field that the model uses (SDM Vol. 3C, 31.4).
constexpr u32 kUnsupportedComponent = 12;
constexpr u32 kWriteToReadOnlyComponent = 13;

// The fields of one VMCS.  Each starts with a distinct value, so that a value from the wrong field or the wrong VMCS
// does not look right by accident.
class ModelVmcs {
 public:
	explicit ModelVmcs(VmcsId id)
	{
		for (std::size_t slot = 0; slot < kSdmFields.size(); slot++) {
			u64 seed = (static_cast<u64>(id) << 20) + kSdmFields[slot].encoding;
			value_[slot] = (seed * 0x9e3779b97f4a7c15) >> 3 | 1;
			value_[slot] &= width_mask(kSdmFields[slot].width);
		}
	}

	u64& at(const SdmField& field) { return value_[static_cast<std::size_t>(&field - kSdmFields.data())]; }

 private:
	std::array<u64, kSdmFields.size()> value_ = {};
};

// The VMCSs of a machine.  They outlive each CPU's state.
class ModelMemory {
 public:
	ModelVmcs& vmcs(VmcsId id) { return vmcs_.try_emplace(id, id).first->second; }

	// A field's content, without an access that is counted.
	u64 peek(VmcsId id, u32 encoding) { return vmcs(id).at(field(encoding)); }
	void poke(VmcsId id, u32 encoding, u64 value)
	{
		vmcs(id).at(field(encoding)) = value & width_mask(field(encoding).width);
	}

 private:
	static const SdmField& field(u32 encoding)
	{
		const SdmField* found = find_sdm_field(encoding);
		if (!found)
			throw std::invalid_argument("a test looks into a field that the model VMCS has not");
		return *found;
	}

	std::map<VmcsId, ModelVmcs> vmcs_;
};

// One CPU in VMX operation.
class ModelCpu {
 public:
	using Hook = std::function<void(const FieldAccess&)>;

	explicit ModelCpu(ModelMemory& memory) : memory_(memory) {}
	ModelCpu(const ModelCpu&) = delete;

	void load(VmcsId vmcs) { current_ = recorded_ = vmcs; }
	void unload() { load(VmcsId::kNone); }
	// The software does not know of it.
	void load_unrecorded(VmcsId vmcs) { current_ = vmcs; }
	VmcsId current() const { return current_; }
	VmcsId recorded() const { return recorded_; }

	// The nth access from now on fails, counted from 1.  It fails before it has an effect.
	void fail_nth_access(u32 nth, Error error)
	{
		fail_nth_ = nth;
		fail_nth_error_ = error;
	}
	// Each access to the field fails.
	void fail_field(u32 encoding, Error error) { failing_fields_[encoding] = error; }
	void stop_failing()
	{
		fail_nth_ = 0;
		failing_fields_.clear();
	}

	// Runs inside each access, before it has an effect and before the caller knows its outcome.
	void set_hook(Hook hook) { hook_ = std::move(hook); }

	const std::vector<FieldAccess>& log() const { return log_; }
	void clear_log() { log_.clear(); }
	std::size_t count(AccessKind kind, u32 encoding) const
	{
		auto same = [&](const FieldAccess& access) {
			return access.kind == kind && access.encoding == encoding;
		};
		return static_cast<std::size_t>(std::ranges::count_if(log_, same));
	}

	Result<u64> vmread(u32 encoding)
	{
		FieldAccess access = {AccessKind::kVmread, current_, encoding};
		const SdmField* field = find_sdm_field(encoding);
		access.error = outcome(access, field);
		if (access.error == Error::kNone)
			access.value = memory_.vmcs(current_).at(*field);
		finish(access);
		if (access.error != Error::kNone)
			return access.error;
		return access.value;
	}

	// Not in the log.
	Result<u64> vmread_unseen(u32 encoding)
	{
		unseen_++;
		if (unseen_hook_)
			unseen_hook_();
		if (auto failing = failing_fields_.find(encoding); failing != failing_fields_.end())
			return failing->second;
		if (current_ == VmcsId::kNone)
			return Error::kVmFailInvalid;
		return memory_.peek(current_, encoding);
	}
	u32 unseen() const { return unseen_; }
	// Runs before each such read.
	void set_unseen_hook(std::function<void()> hook) { unseen_hook_ = std::move(hook); }

	Result<void> vmwrite(u32 encoding, u64 value)
	{
		FieldAccess access = {AccessKind::kVmwrite, current_, encoding, value};
		const SdmField* field = find_sdm_field(encoding);
		access.error = outcome(access, field);
		finish(access);
		if (access.error != Error::kNone)
			return access.error;
		memory_.poke(current_, encoding, value);
		return {};
	}

 private:
	Error outcome(const FieldAccess& access, const SdmField* field)
	{
		if (fail_nth_ != 0 && --fail_nth_ == 0)
			return fail_nth_error_;
		if (auto failing = failing_fields_.find(access.encoding); failing != failing_fields_.end())
			return failing->second;
		if (current_ == VmcsId::kNone)
			return Error::kVmFailInvalid;
		if (!field)
			return vm_fail_valid(kUnsupportedComponent);
		if (access.kind == AccessKind::kVmwrite && field->kind == FieldKind::kExitInformation)
			return vm_fail_valid(kWriteToReadOnlyComponent);
		return Error::kNone;
	}

	Error vm_fail_valid(u32 instruction_error)
	{
		constexpr u32 kVmInstructionErrorEncoding = 0x4400;
		memory_.poke(current_, kVmInstructionErrorEncoding, instruction_error);
		return Error::kVmFailValid;
	}

	void finish(const FieldAccess& access)
	{
		log_.push_back(access);
		if (hook_)
			hook_(access);
	}

	ModelMemory& memory_;
	VmcsId current_ = VmcsId::kNone;
	VmcsId recorded_ = VmcsId::kNone;
	u32 unseen_ = 0;
	std::function<void()> unseen_hook_;
	std::vector<FieldAccess> log_;
	Hook hook_;
	u32 fail_nth_ = 0;
	Error fail_nth_error_ = Error::kNone;
	std::map<u32, Error> failing_fields_;
};

// The cache's accessor in these tests.
class ModelAccess {
 public:
	struct Key {};
	explicit ModelAccess(ModelCpu& cpu) : cpu_(&cpu) {}

	Result<u64> vmread(u32 encoding) const { return cpu_->vmread(encoding); }
	Result<void> vmwrite(u32 encoding, u64 value) const { return cpu_->vmwrite(encoding, value); }
	bool is_current(VmcsId id) const { return id != VmcsId::kNone && cpu_->recorded() == id; }
	Result<u64> verify_read(u32 encoding) const { return cpu_->vmread_unseen(encoding); }
	VmcsId really_current(VmcsId) const { return cpu_->current(); }

 private:
	ModelCpu* cpu_;
};

static_assert(VmcsAccess<ModelAccess> && VerifiableAccess<ModelAccess>);

}  // namespace vregcache::test
