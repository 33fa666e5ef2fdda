// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm.h"

#define DEFAULT_DEVICE "/dev/vregcache"

const char *device_path(void)
{
	const char *path = getenv("VRC_DEVICE");

	return path ? path : DEFAULT_DEVICE;
}

int device_is_vregcache(void)
{
	return !strcmp(device_path(), DEFAULT_DEVICE);
}

int is_beside_kvm(void)
{
	char owner[16] = "";
	int fd;

	if (!device_is_vregcache())
		return 0;
	ensure_module();
	fd = open("/sys/module/vregcache/parameters/vmx_owner", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("vmx_owner");
	if (read(fd, owner, sizeof(owner) - 1) < 0)
		die("vmx_owner");
	close(fd);
	return !strcmp(owner, "kvm\n");
}

void ensure_module(void)
{
	const char *directory = getenv("VRC_MODULES");
	const char *parameters = getenv("VRC_INSMOD_ARGS");
	char path[4096];
	int tries;
	int fd;

	if (getenv("VRC_DEVICE") || !access(DEFAULT_DEVICE, F_OK) || !directory)
		return;

	snprintf(path, sizeof(path), "%s/vregcache.ko", directory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("%s", path);
	/* EEXIST: another test was faster. */
	if (syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) && errno != EEXIST)
		die("loading %s", path);
	close(fd);

	/* A daemon may create the node with a delay. */
	for (tries = 0; tries < 200 && access(DEFAULT_DEVICE, F_OK); tries++)
		usleep(10000);
}

int device_open(void)
{
	int fd;

	ensure_module();
	fd = open(device_path(), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("%s", device_path());
	return fd;
}
