// SPDX-License-Identifier: GPL-2.0
// The fields of a VMCS that are not guest registers.
#include "vmx/vmcs_setup.h"

#include "vmx/capability.h"

namespace {

// Exceptions that must exit: a guest can make #DB and #AC repeat in microcode forever, without an instruction boundary, and #MC
// belongs to the host.
constexpr u32 kExitingExceptions = 1u << vector::kDebug | 1u << vector::kAlignmentCheck | 1u << vector::kMachineCheck;

inline Result<void> write_controls(const LoadedVmcs& vmcs, ControlFields& controls, u64 ept_pointer, u64 tsc_offset)
{
	VREGCACHE_TRY(controls.pin_based.set(vmcs, g_vmx.controls.pin_based));
	VREGCACHE_TRY(controls.primary.set(vmcs, g_vmx.controls.primary));
	VREGCACHE_TRY(controls.secondary.set(vmcs, g_vmx.controls.secondary));
	VREGCACHE_TRY(controls.vm_exit.set(vmcs, g_vmx.controls.vm_exit));
	VREGCACHE_TRY(controls.vm_entry.set(vmcs, g_vmx.controls.vm_entry));
	VREGCACHE_TRY(controls.exception_bitmap.set(vmcs, kExitingExceptions));
	VREGCACHE_TRY(controls.ept_pointer.set(vmcs, ept_pointer));
	VREGCACHE_TRY(controls.tsc_offset.set(vmcs, tsc_offset));
	VRC_WRITE(vmcs, kPageFaultErrorCodeMask, 0);
	VRC_WRITE(vmcs, kPageFaultErrorCodeMatch, 0);
	VRC_WRITE(vmcs, kCr3TargetCount, 0);
	VRC_WRITE(vmcs, kVmExitMsrStoreCount, 0);
	VRC_WRITE(vmcs, kVmExitMsrLoadCount, 0);
	VRC_WRITE(vmcs, kVmEntryMsrLoadCount, 0);
	VRC_WRITE(vmcs, kVmEntryInterruptionInformation, 0);
	VRC_WRITE(vmcs, kVmcsLinkPointer, ~u64{0});
	if (g_vmx.controls.secondary & secondary::kEnclsExiting)
		VRC_WRITE(vmcs, kEnclsExitingBitmap, ~u64{0});
	return {};
}

inline Result<void> write_host_state(const LoadedVmcs& vmcs, const EntryFrame& frame)
{
	VRC_WRITE(vmcs, kHostCr0, read_cr0());
	VRC_WRITE(vmcs, kHostCsSelector, VRC_KERNEL_CS);
	VRC_WRITE(vmcs, kHostSsSelector, VRC_KERNEL_DS);
	// VM-exit cannot load a selector of user privilege, so it loads null ones; LoadSwitch restores the task's.
	VRC_WRITE(vmcs, kHostDsSelector, 0);
	VRC_WRITE(vmcs, kHostEsSelector, 0);
	VRC_WRITE(vmcs, kHostFsSelector, 0);
	VRC_WRITE(vmcs, kHostGsSelector, 0);
	VRC_WRITE(vmcs, kHostTrSelector, VRC_TSS_SELECTOR);
	VRC_WRITE(vmcs, kHostIdtrBase, read_idtr().base);
	VRC_WRITE(vmcs, kHostIa32SysenterCs, rdmsr(msr::kSysenterCs));
	VRC_WRITE(vmcs, kHostIa32SysenterEip, rdmsr(msr::kSysenterEip));
	VRC_WRITE(vmcs, kHostIa32Pat, rdmsr(msr::kPat));
	VRC_WRITE(vmcs, kHostIa32Efer, rdmsr(msr::kEfer));
	VRC_WRITE(vmcs, kHostRsp, reinterpret_cast<u64>(&frame));
	VRC_WRITE(vmcs, kHostRip, reinterpret_cast<u64>(vrc_vmx_exit));
	return {};
}

// The base of a system segment, from its 16-byte descriptor (SDM Vol. 3A, 3.5.2).
inline u64 system_segment_base(u64 gdt, u16 selector)
{
	const u32* descriptor = reinterpret_cast<const u32*>(gdt + (selector & ~7u));
	return (descriptor[0] >> 16) | (descriptor[1] & 0xff) << 16 | (descriptor[1] & 0xff000000) |
	       u64{descriptor[2]} << 32;
}

inline Result<void> write_host_cpu_state(const LoadedVmcs& vmcs, HostFields& host)
{
	u64 gdt = read_gdtr().base;
	VREGCACHE_TRY(host.gdtr_base.set(vmcs, gdt));
	VREGCACHE_TRY(host.tr_base.set(vmcs, system_segment_base(gdt, read_tr())));
	VREGCACHE_TRY(host.gs_base.set(vmcs, rdmsr(msr::kGsBase)));
	return host.sysenter_esp.set(vmcs, rdmsr(msr::kSysenterEsp));
}

}  // namespace
