// SPDX-License-Identifier: GPL-2.0
// A window: interrupts are off, and a vCPU's VMCS is this CPU's current one.
//
// Only in a window can the VMCS be accessed, so only a window has a token for it.  The guest runs in one, and exits that need
// neither to sleep nor interrupts are handled without closing it.
#pragma once

#include "vcpu/vcpu.h"

namespace {

// A vCPU's window, open or closed for a while.  In task context.  Its state is the vCPU's, so that it is passed in a register.
class WindowHandle {
 public:
	explicit WindowHandle(Vcpu& vcpu) : vcpu_(vcpu) {}

	bool is_open() const { return !vcpu_.window_error; }
	// Why it is not open.  -EIO: the CPUs have left VMX operation for good, and there is no VMCS to work with.
	// -EINTR: the task has been killed.  kWindowClosed: by close().
	int error() const { return vcpu_.window_error; }
	// Only while it is open.
	const PinnedVmcs& vmcs() const { return vcpu_.token.vmcs_; }

	// Turns interrupts on.
	void close();
	// The host takes the interrupt that has ended the guest's run; interrupts are on afterwards.
	void close_for_interrupt();
	// For a new ioctl.
	void open_first()
	{
		vcpu_.others_ran = true;
		reopen();
	}
	void reopen() { vcpu_.window_error = open(vcpu_); }

 protected:
	static int open(Vcpu& vcpu);
	static int open_slowly(Vcpu& vcpu);

	Vcpu& vcpu_;
};

// Opens a window for its scope.  In task context, interrupts on.
class VmcsWindow : public WindowHandle {
 public:
	explicit VmcsWindow(Vcpu& vcpu) : WindowHandle(vcpu) { open_first(); }
	~VmcsWindow()
	{
		if (is_open()) [[likely]]
			close();
	}
	VmcsWindow(const VmcsWindow&) = delete;
	VmcsWindow& operator=(const VmcsWindow&) = delete;
};

// Opens a window in a handler of the interrupt or NMI that ended the guest's run, unless it is open: it is after an NMI.
class PmiWindow {
 public:
	explicit PmiWindow(Vcpu& vcpu);
	~PmiWindow()
	{
		if (opened_)
			vcpu_.vmcs.end();
	}
	PmiWindow(const PmiWindow&) = delete;
	PmiWindow& operator=(const PmiWindow&) = delete;

	const PinnedVmcs& vmcs() const { return vcpu_.token.vmcs_; }

 private:
	Vcpu& vcpu_;
	bool opened_ = false;
};

}  // namespace
