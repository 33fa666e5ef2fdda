// SPDX-License-Identifier: GPL-2.0
// The library's names that the machine uses everywhere.
#pragma once

#include <vregcache/context_token.h>
#include <vregcache/result.h>

namespace {

using vregcache::Error;
using vregcache::Result;
using vregcache::u16;
using vregcache::u32;
using vregcache::u64;
using vregcache::u8;
using vregcache::VmcsId;

}  // namespace
