// SPDX-License-Identifier: GPL-2.0
// Code that must not compile: one test for each file in compile_fail/, whose form compile_fail/common.h describes.

#include <gtest/gtest.h>
#include <regex.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

struct Compilation {
	bool succeeded = false;
	std::string output;
};

Compilation compile(const std::string& file, const std::string& flags)
{
	std::string command = "LC_ALL=C " VRC_CXX " -fsyntax-only " + flags + " '" + file + "' 2>&1";
	FILE* pipe = popen(command.c_str(), "r");
	if (!pipe)
		return {false, "cannot run the compiler"};
	Compilation result;
	char buffer[4096];
	while (std::size_t length = std::fread(buffer, 1, sizeof(buffer), pipe))
		result.output.append(buffer, length);
	result.succeeded = pclose(pipe) == 0;
	return result;
}

// The rest of the line that names the expected error.
std::string expected_error(const std::string& file)
{
	const std::string marker = "// expect-error: ";
	std::ifstream source(file);
	std::string line;
	while (std::getline(source, line)) {
		if (line.starts_with(marker))
			return line.substr(marker.size());
	}
	return "";
}

// Returns true if an error matches.  Notes and quoted source lines do not count.
bool has_error(const std::string& output, const std::string& pattern)
{
	regex_t compiled;
	std::string whole = "error: .*(" + pattern + ")";
	if (regcomp(&compiled, whole.c_str(), REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
		return false;
	bool found = regexec(&compiled, output.c_str(), 0, nullptr, 0) == 0;
	regfree(&compiled);
	return found;
}

std::vector<std::string> files()
{
	std::vector<std::string> names;
	for (const auto& entry : std::filesystem::directory_iterator(VRC_COMPILE_FAIL_DIR)) {
		if (entry.path().extension() == ".cc")
			names.push_back(entry.path().stem());
	}
	std::ranges::sort(names);
	return names;
}

class CompileFail : public testing::TestWithParam<std::string> {
 protected:
	const std::string file_ = VRC_COMPILE_FAIL_DIR "/" + GetParam() + ".cc";
};

// Without this test, the one below could pass for a reason unrelated to the rule.
TEST_P(CompileFail, TwinCompiles)
{
	Compilation twin = compile(file_, "");
	EXPECT_TRUE(twin.succeeded) << twin.output;
}

TEST_P(CompileFail, IsRejectedForTheReasonGiven)
{
	std::string pattern = expected_error(file_);
	ASSERT_NE(pattern, "") << file_ << " does not say which error to expect";
	Compilation rejected = compile(file_, "-DVRC_MUST_NOT_COMPILE");
	EXPECT_FALSE(rejected.succeeded);
	EXPECT_TRUE(has_error(rejected.output, pattern)) << "expected: " << pattern << "\n" << rejected.output;
}

INSTANTIATE_TEST_SUITE_P(Files, CompileFail, testing::ValuesIn(files()),
			 [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
