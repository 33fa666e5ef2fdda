// SPDX-License-Identifier: GPL-2.0
// VMX operation of each CPU.
#include "vmx/operation.h"

#include <asm/errno.h>

#include "machine.h"
#include "offsets_generated.h"
#include "vmx/architecture.h"
#include "vmx/capability.h"
#include "vmx/instructions.h"
#include "vmx/raw_vmx.h"
#include "vmx/vmcs.h"

namespace {

PerCpu* g_per_cpu;

inline void free_per_cpu()
{
	for (unsigned cpu = 0; g_per_cpu && cpu < vrc_host_cpu_limit(); cpu++) {
		if (g_per_cpu[cpu].vmxon_region)
			vrc_host_free_page(g_per_cpu[cpu].vmxon_region);
	}
	vrc_host_free(g_per_cpu);
	g_per_cpu = nullptr;
}

inline int allocate_per_cpu()
{
	g_per_cpu = static_cast<PerCpu*>(vrc_host_alloc(sizeof(PerCpu) * vrc_host_cpu_limit()));
	if (!g_per_cpu)
		return -ENOMEM;
	for (unsigned cpu = 0; !g_vmx.beside_kvm && cpu < vrc_host_cpu_limit(); cpu++) {
		u32* region = static_cast<u32*>(vrc_host_alloc_page());
		if (!region) {
			free_per_cpu();
			return -ENOMEM;
		}
		region[0] = g_vmx.revision;
		g_per_cpu[cpu].vmxon_region = region;
	}
	return 0;
}

inline HostMsrs HostMsrs::read()
{
	HostMsrs msrs;
	msrs.star = rdmsr(msr::kStar);
	msrs.lstar = rdmsr(msr::kLstar);
	msrs.cstar = rdmsr(msr::kCstar);
	msrs.sfmask = rdmsr(msr::kSfmask);
	if (g_vmx.facts.rdtscp)
		msrs.tsc_aux = rdmsr(msr::kTscAux);
	if (g_vmx.tsx_ctrl)
		msrs.tsx_ctrl = rdmsr(msr::kTsxCtrl);
	return msrs;
}

inline void remember_host_constants(PerCpu& cpu)
{
	// Beside KVM they may be those of a guest of KVM's (host_state.h).
	cpu.msrs_known = !g_vmx.beside_kvm || !vrc_host_kvm_msrs_in_cpu();
	if (cpu.msrs_known)
		cpu.msrs = HostMsrs::read();
	// Not the current limits: an earlier user of VMX may have left those that VM-exit sets.
	cpu.gdtr = {VRC_GDT_LIMIT, read_gdtr().base};
	cpu.idtr = {VRC_IDT_LIMIT, read_idtr().base};
}

inline int cpu_state()
{
	const PerCpu& cpu = this_cpu();
	return cpu.on ? 0 : cpu.given_up ? -EIO : -EAGAIN;
}

// Alone.
inline int enter_vmx_operation(const PerCpu& cpu)
{
	if (read_hardware_cr4() & cr4::kVmxe)
		return refuse_vmx_in_use();
	vrc_host_set_cr4_vmxe(true);
	if (vmxon(vrc_host_physical(cpu.vmxon_region)).ok())
		return 0;
	vrc_host_set_cr4_vmxe(false);
	vrc_host_error(
		"VMXON failed on CPU %u: the firmware has disabled VMX on it, or it differs from the other CPUs; "
		"enable VMX in the firmware setup",
		vrc_host_cpu());
	return -EIO;
}

// Beside KVM, which has turned VMX on before, and turns it off later.  VMPTRST faults outside VMX operation.
inline int find_vmx_operation()
{
	if ((read_hardware_cr4() & cr4::kVmxe) && vmptrst().ok())
		return 0;
	vrc_host_error(
		"CPU %u is not in VMX operation, although KVM has a virtual machine; reload kvm_intel, and look in "
		"the log for the reason",
		vrc_host_cpu());
	return -EIO;
}

}  // namespace

extern "C" int vrc_init(vrc_bool beside_kvm, vrc_bool unsafe_allowed)
{
	g_vmx.beside_kvm = beside_kvm;
	if (int error = detect_vmx(unsafe_allowed))
		return error;
	return allocate_per_cpu();
}

extern "C" void vrc_exit(void) { free_per_cpu(); }

extern "C" int vrc_cpu_enable(void)
{
	PerCpu& cpu = this_cpu();
	if (cpu.given_up)
		return 0;
	if (int error = g_vmx.beside_kvm ? find_vmx_operation() : enter_vmx_operation(cpu))
		return error;
	remember_host_constants(cpu);
	// Our guests must not use translations that another user of VMX left in the TLBs under EPT (SDM Vol. 3C, 29.4.3.4).
	if (!invept(InveptType::kAllContexts, 0).ok())
		vrc_host_warn("all-context INVEPT failed");
	set_current_vmcs(kNoCurrentVmcs);
	cpu.pointer = cpu.kvms = VmcsId::kNone;
	cpu.vmxons++;
	cpu.on = true;
	return 0;
}

extern "C" void vrc_cpu_disable(void)
{
	PerCpu& cpu = this_cpu();
	if (!cpu.on)
		return;
	while (cpu.loaded)
		cpu.loaded->clear_here();
	cpu.on = false;
	if (g_vmx.beside_kvm)
		return;
	if (!vmxoff().ok())
		vrc_host_warn("VMXOFF failed");
	vrc_host_set_cr4_vmxe(false);
}

extern "C" void vrc_cpu_give_up(void)
{
	vrc_cpu_disable();
	this_cpu().given_up = true;
}

extern "C" void vrc_cpu_row(unsigned int number, struct vrc_cpu_row* row)
{
	const PerCpu& cpu = g_per_cpu[number];
	*row = {cpu.on, cpu.vmxons, cpu.loaded_count};
}
