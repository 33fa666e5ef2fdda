// SPDX-License-Identifier: GPL-2.0
/* The same host in C, by the library's C interface. */
#include <vregcache/c_interface.h>

#include <stdio.h>
#include <stdlib.h>

#define VMCS 0x1000

struct hardware {
	unsigned long long field[0x8000];
	unsigned int vmreads;
	unsigned int vmwrites;
	unsigned int misses;
};

static enum vregcache_error vmread(void *owner, unsigned int encoding, unsigned long long *value)
{
	struct hardware *hardware = owner;

	hardware->vmreads++;
	*value = hardware->field[encoding];
	return VREGCACHE_OK;
}

static enum vregcache_error vmwrite(void *owner, unsigned int encoding, unsigned long long value)
{
	struct hardware *hardware = owner;

	hardware->vmwrites++;
	hardware->field[encoding] = value;
	return VREGCACHE_OK;
}

static int is_current(void *owner, unsigned long long vmcs)
{
	(void)owner;
	return vmcs == VMCS;
}

static void miss(void *owner, unsigned int reg, unsigned long long value)
{
	struct hardware *hardware = owner;

	(void)reg;
	(void)value;
	hardware->misses++;
}

static int exit_and_enter(struct vregcache_cache *cache)
{
	unsigned long long rip, again;

	if (vregcache_vm_exit(cache) || vregcache_read(cache, VREGCACHE_C_kRip, &rip) ||
	    vregcache_read(cache, VREGCACHE_C_kRip, &again) || again != rip)
		return -1;
	if (vregcache_write(cache, VREGCACHE_C_kRip, rip + 2) || !vregcache_is_dirty(cache, VREGCACHE_C_kRip))
		return -1;
	return vregcache_write_back(cache);
}

int main(void)
{
	static struct hardware hardware;
	const struct vregcache_access access = {
		.owner = &hardware, .vmread = vmread, .vmwrite = vmwrite, .is_current = is_current, .miss = miss,
	};
	struct vregcache_cache *cache = malloc(vregcache_size());
	unsigned long long value;
	int failed;

	if (!cache)
		return 1;
	vregcache_init(cache, &access);
	failed = vregcache_bind(cache, VMCS);
	for (int i = 0; i < 100; i++)
		failed = failed || exit_and_enter(cache);
	printf("100 exits: %u VMREADs, %u VMWRITEs, %u misses\n", hardware.vmreads, hardware.vmwrites, hardware.misses);
	failed = failed || hardware.vmreads != 100 || hardware.vmwrites != 100 || hardware.misses != 100;
	/* Exit information cannot be written, and there is no register of that number. */
	failed = failed || vregcache_write(cache, VREGCACHE_C_kExitReason, 0) != VREGCACHE_NO_REGISTER ||
		 vregcache_read(cache, VREGCACHE_REGISTER_END, &value) != VREGCACHE_NO_REGISTER;
	free(cache);
	return failed ? 1 : 0;
}
