// SPDX-License-Identifier: GPL-2.0
/* VMX belongs to one: while KVM runs a machine, the module refuses to load, and says why. */
#include "lib/harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "lib/vm.h"

static long load_file(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long error;

	if (fd < 0)
		return -errno;
	error = syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) ? -errno : 0;
	close(fd);
	return error;
}

static void load_kvm_intel(void)
{
	static const char *const names[] = { "irqbypass", "kvm", "kvm-intel" };
	struct utsname system;
	char path[512];

	uname(&system);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", system.release, names[i]);
		load_file(path, "");
	}
}

static long load_vregcache(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/vregcache.ko", getenv("VRC_MODULES"));
	return load_file(path, getenv("VRC_INSMOD_ARGS"));
}

/* The number of lines about the module that have come since the last call. */
static unsigned int new_log_lines(int log)
{
	unsigned int lines = 0;
	char record[8192];
	ssize_t bytes;

	while ((bytes = read(log, record, sizeof(record) - 1)) > 0) {
		record[bytes] = 0;
		lines += !!strstr(record, ";vregcache");
	}
	return lines;
}

TEST(module_refuses_to_load_while_kvm_owns_vmx)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int kvm, vm;

	if (!device_is_vregcache() || !getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES does not name a folder with vregcache.ko");
	load_kvm_intel();
	kvm = access("/sys/module/kvm_intel", F_OK) ? -1 : open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		SKIP(return, "no kvm_intel on this machine");
	ASSERT_GE(log, 0);
	syscall(SYS_delete_module, "vregcache", O_NONBLOCK);
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	ASSERT_GE(vm, 0);
	new_log_lines(log);
	EXPECT_EQ(-EBUSY, load_vregcache());
	EXPECT_EQ(1U, new_log_lines(log));
	EXPECT_EQ(-1, access("/dev/vregcache", F_OK));

	/* It is KVM's last machine that gives VMX up. */
	close(vm);
	close(kvm);
	usleep(100000);
	EXPECT_EQ(0, load_vregcache());
	close(log);
	syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK);
}

TEST_HARNESS_MAIN
