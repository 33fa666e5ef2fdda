// SPDX-License-Identifier: GPL-2.0
// Every operation of the cache, with a checker between every two of its instructions (invariant 2): an interruption
// there, such as an NMI, finds
//
//	- no available register whose value in memory is neither that before the operation nor that after it;
//	- no clean register whose field has another value, except one that the operation sets or gives up;
//	- no dirty or fast-path register that is not available.
//
// The CPU's trap flag calls the checker: it raises SIGTRAP after each instruction.  This file is compiled with
// optimisation and without sanitizers (see the Makefile), so that stores may be reordered as in the module.  The checker
// reads the cache's bits and values directly from memory, and uses no operation.

#include <gtest/gtest.h>
#include <vregcache/cache.h>
#include <vregcache/vmx_layout.h>

#include <csignal>
#include <string>
#include <tuple>

#include "hooks.h"
#include "cache_test_access.h"

#if defined(__x86_64__)

namespace vregcache::test {
namespace {

constexpr VmcsId kVmcs{0x1000}, kOtherVmcs{0x2000};
constexpr u32 kRegisters = index(Reg::kEnd);

// Everything below the cache: fields by their encodings, and an access that fails.
struct Machine {
	u64 field[0x7000] = {};
	u32 accesses_until_failure = 0;  // zero: none fails
	volatile bool watches = false;

	bool fails() { return accesses_until_failure && --accesses_until_failure == 0; }
};

Machine machine;

struct Access {
	struct Key {};
	Result<u64> vmread(u32 encoding) const
	{
		if (machine.fails())
			return Error::kFault;
		return machine.field[encoding];
	}
	Result<void> vmwrite(u32 encoding, u64 value) const
	{
		if (machine.fails())
			return Error::kFault;
		machine.field[encoding] = value;
		return {};
	}
	bool is_current(VmcsId) const { return true; }
};

struct Observer : NoObserver {
	bool watches_reads() const { return machine.watches; }
};

using SteppedCache = Cache<Access, HooksOf<NoContext, Observer>>;

u64& field_of(u32 number) { return machine.field[VmxLayout::encoding(static_cast<Reg>(number))]; }

// Values that show their origin.  They fit in 16 bits, which every field has.
u64 stale(u32 number) { return 0x1000 + number; }
u64 in_vmcs(u32 number) { return 0x2000 + number; }
u64 set_before(u32 number) { return 0x3000 + number; }
u64 set_now(u32 number) { return 0x4000 + number; }

// The checker's knowledge of an operation.
struct Step {
	SteppedCache* cache = nullptr;
	u64 before[kRegisters] = {};
	u64 after[kRegisters] = {};
	RegSet may_differ_from_field;

	u32 count = 0;
	u32 changes = 0;  // of the bits, from one instruction to the next
	u64 last_bits[3] = {};
	// The first error, and the number of instructions before it.
	const char* wrong = nullptr;
	u32 wrong_register = 0;
	u32 wrong_at = 0;
};

Step* volatile current_step;

void complain(Step& step, const char* what, u32 number)
{
	if (step.wrong)
		return;
	step.wrong = what;
	step.wrong_register = number;
	step.wrong_at = step.count;
}

void check(Step& step)
{
	SteppedCache& cache = *step.cache;
	const RegSet available = cache.available(), dirty = cache.dirty(), fast_path = cache.fast_path();
	step.count++;
	const u64 bits[3] = {available.bits(), dirty.bits(), fast_path.bits()};
	if (bits[0] != step.last_bits[0] || bits[1] != step.last_bits[1] || bits[2] != step.last_bits[2])
		step.changes++;
	for (u32 i = 0; i < 3; i++)
		step.last_bits[i] = bits[i];
	if (!available.contains(dirty))
		complain(step, "dirty and not available", (dirty - available).size());
	if (!available.contains(fast_path))
		complain(step, "on the fast path and not available", (fast_path - available).size());
	for (u32 number = 0; number < kRegisters; number++) {
		const Reg reg = static_cast<Reg>(number);
		if (!available.contains(reg))
			continue;
		const u64 value = CacheTestAccess::value(cache, reg);
		if (value != step.before[number] && value != step.after[number])
			complain(step, "available with a wrong value", number);
		if (!dirty.contains(reg) && !step.may_differ_from_field.contains(reg) && value != field_of(number))
			complain(step, "clean, and the field has another value", number);
		if (dirty.contains(reg) && value != set_before(number) && value != step.after[number])
			complain(step, "dirty with a value that nobody set", number);
	}
}

void on_trap(int) { check(*current_step); }

constexpr u64 kTrapFlag = 0x100;

[[gnu::noinline]] void set_trap_flag(bool on)
{
	asm volatile("" ::: "memory");
	u64 flags = __builtin_ia32_readeflags_u64();
	__builtin_ia32_writeeflags_u64(on ? flags | kTrapFlag : flags & ~kTrapFlag);
	asm volatile("" ::: "memory");
}

const LoadedVmcs<Access> kLoaded{Access(), Access::Key()};
const PinnedVmcs<Access> kPinned{Access(), Access::Key()};

// The operation, and the registers that it sets (@after: their values) or gives up.
struct Operation {
	const char* name;
	void (*run)(SteppedCache&);
	RegSet sets;
	u64 (*after)(u32 number);
	bool changes_bits_of_missing;  // it changes bits even if nothing is available
};

constexpr Reg kCsRights = segment_register(Segment::kCs, SegmentPart::kAccessRights);
volatile u8 run_time_number = index(Reg::kRip);
volatile u8 run_time_segment = index(kCsRights);
u64 zero(u32) { return 0; }

// Written out one by one, so that each is compiled as in its callers.
const Operation kOperations[] = {
	{"read", [](SteppedCache& cache) { std::ignore = cache.read<Reg::kRip>(kLoaded); }, {}, nullptr, true},
	{"read of what the host owns",
	 [](SteppedCache& cache) { std::ignore = cache.read<Reg::kEfer>(kLoaded); },
	 {},
	 nullptr,
	 true},
	{"read by number",
	 [](SteppedCache& cache) { std::ignore = cache.read(kLoaded, static_cast<Reg>(run_time_number)); },
	 {},
	 nullptr,
	 true},
	{"read of several",
	 [](SteppedCache& cache) {
		 u64 rsp, rip, flags;
		 u32 reason;
		 std::ignore = cache.read_all<Reg::kRsp, Reg::kRip, Reg::kExitReason, Reg::kRflags>(kLoaded, rsp, rip,
												    reason, flags);
	 },
	 {},
	 nullptr,
	 true},
	{"write", [](SteppedCache& cache) { cache.write<Reg::kRip>(kLoaded, set_now(index(Reg::kRip))); }, Reg::kRip,
	 set_now, true},
	{"write of the same value",
	 [](SteppedCache& cache) { cache.write<Reg::kRip>(kLoaded, in_vmcs(index(Reg::kRip))); }, Reg::kRip, in_vmcs,
	 true},
	{"write by number",
	 [](SteppedCache& cache) {
		 std::ignore = cache.write(kLoaded, static_cast<Reg>(run_time_segment), set_now(index(kCsRights)));
	 },
	 kCsRights, set_now, true},
	{"write-back", [](SteppedCache& cache) { std::ignore = cache.write_back(kPinned); }, {}, nullptr, false},
	{"VM-exit", [](SteppedCache& cache) { std::ignore = cache.vm_exit(kPinned); }, {}, nullptr, false},
	{"untraced VM-exit",
	 [](SteppedCache& cache) { std::ignore = cache.vm_exit_untraced(kPinned); },
	 {},
	 nullptr,
	 false},
	{"reload", [](SteppedCache& cache) { cache.mark_for_reload(kLoaded, RegSet(Reg::kRip, Reg::kEfer)); },
	 RegSet(Reg::kRip, Reg::kEfer), in_vmcs, false},
	{"bind to another VMCS",
	 [](SteppedCache& cache) { std::ignore = cache.bind(kLoaded, kOtherVmcs); },
	 {},
	 nullptr,
	 false},
	{"bind to the same VMCS",
	 [](SteppedCache& cache) { std::ignore = cache.bind(kLoaded, kVmcs); },
	 {},
	 nullptr,
	 false},
	{"VMfail", [](SteppedCache& cache) { cache.vm_fail(kPinned); }, {}, nullptr, false},
	{"entry-failure exit", [](SteppedCache& cache) { cache.vm_entry_failure_exit(kPinned); },
	 RegSet(Reg::kIdtVectoringInformation, Reg::kIdtVectoringErrorCode), zero, true},
	{"untraced read",
	 [](SteppedCache& cache) { std::ignore = cache.read_untraced<Reg::kExitReason>(kLoaded); },
	 {},
	 nullptr,
	 true},
	{"test and mark",
	 [](SteppedCache& cache) {
		 std::ignore = cache.test_and_mark_available<Reg::kRip>(kLoaded, in_vmcs(index(Reg::kRip)));
	 },
	 {},
	 nullptr,
	 true},
	{"change of watching", [](SteppedCache& cache) { cache.watching_changed(kLoaded); }, {}, nullptr, false},
};

// The registers' state before the operation.
enum class Before : u8 { kMissing, kClean, kDirty, kMixed };

struct Scenario {
	Before before;
	bool watches;
	u32 failing_access;  // zero: none

	std::string name() const
	{
		constexpr const char* kNames[] = {"missing", "clean", "dirty", "mixed"};
		return std::string(kNames[static_cast<u32>(before)]) + (watches ? ", watched" : "") +
		       (failing_access ? ", access " + std::to_string(failing_access) + " fails" : "");
	}
};

class SingleStep : public testing::Test {
 protected:
	SingleStep() { old_handler_ = std::signal(SIGTRAP, on_trap); }
	~SingleStep() override { std::signal(SIGTRAP, old_handler_); }

	// Each register's slot in memory first gets a value that becomes stale.
	static void set_up(SteppedCache& cache, const Scenario& scenario, Step& step)
	{
		machine.accesses_until_failure = 0;
		machine.watches = scenario.watches;
		ASSERT_TRUE(cache.bind(kLoaded, kVmcs).ok());
		for (u32 number = 0; number < kRegisters; number++) {
			field_of(number) = stale(number);
			ASSERT_TRUE(cache.read(kLoaded, static_cast<Reg>(number)).ok());
		}
		cache.mark_for_reload(kLoaded, RegSet::all());
		for (u32 number = 0; number < kRegisters; number++) {
			const Reg reg = static_cast<Reg>(number);
			field_of(number) = step.before[number] = in_vmcs(number);
			bool there = scenario.before != Before::kMissing;
			bool dirty = scenario.before == Before::kDirty;
			if (scenario.before == Before::kMixed) {
				there = number & 1;
				dirty = number & 2;
			}
			if (there) {
				ASSERT_TRUE(cache.read(kLoaded, reg).ok());
			}
			if (there && dirty && VmxLayout::writable(reg)) {
				ASSERT_TRUE(cache.write(kLoaded, reg, set_before(number)).ok());
				step.before[number] = set_before(number);
			}
		}
		machine.accesses_until_failure = scenario.failing_access;
	}

	static void step_through(const Operation& operation, const Scenario& scenario, Step& step)
	{
		SteppedCache cache;
		set_up(cache, scenario, step);
		step.cache = &cache;
		for (u32 number = 0; number < kRegisters; number++) {
			bool sets = operation.sets.contains(static_cast<Reg>(number));
			step.after[number] = sets ? operation.after(number) : step.before[number];
		}
		step.may_differ_from_field = operation.sets;
		check(step);
		step.count = step.changes = 0;
		current_step = &step;
		void (*volatile run)(SteppedCache&) = operation.run;
		set_trap_flag(true);
		run(cache);
		set_trap_flag(false);
		check(step);
	}

 private:
	void (*old_handler_)(int) = nullptr;
};

// The checker runs, between instructions and in each operation.
TEST_F(SingleStep, SeesEachInstruction)
{
	for (const Operation& operation : kOperations) {
		Step step;
		step_through(operation, {Before::kMissing, false, 0}, step);
		EXPECT_GT(step.count, 8u) << operation.name;
		EXPECT_EQ(step.changes > 0, operation.changes_bits_of_missing) << operation.name;
	}
}

TEST_F(SingleStep, FindsNothingWrongBetweenAnyTwoInstructions)
{
	u32 instructions = 0;
	for (const Operation& operation : kOperations) {
		for (Before before : {Before::kMissing, Before::kClean, Before::kDirty, Before::kMixed}) {
			for (bool watches : {false, true}) {
				for (u32 failing_access = 0; failing_access < 4; failing_access++) {
					Scenario scenario = {before, watches, failing_access};
					Step step;
					step_through(operation, scenario, step);
					instructions += step.count;
					EXPECT_EQ(step.wrong, nullptr)
						<< operation.name << " (" << scenario.name() << "): register "
						<< step.wrong_register << " is " << step.wrong << " after "
						<< step.wrong_at << " instructions";
				}
			}
		}
	}
	std::cout << "    " << instructions << " instructions\n";
}

}  // namespace
}  // namespace vregcache::test

#endif
