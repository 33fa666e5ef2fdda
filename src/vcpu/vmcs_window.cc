// SPDX-License-Identifier: GPL-2.0
// Opens and closes windows.
#include "vcpu/vmcs_window.h"

#include "machine.h"
#include "vcpu/transition.h"
#include "vmx/interrupts.h"

namespace {

// Interrupts off.
VREGCACHE_COLD void loaded_vmcs(Vcpu& vcpu, unsigned from, bool moved)
{
	trace_vmcs_load(vcpu.id, vcpu.vmcs.id(), from);
	if (moved && !write_host_cpu_state(LoadedVmcs(vcpu.access(), VmcsKey()), vcpu.host_fields).ok() && !cpu_state())
		vrc_host_warn("a VMCS that was just loaded refuses VMWRITE");
}

// Interrupts off, and the VMCS not active on another CPU.  Returns false if this CPU is not in VMX operation.
// @from: where it was active.
[[gnu::always_inline]] inline bool begin_vmcs(Vcpu& vcpu, unsigned from)
{
	Result<Vmcs::Begun> begun = vcpu.vmcs.begin(vcpu.others_ran);
	if (!begun.ok()) [[unlikely]]
		return false;
	vcpu.others_ran = false;
	if (begun.value().loaded) [[unlikely]]
		loaded_vmcs(vcpu, from, begun.value().moved);
	return true;
}

inline int WindowHandle::open(Vcpu& vcpu)
{
	turn_interrupts_off();
	// Alone, nobody else changes it.
	if (vcpu.access().is_current(vcpu.vmcs.id())) [[likely]]
		return 0;
	return open_slowly(vcpu);
}

// Interrupts off.
VREGCACHE_OUT_OF_LINE int WindowHandle::open_slowly(Vcpu& vcpu)
{
	for (const unsigned from = vcpu.vmcs.home();;) {
		if (!vcpu.vmcs.is_elsewhere()) {
			if (begin_vmcs(vcpu, from))
				return 0;
			const int error = cpu_state();
			turn_interrupts_on();
			// After a reboot has begun no CPU is in VMX operation.
			if (error != -EAGAIN)
				return error ? error : -EIO;
			if (int killed = vrc_host_leave_cpu())
				return killed;
		} else {
			turn_interrupts_on();
			vcpu.vmcs.clear();
		}
		vcpu.others_ran = true;
		turn_interrupts_off();
	}
}

inline void WindowHandle::close()
{
	vcpu_.vmcs.end();
	vcpu_.window_error = kWindowClosed;
	turn_interrupts_on();
}

inline void WindowHandle::close_for_interrupt()
{
	vcpu_.vmcs.end();
	vcpu_.window_error = kWindowClosed;
	vrc_host_take_interrupt(vcpu_.host);
}

inline PmiWindow::PmiWindow(Vcpu& vcpu) : vcpu_(vcpu)
{
	if (!vcpu.access().is_current(vcpu.vmcs.id()))
		opened_ = begin_vmcs(vcpu, vcpu.vmcs.home());
	report_exception(vcpu, vmcs());
}

}  // namespace

// Another task has run, which may have used VMX.
extern "C" void vrc_vcpu_sched_in(struct vrc_vcpu* handle) { vcpu_of(handle).others_ran = true; }

extern "C" void vrc_vcpu_sched_out(struct vrc_vcpu* handle) { bring_host(vcpu_of(handle)); }
