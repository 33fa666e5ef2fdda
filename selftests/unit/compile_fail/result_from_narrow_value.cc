// SPDX-License-Identifier: GPL-2.0
// A Result<u64> from a value of 16 bits: no silent widening.
// expect-error: conversion from .*(u16|short unsigned int).* to .*Result<long long unsigned int>
#include "common.h"

namespace vregcache {

Result<u64> test(u16 narrow)
{
#ifdef VRC_MUST_NOT_COMPILE
	Result<u64> wide = narrow;
	return wide;
#else
	Result<u64> wide = u64{narrow};
	return wide;
#endif
}

}  // namespace vregcache
