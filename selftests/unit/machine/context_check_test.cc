// SPDX-License-Identifier: GPL-2.0
// The module checks whether the caller may use a vCPU's register cache: on each use while the check is on, and never
// while it is off.
#include <algorithm>
#include <set>

#include "exits.h"

namespace vregcache::test {
namespace {

class ContextChecks : public VcpuFixture {
 protected:
	bool was_checked(Operation operation, Reg reg = kNoReg) const
	{
		auto is_it = [=](const ContextCheck& check) {
			return check.operation == operation && check.reg == reg;
		};
		return std::any_of(host_.context_checks.begin(), host_.context_checks.end(), is_it);
	}

	void out_to_userspace()
	{
		guest_.then(out_exit());
		EXPECT_EQ(machine_.run_vcpu(), 0);
		EXPECT_EQ(machine_.run().exit_reason, static_cast<u32>(KVM_EXIT_IO));
	}
};

TEST_F(ContextChecks, NoneWhileItIsOff)
{
	guest_.then(cpuid_exit(), 3);
	machine_.run_to_hlt();
	machine_.sregs();
	EXPECT_TRUE(host_.context_checks.empty());
}

TEST_F(ContextChecks, EachOperationOfAnExit)
{
	host_.check_contexts(true);
	guest_.then(cpuid_exit(), 3);
	machine_.run_to_hlt();
	EXPECT_TRUE(was_checked(Operation::kVmExit));
	EXPECT_TRUE(was_checked(Operation::kRead, Reg::kRip));
	EXPECT_TRUE(was_checked(Operation::kWrite, Reg::kRip));
	EXPECT_TRUE(was_checked(Operation::kWriteBack));
	for (const ContextCheck& check : host_.context_checks)
		EXPECT_EQ(check.vcpu, &machine_.host_vcpu);
}

TEST_F(ContextChecks, EachReadOfWhatIsInMemory)
{
	machine_.regs();
	host_.check_contexts(true);
	machine_.regs();
	host_.context_checks.clear();
	for (u32 times = 1; times < 4; times++) {
		machine_.regs();
		EXPECT_EQ(std::count_if(host_.context_checks.begin(), host_.context_checks.end(),
					[](const ContextCheck& check) {
						return check.operation == Operation::kRead && check.reg == Reg::kRsp;
					}),
			  times);
	}
}

TEST_F(ContextChecks, EachSegment)
{
	host_.check_contexts(true);
	kvm_sregs sregs = machine_.sregs();
	std::set<Reg> read, written;
	machine_.ioctl(KVM_SET_SREGS, sregs);
	for (const ContextCheck& check : host_.context_checks) {
		if (check.operation == Operation::kRead)
			read.insert(check.reg);
		else if (check.operation == Operation::kWrite)
			written.insert(check.reg);
	}
	for (u8 s = 0; s < 8; s++) {
		Reg base = segment_register(static_cast<Segment>(s), SegmentPart::kBase);
		EXPECT_TRUE(written.count(base)) << int{s};
		// Several at once are one operation, which names the first of them.
		EXPECT_TRUE(read.count(base) ||
			    read.count(segment_register(static_cast<Segment>(s), SegmentPart::kSelector)))
			<< int{s};
	}
}

// Between two runs registers take the fast path, and the next run reads them before its first VM-exit.
TEST_F(ContextChecks, FromTheNextIoctlOn)
{
	out_to_userspace();
	host_.check_contexts(true);
	out_to_userspace();
	ASSERT_FALSE(host_.context_checks.empty());
	EXPECT_EQ(host_.context_checks.front().operation, Operation::kWatchingChanged);
	auto exit = std::find_if(host_.context_checks.begin(), host_.context_checks.end(),
				 [](const ContextCheck& check) { return check.operation == Operation::kVmExit; });
	EXPECT_TRUE(std::any_of(host_.context_checks.begin(), exit, [](const ContextCheck& check) {
		return check.operation == Operation::kRead && check.reg != kNoReg;
	}));
}

// The checks cost no access.
TEST_F(ContextChecks, SameVmreadsAndVmwrites)
{
	out_to_userspace();
	out_to_userspace();
	guest_.forget_accesses();
	out_to_userspace();
	std::vector<FieldAccess> without = guest_.accesses();
	host_.check_contexts(true);
	out_to_userspace();
	guest_.forget_accesses();
	out_to_userspace();
	std::vector<FieldAccess> with = guest_.accesses();
	ASSERT_EQ(with.size(), without.size());
	for (std::size_t i = 0; i < with.size(); i++) {
		EXPECT_EQ(with[i].kind, without[i].kind);
		EXPECT_EQ(with[i].encoding, without[i].encoding);
	}
}

}  // namespace
}  // namespace vregcache::test
