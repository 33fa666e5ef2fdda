// SPDX-License-Identifier: GPL-2.0
/* VMX operation has one owner: KVM, with which the module shares it, or the module itself. */
#include "lib/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

/* The number of the module's log lines with these words since the last call. */
static unsigned int new_log_lines_with(int log, const char *words)
{
	unsigned int lines = 0;
	char record[8192];
	ssize_t bytes;

	while ((bytes = read(log, record, sizeof(record) - 1)) > 0) {
		record[bytes] = 0;
		lines += strstr(record, ";vregcache: ") && strstr(record, words) &&
			 !strstr(record, ": module verification failed");
	}
	return lines;
}

/* All of them, without the kernel's about the missing signature. */
static unsigned int new_log_lines(int log)
{
	return new_log_lines_with(log, "");
}

/* Parameters beside those that the machine needs. */
static long load_vregcache(const char *parameters)
{
	const char *usual = getenv("VRC_INSMOD_ARGS");
	char path[4096], all[1024];

	snprintf(path, sizeof(path), "%s/vregcache.ko", getenv("VRC_MODULES"));
	snprintf(all, sizeof(all), "%s %s", usual ? usual : "", parameters);
	return load_file(path, all);
}

static int is_loaded(const char *module)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/holders", module);
	return access(path, F_OK) == 0;
}

/* From Linux 6.19 on only KVM can turn VMX on. */
static int kernel_lets_modules_own_vmx(void)
{
	unsigned int major, minor;
	struct utsname system;

	uname(&system);
	return sscanf(system.release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 19));
}

FIXTURE(owner)
{
	int log;
};

/* Neither module is loaded, and /dev/kvm is as the kernel makes it. */
FIXTURE_SETUP(owner)
{
	self->log = -1;
	if (!device_is_vregcache() || !getenv("VRC_MODULES"))
		SKIP(return, "VRC_MODULES does not name a folder with vregcache.ko");
	self->log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_GE(self->log, 0);
	/* An earlier test may have left vregcache_test loaded, which holds vregcache. */
	syscall(SYS_delete_module, "vregcache_test", O_NONBLOCK);
	ASSERT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	usleep(100000);
	unload_kvm();
	ASSERT_FALSE(is_loaded("kvm_intel"));
}

/* As the other tests want it. */
FIXTURE_TEARDOWN(owner)
{
	const char *beside_kvm = getenv("VRC_BESIDE_KVM");

	if (self->log < 0)
		return;
	close(self->log);
	syscall(SYS_delete_module, "vregcache", O_NONBLOCK);
	usleep(100000);
	unload_kvm();
	if (beside_kvm && *beside_kvm)
		load_kvm_intel();
	EXPECT_EQ(0, load_vregcache(""));
}

#define RETURN_WITHOUT_KVM_INTEL()					\
	do {								\
		long result = self->log < 0 ? 0 : load_kvm_intel();	\
									\
		if (self->log < 0)					\
			return;						\
		if (result == -ENOENT)					\
			SKIP(return, "this kernel has no kvm_intel");	\
		ASSERT_EQ(0, result);					\
	} while (0)

static int create_vm_of_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm;

	if (kvm < 0)
		return -errno;
	vm = ioctl(kvm, KVM_CREATE_VM, 0UL);
	if (vm < 0)
		vm = -errno;
	close(kvm);
	return vm;
}

/* Without a parameter, while KVM has a virtual machine and after that. */
TEST_F(owner, module_loads_beside_kvm)
{
	int vm;

	RETURN_WITHOUT_KVM_INTEL();
	vm = create_vm_of_kvm();
	ASSERT_GE(vm, 0);
	new_log_lines(self->log);
	EXPECT_EQ(0, load_vregcache(""));
	EXPECT_EQ(1U, new_log_lines_with(self->log, "loaded with vmx_owner=kvm"));
	EXPECT_EQ(0, access("/dev/vregcache", F_OK));
	close(vm);
	/* VMX stays on, and KVM stays loaded, without a virtual machine of another process. */
	usleep(100000);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK));
	EXPECT_EQ(EAGAIN, errno);
	vm = create_vm_of_kvm();
	EXPECT_GE(vm, 0);
	close(vm);
	EXPECT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	usleep(100000);
	EXPECT_EQ(0, syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK));
}

/* /dev/kvm need not be KVM's: README.md has clients use a link to our own device. */
TEST_F(owner, dev_kvm_is_not_needed)
{
	RETURN_WITHOUT_KVM_INTEL();
	ASSERT_EQ(0, rename("/dev/kvm", "/dev/kvm.away"));
	EXPECT_EQ(0, load_vregcache("vmx_owner=kvm"));
	EXPECT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	EXPECT_EQ(0, symlink("/dev/vregcache", "/dev/kvm"));
	EXPECT_EQ(0, load_vregcache(""));
	EXPECT_EQ(-1, syscall(SYS_delete_module, "kvm_intel", O_NONBLOCK));
	EXPECT_EQ(0, unlink("/dev/kvm"));
	EXPECT_EQ(0, rename("/dev/kvm.away", "/dev/kvm"));
}

/* The module logs one line, and leaves KVM as it was. */
TEST_F(owner, vmx_that_kvm_uses_is_not_taken)
{
	int vm;

	RETURN_WITHOUT_KVM_INTEL();
	vm = create_vm_of_kvm();
	ASSERT_GE(vm, 0);
	new_log_lines(self->log);
	EXPECT_EQ(kernel_lets_modules_own_vmx() ? -EBUSY : -EOPNOTSUPP, load_vregcache("vmx_owner=own"));
	EXPECT_EQ(1U, new_log_lines(self->log));
	EXPECT_EQ(-1, access("/dev/vregcache", F_OK));
	close(vm);
}

TEST_F(owner, wrong_parameters_are_refused)
{
	if (self->log < 0)
		return;
	new_log_lines(self->log);
	EXPECT_EQ(-ENODEV, load_vregcache("vmx_owner=kvm"));
	EXPECT_EQ(1U, new_log_lines(self->log));
	EXPECT_EQ(-EINVAL, load_vregcache("vmx_owner=xen"));
	EXPECT_EQ(1U, new_log_lines(self->log));
	EXPECT_EQ(-1, access("/dev/vregcache", F_OK));
}

TEST_F(owner, kvm_cannot_use_vmx_that_the_module_owns)
{
	long error;

	if (self->log < 0)
		return;
	if (!kernel_lets_modules_own_vmx()) {
		new_log_lines(self->log);
		EXPECT_EQ(-EOPNOTSUPP, load_vregcache(""));
		EXPECT_EQ(1U, new_log_lines(self->log));
		SKIP(return, "this kernel lets only KVM turn VMX on");
	}
	EXPECT_EQ(0, load_vregcache(""));
	error = load_kvm_intel();
	if (error == -ENOENT)
		SKIP(return, "this kernel has no kvm_intel");
	if (error) {
		EXPECT_EQ(-EIO, error);
		EXPECT_FALSE(is_loaded("kvm_intel"));
	} else {
		EXPECT_FALSE(kvm_takes_vmx_at_load());
		EXPECT_EQ(-EBUSY, create_vm_of_kvm());
	}
	unload_kvm();
	/* The module has not lost VMX. */
	EXPECT_EQ(0, access("/dev/vregcache", F_OK));
	EXPECT_EQ(0, syscall(SYS_delete_module, "vregcache", O_NONBLOCK));
	EXPECT_EQ(0, load_vregcache(""));
}

TEST_HARNESS_MAIN
