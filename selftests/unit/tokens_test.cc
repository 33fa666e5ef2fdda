// SPDX-License-Identifier: GPL-2.0
// The token that each cache operation requires: none compiles without one.

#include <gtest/gtest.h>

#include "compile_fail/common.h"

namespace vregcache::test {
namespace {

// True if the operation compiles with this token.
#define OPERATION(Name, ...)      \
	template <class... Token> \
	concept Name = requires(TestCache& cache, const Token&... token, u64 value) { __VA_ARGS__; }

OPERATION(Bind, cache.bind(token..., VmcsId{1}));
OPERATION(Read, cache.template read<Reg::kRip>(token...));
OPERATION(ReadByNumber, cache.read(token..., Reg::kRip));
OPERATION(ReadAll, cache.template read_all<Reg::kRip>(token..., value));
OPERATION(Write, cache.template write<Reg::kRip>(token..., value));
OPERATION(WriteByNumber, cache.write(token..., Reg::kRip, value));
OPERATION(MarkForReload, cache.mark_for_reload(token..., RegSet()));
OPERATION(ReadUntraced, cache.template read_untraced<Reg::kRip>(token...));
OPERATION(TestAndMarkAvailable, cache.template test_and_mark_available<Reg::kRip>(token..., value));
OPERATION(WatchingChanged, cache.watching_changed(token...));
OPERATION(WriteBack, cache.write_back(token...));
OPERATION(VmExit, cache.vm_exit(token...));
OPERATION(VmExitUntraced, cache.vm_exit_untraced(token...));
OPERATION(ReportVmExit, cache.report_vm_exit(token...));
OPERATION(VmFail, cache.vm_fail(token...));
OPERATION(VmEntryFailureExit, cache.vm_entry_failure_exit(token...));
#undef OPERATION

// NOLINTBEGIN(bugprone-macro-parentheses): names are no expressions.
// An accessor is not a token.
#define NEEDS_LOADED_VMCS(Name)               \
	TEST(Tokens, Name##NeedsALoadedVmcs)  \
	{                                     \
		EXPECT_FALSE(Name<>);         \
		EXPECT_FALSE(Name<NoAccess>); \
		EXPECT_TRUE(Name<Loaded>);    \
		EXPECT_TRUE(Name<Pinned>);    \
	}
#define NEEDS_PINNED_VMCS(Name)               \
	TEST(Tokens, Name##NeedsAPinnedVmcs)  \
	{                                     \
		EXPECT_FALSE(Name<>);         \
		EXPECT_FALSE(Name<NoAccess>); \
		EXPECT_FALSE(Name<Loaded>);   \
		EXPECT_TRUE(Name<Pinned>);    \
	}

// NOLINTEND(bugprone-macro-parentheses)

NEEDS_LOADED_VMCS(Bind)
NEEDS_LOADED_VMCS(Read)
NEEDS_LOADED_VMCS(ReadByNumber)
NEEDS_LOADED_VMCS(ReadAll)
NEEDS_LOADED_VMCS(Write)
NEEDS_LOADED_VMCS(WriteByNumber)
NEEDS_LOADED_VMCS(MarkForReload)
NEEDS_LOADED_VMCS(ReadUntraced)
NEEDS_LOADED_VMCS(TestAndMarkAvailable)
NEEDS_LOADED_VMCS(WatchingChanged)
NEEDS_PINNED_VMCS(WriteBack)
NEEDS_PINNED_VMCS(VmExit)
NEEDS_PINNED_VMCS(VmExitUntraced)
NEEDS_PINNED_VMCS(ReportVmExit)
NEEDS_PINNED_VMCS(VmFail)
NEEDS_PINNED_VMCS(VmEntryFailureExit)

}  // namespace
}  // namespace vregcache::test
