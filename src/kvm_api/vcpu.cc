// SPDX-License-Identifier: GPL-2.0
// Creates, resets and destroys vCPUs.
#include <new>

#include "instrument/counter_table.h"
#include "kvm_api/ioctls.h"
#include "machine.h"
#include "vcpu/cpuid.h"
#include "vcpu/debug_register.h"
#include "vcpu/guest_state.h"
#include "vcpu/vcpu_load.h"

namespace {

inline SegmentState reset_segment(u16 selector, u64 base, u32 rights)
{
	SegmentState state;
	state.selector = selector;
	state.base = base;
	state.limit = 0xffff;
	state.access_rights = rights;
	return state;
}

// The state after RESET (SDM Vol. 3A, table 10-1).
inline Result<void> reset_registers(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	constexpr u32 kData = 0x93, kCode = 0x9b, kLdt = 0x82, kBusyTss = 0x8b;
	auto& cache = vcpu.cache;
	for (u8 s = 0; s <= static_cast<u8>(Segment::kGs); s++)
		VREGCACHE_TRY(write_segment(cache, vmcs, static_cast<Segment>(s), reset_segment(0, 0, kData)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kCs, reset_segment(0xf000, 0xffff0000, kCode)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kLdtr, reset_segment(0, 0, kLdt)));
	VREGCACHE_TRY(write_segment(cache, vmcs, Segment::kTr, reset_segment(0, 0, kBusyTss)));
	cache.write<Reg::kGdtrBase>(vmcs, u64{0});
	cache.write<Reg::kGdtrLimit>(vmcs, u32{0xffff});
	cache.write<Reg::kIdtrBase>(vmcs, u64{0});
	cache.write<Reg::kIdtrLimit>(vmcs, u32{0xffff});
	cache.write<Reg::kRip>(vmcs, u64{0xfff0});
	cache.write<Reg::kRsp>(vmcs, u64{0});
	cache.write<Reg::kRflags>(vmcs, u64{rflags::kFixed});
	cache.write<Reg::kInterruptibility>(vmcs, u32{0});
	cache.write<Reg::kPendingDebugExceptions>(vmcs, u64{0});
	cache.write<Reg::kActivityState>(vmcs, u32{0});
	GuestCr0::write(cache, vmcs, cr0_share(), cr0::kCd | cr0::kNw | cr0::kEt);
	cache.write<Reg::kCr3>(vmcs, u64{0});
	GuestCr4::write(cache, vmcs, cr4_share(vcpu), 0);
	cache.write<Reg::kEfer>(vmcs, u64{0});
	set_dr7(vcpu, vmcs, 0);
	vcpu.entry.dr6 = dr6_from(0);
	set_guest_debugctl(vcpu, vmcs, 0);
	write_pdptes(cache, vmcs, {});

	constexpr u64 kPatAfterReset = 0x0007040600070406;
	VREGCACHE_TRY(vcpu.msr_fields.pat.set(vmcs, u64{kPatAfterReset}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_cs.set(vmcs, u32{0}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_esp.set(vmcs, u64{0}));
	VREGCACHE_TRY(vcpu.msr_fields.sysenter_eip.set(vmcs, u64{0}));
	constexpr u64 kApicEnabled = 1u << 11, kBootstrapProcessor = 1u << 8;
	vcpu.apic_base = 0xfee00000 | kApicEnabled | (vcpu.id == 0 ? kBootstrapProcessor : 0);
	constexpr u64 kFamilyAfterReset = 0x600;
	vcpu.gpr()[Gpr::kRdx] = kFamilyAfterReset;
	return {};
}

inline Result<void> set_up_vmcs(Vcpu& vcpu, const LoadedVmcs& vmcs)
{
	VREGCACHE_TRY(vcpu.cache.bind(vmcs, vcpu.vmcs.id()));
	VREGCACHE_TRY(write_controls(vmcs, vcpu.controls, vcpu.vm->memory.ept_pointer(), vcpu.vm->tsc_offset));
	VRC_WRITE(vmcs, kCr0GuestHostMask, GuestCr0::guest_host_mask(cr0_share()));
	VREGCACHE_TRY(apply_cpu_model(vcpu, vmcs));
	VREGCACHE_TRY(write_host_state(vmcs, vcpu.frame));
	return reset_registers(vcpu, vmcs);
}

inline const char* error_text(Error error)
{
	switch (error) {
	case Error::kVmFailInvalid:
		return "VMfailInvalid: no VMCS is current";
	case Error::kVmFailValid:
		return "VMfailValid: the processor does not have the field";
	case Error::kFault:
		return "the instruction faulted: the CPU is not in VMX operation";
	case Error::kNotCurrent:
		return "another VMCS is current, or the CPU is not in VMX operation";
	case Error::kDirty:
		return "a register was set after it should have been written back";
	case Error::kNotBound:
		return "the register cache belongs to no VMCS";
	default:
		return "there is no such register";
	}
}

inline long report_vmcs_error(const Vcpu& vcpu, Error error)
{
	// The failure is expected: a reboot has begun.
	if ((error == Error::kNotCurrent || error == Error::kFault) && vrc_cpu_state() == -EIO)
		return -EIO;
	vrc_host_error("vCPU %u: access to its VMCS failed (%s); the vCPU cannot go on, please report this", vcpu.id,
		       error_text(error));
	return -EIO;
}

}  // namespace

extern "C" int vrc_vcpu_create(struct vrc_vm* vm, vrc_u32 id, struct vrc_host_vcpu* host, void* run,
			       struct vrc_vcpu** created)
{
	if (id >= VRC_MAX_VCPUS)
		return -EINVAL;
	void* memory = vrc_host_alloc(sizeof(Vcpu));
	if (!memory)
		return -ENOMEM;
	Vcpu* vcpu = new (memory) Vcpu;
	vcpu->vm = &vm_of(vm);
	vcpu->id = id;
	vcpu->host = host;
	vcpu->run = static_cast<kvm_run*>(run);
	vcpu->io_data = static_cast<u8*>(run) + kPageSize;
	vcpu->cache.hooks().set_vcpu(id, host);
	if (!vcpu->vmcs.create()) {
		vrc_host_free(memory);
		return -ENOMEM;
	}
	{
		MemoryGuard guard(vcpu->vm->host);
		if (vcpu->vm->vcpu_ids >> id & 1) {
			vcpu->vmcs.destroy();
			vrc_host_free(memory);
			return -EEXIST;
		}
		vcpu->vm->vcpu_ids |= u64{1} << id;
	}
	set_default_cpuid(*vcpu);
	register_counters(vcpu->cache.hooks().counters);
	*created = reinterpret_cast<vrc_vcpu*>(vcpu);
	return 0;
}

extern "C" vrc_u64 vrc_vcpu_vmcs(struct vrc_vcpu* handle) { return static_cast<u64>(vcpu_of(handle).vmcs.id()); }

// Called once the host can find the vCPU by its handle: loads and fills its VMCS for the first time.
extern "C" int vrc_vcpu_set_up(struct vrc_vcpu* handle)
{
	Vcpu& vcpu = vcpu_of(handle);
	VcpuResidence residence(vcpu);
	if (residence.error())
		return residence.error();
	Result<void> done = set_up_vmcs(vcpu, residence.vmcs());
	return done.ok() ? 0 : static_cast<int>(report_vmcs_error(vcpu, done.error()));
}

extern "C" void vrc_vcpu_destroy(struct vrc_vcpu* handle, vrc_bool release_id)
{
	Vcpu& vcpu = vcpu_of(handle);
	unregister_counters(vcpu.cache.hooks().counters);
	vcpu.vmcs.destroy();
	if (release_id) {
		MemoryGuard guard(vcpu.vm->host);
		vcpu.vm->vcpu_ids &= ~(u64{1} << vcpu.id);
	}
	vrc_host_free(&vcpu);
}
