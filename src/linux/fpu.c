// SPDX-License-Identifier: GPL-2.0
/* The guest's FPU registers; see fpu.h. */
#include <linux/gfp.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>

#include "fpu.h"

#ifdef VRC_KERNEL_SWITCHES_GUEST_FPU

static union fpregs_state *registers_of(struct vrc_host_vcpu *vcpu)
{
	return &vcpu->fpu.fpstate->regs;
}

bool vrc_fpu_alloc(struct vrc_host_vcpu *vcpu)
{
	return fpu_alloc_guest_fpstate(&vcpu->fpu);
}

void vrc_fpu_free(struct vrc_host_vcpu *vcpu)
{
	if (vcpu->fpu.fpstate)
		fpu_free_guest_fpstate(&vcpu->fpu);
}

u64 vrc_fpu_features(void)
{
	struct fpu_guest fpu = {};
	u64 features;

	if (!fpu_alloc_guest_fpstate(&fpu))
		return XFEATURE_MASK_FPSSE;
	features = fpu.xfeatures;
	fpu_free_guest_fpstate(&fpu);
	return features;
}

void vrc_host_run_end(struct vrc_host_vcpu *vcpu)
{
}

#else
#include <asm/cpuid/api.h>

static union fpregs_state *registers_of(struct vrc_host_vcpu *vcpu)
{
	return vcpu->fpu;
}

/* Of the area in the standard format, for all components that XCR0 has. */
static unsigned int area_bytes(void)
{
	return boot_cpu_has(X86_FEATURE_XSAVE) ? cpuid_ebx(0xd) : sizeof(struct fxregs_state);
}

bool vrc_fpu_alloc(struct vrc_host_vcpu *vcpu)
{
	vcpu->fpu = alloc_pages_exact(area_bytes(), GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!vcpu->fpu)
		return false;
	/* The values after a reset (SDM Vol. 3A, table 10-1). */
	vcpu->fpu->fxsave.cwd = 0x37f;
	vcpu->fpu->fxsave.mxcsr = 0x1f80;
	return true;
}

void vrc_fpu_free(struct vrc_host_vcpu *vcpu)
{
	if (vcpu->fpu)
		free_pages_exact(vcpu->fpu, area_bytes());
}

/* A guest cannot have AMX, which needs a permission of the process, and a larger area. */
u64 vrc_fpu_features(void)
{
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return XFEATURE_MASK_FPSSE;
	return xgetbv(XCR_XFEATURE_ENABLED_MASK) & ~XFEATURE_MASK_XTILE;
}

/* PKRU is switched around each VM-entry. */
static u64 switched_features(void)
{
	return vrc_fpu_features() & ~XFEATURE_MASK_PKRU;
}

void vrc_fpu_to_guest(struct vrc_host_vcpu *vcpu, unsigned long flags)
{
	const u64 features = switched_features();

	/* Saves the task's registers, if they are not saved yet; it gets them back when it returns to userspace. */
	kernel_fpu_begin_mask(0);
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		asm volatile("xrstor64 %0" : : "m"(*vcpu->fpu), "a"((u32)features), "d"((u32)(features >> 32))
			     : "memory");
	else
		asm volatile("fxrstor64 %0" : : "m"(*vcpu->fpu));
}

void vrc_host_run_end(struct vrc_host_vcpu *vcpu)
{
	const u64 features = switched_features();

	if (boot_cpu_has(X86_FEATURE_XSAVE))
		asm volatile("xsave64 %0" : "+m"(*vcpu->fpu) : "a"((u32)features), "d"((u32)(features >> 32))
			     : "memory");
	else
		asm volatile("fxsave64 %0" : "=m"(*vcpu->fpu));
	kernel_fpu_end();
}

#endif

void *vrc_host_fpu_image(struct vrc_host_vcpu *vcpu)
{
	return &registers_of(vcpu)->fxsave;
}

vrc_u64 vrc_host_fpu_components(struct vrc_host_vcpu *vcpu, vrc_bool *compacted)
{
	const struct xstate_header *header = &registers_of(vcpu)->xsave.header;

	*compacted = false;
	if (!boot_cpu_has(X86_FEATURE_XSAVE))
		return XFEATURE_MASK_FPSSE;
	*compacted = header->xcomp_bv >> 63;
	return header->xfeatures;
}

void vrc_host_fpu_image_changed(struct vrc_host_vcpu *vcpu)
{
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		registers_of(vcpu)->xsave.header.xfeatures |= XFEATURE_MASK_FPSSE;
}
