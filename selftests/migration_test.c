// SPDX-License-Identifier: GPL-2.0
/*
 * More vCPUs than CPUs, in several virtual machines, preempted anywhere and moved at every opportunity: at each exit
 * every register has the value that this vCPU's guest loaded, and no other's.
 */
#define _GNU_SOURCE
#include "lib/harness.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/cpuid.h"
#include "lib/juggle.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/random.h"
#include "lib/rounds.h"
#include "lib/vm.h"

#define MACHINES	3
#define VCPUS_EACH	2
#define VCPUS		(MACHINES * VCPUS_EACH)

/* How long the test runs, and the least number of turns of each vCPU by then; more time is given if needed. */
#define SECONDS		rounds(12)
#define SECONDS_MOST	100.0
/* beside_kvm_test runs two of this program at once, perhaps on one CPU. */
#define IS_ONE_OF_TWO	(getenv("VRC_ONE_OF_TWO") != NULL)
#define LEAST_TURNS	rounds(IS_ONE_OF_TWO ? 5 : 20)
#define LEAST_MOVES	rounds(IS_ONE_OF_TWO ? 5 : 20)

/* Each vCPU's own memory: its window, and page tables. */
#define PRIVATE(id)	(0x100000UL + 0x20000 * (id))
#define TABLES(id)	(PRIVATE(id) + JUGGLE_WINDOW_BYTES)
/* Also a slot, at the end of which it starts over with fresh memory. */
#define FRESH_GPA(id)	(0x1000000UL + 0x100000 * (id))
#define FRESH_PAGES	16
#define NO_GPA		0x8000000UL

#define PAGE_PRESENT	0x03UL
#define PAGE_LARGE	0x80UL

enum {
	STAR, LSTAR, CSTAR, SFMASK, KERNEL_GS_BASE, TSC_AUX, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP, PAT, FS_BASE, GS_BASE,
};

static const uint32_t msr_number[JUGGLE_MSR_COUNT] = {
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103, 0x174, 0x175, 0x176, 0x277,
	0xc0000100, 0xc0000101,
};

enum { CR0, CR2, CR3, CR4, CR8, DR0, DR1, DR2, DR3, DR7 };

#define RFLAGS_DF	0x400UL
#define FXSAVE_BYTES	512
#define YMM_OFFSET	576

struct juggler {
	struct vm *vm;
	struct vcpu vcpu;
	uint32_t id;
	uint64_t random;
	int tid;
	pthread_t thread;
	uint8_t *fresh;
	uint8_t *window;
	unsigned int fresh_page;
	uint64_t xmask;
	int has_rdtscp;
	uint64_t base_cr0, base_cr4;
	uint32_t cpuid0[4];
	/* The requested exit. */
	unsigned int exit;
	/* Results. */
	atomic_uint turns;
	unsigned int moves, interruptions;
	atomic_int done;
	char complaint[200];
};

static atomic_int stop;

/* SplitMix64, with a state for each vCPU. */
static uint64_t next(struct juggler *juggler)
{
	uint64_t z = juggler->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t next_canonical(struct juggler *juggler)
{
	return (int64_t)(next(juggler) << 16) >> 16;
}

static void *at(struct juggler *juggler, uint64_t address)
{
	return juggler->window + (address - JUGGLE_WINDOW);
}

static uint64_t *words(struct juggler *juggler, uint64_t address)
{
	return at(juggler, address);
}

/* Identity-maps the first 2 MiB; the window follows. */
static void write_tables(struct juggler *juggler)
{
	uint64_t tables = TABLES(juggler->id);
	struct vm *vm = juggler->vm;

	for (int root = 0; root < 2; root++)
		vm_write64(vm, tables + root * PAGE_BYTES, (tables + 2 * PAGE_BYTES) | PAGE_PRESENT);
	vm_write64(vm, tables + 2 * PAGE_BYTES, (tables + 3 * PAGE_BYTES) | PAGE_PRESENT);
	vm_write64(vm, tables + 3 * PAGE_BYTES, PAGE_PRESENT | PAGE_LARGE);
	vm_write64(vm, tables + 3 * PAGE_BYTES + 8, (tables + 4 * PAGE_BYTES) | PAGE_PRESENT);
	for (uint64_t page = 0; page < JUGGLE_WINDOW_BYTES / PAGE_BYTES; page++)
		vm_write64(vm, tables + 4 * PAGE_BYTES + 8 * page,
			   (PRIVATE(juggler->id) + page * PAGE_BYTES) | PAGE_PRESENT);
	vm_write64(vm, tables + 4 * PAGE_BYTES + 8 * ((JUGGLE_NO_PAGE - JUGGLE_WINDOW) / PAGE_BYTES),
		   NO_GPA | PAGE_PRESENT);
}

static void fill_fpu(struct juggler *juggler)
{
	uint8_t *image = at(juggler, JUGGLE_XSAVE_IN);
	uint64_t word;

	memset(image, 0, PAGE_BYTES);
	/* Precision and rounding of x87, rounding of SSE; all exceptions masked. */
	*(uint16_t *)image = 0x37f | (next(juggler) & 0x0c00);
	image[4] = 0xff;
	*(uint32_t *)(image + 24) = 0x1f80 | (next(juggler) & 0x6000);
	for (int i = 0; i < 8; i++) {
		word = next(juggler) | 1UL << 63;
		memcpy(image + 32 + 16 * i, &word, 8);
		*(uint16_t *)(image + 40 + 16 * i) = (next(juggler) & 0xbffe) | 1;
	}
	for (int i = 0; i < 16 * 2; i++) {
		word = next(juggler);
		memcpy(image + 160 + 8 * i, &word, 8);
		if (juggler->xmask & 4) {
			word = next(juggler);
			memcpy(image + YMM_OFFSET + 8 * i, &word, 8);
		}
	}
	if (juggler->xmask)
		*(uint64_t *)(image + FXSAVE_BYTES) = juggler->xmask;
	memset(at(juggler, JUGGLE_XSAVE_OUT), 0, PAGE_BYTES);
}

static void fill_msrs(struct juggler *juggler)
{
	uint64_t *msrs = words(juggler, JUGGLE_MSRS), value;

	for (int i = 0; i < JUGGLE_MSR_COUNT; i++) {
		switch (i) {
		case STAR:
			value = next(juggler) << 48 | (uint64_t)SEL_CODE64 << 32 | (uint32_t)next(juggler);
			break;
		case LSTAR:
			value = GUEST_CODE + juggle_pads_offset + next(juggler) % JUGGLE_PADS * JUGGLE_PAD_BYTES;
			break;
		case SYSENTER_CS:
			/* KVM lets guests write it without an exit, and QEMU's CPU has 16 bits of it. */
			value = device_is_vregcache() ? (uint32_t)next(juggler) : (uint16_t)next(juggler);
			break;
		case SFMASK:
		case TSC_AUX:
			value = (uint32_t)next(juggler);
			break;
		case PAT:
			/* Entry 0, which all pages use, stays write-back; the others are of any valid type. */
			value = 6;
			for (int entry = 1; entry < 8; entry++) {
				static const uint8_t types[] = { 0, 1, 4, 5, 6, 7 };

				value |= (uint64_t)types[next(juggler) % sizeof(types)] << 8 * entry;
			}
			break;
		default:
			value = next_canonical(juggler);
			break;
		}
		if (i == TSC_AUX && !juggler->has_rdtscp) {
			msrs[2 * i] = msr_number[FS_BASE];
			msrs[2 * i + 1] = 0;
			continue;
		}
		msrs[2 * i] = msr_number[i];
		msrs[2 * i + 1] = value;
	}
}

static void set_descriptor_table(uint8_t *place, uint16_t limit, uint64_t base)
{
	memcpy(place, &limit, 2);
	memcpy(place + 2, &base, 8);
}

#define FLAGS_RANDOM	(0x240cd5UL | 0x3000)	/* CF PF AF ZF SF DF OF, AC, ID; IOPL */

static void fill_window(struct juggler *juggler)
{
	static const uint16_t selectors[] = { 0, SEL_DATA, SEL_USER_DATA, SEL_USER_DATA | 3 };
	uint64_t *load = words(juggler, JUGGLE_LOAD), *system = words(juggler, JUGGLE_SYSTEM);
	uint16_t *selector = at(juggler, JUGGLE_SELECTORS);

	for (int i = 0; i < JUGGLE_GPRS; i++)
		load[i] = next(juggler);
	load[JUGGLE_GPRS] = RFLAGS_FIXED | RFLAGS_IF | (next(juggler) & FLAGS_RANDOM);
	memset(at(juggler, JUGGLE_STORE), 0, 8 * (JUGGLE_GPRS + 1));

	juggler->exit = next(juggler) % (device_is_vregcache() ? JUGGLE_EXITS : JUGGLE_NO_MEMORY);
	words(juggler, JUGGLE_NEXT)[0] = GUEST_CODE + juggle_exits[juggler->exit].start;
	words(juggler, JUGGLE_SPINS)[0] = 1 + next(juggler) % 10000;
	words(juggler, JUGGLE_XMASK)[0] = juggler->xmask;
	words(juggler, JUGGLE_HAS_RDTSCP)[0] = juggler->has_rdtscp;

	system[CR0] = juggler->base_cr0 ^ (next(juggler) & (CR0_AM | CR0_WP));
	system[CR2] = next(juggler);
	system[CR3] = TABLES(juggler->id) + next(juggler) % 2 * PAGE_BYTES;
	system[CR4] = juggler->base_cr4 | (next(juggler) & (CR4_TSD | CR4_DE));
	system[CR8] = next(juggler) % 16;
	/* In the upper half, where the guest executes nothing. */
	for (int i = DR0; i <= DR3; i++)
		system[i] = next(juggler) | 0xffff800000000000UL;
	system[DR7] = 0x400 | (next(juggler) & 1 ? next(juggler) & 0x55 : 0);
	memset(at(juggler, JUGGLE_SYSTEM_FOUND), 0, 8 * JUGGLE_SYSTEM_WORDS);

	for (int i = 0; i < 4; i++)
		selector[i] = selectors[next(juggler) % 4];
	set_descriptor_table(at(juggler, JUGGLE_GDTR), 8 * GDT_ENTRIES - 1 + 8 * (next(juggler) % 64), GUEST_GDT);
	set_descriptor_table(at(juggler, JUGGLE_IDTR), next(juggler), next_canonical(juggler));
	fill_msrs(juggler);
	fill_fpu(juggler);
}

/* Maps an untouched page; when all have been touched, the slot is recreated while all vCPUs run. */
static void give_fresh_page(struct juggler *juggler)
{
	uint64_t entry = TABLES(juggler->id) + 4 * PAGE_BYTES + 8 * ((JUGGLE_FRESH_PAGE - JUGGLE_WINDOW) / PAGE_BYTES);

	juggler->fresh_page = (juggler->fresh_page + 1) % FRESH_PAGES;
	if (!juggler->fresh_page) {
		if (vm_set_slot(juggler->vm, 1 + juggler->id, 0, FRESH_GPA(juggler->id), 0, NULL) ||
		    vm_set_slot(juggler->vm, 1 + juggler->id, 0, FRESH_GPA(juggler->id), FRESH_PAGES * PAGE_BYTES,
				juggler->fresh))
			die("memory slot");
	}
	vm_write64(juggler->vm, entry, (FRESH_GPA(juggler->id) + juggler->fresh_page * PAGE_BYTES) | PAGE_PRESENT);
}

/* Keeps the first error. */
static int compare(struct juggler *juggler, const char *what, int index, uint64_t expected, uint64_t found)
{
	if (expected == found)
		return 1;
	if (!juggler->complaint[0])
		snprintf(juggler->complaint, sizeof(juggler->complaint),
			 "vCPU %u, turn %u, exit %u: %s %d is %#lx and should be %#lx", juggler->id, juggler->turns,
			 juggler->exit, what, index, found, expected);
	return 0;
}

#define COMPARE(what, index, expected, found)					\
	do {									\
		if (!compare(juggler, what, index, expected, found))		\
			return 0;						\
	} while (0)

static int guest_found_all(struct juggler *juggler)
{
	uint64_t *system = words(juggler, JUGGLE_SYSTEM), *system_found = words(juggler, JUGGLE_SYSTEM_FOUND);
	uint64_t *msrs = words(juggler, JUGGLE_MSRS), *msrs_found = words(juggler, JUGGLE_MSRS_FOUND);
	uint64_t *load = words(juggler, JUGGLE_LOAD), *stored = words(juggler, JUGGLE_STORE);
	uint16_t *selector = at(juggler, JUGGLE_SELECTORS), *selector_found = at(juggler, JUGGLE_SELECTORS_FOUND);
	uint8_t *in = at(juggler, JUGGLE_XSAVE_IN), *out = at(juggler, JUGGLE_XSAVE_OUT);
	uint32_t *cpuid = at(juggler, JUGGLE_CPUID_FOUND);
	uint64_t flags = words(juggler, JUGGLE_SYSCALL_FLAGS)[0], masked;

	for (int i = 0; i <= JUGGLE_GPRS; i++)
		COMPARE("in the guest, general-purpose register", i, load[i], stored[i]);
	for (int i = 0; i < JUGGLE_SYSTEM_WORDS; i++)
		COMPARE("in the guest, system register", i, system[i], system_found[i]);
	for (int i = 0; i < 4; i++) {
		COMPARE("in the guest, selector", i, selector[i], selector_found[i]);
		COMPARE("in the guest, CPUID register", i, juggler->cpuid0[i], cpuid[i]);
	}
	for (int i = 0; i < 10; i++) {
		COMPARE("in the guest, GDTR byte", i, ((uint8_t *)at(juggler, JUGGLE_GDTR))[i],
			((uint8_t *)at(juggler, JUGGLE_GDTR_FOUND))[i]);
		COMPARE("in the guest, IDTR byte", i, ((uint8_t *)at(juggler, JUGGLE_IDTR))[i],
			((uint8_t *)at(juggler, JUGGLE_IDTR_FOUND))[i]);
	}
	for (int i = 0; i < JUGGLE_MSR_COUNT; i++) {
		if (i != TSC_AUX || juggler->has_rdtscp)
			COMPARE("in the guest, MSR", i, msrs[2 * i + 1], msrs_found[i]);
	}
	if (juggler->has_rdtscp)
		COMPARE("RDTSCP: MSR", TSC_AUX, msrs[2 * TSC_AUX + 1], *(uint32_t *)at(juggler, JUGGLE_AUX_USED));
	COMPARE("SWAPGS: MSR", KERNEL_GS_BASE, msrs[2 * KERNEL_GS_BASE + 1], words(juggler, JUGGLE_BASE_USED)[0]);
	COMPARE("SYSCALL: MSR", LSTAR, (msrs[2 * LSTAR + 1] - GUEST_CODE - juggle_pads_offset) / JUGGLE_PAD_BYTES,
		words(juggler, JUGGLE_PAD_USED)[0]);
	/* QEMU's software CPU loses the direction flag in SYSCALL. */
	masked = (flags & ~msrs[2 * SFMASK + 1] & ~(machine_is_tcg() ? RFLAGS_DF : 0)) | RFLAGS_FIXED;
	COMPARE("SYSCALL: MSR", SFMASK, masked, words(juggler, JUGGLE_FLAGS_MASKED)[0]);

	COMPARE("in the guest, x87 control", 0, *(uint16_t *)in, *(uint16_t *)out);
	COMPARE("in the guest, x87 tags", 0, in[4], out[4]);
	COMPARE("in the guest, MXCSR", 0, *(uint32_t *)(in + 24), *(uint32_t *)(out + 24));
	for (int i = 0; i < 8; i++) {
		for (int byte = 0; byte < 10; byte++)
			COMPARE("in the guest, x87 byte", 16 * i + byte, in[32 + 16 * i + byte], out[32 + 16 * i + byte]);
	}
	for (int i = 0; i < 32; i++) {
		COMPARE("in the guest, XMM half", i, *(uint64_t *)(in + 160 + 8 * i), *(uint64_t *)(out + 160 + 8 * i));
		if (juggler->xmask & 4)
			COMPARE("in the guest, upper YMM half", i, *(uint64_t *)(in + YMM_OFFSET + 8 * i),
				*(uint64_t *)(out + YMM_OFFSET + 8 * i));
	}
	COMPARE("memory after the fresh page", juggler->fresh_page, load[0],
		*(uint64_t *)(juggler->fresh + juggler->fresh_page * PAGE_BYTES));
	return 1;
}

static int regs_are_right(struct juggler *juggler)
{
	uint64_t *load = words(juggler, JUGGLE_LOAD);
	struct kvm_regs regs;

	vcpu_get_regs(&juggler->vcpu, &regs);
	for (int i = 0; i < JUGGLE_GPRS; i++)
		COMPARE("KVM_GET_REGS", i, load[i], ((uint64_t *)&regs)[i]);
	/* The exit may have set RF, which the CPU may keep or clear (SDM Vol. 3C, 28.3.3). */
	COMPARE("RFLAGS", 0, load[JUGGLE_GPRS], regs.rflags & ~0x10000UL);
	COMPARE("RIP", 0, GUEST_CODE + juggle_exits[juggler->exit].rip, regs.rip);
	return 1;
}

static int sregs_are_right(struct juggler *juggler)
{
	uint64_t *system = words(juggler, JUGGLE_SYSTEM), *msrs = words(juggler, JUGGLE_MSRS);
	uint16_t *selector = at(juggler, JUGGLE_SELECTORS), limit;
	uint8_t *gdtr = at(juggler, JUGGLE_GDTR), *idtr = at(juggler, JUGGLE_IDTR);
	struct kvm_sregs sregs;
	uint64_t base;

	vcpu_get_sregs(&juggler->vcpu, &sregs);
	COMPARE("CR", 0, system[CR0], sregs.cr0);
	COMPARE("CR", 2, system[CR2], sregs.cr2);
	COMPARE("CR", 3, system[CR3], sregs.cr3);
	COMPARE("CR", 4, system[CR4], sregs.cr4);
	COMPARE("CR", 8, system[CR8], sregs.cr8);
	COMPARE("ES", 0, selector[0], sregs.es.selector);
	COMPARE("DS", 0, selector[1], sregs.ds.selector);
	COMPARE("FS", 0, selector[2], sregs.fs.selector);
	COMPARE("GS", 0, selector[3], sregs.gs.selector);
	COMPARE("CS", 0, SEL_CODE64, sregs.cs.selector);
	COMPARE("SS", 0, SEL_DATA, sregs.ss.selector);
	COMPARE("TR", 0, SEL_TSS, sregs.tr.selector);
	COMPARE("FS base", 0, msrs[2 * FS_BASE + 1], sregs.fs.base);
	COMPARE("GS base", 0, msrs[2 * GS_BASE + 1], sregs.gs.base);
	memcpy(&limit, gdtr, 2);
	memcpy(&base, gdtr + 2, 8);
	COMPARE("GDTR limit", 0, limit, sregs.gdt.limit);
	COMPARE("GDTR base", 0, base, sregs.gdt.base);
	memcpy(&limit, idtr, 2);
	memcpy(&base, idtr + 2, 8);
	COMPARE("IDTR limit", 0, limit, sregs.idt.limit);
	COMPARE("IDTR base", 0, base, sregs.idt.base);
	return 1;
}

static int other_state_is_right(struct juggler *juggler)
{
	uint64_t *system = words(juggler, JUGGLE_SYSTEM), *msrs = words(juggler, JUGGLE_MSRS), value;
	uint8_t *image = at(juggler, JUGGLE_XSAVE_IN);
	struct kvm_debugregs debug;
	struct kvm_fpu fpu;

	if (ioctl(juggler->vcpu.fd, KVM_GET_DEBUGREGS, &debug) || ioctl(juggler->vcpu.fd, KVM_GET_FPU, &fpu))
		die("KVM_GET_DEBUGREGS or KVM_GET_FPU");
	for (int i = 0; i < 4; i++)
		COMPARE("DR", i, system[DR0 + i], debug.db[i]);
	COMPARE("DR", 7, system[DR7], debug.dr7);
	for (int i = 0; i < JUGGLE_MSR_COUNT; i++) {
		if (i == TSC_AUX && !juggler->has_rdtscp)
			continue;
		if (!vcpu_get_msr(&juggler->vcpu, msr_number[i], &value))
			die("MSR %#x", msr_number[i]);
		COMPARE("MSR", i, msrs[2 * i + 1], value);
	}
	COMPARE("x87 control", 0, *(uint16_t *)image, fpu.fcw);
	/* KVM returns 0. */
	if (device_is_vregcache())
		COMPARE("MXCSR", 0, *(uint32_t *)(image + 24), fpu.mxcsr);
	for (int i = 0; i < 16 * 16; i++)
		COMPARE("XMM byte", i, image[160 + i], ((uint8_t *)fpu.xmm)[i]);
	return 1;
}

/* Returns 0 if the exit is not the requested one. */
static int exit_is_right(struct juggler *juggler)
{
	struct kvm_run *run = juggler->vcpu.run;
	struct kvm_regs regs;
	static const uint32_t reasons[JUGGLE_EXITS] = {
		KVM_EXIT_IO, KVM_EXIT_IO, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR,
	};

	if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_FAIL) {
		uint32_t wrong = *(uint32_t *)at(juggler, JUGGLE_WRONG) / 8;

		COMPARE("after an exit that the guest does not see, register", wrong,
			words(juggler, JUGGLE_LOAD)[wrong], words(juggler, JUGGLE_STORE)[wrong]);
		return compare(juggler, "guest's own check", 0, 0, 1);
	}
	if (run->exit_reason == KVM_EXIT_SHUTDOWN) {
		vcpu_get_regs(&juggler->vcpu, &regs);
		COMPARE("the guest shut down, RIP after its code", 0, 0, regs.rip - GUEST_CODE);
	}
	COMPARE("exit reason", 0, reasons[juggler->exit], run->exit_reason);
	if (juggler->exit == JUGGLE_OUT)
		COMPARE("OUT data", 0, words(juggler, JUGGLE_LOAD)[0] & 0xff, *(uint8_t *)vcpu_io_data(&juggler->vcpu));
	if (juggler->exit == JUGGLE_NO_MEMORY)
		COMPARE("guest-physical address", 0, NO_GPA, run->internal.data[3]);
	return 1;
}

/* Sends the guest on to its next turn. */
static int finish_exit(struct juggler *juggler)
{
	struct kvm_regs regs;
	uint32_t data;

	if (juggler->exit == JUGGLE_NO_MEMORY)
		vcpu_set_rip(&juggler->vcpu, GUEST_CODE);
	if (juggler->exit != JUGGLE_IN)
		return 1;
	data = next(juggler);
	memcpy(vcpu_io_data(&juggler->vcpu), &data, sizeof(data));
	vcpu_complete_io(&juggler->vcpu);
	vcpu_get_regs(&juggler->vcpu, &regs);
	COMPARE("RAX after IN", 0, data, regs.rax);
	return 1;
}

/* A signal may come anywhere in the guest: reading the registers there and writing them back changes nothing. */
static void save_and_restore(struct juggler *juggler)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	juggler->interruptions++;
	if (next(juggler) % 2)
		return;
	vcpu_get_regs(&juggler->vcpu, &regs);
	vcpu_get_sregs(&juggler->vcpu, &sregs);
	vcpu_set_sregs(&juggler->vcpu, &sregs);
	vcpu_set_regs(&juggler->vcpu, &regs);
}

static int one_turn(struct juggler *juggler)
{
	long error;

	fill_window(juggler);
	give_fresh_page(juggler);
	/* The guest also loads the task priority, and userspace gets an exit when it is lowered. */
	while ((error = ioctl_errno(juggler->vcpu.fd, KVM_RUN, 0)) == -EINTR ||
	       (!error && juggler->vcpu.run->exit_reason == KVM_EXIT_SET_TPR))
		save_and_restore(juggler);
	COMPARE("errno of KVM_RUN", 0, 0, -error);
	return exit_is_right(juggler) && regs_are_right(juggler) && sregs_are_right(juggler) &&
	       other_state_is_right(juggler) && guest_found_all(juggler) && finish_exit(juggler);
}

static void *juggle(void *argument)
{
	struct juggler *juggler = argument;
	int cpu = -1;

	juggler->tid = syscall(SYS_gettid);
	while (!stop && one_turn(juggler)) {
		int now = sched_getcpu();

		juggler->moves += cpu >= 0 && now != cpu;
		cpu = now;
		juggler->turns++;
	}
	juggler->done = 1;
	return NULL;
}

static void enable_xsave(struct juggler *juggler)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1 };
	struct kvm_sregs sregs;

	vcpu_get_sregs(&juggler->vcpu, &sregs);
	juggler->xmask = 0;
	if (vcpu_has_xsave(&juggler->vcpu)) {
		juggler->xmask = vcpu_has_avx(&juggler->vcpu) ? 7 : 3;
		sregs.cr4 |= CR4_OSXSAVE;
		xcrs.xcrs[0].value = juggler->xmask;
		if (ioctl(juggler->vcpu.fd, KVM_SET_XCRS, &xcrs))
			die("KVM_SET_XCRS");
	}
	sregs.cr3 = TABLES(juggler->id);
	vcpu_set_sregs(&juggler->vcpu, &sregs);
	juggler->base_cr0 = sregs.cr0;
	juggler->base_cr4 = sregs.cr4;
}

static void set_up(struct juggler *juggler, struct vm *vm, uint32_t id)
{
	struct kvm_cpuid2 *cpuid;
	struct kvm_cpuid_entry2 *leaf;

	memset(juggler, 0, sizeof(*juggler));
	juggler->vm = vm;
	juggler->id = id;
	juggler->random = random64();
	juggler->window = vm_at(vm, PRIVATE(id));
	juggler->fresh = host_alloc(FRESH_PAGES * PAGE_BYTES);
	if (vm_set_slot(vm, 1 + id, 0, FRESH_GPA(id), FRESH_PAGES * PAGE_BYTES, juggler->fresh))
		die("memory slot");
	vcpu_create(&juggler->vcpu, vm, id);
	vcpu_enter_long(&juggler->vcpu);
	write_tables(juggler);
	enable_xsave(juggler);
	juggler->has_rdtscp = vcpu_has_rdtscp(&juggler->vcpu);
	cpuid = cpuid_of_vcpu(&juggler->vcpu);
	leaf = cpuid_find(cpuid, 0, 0);
	juggler->cpuid0[0] = leaf->eax;
	juggler->cpuid0[1] = leaf->ebx;
	juggler->cpuid0[2] = leaf->ecx;
	juggler->cpuid0[3] = leaf->edx;
	free(cpuid);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void spin_for(double seconds)
{
	double end = now() + seconds;

	while (now() < end)
		;
}

/* Preempts the running task at any instruction: one thread by real-time priority, the other by a better nice value. */
static void *make_noise(void *argument)
{
	const struct sched_param priority = { .sched_priority = 10 };
	uint64_t turn = 0;

	if (argument)
		pthread_setschedparam(pthread_self(), SCHED_RR, &priority);
	else
		setpriority(PRIO_PROCESS, syscall(SYS_gettid), -15);
	while (!stop) {
		/* Not a multiple of the timer's tick. */
		usleep(argument ? 1300 + turn % 7 * 130 : 170 + turn % 5 * 210);
		spin_for(argument ? 0.0003 : 0.00005);
		turn++;
	}
	return NULL;
}

static void ignore(int signal)
{
	(void)signal;
}

static void disturb(struct juggler *juggler, int cpus)
{
	cpu_set_t set;
	int cpu;

	CPU_ZERO(&set);
	for (cpu = 0; cpu < cpus; cpu++) {
		if (random_below(2))
			CPU_SET(cpu, &set);
	}
	if (!CPU_COUNT(&set))
		CPU_SET(random_below(cpus), &set);
	if (juggler->tid)
		sched_setaffinity(juggler->tid, sizeof(set), &set);
	if (!random_below(8) && !juggler->done)
		pthread_kill(juggler->thread, SIGUSR1);
}

static int all_are_through(struct juggler *juggler)
{
	for (int i = 0; i < VCPUS; i++) {
		if (juggler[i].done)
			return 1;
	}
	for (int i = 0; i < VCPUS; i++) {
		if (juggler[i].turns < LEAST_TURNS)
			return 0;
	}
	return 1;
}

FIXTURE(migration) {
	struct vm vm[MACHINES];
	struct juggler juggler[VCPUS];
};

FIXTURE_SETUP(migration)
{
	random_start();
	for (uint32_t i = 0; i < VCPUS; i++) {
		struct vm *vm = &self->vm[i / VCPUS_EACH];

		if (i % VCPUS_EACH == 0) {
			vm_create(vm, GUEST_MEM_SIZE);
			vm_load(vm, GUEST_CODE, juggle);
		}
		set_up(&self->juggler[i], vm, i % VCPUS_EACH);
	}
}

FIXTURE_TEARDOWN(migration)
{
	for (int i = 0; i < VCPUS; i++) {
		vcpu_destroy(&self->juggler[i].vcpu);
		munmap(self->juggler[i].fresh, FRESH_PAGES * PAGE_BYTES);
	}
	for (int i = 0; i < MACHINES; i++)
		vm_destroy(&self->vm[i]);
}

TEST_F_TIMEOUT(migration, each_vcpu_keeps_its_registers, 140)
{
	struct juggler *juggler = self->juggler;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int turns = 0, moves = 0, interruptions = 0;
	/* One of two makes enough noise. */
	const long noises = getenv("VRC_QUIET") ? 0 : 2;
	pthread_t noise[2];
	double begin;

	signal(SIGUSR1, ignore);
	for (int i = 0; i < VCPUS; i++)
		ASSERT_EQ(0, pthread_create(&juggler[i].thread, NULL, juggle, &juggler[i]));
	for (long i = 0; i < noises; i++)
		ASSERT_EQ(0, pthread_create(&noise[i], NULL, make_noise, (void *)i));
	begin = now();
	while (now() < begin + SECONDS || (now() < begin + SECONDS_MOST && !all_are_through(juggler))) {
		disturb(&juggler[random_below(VCPUS)], cpus);
		usleep(400);
	}
	stop = 1;
	for (int i = 0; i < VCPUS; i++)
		pthread_join(juggler[i].thread, NULL);
	for (long i = 0; i < noises; i++)
		pthread_join(noise[i], NULL);
	for (int i = 0; i < VCPUS; i++) {
		EXPECT_STREQ("", juggler[i].complaint);
		EXPECT_GE(atomic_load(&juggler[i].turns), LEAST_TURNS);
		turns += juggler[i].turns;
		moves += juggler[i].moves;
		interruptions += juggler[i].interruptions;
	}
	TH_LOG("%u turns, %u of them on another CPU than the one before, %u interrupted", turns, moves, interruptions);
	EXPECT_GE(interruptions, rounds(10));
	if (cpus > 1)
		EXPECT_GE(moves, LEAST_MOVES);
}

TEST_HARNESS_MAIN
