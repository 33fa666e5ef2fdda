// SPDX-License-Identifier: GPL-2.0
// One KTAP result, and one line for each value that it looked at: see the file `expected` beside this one.
#ifndef VMX_CLIENT_TEST_H
#define VMX_CLIENT_TEST_H

#include "guest_code.h"
#include "context.h"

namespace {

// What the guest runs: addresses near it are shown relative to it.
const char* guest_code;

// A value without what depends on the machine: addresses of this module and its memory.
struct Shown {
	const char* base;
	u64 offset;
};

inline Shown show(u64 value)
{
	constexpr u64 kHandlers = u64{256} * 16, kBefore = 64, kCode = 512;
	const u64 physical = vc_physical(context);

	if (value - address(context) < sizeof(Context))
		return {"memory+", value - address(context)};
	if (value - physical < sizeof(Context))
		return {"physical+", value - physical};
	if (value - address(vc_guest_handlers) < kHandlers)
		return {"handlers+", value - address(vc_guest_handlers)};
	if (guest_code && value - address(guest_code) + kBefore < kCode)
		return {"code+", value - address(guest_code)};
	return {"", value};
}

// One KTAP result; the diagnostics of its checks come before it.
class Test {
 public:
	// Without observations: for what depends on the number of CPUs.
	explicit Test(const char* name, bool observed = true) : name_(name), observed_(observed)
	{
		running = observed ? this : nullptr;
	}
	~Test()
	{
		running = nullptr;
		if (failed_)
			++failed_count;
		vc_print("%s %u %s\n", failed_ ? "not ok" : "ok", ++test_count, name_);
	}
	Test(const Test&) = delete;

	static Test* current() { return running; }
	const char* name() const { return name_; }
	unsigned next_exit() { return ++exits_; }

	void equal(const char* what, u64 got, u64 expected)
	{
		const Shown shown = show(got);
		if (observed_)
			vc_observe("%s: %s: %s0x%lx\n", name_, what, shown.base, shown.offset);
		compare(what, got, expected);
	}
	// For values that depend on the machine.
	void same(const char* what, u64 got, u64 expected)
	{
		vc_observe("%s: %s: %s\n", name_, what, got == expected ? "as expected" : "different");
		compare(what, got, expected);
	}
	void check(const char* what, bool holds) { equal(what, holds, true); }

 private:
	void compare(const char* what, u64 got, u64 expected)
	{
		if (got == expected)
			return;
		failed_ = true;
		vc_print("# %s: %s: got 0x%lx, expected 0x%lx\n", name_, what, got, expected);
	}

	inline static Test* running;
	const char* name_;
	bool observed_;
	bool failed_ = false;
	unsigned exits_ = 0;
};

}  // namespace

#endif
