// SPDX-License-Identifier: GPL-2.0
/*
 * Guests that exit in one way many times, to measure the cost of an exit.
 * Each records the TSC ticks around the instruction that exits.
 *
 *   exits [-n ROUNDS] [-r ROW] [-c TTY] [-f] [-a NAME]
 *   exits -w                        runs a guest once, and waits forever, so
 *                                   that its VMCS stays on the CPU
 *
 * On TTY, if there is one, a reader is notified before the rounds of a row
 * begin and after they have ended, and must answer:
 *
 *   device NAME                     -a; without it the device that KVM_RUN is
 *                                   used on
 *   section MODULE NAME ADDRESS     where the kernel's modules are
 *   symbol NAME ADDRESS             where the kernel handles interrupts, and
 *                                   its functions for FPU registers and MSRs
 *   function NAME ADDRESS           with -f: where each function begins
 *   row NAME CPU ADDRESS...         of the guest's instruction that exits; or
 *                                   0 if none does, then those of the
 *                                   instructions that exit for other reasons
 *   end NAME
 *
 * The answer to `row` and to `end` is one line.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define MAX_ROUNDS	10000
#define RESULTS		GUEST_FREE
/* Pages that the guest touches once each, in a slot of their own. */
#define PAGES_GPA	0x1000000UL
#define PAGES		(2 * MAX_ROUNDS)
/* Two RDTSCs of a waiting guest are further apart than this if an interrupt came. */
#define GAP_TICKS	200
/* This long after a timer is set the guest is running again, on a software CPU too. */
#define TIMER_NS	100000

/* An instruction of a guest. */
#define GUEST_LABEL(name) extern const uint8_t guest_##name[]

/*
 * A guest that executes one instruction R12 times. The ticks around it are
 * stored at R13. R14 points to an untouched page.
 */
#define ROW_GUEST(name, before, instruction, after)				\
	GUEST_LABEL(name##_at);							\
	GUEST_ASM(name, 64,							\
		"1:	rdtsc\n"						\
		"	mov %eax, %esi\n"					\
		before								\
		"guest_" #name "_at:\n"						\
		instruction							\
		after								\
		"	rdtsc\n"						\
		"	sub %esi, %eax\n"					\
		"	mov %eax, (%r13)\n"					\
		"	add $4, %r13\n"						\
		"	dec %r12d\n"						\
		"	jnz 1b\n"						\
		"	outb %al, $" GUEST_STRING(PORT_DONE) "\n")

/* IA32_LSTAR: intercepted by KVM too, and kept in memory by both. */
#define MSR "0xc0000082"

ROW_GUEST(none, "", "", "");
ROW_GUEST(cpuid, "	xor %eax, %eax\n	xor %ecx, %ecx\n", "	cpuid\n", "");
ROW_GUEST(rdmsr, "	mov $" MSR ", %ecx\n", "	rdmsr\n", "");
ROW_GUEST(wrmsr, "	mov $" MSR ", %ecx\n	mov %r12d, %eax\n	xor %edx, %edx\n", "	wrmsr\n", "");
ROW_GUEST(hlt, "", "	hlt\n", "");
ROW_GUEST(out, "", "	outl %eax, $" GUEST_STRING(PORT_TEST) "\n", "");
ROW_GUEST(in, "", "	inl $" GUEST_STRING(PORT_TEST) ", %eax\n", "");
ROW_GUEST(vmcall, "	mov $0x7fff, %eax\n", "	vmcall\n", "");
/* CR0.AM: not related to paging, and not guest-owned with either hypervisor. */
ROW_GUEST(mov_cr0, "	mov %cr0, %rax\n	xor $0x40000, %eax\n", "	mov %rax, %cr0\n", "");
ROW_GUEST(wbinvd, "", "	wbinvd\n", "");
ROW_GUEST(ept, "", "	mov %r12, (%r14)\n", "	add $4096, %r14\n");

/* Has a timer set, and waits for its interrupt, which causes a gap between two RDTSCs. */
GUEST_LABEL(interrupt_set);
GUEST_LABEL(interrupt_done);
GUEST_ASM(interrupt, 64,
	/* The VMX-enabled Bochs takes no such exit while the guest's own interrupts are disabled. */
	"	sti\n"
	"guest_interrupt_set:\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	rdtsc\n"
	"1:	mov %eax, %esi\n"
	"	rdtsc\n"
	"	mov %eax, %edi\n"
	"	sub %esi, %edi\n"
	"	cmp $" GUEST_STRING(GAP_TICKS) ", %edi\n"
	"	jb 1b\n"
	"	mov %edi, (%r13)\n"
	"	add $4, %r13\n"
	"	dec %r12d\n"
	"	jnz guest_interrupt_set\n"
	"guest_interrupt_done:\n"
	"	outb %al, $" GUEST_STRING(PORT_DONE) "\n");

struct row {
	const char *name;
	const uint8_t *begin, *end;
	/* The instruction that exits, or NULL and then two other instructions that exit. */
	const uint8_t *at, *set, *done;
	/* The guest's own instructions between the two RDTSCs, without the one that exits. */
	unsigned int own;
};

#define ROW(name, own)								\
	{ #name, guest_##name, guest_##name##_end, guest_##name##_at, NULL, NULL, own }

static const struct row rows[] = {
	ROW(none, 0),
	ROW(cpuid, 2),
	ROW(rdmsr, 1),
	ROW(wrmsr, 3),
	ROW(hlt, 0),
	ROW(out, 0),
	ROW(in, 0),
	ROW(vmcall, 1),
	ROW(mov_cr0, 2),
	ROW(wbinvd, 0),
	/* The instruction that exits executes again. */
	ROW(ept, 2),
	/* The loop is MOV, RDTSC, MOV, SUB, CMP and JB. */
	{ "interrupt", guest_interrupt, guest_interrupt_end, NULL, guest_interrupt_set, guest_interrupt_done, 4 },
};

static unsigned int rounds = 100;
static int control = -1;

static void tell(const char *format, ...)
{
	va_list args;

	if (control < 0)
		return;
	va_start(args, format);
	vdprintf(control, format, args);
	va_end(args);
	dprintf(control, "\n");
}

static void wait_for_answer(void)
{
	char c = 0;

	while (control >= 0 && c != '\n') {
		if (read(control, &c, 1) != 1)
			die("nobody answers");
	}
}

static void open_control(const char *path)
{
	struct termios settings;

	control = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (control < 0 || tcgetattr(control, &settings))
		die("%s", path);
	cfmakeraw(&settings);
	if (tcsetattr(control, TCSANOW, &settings))
		die("%s", path);
}

static void tell_sections(const char *module)
{
	char path[512], text[64];
	struct dirent *entry;
	DIR *directory;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/sections", module);
	directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		if (!strstr(entry->d_name, "text"))
			continue;
		snprintf(path, sizeof(path), "/sys/module/%s/sections/%s", module, entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(text, sizeof(text), file)) {
			text[strcspn(text, "\n")] = 0;
			tell("section %s %s %s", module, entry->d_name, text);
		}
		if (file)
			fclose(file);
	}
	closedir(directory);
}

/* Where the kernel's interrupt handlers begin and end, and its functions with XSAVE, XRSTOR, RDMSR and WRMSR. */
static void tell_symbols(bool functions)
{
	static const char * const names[] = {
		"asm_common_interrupt", "asm_sysvec_", "asm_exc_nmi", "native_irq_return_iret",
		"save_fpregs_to_fpstate", "restore_fpregs_from_fpstate", "native_read_msr", "native_write_msr",
	};
	char line[256], address[32], type, name[128];
	FILE *file = fopen("/proc/kallsyms", "r");
	size_t i;

	if (!file)
		die("/proc/kallsyms");
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%31s %c %127s", address, &type, name) != 3)
			continue;
		if (functions && strchr("tTwW", type))
			tell("function %s %s", name, address);
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (!strncmp(name, names[i], strlen(names[i])))
				tell("symbol %s %s", name, address);
		}
	}
	fclose(file);
}

/* Only KVM_RUN and a check of the exit reason: this code is measured too. */
static void run_to_end(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	for (;;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0UL))
			die("KVM_RUN");
		if (run->exit_reason == KVM_EXIT_HLT)
			continue;
		if (run->exit_reason != KVM_EXIT_IO)
			die("exit reason %u", run->exit_reason);
		if (run->io.port == PORT_DONE)
			return;
	}
}

/* No task waits for this timer: its handler is about the shortest. */
static void run_to_end_with_timer(struct vcpu *vcpu, int timer)
{
	const struct itimerspec soon = { .it_value.tv_nsec = TIMER_NS };

	for (;;) {
		if (vcpu_run(vcpu) != KVM_EXIT_IO)
			die("exit reason %u", vcpu->run->exit_reason);
		if (vcpu->run->io.port == PORT_DONE)
			return;
		if (timerfd_settime(timer, 0, &soon, NULL))
			die("a timer");
	}
}

static void run_row(struct vcpu *vcpu, const struct row *row, int timer)
{
	if (row->at)
		run_to_end(vcpu);
	else
		run_to_end_with_timer(vcpu, timer);
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void start_guest(struct vcpu *vcpu, uint64_t page)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .r12 = rounds, .r13 = RESULTS,
		.r14 = page,
	};

	vcpu_set_regs(vcpu, &regs);
}

static void tell_row(const struct row *row, int cpu)
{
	char addresses[80];

	if (row->at)
		snprintf(addresses, sizeof(addresses), "%#lx", GUEST_CODE + (row->at - row->begin));
	else
		snprintf(addresses, sizeof(addresses), "0 %#lx %#lx", GUEST_CODE + (row->set - row->begin),
			 GUEST_CODE + (row->done - row->begin));
	tell("row %s %d %s", row->name, cpu, addresses);
}

/* For the reader and the results. */
static const char *name_of_device;

static void measure(const struct row *row, int cpu, int timer)
{
	uint8_t *pages = host_alloc(PAGES * PAGE_BYTES);
	struct vcpu vcpu;
	uint32_t *ticks;
	struct vm vm;

	/* Each page of the guest is one page of the host, and present. */
	if (madvise(pages, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE))
		die("MADV_NOHUGEPAGE");
	memset(pages, 1, 2UL * rounds * PAGE_BYTES);
	vm_create(&vm, GUEST_MEM_SIZE);
	if (vm_set_slot(&vm, 1, 0, PAGES_GPA, 2UL * rounds * PAGE_BYTES, pages))
		die("KVM_SET_USER_MEMORY_REGION");
	vcpu_create(&vcpu, &vm, 0);
	vcpu_enter_long(&vcpu);
	vm_load_bytes(&vm, GUEST_CODE, row->begin, row->end - row->begin);

	/* A first run for everything that is done just once. */
	start_guest(&vcpu, PAGES_GPA);
	run_row(&vcpu, row, timer);

	start_guest(&vcpu, PAGES_GPA + rounds * PAGE_BYTES);
	tell_row(row, cpu);
	wait_for_answer();
	run_row(&vcpu, row, timer);
	tell("end %s", row->name);
	wait_for_answer();

	ticks = vm_at(&vm, RESULTS);
	qsort(ticks, rounds, sizeof(*ticks), compare);
	printf("ticks %s %s median=%u min=%u max=%u rounds=%u own=%u\n", name_of_device, row->name,
	       ticks[(rounds - 1) / 2], ticks[0], ticks[rounds - 1], rounds, row->own);
	fflush(stdout);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);
	munmap(pages, PAGES * PAGE_BYTES);
}

static void stay_on_cpu(void)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED };
	struct vcpu vcpu;
	struct vm vm;

	vm_create(&vm, GUEST_MEM_SIZE);
	vcpu_create(&vcpu, &vm, 0);
	vcpu_enter_long(&vcpu);
	*(uint8_t *)vm_at(&vm, GUEST_CODE) = 0xf4; /* HLT */
	vcpu_set_regs(&vcpu, &regs);
	if (vcpu_run_to_hlt(&vcpu))
		die("exit reason %u", vcpu.run->exit_reason);
	puts("waiting");
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	bool functions = false, stay = false;
	int option, timer;
	size_t i;

	while ((option = getopt(argc, argv, "n:c:r:fa:w")) != -1) {
		if (option == 'n')
			rounds = atoi(optarg);
		else if (option == 'c')
			open_control(optarg);
		else if (option == 'r')
			only = optarg;
		else if (option == 'f')
			functions = true;
		else if (option == 'a')
			name_of_device = optarg;
		else if (option == 'w')
			stay = true;
		else
			return 2;
	}
	if (rounds < 1 || rounds > MAX_ROUNDS)
		die("-n %u", rounds);
	if (pin_to_cpu(0))
		die("CPU 0");
	if (!name_of_device)
		name_of_device = device_path();
	if (stay)
		stay_on_cpu();
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (timer < 0)
		die("a timer");
	close(device_open());
	tell("device %s", name_of_device);
	tell_sections("vregcache");
	tell_sections("kvm");
	tell_sections("kvm_intel");
	tell_symbols(functions);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!only || !strcmp(only, rows[i].name))
			measure(&rows[i], 0, timer);
	}
	return 0;
}
