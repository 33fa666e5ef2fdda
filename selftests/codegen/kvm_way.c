// SPDX-License-Identifier: GPL-2.0
/*
 * The same accesses in C, with the parts of KVM's cache: a bitmap of available registers, a number checked at each
 * access, an assertion that only a lockdep kernel compiles in, a callback through a static call that switches on the
 * number and marks first, RFLAGS behind a static call of its own, and a second bitmap for the parts of segments.
 */
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/static_call.h>
#include <linux/types.h>

#include "kvm_way.h"

#define FIELD_RSP	0x681c
#define FIELD_RIP	0x681e
#define FIELD_RFLAGS	0x6820
#define FIELD_CS_BASE	0x6808
#define FIELD_CR0	0x6800
#define FIELD_CR3	0x6802
#define FIELD_CR4	0x6804
#define FIELD_PDPTE0	0x280a

enum { WAY_RSP = 4, WAY_RIP = 16, WAY_END, WAY_RFLAGS = WAY_END, WAY_CR0, WAY_CR3, WAY_CR4, WAY_PDPTR, WAY_SEGMENTS };

enum { WAY_CS = 1, WAY_BASE = 1, WAY_PARTS = 4 };

struct kvm_way_vcpu {
	unsigned long registers[WAY_END];
	unsigned long available;
	unsigned long dirty;
	unsigned long rflags;
	unsigned long cr0, cr3, cr4, pdptr;
	u32 segment_parts;
	unsigned long segment_base[8];
	bool handling_nmi;
};

static __always_inline bool way_is_available(struct kvm_way_vcpu *vcpu, int reg)
{
	lockdep_assert(in_task() || READ_ONCE(vcpu->handling_nmi));
	return test_bit(reg, &vcpu->available);
}

static __always_inline void way_mark_available(struct kvm_way_vcpu *vcpu, int reg)
{
	__set_bit(reg, &vcpu->available);
}

void codegen_kvm_way_cache(struct kvm_way_vcpu *vcpu, int reg)
{
	way_mark_available(vcpu, reg);
	switch (reg) {
	case WAY_RSP:
		vcpu->registers[reg] = way_vmread(FIELD_RSP);
		break;
	case WAY_RIP:
		vcpu->registers[reg] = way_vmread(FIELD_RIP);
		break;
	case WAY_CR0:
		vcpu->cr0 = way_vmread(FIELD_CR0);
		break;
	case WAY_CR3:
		vcpu->cr3 = way_vmread(FIELD_CR3);
		break;
	case WAY_CR4:
		vcpu->cr4 = way_vmread(FIELD_CR4);
		break;
	case WAY_PDPTR:
		vcpu->pdptr = way_vmread(FIELD_PDPTE0);
		break;
	default:
		WARN_ON_ONCE(1);
		break;
	}
}

unsigned long codegen_kvm_way_rflags(struct kvm_way_vcpu *vcpu)
{
	if (!way_is_available(vcpu, WAY_RFLAGS)) {
		way_mark_available(vcpu, WAY_RFLAGS);
		vcpu->rflags = way_vmread(FIELD_RFLAGS);
	}
	return vcpu->rflags;
}

unsigned long codegen_kvm_way_segment_base(struct kvm_way_vcpu *vcpu, int segment)
{
	u32 part = 1U << (segment * WAY_PARTS + WAY_BASE);
	bool known;

	if (!way_is_available(vcpu, WAY_SEGMENTS)) {
		way_mark_available(vcpu, WAY_SEGMENTS);
		vcpu->segment_parts = 0;
	}
	known = vcpu->segment_parts & part;
	vcpu->segment_parts |= part;
	if (!known)
		vcpu->segment_base[segment] = way_vmread(FIELD_CS_BASE + 2 * (segment - WAY_CS));
	return vcpu->segment_base[segment];
}

DEFINE_STATIC_CALL(codegen_cache_call, codegen_kvm_way_cache);
DEFINE_STATIC_CALL(codegen_rflags_call, codegen_kvm_way_rflags);
DEFINE_STATIC_CALL(codegen_segment_base_call, codegen_kvm_way_segment_base);

static __always_inline unsigned long way_read(struct kvm_way_vcpu *vcpu, int reg)
{
	if (WARN_ON_ONCE((unsigned int)reg >= WAY_END))
		return 0;
	if (!way_is_available(vcpu, reg))
		static_call(codegen_cache_call)(vcpu, reg);
	return vcpu->registers[reg];
}

unsigned long codegen_kvm_way_read_rip(struct kvm_way_vcpu *vcpu)
{
	return way_read(vcpu, WAY_RIP);
}

unsigned long codegen_kvm_way_read_rflags(struct kvm_way_vcpu *vcpu)
{
	return static_call(codegen_rflags_call)(vcpu);
}

unsigned long codegen_kvm_way_read_cs_base(struct kvm_way_vcpu *vcpu)
{
	return static_call(codegen_segment_base_call)(vcpu, WAY_CS);
}
