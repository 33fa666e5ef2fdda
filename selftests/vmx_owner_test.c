// SPDX-License-Identifier: GPL-2.0
/* VMX has one owner: while KVM runs a virtual machine, the module refuses to load, and logs the reason. */
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

/* Returns 0, or the error of loading kvm_intel itself; -ENOENT if the kernel has none. */
static long load_kvm_intel(void)
{
	static const char *const names[] = { "irqbypass", "kvm", "kvm-intel" };
	struct utsname system;
	char path[512];
	long error = -ENOENT;

	uname(&system);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", system.release, names[i]);
		error = load_file(path, "");
	}
	return error == -EEXIST ? 0 : error;
}

static void unload_kvm(void)
{
	syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK);
	syscall(SYS_delete_module, "kvm", O_NONBLOCK);
}

/* Since 6.12 KVM takes VMX when it is loaded, before that with its first virtual machine. */
static int kvm_takes_vmx_at_load(void)
{
	char value = 'N';
	int fd = open("/sys/module/kvm/parameters/enable_virt_at_load", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &value, 1) != 1)
			value = 'N';
		close(fd);
	}
	return value == 'Y';
}

static long load_vregcache(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/vregcache.ko", getenv("VRC_MODULES"));
	return load_file(path, getenv("VRC_INSMOD_ARGS"));
}

/* The number of the module's log lines since the last call, without the kernel's about the missing signature. */
static unsigned int new_log_lines(int log)
{
	unsigned int lines = 0;
	char record[8192];
	ssize_t bytes;

	while ((bytes = read(log, record, sizeof(record) - 1)) > 0) {
		record[bytes] = 0;
		lines += strstr(record, ";vregcache: ") && !strstr(record, ": module verification failed");
	}
	return lines;
}

TEST(module_does_not_load_while_kvm_uses_vmx)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	long error;
	int kvm, vm;

	if (!device_is_vregcache() || !getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES does not name a folder with vregcache.ko");
	ASSERT_GE(log, 0);
	/* An earlier test may have left vregcache_test loaded, which holds vregcache. */
	syscall(SYS_delete_module, "vregcache_test", O_NONBLOCK);
	ASSERT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	error = load_kvm_intel();
	if (error == -ENOENT) {
		EXPECT_EQ(0, load_vregcache());
		SKIP(return, "this kernel has no kvm_intel");
	}
	ASSERT_EQ(0, error);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_GE(kvm, 0);
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	ASSERT_GE(vm, 0);
	new_log_lines(log);
	EXPECT_EQ(-EBUSY, load_vregcache());
	EXPECT_EQ(1U, new_log_lines(log));
	EXPECT_EQ(-1, access("/dev/vregcache", F_OK));

	/* KVM's last virtual machine gives VMX up, or KVM itself. */
	close(vm);
	close(kvm);
	usleep(100000);
	if (kvm_takes_vmx_at_load()) {
		EXPECT_EQ(-EBUSY, load_vregcache());
		unload_kvm();
	}
	EXPECT_EQ(0, load_vregcache());
	close(log);
	unload_kvm();
}

TEST(kvm_cannot_use_vmx_while_the_module_does)
{
	long error;

	if (!device_is_vregcache() || !getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES does not name a folder with vregcache.ko");
	error = load_kvm_intel();
	if (error == -ENOENT)
		SKIP(return, "this kernel has no kvm_intel");
	if (error) {
		EXPECT_EQ(-EIO, error);
		EXPECT_NE(0, access("/sys/module/kvm_intel", F_OK));
	} else {
		int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

		EXPECT_FALSE(kvm_takes_vmx_at_load());
		ASSERT_GE(kvm, 0);
		EXPECT_EQ(-1, ioctl(kvm, KVM_CREATE_VM, 0UL));
		EXPECT_EQ(EBUSY, errno);
		close(kvm);
	}
	unload_kvm();
	/* The module has not lost VMX. */
	EXPECT_EQ(0, access("/dev/vregcache", F_OK));
	syscall(SYS_delete_module, "vregcache", O_NONBLOCK);
	EXPECT_EQ(0, load_vregcache());
}

TEST_HARNESS_MAIN
