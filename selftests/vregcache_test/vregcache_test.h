/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls of /dev/vregcache_test, for tests of vregcache. Each names a vCPU
 * by its file descriptor, which must belong to the calling process.
 *
 * EBADF: that is no open file, or no vCPU of vregcache.
 * EIO: the vCPU belongs to another process, or its CPU is not in VMX operation.
 * EINVAL: the CPU has no such VMCS field, or does not allow writes to it.
 * ENXIO: no VMCS is current.
 */
#ifndef VREGCACHE_TEST_H
#define VREGCACHE_TEST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VRC_TEST_IOCTL_TYPE 0xb7

struct vrc_test_field {
	__s32 vcpu;
	__u32 encoding; /* SDM Vol. 3D, Appendix B */
	__u64 value;
};

/*
 * VMREAD and VMWRITE below the register cache, which is not informed: a
 * register that is cached in memory keeps its value there.
 */
#define VRC_TEST_VMCS_READ _IOWR(VRC_TEST_IOCTL_TYPE, 0x00, struct vrc_test_field)
#define VRC_TEST_VMCS_WRITE _IOW(VRC_TEST_IOCTL_TYPE, 0x01, struct vrc_test_field)

/*
 * VMCLEAR behind the module's back, which believes that the VMCS is current on
 * this CPU, and launched. The argument is a pointer to the file descriptor.
 */
#define VRC_TEST_VMCS_CLEAR _IOW(VRC_TEST_IOCTL_TYPE, 0x02, __s32)

/* The limits of GDT and IDT on this CPU, where UMIP does not hide them. */
struct vrc_test_tables {
	__u16 gdt_limit;
	__u16 idt_limit;
	__u32 padding;
	__u64 idt_base;
};
#define VRC_TEST_HOST_TABLES _IOR(VRC_TEST_IOCTL_TYPE, 0x03, struct vrc_test_tables)

/*
 * Sends interrupts, or NMIs, to the CPU where the vCPU runs, each when the last
 * one was handled. The calling thread is bound to a CPU: to that one, or to
 * another, which sends IPIs.
 *
 * ETIMEDOUT: there was none for ten seconds. ENODEV: the machine has no HPET
 * or I/O APIC. EBUSY: the kernel uses the HPET's timer.
 */
struct vrc_test_interruptions {
	__s32 vcpu;
	__u32 cpu;
	__u32 nmi; /* 1: NMIs */
	__u32 count;
	__u32 distance_us; /* from one to the next; up to seven times that, or more where the guest is seldom hit */

	/* The guest's registers at any exit: its loop, and general-purpose registers by a mask. */
	__u32 gpr_mask;
	__u64 gpr[16];
	__u64 rip_begin;
	__u64 rip_end;

	/* Results. */
	__u32 handled;
	__u32 in_guest;	 /* of these, that came in guest mode, as the module reports */
	__u32 elsewhere; /* of these, that came at an unexpected place in the host */
	__u32 wrong_rips;
	__u32 wrong_gprs;
	__u32 differences; /* between the cache and the VMCS, in `registers` comparisons */
	__u64 registers;
	__u32 asides;	    /* NMIs and soft interrupts within interrupts that hit the guest, and interrupts within these */
	__u32 false_asides; /* of these, that were reported as in guest mode */
	__u32 first;	    /* the first register that differed */
	__u64 in_memory;
	__u64 in_vmcs;
};
#define VRC_TEST_INTERRUPT_GUEST _IOWR(VRC_TEST_IOCTL_TYPE, 0x20, struct vrc_test_interruptions)

/* The operation on the register cache. */
enum vrc_test_operation {
	VRC_TEST_READ,
	VRC_TEST_READ_TYPED, /* RIP */
	VRC_TEST_READ_ALL,   /* RIP and RFLAGS; the value is RIP's */
	VRC_TEST_WRITE,
	VRC_TEST_WRITE_TYPED, /* RIP */
	VRC_TEST_WRITE_BACK,
	VRC_TEST_VM_EXIT,
	VRC_TEST_VM_FAIL,
	VRC_TEST_VM_ENTRY_FAILURE_EXIT,
	VRC_TEST_MARK_FOR_RELOAD, /* unless it is dirty */
	VRC_TEST_BIND,            /* to the VMCS that it is bound to */
	VRC_TEST_WATCHING_CHANGED,
	VRC_TEST_OPERATIONS
};

/* The context; the calling task has the vCPU's mutex and its VMCS, unless stated otherwise. */
enum vrc_test_where {
	VRC_TEST_IN_TASK,
	VRC_TEST_INTERRUPTS_OFF,
	VRC_TEST_IRQ_IN_IRQ_WINDOW, /* the handler of an interrupt that is treated as a VM-exit's */
	VRC_TEST_NMI_IN_NMI_WINDOW,
	/* Allowed up to here. */
	VRC_TEST_IN_HARDIRQ,
	VRC_TEST_IN_SOFTIRQ,
	VRC_TEST_IN_NMI,
	VRC_TEST_IN_SCHED_OUT,
	VRC_TEST_IN_SCHED_IN,
	VRC_TEST_PREEMPTION_OFF,
	VRC_TEST_IN_FOREIGN_TASK, /* the VMCS may be current there or not */
	VRC_TEST_UNLOCKED,
	VRC_TEST_IRQ_IN_NMI_WINDOW,
	VRC_TEST_NMI_IN_IRQ_WINDOW,
	VRC_TEST_SOFTIRQ_IN_IRQ_WINDOW,
	VRC_TEST_IRQ_OF_SOFTIRQ_IN_IRQ_WINDOW, /* that interrupts the soft interrupt */
};

struct vrc_test_context {
	__s32 vcpu;
	__u32 context;
	__u32 operation;
	__u32 reg; /* by the cache's number, if one can be chosen */
	__u64 value;
	__s32 error; /* of the operation: 0 or -errno */
	__u32 padding;
};

/* ETIMEDOUT: the context was not reached. */
#define VRC_TEST_USE_CACHE _IOWR(VRC_TEST_IOCTL_TYPE, 0x10, struct vrc_test_context)

/*
 * From BEGIN to END, whenever the caller's task is in the named function of
 * vregcache, which reads VMCS fields, its CPU gets an NMI at each instruction
 * after the function's first VMREAD. The NMI reads one register in memory.
 *
 * EOPNOTSUPP: the kernel has no kprobes. ENOENT: there is no such function.
 * ENODATA: it has no VMREAD. EBUSY, EINVAL: BEGIN twice, END without it.
 */
struct vrc_test_miss {
	__s32 vcpu;
	__u32 number;	 /* of the register, as in enum class Reg */
	__u64 stale;	 /* its old value, still in memory */
	__u64 fresh;	 /* its value in the VMCS */
	char function[40];

	/* Results of END. */
	__u32 instructions; /* at which an NMI comes */
	__u32 stops;	    /* how often the task reached one of them */
	__u32 nmis;	    /* how many came, each before the instruction */
	__u32 stale_unavailable;
	__u32 fresh_unavailable; /* the value is cached and not yet marked */
	__u32 fresh_available;
	__u32 wrong;	    /* available with another value, or inconsistent bits, its own or another's */
	__u32 wrong_offset; /* of the first one, from the VMREAD */
};
#define VRC_TEST_MISS_BEGIN _IOW(VRC_TEST_IOCTL_TYPE, 0x40, struct vrc_test_miss)
#define VRC_TEST_MISS_END _IOR(VRC_TEST_IOCTL_TYPE, 0x41, struct vrc_test_miss)

struct vrc_test_fault {
	__s32 vcpu;
	__u32 reg; /* its number, as in trace events' filters; LAST_WRITTEN: an encoding */
	__u64 value;
};

struct vrc_test_load {
	__s32 vcpu;
	__s32 other; /* also a vCPU */
};

/*
 * Faults of the register cache. EINVAL: the register is not in a state that
 * allows this fault.
 *
 * STALE: the register is in the VMCS only, and its old value in memory is used
 * as if a VM-exit had not invalidated it.
 * LOSE: the dirty register becomes clean, so that it is not written back.
 * SWAP: the register and the one whose number is the value, both in memory and
 * not dirty, exchange their values there.
 * LAST_WRITTEN: the last-written value of a VMCS field that is not a register, given by its
 * encoding, is XORed with the value. EINVAL: it is not known.
 */
#define VRC_TEST_STALE _IOW(VRC_TEST_IOCTL_TYPE, 0x30, struct vrc_test_fault)
#define VRC_TEST_LOSE _IOW(VRC_TEST_IOCTL_TYPE, 0x31, struct vrc_test_fault)
#define VRC_TEST_SWAP _IOW(VRC_TEST_IOCTL_TYPE, 0x32, struct vrc_test_fault)
#define VRC_TEST_LAST_WRITTEN _IOW(VRC_TEST_IOCTL_TYPE, 0x33, struct vrc_test_fault)

/*
 * VMPTRLD of the other vCPU's VMCS behind the module's back, which believes
 * that the vCPU's is current on this CPU. The other vCPU must have been used on
 * this CPU last, and not be in use now. With itself it puts things right.
 */
#define VRC_TEST_VMCS_LOAD _IOW(VRC_TEST_IOCTL_TYPE, 0x34, struct vrc_test_load)

/*
 * On a CPU that is about to go offline, to which the caller is bound: stays
 * there as long as a task can, and reads one register through the cache.
 *
 * EAGAIN: the caller is on another CPU. ETIMEDOUT: the CPU does not go offline.
 */
struct vrc_test_stay {
	__s32 vcpu;
	__u32 cpu;
	__u32 reg;    /* by the cache's number, and only in the VMCS */
	__u32 padding;

	/* Results. */
	__u64 value;
	__u32 began_on; /* where the use began */
	__u32 used_on;	/* where the register was read */
};
#define VRC_TEST_STAY _IOWR(VRC_TEST_IOCTL_TYPE, 0x50, struct vrc_test_stay)

/*
 * Compares each CPU's VMCS pointer with KVM's record of it, in an interrupt
 * every that many microseconds (a __u32), until the second ioctl.
 *
 * ENOENT: kvm_intel is not loaded. EBUSY: that happens already.
 */
struct vrc_test_pointers {
	__u64 compared;
	__u64 kvms;   /* of these, where KVM believes in a VMCS */
	__u64 wrong;  /* of these, where the pointer is another */
	__u64 others; /* where KVM believes in none, and the pointer names one */
};
#define VRC_TEST_POINTERS_BEGIN _IOW(VRC_TEST_IOCTL_TYPE, 0x60, __u32)
#define VRC_TEST_POINTERS_END _IOR(VRC_TEST_IOCTL_TYPE, 0x61, struct vrc_test_pointers)

#endif /* VREGCACHE_TEST_H */
