/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions of Linux that the C++ part (no kernel header) calls.  src/linux/ (C) implements them; ../machine.h has the
 * opposite direction.  names.h has the lists that both parts use, and offsets_generated.h the constants of kernel
 * structures that the C++ part needs.
 *
 * vrc_host_*   services of the kernel
 * vrc_trace_*, vrc_check_context, vrc_report_mismatch and the variables   instruments that observe the C++ part
 *
 * Functions that return int return 0 or a negative errno.
 */
#ifndef VREGCACHE_LINUX_HOST_H
#define VREGCACHE_LINUX_HOST_H

#include "../../include/vregcache/registers.def"

#ifdef __cplusplus
extern "C" {
typedef unsigned long long vrc_u64;
typedef unsigned int vrc_u32;
typedef unsigned char vrc_u8;
typedef unsigned short vrc_u16;
typedef bool vrc_bool;
#define VRC_PRINTF
#else
#include <linux/types.h>
typedef u64 vrc_u64;
typedef u32 vrc_u32;
typedef u8 vrc_u8;
typedef u16 vrc_u16;
typedef bool vrc_bool;
#define VRC_PRINTF __printf(1, 2)
#endif

/* The value of the per-CPU variable vrc_current_vmcs while no VMCS is current on that CPU. */
#define VRC_NO_CURRENT_VMCS (~1ULL)

/* Of a virtual machine, and of the area that a vCPU shares with userspace: the second page has data of port I/O. */
#define VRC_MAX_VCPUS 64
#define VRC_RUN_PAGES 2

struct vrc_vm;
struct vrc_vcpu;

/* Opaque to the C++ part: the objects of src/linux/ for a virtual machine and for a vCPU. */
struct vrc_host_vm;
struct vrc_host_vcpu;

/* ---- log ---- */
/* One line to the kernel log, with a prefix. */
void VRC_PRINTF vrc_host_error(const char *format, ...);
void VRC_PRINTF vrc_host_info(const char *format, ...);
/* A WARN about a broken invariant of our own code; @what is a full sentence. */
void vrc_host_warn(const char *what);
/* The same, for a register number that no register has. */
void vrc_host_warn_no_register(unsigned int number);

/* ---- memory ---- */
/* Zeroed memory, charged to the caller's memory cgroup; NULL if there is none.  May sleep. */
void *vrc_host_alloc(unsigned long bytes);
void vrc_host_free(void *memory);
/* A zeroed page in the direct map; NULL if there is none.  May sleep. */
void *vrc_host_alloc_page(void);
void vrc_host_free_page(void *page);
vrc_u64 vrc_host_physical(const void *direct_map);
void *vrc_host_direct_map(vrc_u64 physical);
/* Copies to or from the calling process, or returns -EFAULT.  May sleep. */
int vrc_host_copy_from_user(void *to, vrc_u64 user_address, unsigned long bytes);
int vrc_host_copy_to_user(vrc_u64 user_address, const void *from, unsigned long bytes);

/*
 * Pins @page_count pages of the calling process, starting at @user_address, and charges them to RLIMIT_MEMLOCK.
 * -ENOMEM: over the limit, or no memory.  -EFAULT: not mapped, or not writable.
 */
struct vrc_host_pinned;
int vrc_host_pin(struct vrc_host_vm *vm, vrc_u64 user_address, vrc_u64 page_count,
		 struct vrc_host_pinned **pinned);
void vrc_host_unpin(struct vrc_host_vm *vm, struct vrc_host_pinned *pinned);
vrc_u64 vrc_host_pinned_physical(const struct vrc_host_pinned *pinned, vrc_u64 page);

/* ---- processors ---- */
unsigned int vrc_host_cpu_limit(void); /* one more than the greatest CPU number */
unsigned int vrc_host_cpu(void);       /* this CPU; only a hint while preemption is on */
/* Turn interrupts off on this CPU, and restore them; they may be off already. */
unsigned long vrc_host_irq_save(void);
void vrc_host_irq_restore(unsigned long flags);
void vrc_host_irq_disable(void);
void vrc_host_irq_enable(void);
/* Runs @function on @cpu, or on every online CPU, with interrupts off, and waits for it. */
void vrc_host_on_cpu(unsigned int cpu, void (*function)(void *), void *argument);
void vrc_host_on_each_cpu(void (*function)(void *), void *argument);
/* Interrupts off.  Beside KVM: the CPU may have MSRs of a guest of KVM's, which KVM replaces later. */
vrc_bool vrc_host_kvm_msrs_in_cpu(void);
/* Waits until every CPU has had interrupts on.  May sleep. */
void vrc_host_synchronize_rcu(void);
/* Sets or clears CR4.VMXE on this CPU through the kernel's own record of CR4. */
void vrc_host_set_cr4_vmxe(vrc_bool on);
void vrc_host_reschedule(void);
/*
 * Does the work that the kernel defers until a task returns to userspace: timers and limits of CPU time, memory
 * failures, limits of its cgroups, and the like.  May sleep.  -EINTR: the task has a signal.
 */
int vrc_host_do_task_work(struct vrc_host_vcpu *vcpu);
/* Flushes the indirect branch predictions of this CPU, if the kernel uses that against Spectre v2. */
void vrc_host_prediction_barrier(void);
/*
 * Run the host's handler of the event that made the CPU leave @vcpu's guest; the handler may read the guest's
 * registers.  Interrupts are off, and NMIs are blocked after an NMI; vrc_host_take_interrupt() leaves interrupts on.
 */
void vrc_host_handle_nmi(struct vrc_host_vcpu *vcpu);
void vrc_host_take_interrupt(struct vrc_host_vcpu *vcpu);
void vrc_host_handle_machine_check(void);
/*
 * The guest of the calling task has executed a split lock at @rip, and the CPU has raised #AC.  True: resume the guest.
 * False: the kernel does not allow split locks.  May sleep.
 */
vrc_bool vrc_host_handle_split_lock(vrc_u64 rip);

/* ---- locks of the objects in src/linux/ ---- */
void vrc_host_memory_lock(struct vrc_host_vm *vm);
void vrc_host_memory_unlock(struct vrc_host_vm *vm);
void vrc_host_global_lock(void);
void vrc_host_global_unlock(void);

/* ---- host state that a VM-exit loses (SDM Vol. 3C, 28.5) ---- */
/* TR's limit is stale. */
void vrc_host_invalidate_tss_limit(void);
/* Loads the selectors of a user task; those of FS and GS change FS_BASE and KERNEL_GS_BASE. */
void vrc_host_load_selectors(vrc_u16 ds, vrc_u16 es, vrc_u16 fs, vrc_u16 gs);

/* ---- the FPU ---- */
/* The 512-byte FXSAVE image of the guest; not while KVM_RUN lasts. */
void *vrc_host_fpu_image(struct vrc_host_vcpu *vcpu);
/*
 * XSTATE_BV: the components of the guest's FPU state that are not initial.  For the others the image is stale; for
 * MXCSR only if the XSAVE area is in the compacted format.
 */
vrc_u64 vrc_host_fpu_components(struct vrc_host_vcpu *vcpu, vrc_bool *compacted);
/* The image was written: its x87 and SSE parts are valid, even if XSTATE_BV had them as initial. */
void vrc_host_fpu_image_changed(struct vrc_host_vcpu *vcpu);

/* ---- a vCPU on a CPU ---- */
/*
 * Begin and end KVM_RUN.  In between the scheduler calls vrc_vcpu_sched_out() when this task leaves a CPU, and
 * vrc_vcpu_sched_in() when it is back on one.
 */
void vrc_host_run_enter(struct vrc_host_vcpu *vcpu);
void vrc_host_run_leave(struct vrc_host_vcpu *vcpu);
/*
 * Interrupts off, until vrc_host_run_end().  0: the guest may run, and its FPU registers are in the CPU.  Else the task
 * has something else to do first.  -EINTR: it has a signal.  -EAGAIN: call vrc_host_reschedule().  -EBUSY: call
 * vrc_host_do_task_work().
 */
int vrc_host_run_begin(struct vrc_host_vcpu *vcpu);
void vrc_host_run_end(struct vrc_host_vcpu *vcpu);
/* Sleeps for a moment, so that the task moves off a CPU that is going down.  -EINTR: the task has been killed. */
int vrc_host_leave_cpu(void);

/* ---- the CPU that the module runs on: facts that only kernel headers have ---- */
struct vrc_cpu_facts {
	vrc_bool fred;             /* the kernel uses FRED event delivery */
	vrc_bool flush_l1d;        /* IA32_FLUSH_CMD exists and must be used at VM-entry (L1TF) */
	vrc_bool rdtscp;
	vrc_bool pku;              /* the kernel sets CR4.PKE */
	vrc_bool xsave;
	vrc_u64 fpu_features;      /* XCR0 bits that the kernel saves for a guest */
	vrc_bool split_lock_detection; /* a split lock raises #AC */
	const char *open_mitigation; /* a vulnerability of this CPU that the module does not mitigate, or NULL */
};

void vrc_host_cpu_facts(struct vrc_cpu_facts *facts);
/* The module that most likely owns VMX, or NULL.  May sleep. */
const char *vrc_host_vmx_owner(void);

/*
 * ---- trace events ----
 * To be called only if the event's key is on, as src/instrument/trace.h does.
 */
struct vrc_trace_entry {
	vrc_u64 available;
	vrc_u64 dirty;
	vrc_u64 rip;
	vrc_u32 vcpu;
	vrc_u32 event; /* VM-entry interruption information */
	vrc_u32 error_code;
};

struct vrc_trace_exit {
	vrc_u64 available;
	vrc_u64 dirty;
	vrc_u64 rip;
	vrc_u64 qualification;
	vrc_u64 guest_physical;
	vrc_u32 vcpu;
	vrc_u32 reason;
	vrc_u32 next;
	vrc_u32 interruption;
	vrc_u32 interruption_error;
	vrc_u32 vectoring;
	vrc_u32 length;
};

#define VRC_COLD __attribute__((__cold__))
/* Preserves all registers, even caller-saved ones: it is called from the middle of other code. */
#define VRC_ASIDE __attribute__((__cold__, __no_caller_saved_registers__, __no_instrument_function__))
VRC_COLD void vrc_trace_vm_entry(const struct vrc_trace_entry *entry);
VRC_COLD void vrc_trace_vm_exit(const struct vrc_trace_exit *exit);
VRC_ASIDE void vrc_trace_miss(vrc_u32 vcpu, vrc_u32 reg, vrc_u64 value);
/* For each register in @set; @value is indexed by register number. */
VRC_ASIDE void vrc_trace_misses(vrc_u32 vcpu, vrc_u64 set, const vrc_u64 *value);
VRC_ASIDE void vrc_trace_write_back(vrc_u32 vcpu, vrc_u32 reg, vrc_u64 value);
VRC_ASIDE void vrc_trace_invalidate(vrc_u32 vcpu, vrc_u64 set);
/* @from: the CPU where it was loaded before, or -1. */
VRC_ASIDE void vrc_trace_vmcs_load(vrc_u32 vcpu, vrc_u64 vmcs, int from);

/*
 * ---- verification ----
 * A value in memory differs from the VMCS.  To be called only if the key says that verification is on, as
 * src/instrument/verification.h does.
 */
struct vrc_mismatch {
	vrc_u64 memory; /* the value, or the address of the VMCS that should be current */
	vrc_u64 vmcs;   /* the value, or the address of the VMCS that is current */
	vrc_u64 caller; /* of the operation that cached the value, or 0 */
	const char *name; /* of the field, if it is not a register */
	vrc_u32 vcpu;
	vrc_u32 reg;       /* or VRC_NOT_A_REGISTER: a last-written field, or the current VMCS */
	vrc_u32 field;     /* its encoding */
	vrc_u32 at;        /* VRC_FOUND_AT */
	vrc_u32 cached_by; /* VRC_OPERATIONS, or one of these: */
#define VRC_CACHED_BEFORE_VERIFICATION 64
#define VRC_CACHED_BY_LAST_WRITE 65 /* the value that was last written into the field */
#define VRC_CACHED_BY_VMPTRLD 66 /* not a value: this VMCS should be current */
};

#define VRC_NOT_A_REGISTER VREGCACHE_REGISTER_END
VRC_COLD void vrc_report_mismatch(const struct vrc_mismatch *mismatch);
/* Odd while verification is on everywhere, and a different number each time. */
extern vrc_u32 vrc_verify_period;
/* Numbers of comparisons since the module was loaded. */
#define VRC_VERIFIED_HITS 0      /* reads served from memory */
#define VRC_VERIFIED_REGISTERS 1 /* registers at VM-entry */
#define VRC_VERIFIED_LAST_WRITTEN 2 /* fields that are not registers, at VM-entry */
#define VRC_VERIFIED_KINDS 3
extern vrc_u64 vrc_verified[VRC_VERIFIED_KINDS];

/* Observers of each read of a register, even if it is served from memory.  May change at any time. */
extern vrc_u8 vrc_watched_reads;
#define VRC_WATCH_HITS 1	  /* module parameter count_hits: reads are counted */
#define VRC_WATCH_CONTEXT 2	  /* check_context: the calling context is checked */
#define VRC_WATCH_VERIFICATION 4  /* verify: reads are compared with the VMCS */

/*
 * ---- the context rule ----
 * Whether the caller may use the register cache of @vcpu.  If not, the violation is counted, traced and reported, and
 * the caller continues.  In any context.  To be called only if vrc_check_context_key is on, and always with lockdep, as
 * src/instrument/context.h does.  @what: VRC_CONTEXT_WHAT() of an operation and a register, by their numbers in
 * names.h.  @caller: the caller of the function that checks.
 */
VRC_ASIDE void vrc_check_context(const struct vrc_host_vcpu *vcpu, vrc_u32 what, const void *caller);
#define VRC_CONTEXT_WHAT(operation, reg) ((vrc_u32)(operation) | (vrc_u32)(reg) << 8)
#define VRC_CONTEXT_OPERATION(what) ((what) & 0xff)
#define VRC_CONTEXT_REGISTER(what) ((what) >> 8)

#ifdef __cplusplus
}
#endif
#endif
