// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../vregcache_test/vregcache_test.h"
#include "test_module.h"

#define DEVICE "/dev/vregcache_test"

static int device = -1;

const char *test_module_load(void)
{
	const char *directory = getenv("VRC_MODULES");
	char path[4096];
	int tries;
	int fd;

	if (!device_is_vregcache())
		return "it needs vregcache";
	/* It uses vregcache's symbols. */
	ensure_module();
	if (access(DEVICE, F_OK)) {
		if (!directory)
			return "VRC_MODULES does not name the folder of the modules";
		snprintf(path, sizeof(path), "%s/vregcache_test.ko", directory);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			die("%s", path);
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
			die("loading %s", path);
		close(fd);
		for (tries = 0; tries < 200 && access(DEVICE, F_OK); tries++)
			usleep(10000);
	}
	device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("%s", DEVICE);
	return NULL;
}

void test_module_close(void)
{
	close(device);
	device = -1;
}

void test_module_unload(void)
{
	test_module_close();
	if (syscall(SYS_delete_module, "vregcache_test", O_NONBLOCK))
		die("unloading vregcache_test");
}

long vmcs_try_read(int vcpu_fd, uint32_t field, uint64_t *value)
{
	struct vrc_test_field request = { .vcpu = vcpu_fd, .encoding = field };
	long error = ioctl_ptr(device, VRC_TEST_VMCS_READ, &request);

	*value = request.value;
	return error;
}

long vmcs_try_write(int vcpu_fd, uint32_t field, uint64_t value)
{
	struct vrc_test_field request = { .vcpu = vcpu_fd, .encoding = field, .value = value };

	return ioctl_ptr(device, VRC_TEST_VMCS_WRITE, &request);
}

long vmcs_try_clear(int vcpu_fd)
{
	__s32 request = vcpu_fd;

	return ioctl_ptr(device, VRC_TEST_VMCS_CLEAR, &request);
}

long test_interrupt_guest(struct vrc_test_interruptions *request)
{
	return ioctl_ptr(device, VRC_TEST_INTERRUPT_GUEST, request);
}

long test_miss_begin(struct vrc_test_miss *request)
{
	return ioctl_ptr(device, VRC_TEST_MISS_BEGIN, request);
}

long test_miss_end(struct vrc_test_miss *request)
{
	return ioctl_ptr(device, VRC_TEST_MISS_END, request);
}

long test_module_ioctl(unsigned long command, void *argument)
{
	return ioctl_ptr(device, command, argument);
}

uint64_t vmcs_read(struct vcpu *vcpu, uint32_t field)
{
	uint64_t value;

	if (vmcs_try_read(vcpu->fd, field, &value))
		die("VMREAD of %#x", field);
	return value;
}

void vmcs_write(struct vcpu *vcpu, uint32_t field, uint64_t value)
{
	if (vmcs_try_write(vcpu->fd, field, value))
		die("VMWRITE of %#x", field);
}

void kernel_log_open(struct kernel_log *log)
{
	log->fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (log->fd < 0)
		die("/dev/kmsg");
	kernel_log_skip(log);
}

void kernel_log_skip(struct kernel_log *log)
{
	if (lseek(log->fd, 0, SEEK_END) < 0)
		die("/dev/kmsg");
}

unsigned int kernel_log_count(struct kernel_log *log, const char *what)
{
	/* /dev/kmsg gives one record at a time: priority, number, time, flags; text. */
	char record[2048];
	unsigned int found = 0;
	size_t used = 0;
	ssize_t bytes;
	char *text;

	log->text[0] = 0;
	for (;;) {
		bytes = read(log->fd, record, sizeof(record) - 1);
		/* EPIPE: records were overwritten before they were read. */
		if (bytes < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (bytes < 0)
			break;
		record[bytes] = 0;
		text = strchr(record, ';');
		if (!text || strncmp(text + 1, "vregcache: ", 11))
			continue;
		used += snprintf(log->text + used, sizeof(log->text) - used, "%s", text + 1);
		if (used >= sizeof(log->text))
			die("the module logged more than the buffer holds");
		found += strstr(text, what) != NULL;
	}
	if (errno != EAGAIN)
		die("/dev/kmsg");
	return found;
}

void kernel_log_close(struct kernel_log *log)
{
	close(log->fd);
}

int test_module_device(void)
{
	return device;
}
