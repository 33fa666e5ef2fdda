/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Virtual machines for tests. Operations that a test needs as its fixture and
 * does not check itself either work or end the test program with a message.
 */
#ifndef SELFTESTS_LIB_VM_H
#define SELFTESTS_LIB_VM_H

#include <stddef.h>
#include <stdint.h>
#include <linux/kvm.h>

#include "guest.h"

#define PAGE_BYTES 4096UL

/* Ends the test as failed. Prints errno's text if errno is not 0. */
#define die(...) die_at(__FILE__, __LINE__, __VA_ARGS__)
void die_at(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

/* VRC_DEVICE, or /dev/vregcache. */
const char *device_path(void);

/*
 * Loads VRC_MODULES/vregcache.ko with the parameters in VRC_INSMOD_ARGS if the
 * device is absent. Does nothing if VRC_DEVICE names another device.
 */
void ensure_module(void);

/* 0 if VRC_DEVICE names another device, such as /dev/kvm. */
int device_is_vregcache(void);
/* Is VMX operation KVM's, and the module beside it? */
int is_beside_kvm(void);

/* Opens the device, close-on-exec. */
int device_open(void);

/* ioctl() that returns -errno. */
long ioctl_errno(int fd, unsigned long request, unsigned long arg);
#define ioctl_ptr(fd, request, pointer) ioctl_errno((fd), (request), (unsigned long)(pointer))

struct vm {
	int dev;
	int fd;
	/* Slot 0: guest-physical 0 up to mem_size. */
	uint8_t *mem;
	size_t mem_size;
};

struct vcpu {
	struct vm *vm;
	int fd;
	struct kvm_run *run;
	size_t run_size;
};

/* A virtual machine without memory. */
void vm_create_bare(struct vm *vm);
/* A virtual machine with mem_size bytes of memory in slot 0. */
void vm_create(struct vm *vm, size_t mem_size);
void vm_destroy(struct vm *vm);

/* Page-aligned, zeroed, private anonymous memory. */
void *host_alloc(size_t size);

/* 0 or -errno. */
long vm_set_slot(struct vm *vm, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size, void *host);

/* The host address of a guest-physical address of slot 0. */
void *vm_at(struct vm *vm, uint64_t gpa);
uint64_t vm_read64(struct vm *vm, uint64_t gpa);
void vm_write64(struct vm *vm, uint64_t gpa, uint64_t value);

/* Guest code is a pair of symbols, guest_NAME and guest_NAME_end. */
#define GUEST_BLOB(name) extern const uint8_t guest_##name[], guest_##name##_end[]
#define vm_load(vm, gpa, name) vm_load_bytes((vm), (gpa), guest_##name, guest_##name##_end - guest_##name)
void vm_load_bytes(struct vm *vm, uint64_t gpa, const void *bytes, size_t size);

/*
 * A small guest as top-level assembly. It must be position independent, or
 * compute addresses as GUEST_CODE plus a difference of labels.
 */
#define GUEST_STRING_(x) #x
#define GUEST_STRING(x) GUEST_STRING_(x)
#define GUEST_ASM(name, bits, text)						\
	GUEST_BLOB(name);							\
	asm(".pushsection .rodata\n"						\
	    ".code" #bits "\n"							\
	    "guest_" #name ":\n"						\
	    text "\n"								\
	    "guest_" #name "_end:\n"						\
	    ".code64\n"								\
	    ".popsection\n")

void vcpu_create(struct vcpu *vcpu, struct vm *vm, uint32_t id);
/* As above, but the guest has no CPUID entries. */
void vcpu_create_without_cpuid(struct vcpu *vcpu, struct vm *vm, uint32_t id);
void vcpu_destroy(struct vcpu *vcpu);

/*
 * Runs until the next exit to userspace and returns its reason. A signal and
 * immediate_exit are KVM_EXIT_INTR. Any other error of KVM_RUN is fatal.
 */
int vcpu_run(struct vcpu *vcpu);

/*
 * Lets the vCPU finish the IN or OUT that it last exited for, without running
 * the guest, so that its registers are those after the instruction.
 */
void vcpu_complete_io(struct vcpu *vcpu);

/* The data of the last KVM_EXIT_IO. */
void *vcpu_io_data(struct vcpu *vcpu);

/* 1 if the last exit is an OUT (or IN) of this size and count 1 on this port. */
int vcpu_is_io(struct vcpu *vcpu, int direction, uint16_t port, int size);

/* Runs until HLT. Returns 0, or the exit reason that came instead. */
int vcpu_run_to_hlt(struct vcpu *vcpu);

void vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
void vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);

/* Starts the guest at this RIP with its other registers kept. */
void vcpu_set_rip(struct vcpu *vcpu, uint64_t rip);

/* 1 if the MSR was read or written. */
int vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value);
int vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value);

#endif /* SELFTESTS_LIB_VM_H */
