// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves the kernel by kexec while guests spin on every CPU, for a payload that
 * checks whether each CPU has left VMX operation. The machine is gone then, so
 * this is not a kselftest: the init of the test machine runs it last.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cpus.h"
#include "lib/kexec_payload.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define FADT		"/sys/firmware/acpi/tables/FACP"
#define FADT_PM1A	64
#define MAX_CPUS	16

GUEST_ASM(spin, 64, "1: incq (%rsi)\n jmp 1b\n");

struct spinner {
	struct vm vm;
	struct vcpu vcpu;
	int cpu;
};

static void *spin(void *argument)
{
	struct spinner *spinner = argument;

	if (pin_to_cpu(spinner->cpu))
		die("CPU %d", spinner->cpu);
	/* Fails when VMX is turned off. */
	ioctl_errno(spinner->vcpu.fd, KVM_RUN, 0);
	return NULL;
}

static void start_spinner(struct spinner *spinner, int cpu)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED | RFLAGS_IF, .rsi = GUEST_FREE };
	pthread_t thread;

	spinner->cpu = cpu;
	vm_create(&spinner->vm, GUEST_MEM_SIZE);
	vcpu_create(&spinner->vcpu, &spinner->vm, 0);
	vcpu_enter_long(&spinner->vcpu);
	vm_load(&spinner->vm, GUEST_CODE, spin);
	vcpu_set_regs(&spinner->vcpu, &regs);
	if (pthread_create(&thread, NULL, spin, spinner))
		die("pthread_create");
	while (!*(volatile uint64_t *)vm_at(&spinner->vm, GUEST_FREE))
		usleep(1000);
}

static uint32_t pm1a_control(void)
{
	uint32_t port = 0;
	int file = open(FADT, O_RDONLY);

	if (file < 0 || pread(file, &port, sizeof(port), FADT_PM1A) != sizeof(port))
		die("%s", FADT);
	close(file);
	return port;
}

int main(void)
{
	static uint8_t payload[KEXEC_PAYLOAD_BYTES];
	static struct spinner spinners[MAX_CPUS];
	struct kexec_segment segment = {
		.buf = payload, .bufsz = sizeof(payload),
		.mem = (void *)KEXEC_PAYLOAD_BASE, .memsz = sizeof(payload),
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t others = cpus - 1, port = pm1a_control();

	if (cpus < 1 || cpus > MAX_CPUS)
		die("%ld CPUs", cpus);
	memcpy(payload, kexec_payload, sizeof(payload));
	memcpy(payload + KEXEC_OTHER_CPUS, &others, sizeof(others));
	memcpy(payload + KEXEC_PM1A_CONTROL, &port, sizeof(port));
	if (syscall(SYS_kexec_load, (unsigned long)KEXEC_PAYLOAD_BASE, 1UL, &segment, (unsigned long)KEXEC_ARCH_DEFAULT))
		die("kexec_load");
	for (int cpu = 0; cpu < cpus; cpu++)
		start_spinner(&spinners[cpu], cpu);
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	die("the kernel refuses to leave");
}
