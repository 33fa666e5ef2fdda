// SPDX-License-Identifier: GPL-2.0
// The untraced operations of the cache are inlined completely, whatever the compiler prefers: a call from code between
// host and guest could be traced or probed.

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace {

struct Assembly {
	bool compiled = false;
	std::string text;
};

Assembly assembly_of(const std::string& flags)
{
	std::string command = VRC_CXX " -S -o - " + flags + " '" VRC_UNTRACED_DIR "/operations.cc'";
	FILE* pipe = popen(command.c_str(), "r");
	if (!pipe)
		return {};
	Assembly result;
	char buffer[4096];
	while (std::size_t length = std::fread(buffer, 1, sizeof(buffer), pipe))
		result.text.append(buffer, length);
	result.compiled = pclose(pipe) == 0;
	return result;
}

class Untraced : public testing::TestWithParam<const char*> {};

TEST_P(Untraced, OperationsCallNothing)
{
	Assembly assembly = assembly_of(GetParam());
	ASSERT_TRUE(assembly.compiled);
	EXPECT_NE(assembly.text.find("vmread"), std::string::npos);
	EXPECT_EQ(assembly.text.find("\tcall"), std::string::npos) << assembly.text;
	// Nor is there a tail call, which is a jump to something other than a local label.
	for (std::size_t at = 0; (at = assembly.text.find("\tjmp\t", at)) != std::string::npos; at++)
		EXPECT_EQ(assembly.text.substr(at, 7), "\tjmp\t.L") << assembly.text;
}

// Without this test, the one above could pass by not recognising a call.
TEST_P(Untraced, OperationsOfTheOtherKindCall)
{
	Assembly assembly = assembly_of(std::string(GetParam()) + " -DVRC_TRACED");
	ASSERT_TRUE(assembly.compiled);
	EXPECT_NE(assembly.text.find("\tcall"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Optimisation, Untraced, testing::Values("-O0", "-O2", "-Os"),
			 [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param + 1); });

}  // namespace
