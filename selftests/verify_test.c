// SPDX-License-Identifier: GPL-2.0
/*
 * Verification finds each kind of fault that the test module plants in a register cache, names it, and finds none where
 * there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/harness.h"
#include "lib/cpus.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/trace.h"
#include "lib/faults.h"
#include "vregcache_test/vregcache_test.h"

#define VMCS_TSC_OFFSET	0x2010
#define VMCS_GUEST_RSP	0x681c

/* The reports that a test announces, for the checker of the log and for itself. */
#define MISMATCH	"vrc_verify_mismatch"
#define WRONG_VMCS	"vrc_verify_wrong_vmcs"

FIXTURE(verify) {
	struct vm vm;
	struct vcpu vcpu;
	struct trace trace;
	struct fault_log log;
	int was_on;
	uint64_t mismatches;
	uint64_t wrong_vmcss;
};

/* Each round changes RSP. */
GUEST_ASM(halt, 64,
	"1:	sub $16, %rsp\n"
	"	hlt\n"
	"	jmp 1b\n");

/* Exits of many kinds, the last one HLT. */
GUEST_ASM(exits, 64,
	"1:	mov $20, %esi\n"
	"2:	xor %eax, %eax\n"
	"	cpuid\n"
	"	mov $0xc0000082, %ecx\n"
	"	rdmsr\n"
	"	wrmsr\n"
	"	mov $0x176, %ecx\n"
	"	rdmsr\n"
	"	inc %eax\n"
	"	wrmsr\n"
	"	mov %cr0, %rax\n"
	"	xor $8, %eax\n"
	"	mov %rax, %cr0\n"
	"	xor $0x10000, %eax\n"
	"	mov %rax, %cr0\n"
	"	mov %cr4, %rax\n"
	"	xor $0x10, %eax\n"
	"	mov %rax, %cr4\n"
	"	mov %cr3, %rax\n"
	"	mov %rax, %cr3\n"
	"	mov %dr7, %rax\n"
	"	wbinvd\n"
	"	pushf\n"
	"	orl $0x100, (%rsp)\n"
	"	andl $~0x100, (%rsp)\n"
	"	popf\n"
	"	mov $0x100000, %ebx\n"
	"	mov %esi, %eax\n"
	"	shl $12, %eax\n"
	"	add %rax, %rbx\n"
	"	incl (%rbx)\n"
	"	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	inb $" GUEST_STRING(PORT_TEST) ", %al\n"
	"	sub $8, %rsp\n"
	"	dec %esi\n"
	"	jnz 2b\n"
	"	hlt\n"
	"	jmp 1b\n");

/* Lets WARNs be reported again, and announces one by @function to the checker of the log. */
static void announce(const char *function)
{
	warn_again();
	announce_reports(1, function);
}

FIXTURE_SETUP(verify)
{
	const char *why = test_module_load();

	if (why)
		SKIP(return, "%s", why);
	pin_here();
	self->was_on = parameter_set("verify", 1);
	why = trace_open(&self->trace);
	ASSERT_EQ(NULL, why) TH_LOG("%s", why);
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, halt);
	ASSERT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	fault_log_open(&self->log);
	self->mismatches = fault_count("mismatch");
	self->wrong_vmcss = fault_count("wrong_vmcs");
	trace_clear();
	trace_enable("mismatch", 1);
}

FIXTURE_TEARDOWN(verify)
{
	if (!self->vm.fd)
		return;
	trace_enable("mismatch", 0);
	fault_log_close(&self->log);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	trace_close(&self->trace);
	parameter_set("verify", self->was_on);
	/* Later WARNs must not be missed. */
	warn_again();
	test_module_close();
}

struct finding {
	const char *reg;	/* as named in events */
	const char *log;	/* as named in the log */
	unsigned int field;
	uint64_t memory;
	uint64_t vmcs;
	const char *at;
	const char *by;
	const char *origin;	/* as given in the log */
};

/* One WARN, by this function, and this many lines, of which this is the first. */
static void expect_told(struct __test_metadata *_metadata, struct _test_data_verify *self, const char *function,
			unsigned int lines, const char *line)
{
	fault_log_read(&self->log);
	EXPECT_EQ(1U, self->log.reports);
	EXPECT_TRUE(strstr(self->log.report, function)) TH_LOG("%s", self->log.report);
	EXPECT_EQ(lines, self->log.lines);
	EXPECT_TRUE(strstr(self->log.line, line)) TH_LOG("expected \"%s\" in: %s", line, self->log.line);
	fault_log_skip(&self->log);
}

/* These events came since, in this order, each possibly several times, and no others; one WARN; one line. */
static void expect_found(struct __test_metadata *_metadata, struct _test_data_verify *self, const struct finding *finding,
			 unsigned int findings)
{
	unsigned int found = 0;
	char line[160];

	trace_read(&self->trace);
	ASSERT_LE(1U, self->trace.count);
	for (unsigned int i = 0; i < self->trace.count; i++) {
		const struct trace_event *event = &self->trace.event[i];
		int is_origin;

		while (found < findings && !(event_has(event, "reg", finding[found].reg) &&
					     event_has(event, "at", finding[found].at)))
			found++;
		ASSERT_LT(found, findings) TH_LOG("unexpected:%s", event->fields);
		EXPECT_EQ(0U, event_number(event, "vcpu"));
		EXPECT_EQ(finding[found].field, event_number(event, "field")) TH_LOG("%s", event->fields);
		EXPECT_EQ(finding[found].memory, event_number(event, "memory")) TH_LOG("%s", event->fields);
		EXPECT_EQ(finding[found].vmcs, event_number(event, "vmcs")) TH_LOG("%s", event->fields);
		EXPECT_TRUE(event_has(event, "by", finding[found].by)) TH_LOG("%s", event->fields);
		is_origin = !strncmp(finding[found].origin, "cached by", 9);
		EXPECT_EQ(is_origin, strstr(event->fields, " caller=vrc_") != NULL) TH_LOG("%s", event->fields);
	}
	EXPECT_EQ(findings, found + 1);
	EXPECT_EQ(self->trace.count, fault_count("mismatch") - self->mismatches);
	self->mismatches += self->trace.count;
	trace_clear();
	snprintf(line, sizeof(line), "vCPU 0: memory has 0x%lx for %s, but VMCS field 0x%x has 0x%lx; found at %s, %s",
		 finding->memory, finding->log, finding->field, finding->vmcs, finding->at, finding->origin);
	expect_told(_metadata, self, MISMATCH, 1, line);
}

static void expect_nothing(struct __test_metadata *_metadata, struct _test_data_verify *self)
{
	trace_read(&self->trace);
	EXPECT_EQ(0U, self->trace.count) TH_LOG("%s", self->trace.event[0].fields);
	EXPECT_EQ(self->mismatches, fault_count("mismatch"));
	EXPECT_EQ(self->wrong_vmcss, fault_count("wrong_vmcs"));
	fault_log_read(&self->log);
	EXPECT_EQ(0U, self->log.reports) TH_LOG("%s", self->log.report);
}

static long plant(struct vcpu *vcpu, unsigned long fault, uint32_t reg, uint64_t value)
{
	struct vrc_test_fault request = { .vcpu = vcpu->fd, .reg = reg, .value = value };

	return test_module_ioctl(fault, &request);
}

static uint64_t rsp_of(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	return regs.rsp;
}

static void set_rsp(struct vcpu *vcpu, uint64_t rsp)
{
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	regs.rsp = rsp;
	vcpu_set_regs(vcpu, &regs);
}

/* The guest changed RSP after it was read, and the VM-exit has not invalidated it. */
static uint64_t plant_stale_rsp(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	uint64_t rsp = rsp_of(vcpu);

	ASSERT_EQ(0, vcpu_run_to_hlt(vcpu));
	ASSERT_EQ(0, plant(vcpu, VRC_TEST_STALE, CACHE_RSP, 0));
	return rsp;
}

TEST_F(verify, missed_invalidation_at_a_hit)
{
	struct finding finding = {
		.reg = "rsp", .log = "rsp", .field = VMCS_GUEST_RSP, .at = "hit", .by = "read",
		.origin = "cached by a read at vrc_",
	};

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	finding.memory = plant_stale_rsp(_metadata, &self->vcpu);
	finding.vmcs = finding.memory - 16;
	/* The value in memory stays in use. */
	EXPECT_EQ(finding.memory, rsp_of(&self->vcpu));
	EXPECT_EQ(finding.memory, rsp_of(&self->vcpu));
	expect_found(_metadata, self, &finding, 1);
	EXPECT_EQ(finding.vmcs, vmcs_read(&self->vcpu, VMCS_GUEST_RSP));
}

TEST_F(verify, missed_invalidation_at_entry)
{
	struct finding finding = {
		.reg = "rsp", .log = "rsp", .field = VMCS_GUEST_RSP, .at = "entry", .by = "read",
		.origin = "cached by a read at vrc_",
	};

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	finding.memory = plant_stale_rsp(_metadata, &self->vcpu);
	finding.vmcs = finding.memory - 16;
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_found(_metadata, self, &finding, 1);
	/* The VM-exit has fixed it. */
	EXPECT_EQ(finding.vmcs - 16, rsp_of(&self->vcpu));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_nothing(_metadata, self);
}

TEST_F(verify, lost_write_back)
{
	struct finding finding = {
		.reg = "rsp", .log = "rsp", .field = VMCS_GUEST_RSP, .memory = GUEST_STACK - 0x400, .at = "entry",
		.by = "write", .origin = "cached by a write at vrc_",
	};

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	finding.vmcs = rsp_of(&self->vcpu);
	set_rsp(&self->vcpu, finding.memory);
	ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_LOSE, CACHE_RSP, 0));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_found(_metadata, self, &finding, 1);
	/* So the guest ran without the new value. */
	EXPECT_EQ(finding.vmcs - 16, rsp_of(&self->vcpu));
}

TEST_F(verify, foreign_vmwrite)
{
	struct finding findings[] = {
		{ .reg = "idtr.base", .log = "idtr.base", .field = VMCS_GUEST_IDTR_BASE, .at = "hit", .by = "read",
		  .origin = "cached by a read at vrc_" },
		{ .reg = "idtr.base", .log = "idtr.base", .field = VMCS_GUEST_IDTR_BASE, .at = "entry", .by = "read",
		  .origin = "cached by a read at vrc_" },
	};
	struct kvm_sregs sregs;

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	vcpu_get_sregs(&self->vcpu, &sregs);
	findings[0].memory = findings[1].memory = sregs.idt.base;
	findings[0].vmcs = findings[1].vmcs = sregs.idt.base ^ 0x3000;
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, findings[0].vmcs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	EXPECT_EQ(findings[0].memory, sregs.idt.base);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_found(_metadata, self, findings, 2);
}

TEST_F(verify, different_origins_are_distinguished)
{
	struct kvm_sregs sregs;
	char *callers[2];

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	rsp_of(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &sregs);
	vmcs_write(&self->vcpu, VMCS_GUEST_RSP, vmcs_read(&self->vcpu, VMCS_GUEST_RSP) ^ 16);
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, sregs.idt.base ^ 0x3000);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	trace_read(&self->trace);
	ASSERT_EQ(2U, self->trace.count);
	for (unsigned int i = 0; i < 2; i++)
		callers[i] = strstr(self->trace.event[i].fields, " caller=vrc_");
	ASSERT_TRUE(callers[0] && callers[1]);
	EXPECT_NE(0, strcmp(callers[0], callers[1])) TH_LOG("%s", callers[0]);
}

TEST_F(verify, swapped_parts_of_a_segment)
{
	struct finding findings[] = {
		{ .reg = "ss.base", .log = "ss.base", .field = VMCS_BASE(SS), .at = "hit", .by = "read",
		  .origin = "cached by a read at vrc_" },
		{ .reg = "ss.limit", .log = "ss.limit", .field = VMCS_LIMIT(SS), .at = "hit", .by = "read",
		  .origin = "cached by a read at vrc_" },
	};
	struct kvm_sregs before, after;

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	vcpu_get_sregs(&self->vcpu, &before);
	ASSERT_NE(before.ss.base, before.ss.limit);
	ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_SWAP, CACHE_BASE(SS), CACHE_LIMIT(SS)));
	vcpu_get_sregs(&self->vcpu, &after);
	EXPECT_EQ(before.ss.limit, after.ss.base);
	findings[0].memory = findings[1].vmcs = before.ss.limit;
	findings[0].vmcs = findings[1].memory = before.ss.base;
	expect_found(_metadata, self, findings, 2);
	ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_SWAP, CACHE_BASE(SS), CACHE_LIMIT(SS)));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_nothing(_metadata, self);
}

TEST_F(verify, wrong_last_written_value)
{
	/* A control, an MSR of the guest's, and state of the host's. */
	static const struct {
		uint32_t field;
		const char *name;
	} fields[] = {
		{ VMCS_TSC_OFFSET, "TSC offset" },
		{ VMCS_GUEST_SYSENTER_EIP, "guest IA32_SYSENTER_EIP" },
		{ VMCS_HOST_GDTR_BASE, "host GDTR base" },
	};

	RETURN_IF_SKIPPED();
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		struct finding finding = {
			.reg = "none", .log = fields[i].name, .field = fields[i].field, .at = "entry", .by = "last-write",
			.origin = "the last value written",
		};

		announce(MISMATCH);
		finding.vmcs = vmcs_read(&self->vcpu, finding.field);
		finding.memory = finding.vmcs ^ 0x5000;
		ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_LAST_WRITTEN, finding.field, 0x5000));
		EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
		ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_LAST_WRITTEN, finding.field, 0x5000));
		EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
		expect_found(_metadata, self, &finding, 1);
	}
}

static long load_vmcs_of(struct vcpu *vcpu, struct vcpu *other)
{
	struct vrc_test_load request = { .vcpu = vcpu->fd, .other = other->fd };

	return test_module_ioctl(VRC_TEST_VMCS_LOAD, &request);
}

TEST_F(verify, wrong_vmcs)
{
	struct kvm_sregs sregs;
	struct vcpu other;
	unsigned int at[3] = { 0 };
	char line[160];
	uint64_t rsp;

	RETURN_IF_SKIPPED();
	if (is_beside_kvm())
		SKIP(return, "beside KVM the module asks the CPU which VMCS is current");
	vcpu_create(&other, &self->vm, 1);
	rsp_of(&other);
	ASSERT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	rsp = rsp_of(&self->vcpu);
	announce(WRONG_VMCS);
	ASSERT_EQ(0, load_vmcs_of(&self->vcpu, &other));
	/* Reads from memory still succeed; accesses to the VMCS fail. */
	EXPECT_EQ(rsp, rsp_of(&self->vcpu));
	EXPECT_EQ(-EIO, ioctl_ptr(self->vcpu.fd, KVM_GET_SREGS, &sregs));
	EXPECT_EQ(-EIO, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
	ASSERT_EQ(0, load_vmcs_of(&self->vcpu, &self->vcpu));

	trace_read(&self->trace);
	ASSERT_LE(3U, self->trace.count);
	for (unsigned int i = 0; i < self->trace.count; i++) {
		const struct trace_event *event = &self->trace.event[i];

		EXPECT_TRUE(event_has(event, "by", "vmptrld"));
		EXPECT_TRUE(event_has(event, "reg", "none"));
		EXPECT_EQ(0U, event_number(event, "vcpu"));
		EXPECT_NE(event_number(event, "memory"), event_number(event, "vmcs"));
		at[0] += event_has(event, "at", "hit");
		at[1] += event_has(event, "at", "miss");
		at[2] += event_has(event, "at", "entry");
	}
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_LE(1U, at[i]);
	EXPECT_EQ(self->trace.count, fault_count("wrong_vmcs") - self->wrong_vmcss);
	EXPECT_EQ(self->mismatches, fault_count("mismatch"));
	snprintf(line, sizeof(line), "vCPU 0: VMCS 0x%lx should be current on CPU",
		 event_number(&self->trace.event[0], "memory"));
	/* Each of the two that failed reports it. */
	expect_told(_metadata, self, WRONG_VMCS, 3, line);

	/* The other vCPU is unchanged, and both continue. */
	self->wrong_vmcss += self->trace.count;
	trace_clear();
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	EXPECT_EQ(rsp - 16, rsp_of(&self->vcpu));
	vcpu_enter_long(&other);
	EXPECT_EQ(0, vcpu_run_to_hlt(&other));
	expect_nothing(_metadata, self);
	vcpu_destroy(&other);
}

TEST_F(verify, values_cached_before_have_no_origin)
{
	struct finding finding = {
		.reg = "idtr.base", .log = "idtr.base", .field = VMCS_GUEST_IDTR_BASE, .at = "hit",
		.by = "before_verification", .origin = "cached before verification",
	};
	struct kvm_sregs sregs;

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	/* An older record of it exists. */
	vcpu_get_sregs(&self->vcpu, &sregs);
	parameter_set("verify", 0);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	vcpu_get_sregs(&self->vcpu, &sregs);
	parameter_set("verify", 1);
	finding.memory = sregs.idt.base;
	finding.vmcs = sregs.idt.base ^ 0x3000;
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, finding.vmcs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	expect_found(_metadata, self, &finding, 1);
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, finding.memory);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_nothing(_metadata, self);
}

/* A refused write, and one that changes nothing, discards no record. */
TEST_F(verify, origins_survive_a_refused_or_unchanged_setting)
{
	struct finding finding = {
		.reg = "idtr.base", .log = "idtr.base", .field = VMCS_GUEST_IDTR_BASE, .at = "hit", .by = "read",
		.origin = "cached by a read at vrc_",
	};
	struct kvm_sregs sregs;
	int parameter;

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	vcpu_get_sregs(&self->vcpu, &sregs);
	finding.memory = sregs.idt.base;
	finding.vmcs = sregs.idt.base ^ 0x3000;
	parameter_set("verify", 1);
	parameter = open("/sys/module/vregcache/parameters/verify", O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, parameter);
	EXPECT_EQ(-1, write(parameter, "2", 1));
	EXPECT_EQ(EINVAL, errno);
	close(parameter);
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, finding.vmcs);
	vcpu_get_sregs(&self->vcpu, &sregs);
	expect_found(_metadata, self, &finding, 1);
	vmcs_write(&self->vcpu, VMCS_GUEST_IDTR_BASE, finding.memory);
}

/* Such a handler may run under locks that a console needs: findings are counted, traced, and reported at VM-entry. */
TEST_F(verify, interrupt_handlers_do_not_log)
{
	struct finding finding = {
		.reg = "rsp", .log = "rsp", .field = VMCS_GUEST_RSP, .at = "entry", .by = "read",
		.origin = "cached by a read at vrc_",
	};
	struct vrc_test_context use = {
		.vcpu = self->vcpu.fd, .context = VRC_TEST_IRQ_IN_IRQ_WINDOW, .operation = VRC_TEST_READ, .reg = CACHE_RSP,
	};

	RETURN_IF_SKIPPED();
	announce(MISMATCH);
	finding.memory = plant_stale_rsp(_metadata, &self->vcpu);
	finding.vmcs = finding.memory - 16;
	ASSERT_EQ(0, test_module_ioctl(VRC_TEST_USE_CACHE, &use));
	EXPECT_EQ(0, use.error);
	EXPECT_EQ(finding.memory, use.value);
	trace_read(&self->trace);
	EXPECT_EQ(1U, self->trace.count);
	EXPECT_EQ(1U, fault_count("mismatch") - self->mismatches);
	fault_log_read(&self->log);
	EXPECT_EQ(0U, self->log.reports);
	EXPECT_EQ(0U, self->log.lines) TH_LOG("%s", self->log.line);
	self->mismatches = fault_count("mismatch");
	trace_clear();
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	expect_found(_metadata, self, &finding, 1);
}

TEST_F(verify, nothing_is_found_or_compared_while_it_is_off)
{
	static const char *const kinds[] = { "hits", "registers", "last_written" };
	uint64_t compared[ARRAY_SIZE(kinds)], rsp;

	RETURN_IF_SKIPPED();
	parameter_set("verify", 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		compared[i] = verified_count(kinds[i]);
	rsp = plant_stale_rsp(_metadata, &self->vcpu);
	EXPECT_EQ(rsp, rsp_of(&self->vcpu));
	ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_LAST_WRITTEN, VMCS_TSC_OFFSET, 0x5000));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	ASSERT_EQ(0, plant(&self->vcpu, VRC_TEST_LAST_WRITTEN, VMCS_TSC_OFFSET, 0x5000));
	expect_nothing(_metadata, self);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		EXPECT_EQ(compared[i], verified_count(kinds[i]));
}

TEST_F(verify, impossible_faults_are_refused)
{
	RETURN_IF_SKIPPED();
	set_rsp(&self->vcpu, GUEST_STACK);
	EXPECT_EQ(-EINVAL, plant(&self->vcpu, VRC_TEST_STALE, CACHE_RSP, 0));
	EXPECT_EQ(-EINVAL, plant(&self->vcpu, VRC_TEST_SWAP, CACHE_RSP, CACHE_BASE(SS)));
	EXPECT_EQ(-EINVAL, plant(&self->vcpu, VRC_TEST_STALE, 64, 0));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	EXPECT_EQ(-EINVAL, plant(&self->vcpu, VRC_TEST_LOSE, CACHE_RSP, 0));
	EXPECT_EQ(-EINVAL, plant(&self->vcpu, VRC_TEST_LAST_WRITTEN, VMCS_GUEST_RSP, 1));
	expect_nothing(_metadata, self);
}

/* Reads all state that userspace can read and write, and writes it back. */
static void read_and_write_state(struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	if (ioctl_ptr(vcpu->fd, KVM_GET_VCPU_EVENTS, &events))
		die("KVM_GET_VCPU_EVENTS");
	vcpu_get_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
	vcpu_get_sregs(vcpu, &sregs);
	if (ioctl_ptr(vcpu->fd, KVM_SET_VCPU_EVENTS, &events))
		die("KVM_SET_VCPU_EVENTS");
}

static int run_exits(struct vcpu *vcpu, int touch)
{
	int reason;

	do {
		reason = vcpu_run(vcpu);
		if (touch)
			read_and_write_state(vcpu);
	} while (reason == KVM_EXIT_IO);
	return reason;
}

TEST_F(verify, nothing_is_found_in_a_correct_run)
{
	uint64_t hits, registers, written;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, exits);
	vcpu_enter_long(&self->vcpu);
	hits = verified_count("hits");
	registers = verified_count("registers");
	written = verified_count("last_written");
	EXPECT_EQ(KVM_EXIT_HLT, run_exits(&self->vcpu, 0));
	EXPECT_EQ(KVM_EXIT_HLT, run_exits(&self->vcpu, 1));
	/* Some 300 VM-entries per run. */
	EXPECT_LT(500U, verified_count("hits") - hits);
	EXPECT_LT(2000U, verified_count("registers") - registers);
	EXPECT_LT(5000U, verified_count("last_written") - written);
	expect_nothing(_metadata, self);
}

static volatile int stop;
static int wrong_end;

static void *run_until_stopped(void *argument)
{
	struct vcpu *vcpu = argument;

	while (!stop) {
		if (run_exits(vcpu, 1) != KVM_EXIT_HLT)
			wrong_end = 1;
	}
	return NULL;
}

TEST_F(verify, verification_can_be_switched_while_a_guest_runs)
{
	struct timespec pause = { .tv_nsec = 3000000 };
	uint64_t hits = verified_count("hits");
	int here = pin_here(), other = another_cpu(here);
	pthread_t thread;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, exits);
	vcpu_enter_long(&self->vcpu);
	if (other >= 0)
		pin_to_cpu(other);
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_until_stopped, &self->vcpu));
	if (other >= 0)
		pin_to_cpu(here);
	for (int i = 0; i < 100; i++) {
		parameter_set("verify", i & 1);
		nanosleep(&pause, NULL);
	}
	stop = 1;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, wrong_end);
	EXPECT_LT(hits, verified_count("hits"));
	parameter_set("verify", 1);
	expect_nothing(_metadata, self);
}

TEST_HARNESS_MAIN
