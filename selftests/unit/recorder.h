// SPDX-License-Identifier: GPL-2.0
// A context policy and an observer that record the cache's calls.
#pragma once

#include <vregcache/hooks.h>
#include <vregcache/result.h>

#include <ostream>
#include <vector>

#include "hooks.h"

namespace vregcache::test {

class RecordingContext {
 public:
	void check(Operation operation, Reg reg) const
	{
		checks_.push_back(operation);
		registers_.push_back(reg);
	}

	const std::vector<Operation>& checks() const { return checks_; }
	// One for each check.
	const std::vector<Reg>& registers() const { return registers_; }
	void clear()
	{
		checks_.clear();
		registers_.clear();
	}

 private:
	mutable std::vector<Operation> checks_;
	mutable std::vector<Reg> registers_;
};

enum class EventKind { kHit, kMiss, kWriteBack, kInvalidate, kNoRegister };

struct Event {
	EventKind kind = EventKind::kHit;
	RegSet registers;
	u64 value = 0;  // none for a hit; for kNoRegister, the number

	bool operator==(const Event&) const = default;
};

inline Event hit_event(Reg reg) { return {EventKind::kHit, reg}; }
inline Event miss_event(Reg reg, u64 value) { return {EventKind::kMiss, reg, value}; }
inline Event write_back_event(Reg reg, u64 value) { return {EventKind::kWriteBack, reg, value}; }
inline Event invalidate_event(RegSet set) { return {EventKind::kInvalidate, set}; }
inline Event no_register_event(u32 number) { return {EventKind::kNoRegister, {}, number}; }

inline void PrintTo(const Event& event, std::ostream* out)
{
	constexpr const char* kNames[] = {"hit", "miss", "write-back", "invalidate", "no register"};
	*out << kNames[static_cast<int>(event.kind)] << std::hex << " registers 0x" << event.registers.bits()
	     << " value 0x" << event.value << std::dec;
}

class RecordingObserver {
 public:
	void watch_reads(bool watches) { watches_ = watches; }

	bool watches_reads() const { return watches_; }
	void hit(Reg reg) { events_.push_back(hit_event(reg)); }
	void miss(Reg reg, u64 value) { events_.push_back(miss_event(reg, value)); }
	void write_back(Reg reg, u64 value) { events_.push_back(write_back_event(reg, value)); }
	void invalidate(RegSet set) { events_.push_back(invalidate_event(set)); }
	void no_register(u32 number) { events_.push_back(no_register_event(number)); }

	const std::vector<Event>& events() const { return events_; }
	void clear() { events_.clear(); }

 private:
	bool watches_ = true;
	std::vector<Event> events_;
};

struct Origin {
	Reg reg = Reg::kEnd;
	Operation how = Operation::kBind;

	bool operator==(const Origin&) const = default;
};

struct Finding {
	FoundAt where = FoundAt::kMiss;
	Reg reg = Reg::kEnd;  // none for a wrong VMCS
	u64 memory = 0;       // or the VMCS that should be current
	u64 vmcs = 0;         // or the one that is

	bool operator==(const Finding&) const = default;
};

inline void PrintTo(const Finding& finding, std::ostream* out)
{
	constexpr const char* kNames[] = {"miss", "hit", "VM-entry"};
	*out << "at " << kNames[static_cast<int>(finding.where)] << " register " << static_cast<int>(finding.reg)
	     << std::hex << " memory 0x" << finding.memory << " VMCS 0x" << finding.vmcs << std::dec;
}

class RecordingVerification {
 public:
	void enable(bool on) { enabled_ = on; }

	bool enabled() const { return enabled_; }
	void cached(Reg reg, Operation how, const void* who)
	{
		origins_.push_back({reg, how});
		callers_.push_back(who);
	}
	void compared(FoundAt where) { compared_[static_cast<int>(where)]++; }
	void mismatch(FoundAt where, Reg reg, u64 memory, u64 vmcs) { findings_.push_back({where, reg, memory, vmcs}); }
	void wrong_vmcs(FoundAt where, VmcsId expected, VmcsId current)
	{
		findings_.push_back({where, Reg::kEnd, static_cast<u64>(expected), static_cast<u64>(current)});
	}

	const std::vector<Origin>& origins() const { return origins_; }
	const std::vector<const void*>& callers() const { return callers_; }
	const std::vector<Finding>& findings() const { return findings_; }
	u32 compared_at(FoundAt where) const { return compared_[static_cast<int>(where)]; }
	void clear() { *this = RecordingVerification(enabled_); }

	RecordingVerification() = default;

 private:
	explicit RecordingVerification(bool enabled) : enabled_(enabled) {}

	bool enabled_ = false;
	std::vector<Origin> origins_;
	std::vector<const void*> callers_;
	std::vector<Finding> findings_;
	u32 compared_[3] = {};
};

using RecordingHooks = HooksOf<RecordingContext, RecordingObserver, RecordingVerification>;
static_assert(CacheHooks<RecordingHooks>);

}  // namespace vregcache::test

// GoogleTest finds these by the namespace of the type.
namespace vregcache {

inline void PrintTo(Reg reg, std::ostream* out) { *out << "register " << static_cast<int>(index(reg)); }
inline void PrintTo(Error error, std::ostream* out) { *out << "error " << static_cast<int>(error); }
inline void PrintTo(Operation operation, std::ostream* out) { *out << "operation " << static_cast<int>(operation); }
inline void PrintTo(RegSet set, std::ostream* out) { *out << "registers 0x" << std::hex << set.bits() << std::dec; }

}  // namespace vregcache
