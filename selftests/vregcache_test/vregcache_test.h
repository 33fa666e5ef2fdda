/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ioctls of /dev/vregcache_test, for tests of vregcache. Each names a vCPU
 * by its file descriptor, which must be of the calling process.
 *
 * EBADF: that is no open file, or no vCPU of vregcache.
 * EIO: the vCPU belongs to another process, or its CPU is not in VMX operation.
 * EINVAL: the CPU has no such VMCS field, or does not let it be written.
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
 * VMREAD and VMWRITE below the register cache, which learns nothing of it: a
 * register that the cache has in memory stays what it is there.
 */
#define VRC_TEST_VMCS_READ _IOWR(VRC_TEST_IOCTL_TYPE, 0x00, struct vrc_test_field)
#define VRC_TEST_VMCS_WRITE _IOW(VRC_TEST_IOCTL_TYPE, 0x01, struct vrc_test_field)

/*
 * VMCLEAR behind the module's back: it believes that the VMCS is current on
 * this CPU, and launched. The argument is a pointer to the file descriptor.
 */
#define VRC_TEST_VMCS_CLEAR _IOW(VRC_TEST_IOCTL_TYPE, 0x02, __s32)

#endif /* VREGCACHE_TEST_H */
