// SPDX-License-Identifier: GPL-2.0
// Every sequence of operations on a few registers, against a model that does not use the cache's bits.
//
// The model answers one question for each register: where is its newest value?  From that it predicts each operation's
// result, the fields that it accesses and the content of every field afterwards.  The search is breadth-first over
// distinct states, so it ends when no operation leads to a new state: it has then covered the effect of any sequence,
// and the sequence that it prints for an error is a shortest one.
//
// A state is: where the newest value of each register is, which of the values it is, whether a read of it would be
// reported, the content of every field, the stale value in memory of each unavailable register, the cache's owner, the
// current VMCS and whether the observer counts hits.  The numbers of states and of operations tried are known; a search
// that finds fewer is incomplete.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "hooks.h"
#include "cache_fixture.h"
#include "cache_test_access.h"

namespace vregcache::test {
namespace {

enum class Newest : u8 {
	kVmcs,    // not read since it may have changed
	kBoth,    // read, and memory has the same
	kMemory,  // the VMCS has an older one
	kRuled,   // zero by rule, whatever the VMCS holds
};

// Values are numbered.  Those that are written into one VMCS are never written into the other, so that a misplaced
// value is recognised.
using Number = u8;
constexpr Number kZero = 7;
constexpr u8 kMostRegisters = 4;
constexpr u8 kVmcsCount = 2;
constexpr u8 kNoVmcs = 2;
constexpr VmcsId kVmcsIds[] = {kVmcsA, kVmcsB, VmcsId::kNone};

struct World {
	struct Register {
		Newest newest = Newest::kVmcs;
		bool unheard = false;         // reads are not reported to the observer
		Number newest_in_memory = 0;  // or a stale value, which must not be visible
		std::array<Number, kVmcsCount> field = {};
	};

	std::array<Register, kMostRegisters> registers = {};
	u8 owner = kNoVmcs;    // the VMCS that the cache belongs to
	u8 current = kNoVmcs;  // the one that is current on the CPU
	bool watched = false;  // the observer counts hits

	u64 key() const
	{
		u64 bits = 0;
		for (const Register& reg : registers) {
			bits = bits << 2 | static_cast<u64>(reg.newest);
			bits = bits << 1 | u64{reg.unheard};
			bits = bits << 3 | reg.newest_in_memory;
			bits = bits << 3 | reg.field[0];
			bits = bits << 3 | reg.field[1];
		}
		return bits << 5 | u64{watched} << 4 | u64{owner} << 2 | current;
	}
};

enum class Action {
	kRead,
	kReadFails,
	kWriteSame,
	kWriteOther,
	kWriteBack,
	kWriteBackFails,
	kVmExit,
	kVmExitUnchanged,
	kVmEntryFailed,
	kVmEntryFailureExit,
	kBind,
	kSwitch,
	kMigrate,
	kReadNoRegister,
	kWriteNoRegister,
	kReload,
	kReadUntraced,
	kTestAndMark,
	kReadAll,
	kWatch,
	kUnwatch,
	kWatchingChanged,
};

struct Step {
	Action action;
	u8 operand = 0;  // a register's place, a VMCS's, or which VMWRITE fails
};

std::string to_string(Step step)
{
	// clang-format off
	constexpr const char* kNames[] = {"read", "failing read", "write same", "write other", "write_back",
					  "failing write_back", "vm_exit", "vm_exit, nothing changed",
					  "vm_entry_failed", "vm_entry_failure_exit", "bind", "switch to", "migrate",
					  "read what is no register", "write what is no register", "reload",
					  "untraced read", "test and mark", "read all", "watch", "unwatch", "watching_changed"};
	// clang-format on
	return std::string(kNames[static_cast<int>(step.action)]) + " " + std::to_string(step.operand);
}

// The model's prediction for an operation.
struct Expected {
	Error error = Error::kNone;
	std::optional<u64> value = {};
	std::vector<FieldAccess> accesses = {};
	bool in_any_order = false;
	u32 hits = 0;  // that the observer counts
};

constexpr Error kInjected = Error::kFault;

// The registers under test, by place.
struct Setup {
	std::vector<Reg> registers = {};
	u8 vmcs_count;  // how many VMCSs the cache is bound to and the CPU switches between
	Number values;  // how many different values a register takes in each of them
	bool watched = false;
	bool watching_changes = false;
	bool verified = false;  // and each kind of fault is planted in each state and must be found
};

class Model {
 public:
	explicit Model(const Setup& setup) : setup_(setup) {}

	u64 real_value(u8 place, Number number) const
	{
		if (number == kZero)
			return 0;
		// Distinct for every register and number, and as wide as the field.
		u64 mask = mask_of(setup_.registers[place]);
		return (0x8182838485868788 + 0x1000 * place + 0x10 * number) & mask;
	}

	World first_world() const
	{
		World world;
		world.watched = setup_.watched;
		for (World::Register& reg : world.registers)
			reg.field = {0, setup_.values};
		return world;
	}

	// The number that "write same" and "write other" start from.
	Number truth(const World& world, u8 place) const
	{
		const World::Register& reg = world.registers[place];
		if (reg.newest != Newest::kVmcs)
			return reg.newest_in_memory;
		return world.owner == kNoVmcs ? Number{0} : reg.field[world.owner];
	}

	Number next(Number number) const
	{
		Number base = number < setup_.values ? Number{0} : setup_.values;
		return static_cast<Number>(base + (number - base + 1) % setup_.values);
	}

	Number number_to_write(const World& world, Step step) const
	{
		Number same = truth(world, step.operand);
		return step.action == Action::kWriteSame ? same : next(same);
	}

	// The value that a read of the cache's VMCS returns, or would return.
	u64 value_in_vmcs(const World& world, u8 place) const
	{
		return real_value(place,
				  world.owner == kNoVmcs ? Number{0} : world.registers[place].field[world.owner]);
	}

	bool writable(u8 place) const { return is_writable(setup_.registers[place]); }

	Expected foretell(World& world, Step step) const
	{
		switch (step.action) {
		case Action::kRead:
		case Action::kReadFails:
			return read(world, step);
		case Action::kWriteSame:
		case Action::kWriteOther:
			return write(world, step);
		case Action::kWriteBack:
		case Action::kWriteBackFails:
			return write_back(world);
		case Action::kReload:
			world.registers[step.operand].newest = Newest::kVmcs;
			look_who_listens(world);
			return {};
		case Action::kReadUntraced:
			return read_value(world, step);
		case Action::kTestAndMark:
			return test_and_mark(world, step.operand);
		case Action::kReadAll:
			return read_all(world);
		case Action::kWatch:
		case Action::kUnwatch:
			world.watched = step.action == Action::kWatch;
			return {};
		case Action::kWatchingChanged:
			look_who_listens(world);
			return {};
		case Action::kVmExit:
			guest_runs(world, true);
			return vm_exit(world);
		case Action::kVmExitUnchanged:
			return vm_exit(world);
		case Action::kVmEntryFailed:
			unlearn(world, {ChangedBy::kVmExit});
			return {};
		case Action::kVmEntryFailureExit:
			guest_runs(world, false);
			unlearn(world, {ChangedBy::kVmExit});
			idt_vectoring_is_zero(world);
			return {};
		case Action::kBind:
			return bind(world, step.operand);
		case Action::kSwitch:
			world.current = step.operand;
			return {};
		case Action::kMigrate:
			return {};
		case Action::kReadNoRegister:
		case Action::kWriteNoRegister:
			return {.error = Error::kNoRegister};
		}
		return {};
	}

	// The log shows which registers a failed write-back has written: no order is guaranteed.
	void account_for(World& world, const std::vector<FieldAccess>& log) const
	{
		for (const FieldAccess& access : log) {
			for (u8 place = 0; place < setup_.registers.size(); place++) {
				if (encoding_of(setup_.registers[place]) != access.encoding ||
				    access.error != Error::kNone)
					continue;
				World::Register& reg = world.registers[place];
				reg.newest = Newest::kBoth;
				reg.field[world.owner] = reg.newest_in_memory;
			}
		}
	}

 private:
	Error obstacle(const World& world) const
	{
		if (world.owner == kNoVmcs)
			return Error::kNotBound;
		return world.owner == world.current ? Error::kNone : Error::kNotCurrent;
	}

	Expected read(World& world, Step step) const
	{
		World::Register& reg = world.registers[step.operand];
		bool known = reg.newest != Newest::kVmcs;
		Expected expected = read_value(world, step);
		if (expected.error != Error::kNone)
			return expected;
		expected.hits = known && world.watched && !reg.unheard;
		if (!known)
			learn_whether_heard(world, reg);
		return expected;
	}

	static void learn_whether_heard(const World& world, World::Register& reg)
	{
		if (!world.watched)
			reg.unheard = true;
	}

	// Whenever the cache gives up a register, it checks whether reads of the others are reported.
	static void look_who_listens(World& world)
	{
		for (World::Register& reg : world.registers)
			reg.unheard = reg.newest != Newest::kVmcs && !world.watched;
	}

	// All registers at once, in order.  The value is the last one's.
	Expected read_all(World& world) const
	{
		Expected all;
		auto known = [](const World::Register& reg) { return reg.newest != Newest::kVmcs; };
		u8 count = static_cast<u8>(setup_.registers.size());
		if (!std::all_of(world.registers.begin(), world.registers.begin() + count, known) &&
		    obstacle(world) != Error::kNone)
			return {.error = obstacle(world)};
		auto unheard = [](const World::Register& reg) { return reg.unheard; };
		bool heard = world.watched &&
			     !std::all_of(world.registers.begin(), world.registers.begin() + count, unheard);
		for (u8 place = 0; place < count; place++) {
			all.hits += known(world.registers[place]) && heard;
			Expected one = read_value(world, {Action::kRead, place});
			all.value = one.value;
			all.accesses.insert(all.accesses.end(), one.accesses.begin(), one.accesses.end());
			learn_whether_heard(world, world.registers[place]);
		}
		return all;
	}

	Expected test_and_mark(World& world, u8 place) const
	{
		World::Register& reg = world.registers[place];
		if (reg.newest != Newest::kVmcs)
			return {.value = 1};
		// The caller knows the VMCS.
		if (world.owner == kNoVmcs)
			return {};
		reg.newest = Newest::kBoth;
		reg.newest_in_memory = reg.field[world.owner];
		return {.value = 0};
	}

	Expected read_value(World& world, Step step) const
	{
		u8 place = step.operand;
		World::Register& reg = world.registers[place];
		if (reg.newest != Newest::kVmcs)
			return {.value = real_value(place, reg.newest_in_memory)};
		if (obstacle(world) != Error::kNone)
			return {.error = obstacle(world)};
		FieldAccess access = {AccessKind::kVmread, kVmcsIds[world.owner], encoding_of(setup_.registers[place])};
		if (step.action == Action::kReadFails) {
			access.error = kInjected;
			return {.error = kInjected, .accesses = {access}};
		}
		reg.newest = Newest::kBoth;
		reg.newest_in_memory = reg.field[world.owner];
		access.value = real_value(place, reg.newest_in_memory);
		return {.value = access.value, .accesses = {access}};
	}

	Expected write(World& world, Step step) const
	{
		if (!writable(step.operand))
			return {.error = Error::kNoRegister};
		World::Register& reg = world.registers[step.operand];
		Number number = number_to_write(world, step);
		bool known_to_be_there = reg.newest != Newest::kVmcs && reg.newest_in_memory == number;
		if (!known_to_be_there) {
			reg.newest = Newest::kMemory;
			reg.newest_in_memory = number;
			learn_whether_heard(world, reg);
		}
		return {};
	}

	// The failing VMWRITE, if any, is seen in the log; see account_for().
	Expected write_back(const World& world) const
	{
		Expected expected = {.in_any_order = true};
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			const World::Register& reg = world.registers[place];
			if (reg.newest != Newest::kMemory)
				continue;
			expected.error = obstacle(world);
			if (expected.error == Error::kNone) {
				u32 encoding = encoding_of(setup_.registers[place]);
				u64 value = real_value(place, reg.newest_in_memory);
				expected.accesses.push_back(
					{AccessKind::kVmwrite, kVmcsIds[world.owner], encoding, value});
			}
		}
		return expected;
	}

	// Hardware's part of a VM-exit, or of a VM-entry that failed so late that it ended as a VM-exit.
	void guest_runs(World& world, bool guest_ran) const
	{
		if (world.current == kNoVmcs)
			return;
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			Reg name = setup_.registers[place];
			ChangedBy who = sdm_register(name).changed_by;
			bool changes = guest_ran ? who != ChangedBy::kHost
						 : who == ChangedBy::kVmExit && !is_idt_vectoring(name);
			Number& field = world.registers[place].field[world.current];
			if (changes)
				field = next(field);
		}
	}

	Expected vm_exit(World& world) const
	{
		unlearn(world, {ChangedBy::kGuest, ChangedBy::kVmExit});
		return {.error = anything_only_in_memory(world) ? Error::kDirty : Error::kNone};
	}

	Expected bind(World& world, u8 vmcs) const
	{
		if (vmcs == world.owner)
			return {};
		// Values that were set before the cache belonged to a VMCS are for its first one.
		if (world.owner != kNoVmcs && anything_only_in_memory(world))
			return {.error = Error::kDirty};
		unlearn(world, {ChangedBy::kGuest, ChangedBy::kHost, ChangedBy::kVmExit});
		world.owner = vmcs;
		return {};
	}

	bool anything_only_in_memory(const World& world) const
	{
		return std::ranges::any_of(world.registers,
					   [](const auto& reg) { return reg.newest == Newest::kMemory; });
	}

	// A value that is only in memory cannot be read again, so it stays.
	void unlearn(World& world, std::initializer_list<ChangedBy> kinds) const
	{
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			World::Register& reg = world.registers[place];
			bool concerned = std::ranges::count(kinds, sdm_register(setup_.registers[place]).changed_by) !=
					 0;
			if (concerned && reg.newest != Newest::kMemory)
				reg.newest = Newest::kVmcs;
		}
		look_who_listens(world);
	}

	static bool is_idt_vectoring(Reg reg)
	{
		return reg == Reg::kIdtVectoringInformation || reg == Reg::kIdtVectoringErrorCode;
	}

	void idt_vectoring_is_zero(World& world) const
	{
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			if (is_idt_vectoring(setup_.registers[place])) {
				world.registers[place].newest = Newest::kRuled;
				world.registers[place].newest_in_memory = kZero;
				learn_whether_heard(world, world.registers[place]);
			}
		}
	}

	const Setup& setup_;
};

// Counts hits.
struct Listener {
	bool watches_reads() const { return watches; }
	void hit(Reg) { hits++; }
	void miss(Reg, u64) {}
	void write_back(Reg, u64) {}
	void invalidate(RegSet) {}
	void no_register(u32) {}

	bool watches = false;
	u32 hits = 0;
};

// Counts verification's findings.
struct Verifier {
	bool enabled() const { return on; }
	void cached(Reg, Operation, const void*) {}
	void compared(FoundAt) {}
	void mismatch(FoundAt, Reg, u64, u64) { mismatches++; }
	void wrong_vmcs(FoundAt, VmcsId, VmcsId) { wrong_vmcss++; }

	bool on = false;
	u32 mismatches = 0;
	u32 wrong_vmcss = 0;
};

using SmallCache = Cache<ModelAccess, HooksOf<NoContext, Listener, Verifier>>;

// The operations on one register, through the interface that takes it at run time or the one that takes a constant.
struct RegisterOperations {
	Result<u64> (*read)(SmallCache&, const Loaded&, Reg);
	Result<void> (*write)(SmallCache&, const Loaded&, Reg, u64);
	// These have only one interface.
	Result<u64> (*read_untraced)(SmallCache&, const Loaded&);
	bool (*test_and_mark)(SmallCache&, const Loaded&, u64);
};

template <Reg kReg>
Result<u64> read_untraced(SmallCache& cache, const Loaded& loaded)
{
	auto value = cache.read_untraced<kReg>(loaded);
	if (!value.ok())
		return value.error();
	return u64{value.value()};
}

template <Reg kReg>
bool test_and_mark(SmallCache& cache, const Loaded& loaded, u64 value)
{
	return cache.test_and_mark_available<kReg>(loaded, static_cast<SmallCache::Value<kReg>>(value));
}

Result<u64> read_at_run_time(SmallCache& cache, const Loaded& loaded, Reg reg) { return cache.read(loaded, reg); }

Result<void> write_at_run_time(SmallCache& cache, const Loaded& loaded, Reg reg, u64 value)
{
	return cache.write(loaded, reg, value);
}

template <Reg kReg>
Result<u64> read_constant(SmallCache& cache, const Loaded& loaded, Reg)
{
	auto value = cache.read<kReg>(loaded);
	if (!value.ok())
		return value.error();
	return u64{value.value()};
}

template <Reg kReg>
Result<void> write_constant(SmallCache& cache, const Loaded& loaded, Reg, u64 value)
{
	if constexpr (VmxLayout::writable(kReg)) {
		cache.write<kReg>(loaded, static_cast<SmallCache::Value<kReg>>(value));
		return {};
	} else {
		return Error::kNoRegister;
	}
}

using ReadAll = Result<u64> (*)(SmallCache&, const Loaded&);

template <Reg... kRegs>
Result<u64> read_all(SmallCache& cache, const Loaded& loaded)
{
	std::tuple<SmallCache::Value<kRegs>...> values;
	auto read = [&](auto&... value) { return cache.read_all<kRegs...>(loaded, value...); };
	if (Result<void> done = std::apply(read, values); !done.ok())
		return done.error();
	return u64{std::get<sizeof...(kRegs) - 1>(values)};
}

class Search {
 public:
	Search(Setup setup, std::vector<RegisterOperations> operations, ReadAll read_all)
	    : setup_(std::move(setup)), operations_(std::move(operations)), read_all_(read_all), model_(setup_)
	{
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			for (Action action :
			     {Action::kRead, Action::kReadFails, Action::kWriteSame, Action::kWriteOther,
			      Action::kReload, Action::kReadUntraced, Action::kTestAndMark})
				alphabet_.push_back({action, place});
		}
		for (u8 nth = 1; nth <= setup_.registers.size(); nth++)
			alphabet_.push_back({Action::kWriteBackFails, nth});
		for (u8 vmcs = 0; vmcs <= kNoVmcs; vmcs++) {
			if (vmcs >= setup_.vmcs_count && vmcs != kNoVmcs)
				continue;
			alphabet_.push_back({Action::kBind, vmcs});
			alphabet_.push_back({Action::kSwitch, vmcs});
		}
		for (Action action : {Action::kWriteBack, Action::kVmExit, Action::kVmExitUnchanged,
				      Action::kVmEntryFailed, Action::kVmEntryFailureExit, Action::kMigrate,
				      Action::kReadNoRegister, Action::kWriteNoRegister, Action::kReadAll})
			alphabet_.push_back({action});
		if (setup_.watching_changes) {
			for (Action action : {Action::kWatch, Action::kUnwatch, Action::kWatchingChanged})
				alphabet_.push_back({action});
		}
	}

	struct Extent {
		std::size_t states;
		std::size_t operations;
	};

	// Stops at the first error.
	Extent run()
	{
		std::deque<Node> frontier = {{model_.first_world(), SmallCache(), 0}};
		frontier.front().cache.hooks().observer.watches = setup_.watched;
		frontier.front().cache.hooks().verification.on = setup_.verified;
		history_ = {{0, {Action::kMigrate}}};
		seen_ = {frontier.front().world.key()};
		std::size_t operations = 0;
		while (!frontier.empty()) {
			Node node = frontier.front();
			frontier.pop_front();
			for (Step step : alphabet_) {
				Node after = node;
				try_step(after, step);
				operations++;
				if (testing::Test::HasFailure()) {
					ADD_FAILURE() << "after: " << sequence(node.number) << to_string(step);
					return {seen_.size(), operations};
				}
				if (seen_.insert(after.world.key()).second) {
					if (setup_.verified)
						plant_faults(after);
					after.number = history_.size();
					history_.push_back({node.number, step});
					frontier.push_back(after);
				}
			}
		}
		return {seen_.size(), operations};
	}

 private:
	struct Node {
		World world;
		SmallCache cache;
		std::size_t number;  // of its entry in the history
	};

	struct Origin {
		std::size_t parent;
		Step step;
	};

	void try_step(Node& node, Step step)
	{
		restore(node.world);
		const SmallCache& cache = node.cache;
		set_exit_reason(after_entry_failure(cache));
		World before = node.world;
		Expected expected = model_.foretell(node.world, step);
		node.cache.hooks().observer.hits = 0;
		auto [error, value] = perform(node.cache, before, step);
		EXPECT_EQ(node.cache.hooks().observer.hits, expected.hits);
		if (step.action == Action::kWriteBackFails && step.operand <= expected.accesses.size()) {
			ASSERT_EQ(cpu_.log().size(), step.operand);
			EXPECT_EQ(cpu_.log().back().error, kInjected);
			expected.error = kInjected;
			check_failed_write_back(expected);
		} else if (expected.in_any_order) {
			EXPECT_TRUE(std::ranges::is_permutation(cpu_.log(), expected.accesses));
		} else {
			EXPECT_EQ(cpu_.log(), expected.accesses);
		}
		EXPECT_EQ(error, expected.error);
		EXPECT_EQ(value, expected.value);
		if (expected.in_any_order)
			model_.account_for(node.world, cpu_.log());
		check_state(node);
	}

	void restore(const World& world)
	{
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			u32 encoding = encoding_of(setup_.registers[place]);
			for (u8 vmcs = 0; vmcs < kVmcsCount; vmcs++) {
				u64 value = model_.real_value(place, world.registers[place].field[vmcs]);
				memory_.poke(kVmcsIds[vmcs], encoding, value);
			}
		}
		cpu_.load(kVmcsIds[world.current]);
		cpu_.stop_failing();
		cpu_.clear_log();
	}

	// No operation here reads this register.
	static bool after_entry_failure(const SmallCache& cache)
	{
		return cache.is_available(Reg::kIdtVectoringErrorCode);
	}

	// That of an entry-failure exit, or another.
	void set_exit_reason(bool entry_failure)
	{
		for (VmcsId vmcs : {kVmcsA, kVmcsB})
			memory_.poke(vmcs, encoding_of(Reg::kExitReason), entry_failure ? 0x80000021 : 10);
	}

	// Plants each kind of fault that this state allows.  It is found, and nothing else is.
	void plant_faults(const Node& node)
	{
		const World& world = node.world;
		if (world.owner == kNoVmcs || world.owner != world.current)
			return;
		set_exit_reason(after_entry_failure(node.cache));
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			const World::Register& reg = world.registers[place];
			Reg name = setup_.registers[place];
			u64 field = memory_.peek(kVmcsIds[world.owner], encoding_of(name));
			u64 in_memory = CacheTestAccess::value(const_cast<SmallCache&>(node.cache), name);
			if (reg.newest == Newest::kBoth) {
				// A foreign VMWRITE.
				memory_.poke(kVmcsIds[world.owner], encoding_of(name), field ^ 1);
				bool no_telling = name == Reg::kIdtVectoringInformation &&
						  after_entry_failure(node.cache);
				expect_found(node, place, no_telling ? 0 : 1);
				memory_.poke(kVmcsIds[world.owner], encoding_of(name), field);
			} else if (reg.newest == Newest::kMemory) {
				// A lost write-back.
				Node broken = node;
				CacheTestAccess::dirty(broken.cache) -= name;
				expect_found(broken, place, in_memory != field);
			} else if (reg.newest == Newest::kVmcs) {
				// A missed invalidation.
				Node broken = node;
				CacheTestAccess::available(broken.cache) |= name;
				bool no_telling = name == Reg::kIdtVectoringInformation &&
						  after_entry_failure(node.cache);
				expect_found(broken, place, !no_telling && in_memory != field);
			}
		}
		SmallCache cache = node.cache;
		cpu_.load_unrecorded(kVmcsIds[1 - world.owner]);
		cpu_.clear_log();
		EXPECT_EQ(cache.write_back(pinned_).error(), Error::kNotCurrent);
		EXPECT_EQ(cache.hooks().verification.wrong_vmcss, 1u);
		EXPECT_TRUE(cpu_.log().empty());
		cpu_.load(kVmcsIds[world.current]);
	}

	// By a read, and by a write-back.
	void expect_found(const Node& node, u8 place, u32 mismatches)
	{
		for (bool read : {true, false}) {
			SmallCache cache = node.cache;
			cpu_.clear_log();
			if (read)
				EXPECT_TRUE(operations_[place].read(cache, loaded_, setup_.registers[place]).ok());
			else
				EXPECT_TRUE(cache.write_back(pinned_).ok());
			EXPECT_EQ(cache.hooks().verification.mismatches, mismatches)
				<< "place " << int{place} << " read " << read;
		}
		restore(node.world);
	}

	// The fields as hardware would have changed them by now.
	void set_fields_that_hardware_writes(World world, Step step)
	{
		model_.foretell(world, step);
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			if (world.current != kNoVmcs) {
				u64 value = model_.real_value(place, world.registers[place].field[world.current]);
				memory_.poke(kVmcsIds[world.current], encoding_of(setup_.registers[place]), value);
			}
		}
	}

	std::pair<Error, std::optional<u64>> perform(SmallCache& cache, const World& before, Step step)
	{
		switch (step.action) {
		case Action::kReadFails:
			cpu_.fail_nth_access(1, kInjected);
			[[fallthrough]];
		case Action::kRead: {
			Result<u64> result = operations_[step.operand].read(cache, loaded_,
									    setup_.registers[step.operand]);
			return {result.error(), result.ok() ? std::optional(result.value()) : std::nullopt};
		}
		case Action::kWriteSame:
		case Action::kWriteOther: {
			u64 value = model_.real_value(step.operand, model_.number_to_write(before, step));
			Reg reg = setup_.registers[step.operand];
			return {operations_[step.operand].write(cache, loaded_, reg, value).error(), {}};
		}
		case Action::kWriteBackFails:
			cpu_.fail_nth_access(step.operand, kInjected);
			[[fallthrough]];
		case Action::kWriteBack:
			return {cache.write_back(pinned_).error(), {}};
		case Action::kVmExit:
			set_fields_that_hardware_writes(before, step);
			set_exit_reason(false);
			[[fallthrough]];
		case Action::kVmExitUnchanged:
			return {cache.vm_exit(pinned_).error(), {}};
		case Action::kVmEntryFailed:
			cache.vm_fail(pinned_);
			return {};
		case Action::kVmEntryFailureExit:
			set_fields_that_hardware_writes(before, step);
			set_exit_reason(true);
			cache.vm_entry_failure_exit(pinned_);
			return {};
		case Action::kBind:
			return {cache.bind(loaded_, kVmcsIds[step.operand]).error(), {}};
		case Action::kSwitch:
			cpu_.load(kVmcsIds[step.operand]);
			return {};
		case Action::kMigrate:
			cpu_.unload();
			cpu_.load(kVmcsIds[before.current]);
			return {};
		case Action::kReadNoRegister:
			return {cache.read(loaded_, Reg::kEnd).error(), {}};
		case Action::kWriteNoRegister:
			return {cache.write(loaded_, Reg::kEnd, 1).error(), {}};
		case Action::kReload:
			cache.mark_for_reload(loaded_, setup_.registers[step.operand]);
			return {};
		case Action::kReadUntraced: {
			Result<u64> result = operations_[step.operand].read_untraced(cache, loaded_);
			return {result.error(), result.ok() ? std::optional(result.value()) : std::nullopt};
		}
		case Action::kTestAndMark: {
			if (before.owner == kNoVmcs && before.registers[step.operand].newest == Newest::kVmcs)
				return {};
			u64 value = model_.value_in_vmcs(before, step.operand);
			return {Error::kNone, u64{operations_[step.operand].test_and_mark(cache, loaded_, value)}};
		}
		case Action::kReadAll: {
			Result<u64> result = read_all_(cache, loaded_);
			return {result.error(), result.ok() ? std::optional(result.value()) : std::nullopt};
		}
		case Action::kWatch:
		case Action::kUnwatch:
			cache.hooks().observer.watches = step.action == Action::kWatch;
			return {};
		case Action::kWatchingChanged:
			cache.watching_changed(loaded_);
			return {};
		}
		return {};
	}

	// Each VMWRITE was due, and none is repeated.
	void check_failed_write_back(const Expected& expected)
	{
		std::vector<FieldAccess> due = expected.accesses;
		for (FieldAccess access : cpu_.log()) {
			access.error = Error::kNone;
			auto found = std::ranges::find(due, access);
			ASSERT_NE(found, due.end());
			due.erase(found);
		}
	}

	void check_state(Node& node)
	{
		RegSet available;
		RegSet dirty;
		RegSet fast_path;
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			const World::Register& reg = node.world.registers[place];
			if (reg.newest != Newest::kVmcs)
				available |= setup_.registers[place];
			if (reg.newest == Newest::kMemory)
				dirty |= setup_.registers[place];
			if (reg.unheard)
				fast_path |= setup_.registers[place];
		}
		RegSet in_play = available;
		for (Reg reg : setup_.registers)
			in_play |= reg;
		EXPECT_EQ(node.cache.hooks().verification.mismatches + node.cache.hooks().verification.wrong_vmcss, 0u);
		EXPECT_TRUE(node.cache.available().contains(node.cache.dirty()));
		EXPECT_TRUE(node.cache.available().contains(node.cache.fast_path()));
		EXPECT_EQ(node.cache.available() & in_play, available);
		EXPECT_EQ(node.cache.fast_path() & in_play, fast_path);
		EXPECT_EQ(node.cache.dirty(), dirty);
		EXPECT_EQ(node.cache.vmcs(), kVmcsIds[node.world.owner]);
		check_values(node);
	}

	void check_values(Node& node)
	{
		// A hit, which changes nothing.
		SmallCache& cache = node.cache;
		cpu_.clear_log();
		for (u8 place = 0; place < setup_.registers.size(); place++) {
			Reg name = setup_.registers[place];
			const World::Register& reg = node.world.registers[place];
			for (u8 vmcs = 0; vmcs < kVmcsCount; vmcs++) {
				u64 expected = model_.real_value(place, reg.field[vmcs]);
				EXPECT_EQ(memory_.peek(kVmcsIds[vmcs], encoding_of(name)), expected);
			}
			if (reg.newest == Newest::kVmcs)
				continue;
			u64 value = operations_[place].read(cache, loaded_, name).value_or(~u64{0});
			EXPECT_EQ(value, model_.real_value(place, reg.newest_in_memory));
			if (reg.newest == Newest::kBoth) {
				EXPECT_EQ(value, memory_.peek(kVmcsIds[node.world.owner], encoding_of(name)));
			}
		}
		EXPECT_TRUE(cpu_.log().empty());
	}

	std::string sequence(std::size_t number) const
	{
		std::string text;
		for (; number != 0; number = history_[number].parent)
			text = to_string(history_[number].step) + "; " + text;
		return text;
	}

	Setup setup_;
	std::vector<RegisterOperations> operations_;
	ReadAll read_all_;
	Model model_;
	std::vector<Step> alphabet_;
	std::vector<Origin> history_;
	std::unordered_set<u64> seen_;
	ModelMemory memory_;
	ModelCpu cpu_{memory_};
	Loaded loaded_{ModelAccess(cpu_), ModelAccess::Key()};
	Pinned pinned_{ModelAccess(cpu_), ModelAccess::Key()};
};

void run_and_count(Search&& search, Search::Extent expected)
{
	Search::Extent extent = search.run();
	std::cout << "    " << extent.states << " states, " << extent.operations << " operations\n";
	testing::Test::RecordProperty("states", static_cast<int>(extent.states));
	testing::Test::RecordProperty("operations", static_cast<int>(extent.operations));
	EXPECT_EQ(extent.states, expected.states);
	EXPECT_EQ(extent.operations, expected.operations);
}

template <Reg... kRegs>
void search_at_run_time(Setup setup, Search::Extent expected)
{
	setup.registers = {kRegs...};
	run_and_count(Search(setup,
			     {{read_at_run_time, write_at_run_time, read_untraced<kRegs>, test_and_mark<kRegs>}...},
			     read_all<kRegs...>),
		      expected);
}

template <Reg... kRegs>
void search_constants(Setup setup, Search::Extent expected)
{
	setup.registers = {kRegs...};
	run_and_count(
		Search(setup,
		       {{read_constant<kRegs>, write_constant<kRegs>, read_untraced<kRegs>, test_and_mark<kRegs>}...},
		       read_all<kRegs...>),
		expected);
}

constexpr Reg kCsAccessRights = segment_register(Segment::kCs, SegmentPart::kAccessRights);

// One register of each kind: the guest's, the host's, exit information and a part of a segment.  Two VMCSs would
// multiply the states by thousands; the searches below use two VMCSs with fewer registers.
TEST(StateMachine, EverySequenceOnARegisterOfEachKind)
{
	search_at_run_time<Reg::kRip, Reg::kCr0ReadShadow, Reg::kExitQualification, kCsAccessRights>(
		{.vmcs_count = 1, .values = 2, .watched = true}, {16096, 724320});
}

TEST(StateMachine, EverySequenceWithTwoVmcss)
{
	search_at_run_time<kCsAccessRights, Reg::kExitQualification>({.vmcs_count = 2, .values = 3, .watched = true},
								     {84807, 2629017});
}

TEST(StateMachine, EverySequenceWithTwoVmcssOnRegistersGivenAsConstants)
{
	const struct Setup setup {
		.vmcs_count = 2, .values = 2, .watched = true
	};
	search_constants<Reg::kRip, Reg::kCr0ReadShadow>(setup, {21120, 654720});
	// All three, in `make check-full`: half a minute.
	if (const char* full = std::getenv("VRC_FULL"); full && *full)
		search_constants<Reg::kRip, Reg::kCr0ReadShadow, Reg::kExitQualification>(setup, {403200, 15724800});
}

// Three values, so that one that changed twice differs from the first.
TEST(StateMachine, EverySequenceOnGuestRegisterAndExitInformationWithThreeValues)
{
	search_constants<Reg::kRip, Reg::kExitQualification>({.vmcs_count = 2, .values = 3}, {101574, 3148794});
}

TEST(StateMachine, EverySequenceWithIdtVectoringInformation)
{
	search_at_run_time<Reg::kCr3, Reg::kIdtVectoringInformation>({.vmcs_count = 2, .values = 2}, {14400, 446400});
}

// There are no false positives, and each kind of fault is found in each state.
TEST(StateMachine, EverySequenceWithVerification)
{
	search_at_run_time<Reg::kRip, Reg::kCr0ReadShadow, Reg::kExitQualification>(
		{.vmcs_count = 1, .values = 2, .watched = true, .verified = true}, {1712, 63344});
}

TEST(StateMachine, EverySequenceWithVerificationAndIdtVectoringInformation)
{
	search_constants<Reg::kCr3, Reg::kIdtVectoringInformation>(
		{.vmcs_count = 2, .values = 2, .watched = true, .verified = true}, {11616, 360096});
}

// Counting starts and stops at any time, and the cache may or may not be notified.
TEST(StateMachine, EverySequenceWhileWatchingBeginsAndEnds)
{
	search_constants<Reg::kRip, Reg::kCr0ReadShadow, Reg::kExitQualification>(
		{.vmcs_count = 1, .values = 2, .watching_changes = true}, {10496, 419840});
}

TEST(StateMachine, EverySequenceWhileWatchingBeginsAndEndsOnRegistersGivenAtRunTime)
{
	search_at_run_time<Reg::kDebugctl, Reg::kIdtVectoringInformation>(
		{.vmcs_count = 2, .values = 2, .watching_changes = true}, {43776, 1488384});
}

}  // namespace
}  // namespace vregcache::test
