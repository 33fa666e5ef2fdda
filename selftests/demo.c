// SPDX-License-Identifier: GPL-2.0
/*
 * A demonstration: runs a guest that exits in many ways, checks its results,
 * and shows what its registers cost.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/counters.h"
#include "lib/cpuid.h"
#include "lib/modes.h"
#include "lib/vm.h"

#define ROUNDS		400
/* HLT is executed in every fourth round. */
#define HLT_MASK	3
#define PAGES_GPA	0x1000000UL

/* Where the guest leaves its results. */
#define RESULT_CPUID	(GUEST_DATA + 0x00)
#define RESULT_IN	(GUEST_DATA + 0x08)
#define RESULT_MSR	(GUEST_DATA + 0x10)
#define RESULT_CR	(GUEST_DATA + 0x18)

/*
 * R12 counts the rounds down, R13 points to an untouched page. R8 to R11
 * accumulate results: CPUID's EBX, IN data, values read back from MSRs, CR0.TS.
 */
GUEST_ASM(demo, 64,
	"	mov $" GUEST_STRING(ROUNDS) ", %r12d\n"
	"	mov $0x1000000, %r13d\n"
	"	xor %r8d, %r8d\n"
	"	xor %r9d, %r9d\n"
	"	xor %r10d, %r10d\n"
	"	xor %r11d, %r11d\n"
	"1:	xor %eax, %eax\n"
	"	xor %ecx, %ecx\n"
	"	cpuid\n"
	"	add %rbx, %r8\n"
	"	mov %r12d, %eax\n"
	"	outl %eax, $" GUEST_STRING(PORT_TEST) "\n"
	"	inl $" GUEST_STRING(PORT_TEST) ", %eax\n"
	"	add %rax, %r9\n"
	/* IA32_SYSENTER_EIP: written, then read back. */
	"	mov $0x176, %ecx\n"
	"	mov %r12d, %eax\n"
	"	xor %edx, %edx\n"
	"	wrmsr\n"
	"	xor %eax, %eax\n"
	"	rdmsr\n"
	"	add %rax, %r10\n"
	/* CR0.TS is set, read and cleared. */
	"	mov %cr0, %rax\n"
	"	or $8, %rax\n"
	"	mov %rax, %cr0\n"
	"	mov %cr0, %rax\n"
	"	shr $3, %eax\n"
	"	and $1, %eax\n"
	"	add %rax, %r11\n"
	"	clts\n"
	"	mov %r12, (%r13)\n"
	"	add $4096, %r13\n"
	"	test $" GUEST_STRING(HLT_MASK) ", %r12d\n"
	"	jnz 2f\n"
	"	hlt\n"
	"2:	dec %r12d\n"
	"	jnz 1b\n"
	"	mov %r8, 0x20000\n"
	"	mov %r9, 0x20008\n"
	"	mov %r10, 0x20010\n"
	"	mov %r11, 0x20018\n"
	"	outb %al, $" GUEST_STRING(PORT_DONE) "\n");

struct tally {
	unsigned int outs;
	unsigned int ins;
	unsigned int hlts;
	uint64_t out_sum;
};

static int wrong(const char *what, uint64_t expected, uint64_t seen)
{
	if (expected == seen)
		return 0;
	printf("WRONG: %s is %" PRIu64 ", expected %" PRIu64 "\n", what, seen, expected);
	return 1;
}

/* Runs the guest to its end. Returns 0, or 1 after an unexpected exit. */
static int run_guest(struct vcpu *vcpu, struct tally *tally)
{
	uint32_t data;
	int reason;

	for (;;) {
		reason = vcpu_run(vcpu);
		if (reason == KVM_EXIT_HLT) {
			tally->hlts++;
			continue;
		}
		if (vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, PORT_DONE, 1))
			return 0;
		if (vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 4)) {
			tally->outs++;
			memcpy(&data, vcpu_io_data(vcpu), sizeof(data));
			tally->out_sum += data;
			continue;
		}
		if (vcpu_is_io(vcpu, KVM_EXIT_IO_IN, PORT_TEST, 4)) {
			data = 3 * ++tally->ins;
			memcpy(vcpu_io_data(vcpu), &data, sizeof(data));
			continue;
		}
		printf("WRONG: unexpected KVM exit reason %d\n", reason);
		return 1;
	}
}

static int check_results(struct vm *vm, struct vcpu *vcpu, const struct tally *tally, const uint64_t *pages)
{
	const uint64_t sum = (uint64_t)ROUNDS * (ROUNDS + 1) / 2;
	struct kvm_cpuid2 *cpuid = cpuid_of_vcpu(vcpu);
	int failures = 0;
	unsigned int i;

	failures += wrong("the number of OUTs", ROUNDS, tally->outs);
	failures += wrong("the sum of the OUT values", sum, tally->out_sum);
	failures += wrong("the number of INs", ROUNDS, tally->ins);
	failures += wrong("the number of HLTs", ROUNDS / (HLT_MASK + 1), tally->hlts);
	failures += wrong("the sum of the IN values", 3 * sum, vm_read64(vm, RESULT_IN));
	failures += wrong("the sum of the MSR values", sum, vm_read64(vm, RESULT_MSR));
	failures += wrong("the number of times CR0.TS was set", ROUNDS, vm_read64(vm, RESULT_CR));
	failures += wrong("the sum of CPUID's EBX", (uint64_t)ROUNDS * cpuid_find(cpuid, 0, 0)->ebx,
			  vm_read64(vm, RESULT_CPUID));
	for (i = 0; i < ROUNDS; i++)
		failures += wrong("the value in a page that the guest wrote", ROUNDS - i,
				  pages[i * PAGE_BYTES / sizeof(*pages)]);
	free(cpuid);
	return failures;
}

static double per_exit(const struct counter *line, uint64_t what)
{
	return line->exits ? (double)what / line->exits : 0;
}

/* Negative when a reason costs more than reading every register would. */
static int64_t avoided(const struct counter *line)
{
	return (int64_t)(line->eager - line->vmreads);
}

static void print_line(const struct counter *line)
{
	printf("%-20s %7" PRIu64 " %9" PRIu64 " %6.1f %9" PRIu64 " %6.1f %9" PRIu64 " %6.1f %9" PRId64 " %6.1f\n",
	       line->reason, line->exits, line->hits, per_exit(line, line->hits), line->vmreads,
	       per_exit(line, line->vmreads), line->vmwrites, per_exit(line, line->vmwrites), avoided(line),
	       line->exits ? (double)avoided(line) / line->exits : 0);
}

static void print_rule(void)
{
	int column;

	for (column = 0; column < 96; column++)
		putchar('-');
	putchar('\n');
}

static void print_table(const struct counters *counters)
{
	struct counter total = counters_total(counters);
	unsigned int i;

	printf("%-20s %7s %16s %16s %16s %16s\n", "", "", "reads served", "", "", "reads");
	printf("%-20s %7s %16s %16s %16s %16s\n", "exit reason", "exits", "from memory", "VMREADs", "VMWRITEs", "avoided");
	printf("%-20s %7s %9s %6s %9s %6s %9s %6s %9s %6s\n", "", "", "all", "/exit", "all", "/exit", "all", "/exit",
	       "all", "/exit");
	print_rule();
	for (i = 0; i < counters->count; i++) {
		if (counters->line[i].exits)
			print_line(&counters->line[i]);
	}
	print_rule();
	print_line(&total);
}

static void print_summary(const struct counter *total)
{
	uint64_t reads = total->hits + total->vmreads;

	printf("\nIn %" PRIu64 " exits, %.1f%% of the %" PRIu64 " register reads were served from memory.  The others took %"
	       PRIu64 " VMREADs (%.1f per exit).\nReading every register at each exit would have taken %" PRIu64
	       " (%.1f per exit), %.1f times as many.\n",
	       total->exits, reads ? 100.0 * total->hits / reads : 0, reads, total->vmreads,
	       per_exit(total, total->vmreads), total->eager, per_exit(total, total->eager),
	       total->vmreads ? (double)total->eager / total->vmreads : 0);
}

/* Returns the number of errors in the table. */
static int show_counters(const struct tally *tally)
{
	struct counters counters;
	struct counter total;
	int failures = 0;

	if (!counters_read(&counters)) {
		printf("No exit counters: %s does not exist.\n", counters_path());
		return device_is_vregcache();
	}
	print_table(&counters);
	total = counters_total(&counters);
	print_summary(&total);

	failures += wrong("the number of CPUID exits", ROUNDS, counters_find(&counters, "cpuid").exits);
	failures += wrong("the number of HLT exits", tally->hlts, counters_find(&counters, "hlt").exits);
	failures += wrong("the number of I/O exits", 2 * ROUNDS + 1, counters_find(&counters, "io").exits);
	if (total.vmreads >= total.eager) {
		printf("WRONG: the cache avoided no VMREAD\n");
		failures++;
	}
	return failures;
}

/* Returns whether there is a table. */
static int start_counting(void)
{
	struct counters ignored;

	if (!counters_read(&ignored))
		return 0;
	counters_reset();
	return 1;
}

int main(void)
{
	uint64_t *pages = host_alloc(ROUNDS * PAGE_BYTES);
	struct tally tally = { .outs = 0 };
	struct vcpu vcpu;
	struct vm vm;
	int hits_were_counted = 0;
	int failures;
	int counted;

	vm_create(&vm, GUEST_MEM_SIZE);
	if (vm_set_slot(&vm, 1, 0, PAGES_GPA, ROUNDS * PAGE_BYTES, pages))
		die("KVM_SET_USER_MEMORY_REGION");
	vcpu_create(&vcpu, &vm, 0);
	vcpu_enter_long(&vcpu);
	vm_load(&vm, GUEST_CODE, demo);

	printf("A 64-bit guest runs on %s: %d rounds of CPUID, OUT, IN, WRMSR, RDMSR, MOV CR0, CLTS,\n", device_path(),
	       ROUNDS);
	printf("a first access to a page, and HLT in every fourth round.\n\n");
	counted = start_counting();
	if (counted)
		hits_were_counted = counters_count_hits(1);
	failures = run_guest(&vcpu, &tally);
	failures += show_counters(&tally);
	if (counted)
		counters_count_hits(hits_were_counted);
	failures += check_results(&vm, &vcpu, &tally, pages);
	vcpu_destroy(&vcpu);
	vm_destroy(&vm);

	printf("%s\n", failures ? "FAILED." : "\nThe guest's results and the exit counts are correct.");
	return failures ? 1 : 0;
}
