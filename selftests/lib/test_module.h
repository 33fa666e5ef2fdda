/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vregcache_test.ko, and its operations on vCPUs. A failure ends the test
 * program, except where an error is returned.
 */
#ifndef SELFTESTS_LIB_TEST_MODULE_H
#define SELFTESTS_LIB_TEST_MODULE_H

#include "vm.h"

/* VMCS fields (SDM Vol. 3D, Appendix B): the encodings of successive segments are two apart. */
#define VMCS_VPID			0x0000
#define VMCS_GUEST_ES_SELECTOR		0x0800
#define VMCS_HOST_ES_SELECTOR		0x0c00
#define VMCS_HOST_TR_SELECTOR		0x0c0c
#define VMCS_IO_BITMAP_A		0x2000
#define VMCS_IO_BITMAP_B		0x2002
#define VMCS_MSR_BITMAPS		0x2004
#define VMCS_EXIT_MSR_STORE_ADDRESS	0x2006
#define VMCS_EXIT_MSR_LOAD_ADDRESS	0x2008
#define VMCS_ENTRY_MSR_LOAD_ADDRESS	0x200a
#define VMCS_EPT_POINTER		0x201a
#define VMCS_LINK_POINTER		0x2800
#define VMCS_GUEST_DEBUGCTL		0x2802
#define VMCS_GUEST_PAT			0x2804
#define VMCS_GUEST_EFER			0x2806
#define VMCS_GUEST_PDPTE0		0x280a
#define VMCS_HOST_PAT			0x2c00
#define VMCS_HOST_EFER			0x2c02
#define VMCS_PIN_BASED			0x4000
#define VMCS_PRIMARY			0x4002
#define VMCS_CR3_TARGET_COUNT		0x400a
#define VMCS_EXIT_CONTROLS		0x400c
#define VMCS_EXIT_MSR_STORE_COUNT	0x400e
#define VMCS_EXIT_MSR_LOAD_COUNT	0x4010
#define VMCS_ENTRY_CONTROLS		0x4012
#define VMCS_ENTRY_MSR_LOAD_COUNT	0x4014
#define VMCS_ENTRY_INTERRUPTION		0x4016
#define VMCS_ENTRY_ERROR_CODE		0x4018
#define VMCS_ENTRY_LENGTH		0x401a
#define VMCS_SECONDARY			0x401e
#define VMCS_INSTRUCTION_ERROR		0x4400
#define VMCS_GUEST_ES_LIMIT		0x4800
#define VMCS_GUEST_GDTR_LIMIT		0x4810
#define VMCS_GUEST_IDTR_LIMIT		0x4812
#define VMCS_GUEST_ES_RIGHTS		0x4814
#define VMCS_GUEST_INTERRUPTIBILITY	0x4824
#define VMCS_GUEST_ACTIVITY		0x4826
#define VMCS_GUEST_CR0			0x6800
#define VMCS_GUEST_CR3			0x6802
#define VMCS_GUEST_CR4			0x6804
#define VMCS_GUEST_ES_BASE		0x6806
#define VMCS_GUEST_GDTR_BASE		0x6816
#define VMCS_GUEST_IDTR_BASE		0x6818
#define VMCS_GUEST_DR7			0x681a
#define VMCS_GUEST_RIP			0x681e
#define VMCS_GUEST_RFLAGS		0x6820
#define VMCS_GUEST_PENDING_DEBUG	0x6822
#define VMCS_GUEST_SYSENTER_ESP		0x6824
#define VMCS_GUEST_SYSENTER_EIP		0x6826
#define VMCS_HOST_CR0			0x6c00
#define VMCS_HOST_CR3			0x6c02
#define VMCS_HOST_CR4			0x6c04
#define VMCS_HOST_GS_BASE		0x6c08
#define VMCS_HOST_TR_BASE		0x6c0a
#define VMCS_HOST_GDTR_BASE		0x6c0c
#define VMCS_HOST_IDTR_BASE		0x6c0e
#define VMCS_HOST_SYSENTER_ESP		0x6c10
#define VMCS_HOST_SYSENTER_EIP		0x6c12
#define VMCS_HOST_RIP			0x6c16

enum vmcs_segment { VMCS_ES, VMCS_CS, VMCS_SS, VMCS_DS, VMCS_FS, VMCS_GS, VMCS_LDTR, VMCS_TR };
#define VMCS_SELECTOR(segment)	(VMCS_GUEST_ES_SELECTOR + 2 * VMCS_##segment)
#define VMCS_BASE(segment)	(VMCS_GUEST_ES_BASE + 2 * VMCS_##segment)
#define VMCS_LIMIT(segment)	(VMCS_GUEST_ES_LIMIT + 2 * VMCS_##segment)
#define VMCS_RIGHTS(segment)	(VMCS_GUEST_ES_RIGHTS + 2 * VMCS_##segment)
#define VMCS_HOST_SELECTOR(segment) (VMCS_HOST_ES_SELECTOR + 2 * VMCS_##segment)

/* Registers of the cache, with the numbers of enum class Reg in include/vregcache/register.h. */
#define CACHE_RSP			1
#define CACHE_RFLAGS			2
#define CACHE_CR3			8
#define CACHE_IDTR_BASE			19
#define CACHE_GUEST_PHYSICAL_ADDRESS	29
#define CACHE_BASE(segment)		(32 + 4 * VMCS_##segment + 1)
#define CACHE_LIMIT(segment)		(32 + 4 * VMCS_##segment + 2)

/* Why the test module cannot be used, or NULL. Loads it. */
const char *test_module_load(void);
/* Its device, for ioctls of vregcache_test.h. */
int test_module_device(void);
/* Closes the device. The module stays loaded, since loading it takes long. */
void test_module_close(void);
/* Also unloads it, for a test that needs the log rate-limited. */
void test_module_unload(void);

uint64_t vmcs_read(struct vcpu *vcpu, uint32_t field);
void vmcs_write(struct vcpu *vcpu, uint32_t field, uint64_t value);
/* 0 or -errno. */
long vmcs_try_read(int vcpu_fd, uint32_t field, uint64_t *value);
long vmcs_try_write(int vcpu_fd, uint32_t field, uint64_t value);
long vmcs_try_clear(int vcpu_fd);
/* One of the ioctls in vregcache_test.h. 0 or -errno. */
long test_module_ioctl(unsigned long command, void *argument);

/* VRC_TEST_INTERRUPT_GUEST of vregcache_test.h: 0 or -errno. */
struct vrc_test_interruptions;
long test_interrupt_guest(struct vrc_test_interruptions *request);

/* VRC_TEST_MISS_BEGIN and _END: 0 or -errno. */
struct vrc_test_miss;
long test_miss_begin(struct vrc_test_miss *request);
long test_miss_end(struct vrc_test_miss *request);

/* The module's messages from now on. */
struct kernel_log {
	int fd;
	char text[8192];
};
void kernel_log_open(struct kernel_log *log);
/* Drops earlier messages. */
void kernel_log_skip(struct kernel_log *log);
/* The number of vregcache's lines since then that contain this; log->text has all lines. */
unsigned int kernel_log_count(struct kernel_log *log, const char *what);
void kernel_log_close(struct kernel_log *log);

#endif /* SELFTESTS_LIB_TEST_MODULE_H */
