// SPDX-License-Identifier: GPL-2.0
// A Result<u64> from a value, or a Result, of 16 bits.
// expect-error: conversion from .*Result<short unsigned int>.* to .*Result<long long unsigned int>
#include "common.h"

namespace vregcache {

Result<u64> test(Result<u16> narrow)
{
#ifdef VRC_MUST_NOT_COMPILE
	Result<u64> wide = narrow;
	return wide;
#else
	Result<u64> wide = u64{narrow.value_or(0)};
	return wide;
#endif
}

}  // namespace vregcache
