// SPDX-License-Identifier: GPL-2.0
// Names of the basic exit reasons.
#include "vmx/exit_reason.h"

#include "linux/names.h"

namespace {

struct ExitReasonName {
	u32 number;
	ExitReason reason;
	const char* name;
};

// clang-format off
#define VRC_ROW(number, name, constant) {number, ExitReason::constant, #name}
// clang-format on
constexpr ExitReasonName kExitReasonNames[] = {VRC_EXIT_REASONS(VRC_ROW)};
#undef VRC_ROW

inline const char* exit_reason_name(u32 reason)
{
	for (const ExitReasonName& row : kExitReasonNames) {
		if (row.number == reason)
			return row.name;
	}
	return "other";
}

consteval bool exit_reason_numbers_agree()
{
	for (const ExitReasonName& row : kExitReasonNames) {
		if (row.number != static_cast<u32>(row.reason))
			return false;
	}
	return true;
}

static_assert(exit_reason_numbers_agree(), "linux/names.h and the exit reasons do not agree");

}  // namespace
