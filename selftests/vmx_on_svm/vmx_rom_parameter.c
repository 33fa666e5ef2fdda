// SPDX-License-Identifier: GPL-2.0
/*
 * Sets a parameter of the VMX ROM on all CPUs: vmx_rom_parameter NAME VALUE. Without a value it prints that of CPU 0.
 * The ROM must run with testing=1 (parameters.h), and the msr driver must be loaded.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_MSR	0x400000f0

/* In the order of parameters.h. */
static const char *const names[] = {
	"feature_control", "absent_secondary", "vmwrite_any_field", "vmxon_fails_on", "hide_vmx",
};

static int find(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i], name))
			return FIRST_MSR + i;
	}
	return -1;
}

int main(int argc, char **argv)
{
	int msr = argc > 1 ? find(argv[1]) : -1;
	uint64_t value;
	char path[64];
	int cpu;
	int fd;

	if (msr < 0 || argc > 3) {
		fprintf(stderr, "usage: %s NAME [VALUE]\n", argv[0]);
		return 2;
	}
	for (cpu = 0;; cpu++) {
		snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
		fd = open(path, O_RDWR);
		if (fd < 0)
			break;
		if (argc == 2) {
			if (pread(fd, &value, sizeof(value), msr) != sizeof(value))
				break;
			printf("%#llx\n", (unsigned long long)value);
			return 0;
		}
		value = strtoull(argv[2], NULL, 0);
		if (pwrite(fd, &value, sizeof(value), msr) != sizeof(value)) {
			cpu = 0;
			break;
		}
		close(fd);
	}
	if (cpu)
		return 0;
	fprintf(stderr, "%s: the VMX ROM is not there, or does not run with testing=1\n", argv[0]);
	return 1;
}
