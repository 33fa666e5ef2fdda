// SPDX-License-Identifier: GPL-2.0
// A cache's private state, for tests that corrupt it.
#pragma once

#include <vregcache/cache.h>
#include <vregcache/last_written.h>

namespace vregcache {

struct CacheTestAccess {
	template <class Cache>
	static u64& value(Cache& cache, Reg reg)
	{
		return cache.value_[index(reg)];
	}
	template <class Cache>
	static RegSet& available(Cache& cache)
	{
		return cache.available_;
	}
	template <class Cache>
	static RegSet& dirty(Cache& cache)
	{
		return cache.dirty_;
	}
};

struct LastWrittenTestAccess {
	template <class Field, class Value>
	static void set_value(Field& field, Value value)
	{
		field.value_ = value;
	}
};

}  // namespace vregcache
