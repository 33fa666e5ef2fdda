// SPDX-License-Identifier: GPL-2.0
/*
 * The context rule: each operation of the register cache in a forbidden context gives one WARN of the right kind, and
 * is counted and traced each time. In an allowed context nothing is reported.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/harness.h"
#include "lib/cpus.h"
#include "lib/faults.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/trace.h"
#include "lib/vm.h"
#include "vregcache_test/vregcache_test.h"

#define TIMES 3

GUEST_ASM(say, 64,
	"1:	out %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n"
	"	jmp 1b\n");

struct operation {
	enum vrc_test_operation number;
	const char *name;
	const char *reg; /* or NULL */
};

static const struct operation operations[] = {
	{ VRC_TEST_READ, "read", "rflags" },
	{ VRC_TEST_READ_TYPED, "read", "rip" },
	{ VRC_TEST_READ_ALL, "read", "rip" },
	{ VRC_TEST_WRITE, "write", "rflags" },
	{ VRC_TEST_WRITE_TYPED, "write", "rip" },
	{ VRC_TEST_WRITE_BACK, "write_back", NULL },
	{ VRC_TEST_VM_EXIT, "vm_exit", NULL },
	{ VRC_TEST_VM_FAIL, "vm_entry_failed", NULL },
	{ VRC_TEST_VM_ENTRY_FAILURE_EXIT, "vm_entry_failed", NULL },
	{ VRC_TEST_MARK_FOR_RELOAD, "mark_for_reload", NULL },
	{ VRC_TEST_BIND, "bind", NULL },
	{ VRC_TEST_WATCHING_CHANGED, "watching_changed", NULL },
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))
_Static_assert(OPERATIONS == VRC_TEST_OPERATIONS, "an operation is left out");

FIXTURE(context) {
	struct vm vm;
	struct vcpu vcpu;
	struct kvm_regs regs;
	struct trace trace;
	struct fault_log log;
	int device;
	int was_on;
};

FIXTURE_VARIANT(context) {
	/* NULL: the operation is allowed. */
	const char *kind;
	enum vrc_test_where where;
	/* The context and the task that the line in the log names. */
	const char *says;
	const char *task;
};

#define ALLOWED(name, where_)					\
	FIXTURE_VARIANT_ADD(context, name) {			\
		.where = where_,				\
	}
#define VIOLATION(name, kind_, where_, says_, task_)		\
	FIXTURE_VARIANT_ADD(context, name) {			\
		.kind = kind_, .where = where_, .says = says_, .task = task_, \
	}

#define SELF "context_test"
ALLOWED(the_vcpus_task, VRC_TEST_IN_TASK);
ALLOWED(the_vcpus_task_with_interrupts_off, VRC_TEST_INTERRUPTS_OFF);
ALLOWED(interrupt_in_its_window, VRC_TEST_IRQ_IN_IRQ_WINDOW);
ALLOWED(nmi_in_its_window, VRC_TEST_NMI_IN_NMI_WINDOW);
VIOLATION(hard_interrupt, "hardirq", VRC_TEST_IN_HARDIRQ, "in a hard interrupt", SELF);
VIOLATION(soft_interrupt, "softirq", VRC_TEST_IN_SOFTIRQ, "in a soft interrupt", SELF);
VIOLATION(nmi, "nmi", VRC_TEST_IN_NMI, "in an NMI", SELF);
VIOLATION(scheduler_takes_the_cpu, "scheduler", VRC_TEST_IN_SCHED_OUT, "in a scheduler callback", SELF);
VIOLATION(scheduler_gives_the_cpu, "scheduler", VRC_TEST_IN_SCHED_IN, "in a scheduler callback", SELF);
VIOLATION(preemption_off, "scheduler", VRC_TEST_PREEMPTION_OFF, "with preemption disabled", SELF);
VIOLATION(foreign_task, "foreign_task", VRC_TEST_IN_FOREIGN_TASK, "while another task holds the vCPU's mutex",
	  "vrc_test_foreig");
VIOLATION(without_the_mutex, "unlocked", VRC_TEST_UNLOCKED, "without the vCPU's mutex", SELF);
VIOLATION(interrupt_in_an_nmis_window, "hardirq", VRC_TEST_IRQ_IN_NMI_WINDOW, "in a hard interrupt", SELF);
VIOLATION(nmi_in_an_interrupts_window, "nmi", VRC_TEST_NMI_IN_IRQ_WINDOW, "in an NMI", SELF);
VIOLATION(soft_interrupt_in_an_interrupts_window, "softirq", VRC_TEST_SOFTIRQ_IN_IRQ_WINDOW,
	  "in a soft interrupt", SELF);
VIOLATION(interrupt_of_that_soft_interrupt, "hardirq", VRC_TEST_IRQ_OF_SOFTIRQ_IN_IRQ_WINDOW,
	  "in a hard interrupt", SELF);

/* The number of violations of all kinds. */
static uint64_t sum_of_counters(void)
{
	static const char *const names[] = {
		"context_nmi", "context_hardirq", "context_softirq", "context_scheduler",
		"context_foreign_task", "context_unlocked",
	};
	uint64_t sum = 0;

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		sum += fault_count(names[i]);
	return sum;
}

FIXTURE_SETUP(context)
{
	const char *why = test_module_load();
	uint64_t violations;

	if (why)
		SKIP(return, "%s", why);
	pin_here();
	self->device = test_module_device();
	/* With lockdep this has no effect. */
	self->was_on = parameter_set("check_context", 1);
	ASSERT_LE(0, self->was_on);
	why = trace_open(&self->trace);
	ASSERT_EQ(NULL, why) TH_LOG("%s", why);
	trace_enable("context_violation", 1);
	fault_log_open(&self->log);
	violations = sum_of_counters();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, say);
	vcpu_run(&self->vcpu);
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &self->regs);
	ASSERT_EQ(GUEST_CODE + 2, self->regs.rip);
	/* The module itself causes no violation. */
	ASSERT_EQ(violations, sum_of_counters());
}

FIXTURE_TEARDOWN(context)
{
	fault_log_close(&self->log);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	trace_close(&self->trace);
	parameter_set("check_context", self->was_on);
	test_module_close();
}

/* The register's value, which is also the value that writes set. */
static uint64_t right_value(const struct kvm_regs *regs, const struct operation *operation)
{
	return operation->reg && !strcmp(operation->reg, "rflags") ? regs->rflags : regs->rip;
}

static int reads(const struct operation *operation)
{
	return !strcmp(operation->name, "read");
}

/* Returns 0 or -errno of the attempt; the operation's own result is in *request. */
static long use(int device, struct vcpu *vcpu, enum vrc_test_where where, const struct operation *operation,
		uint64_t value, struct vrc_test_context *request)
{
	*request = (struct vrc_test_context){
		.vcpu = vcpu->fd, .context = where, .operation = operation->number, .reg = CACHE_RFLAGS, .value = value,
	};
	return ioctl_ptr(device, VRC_TEST_USE_CACHE, request);
}

/* A report that is deferred to an interrupt arrives soon. */
static void read_log(struct fault_log *log, unsigned int reports)
{
	unsigned int ms;

	for (ms = 0; ms < 2000; ms++) {
		fault_log_read(log);
		if (log->reports >= reports)
			break;
		usleep(1000);
	}
	usleep(1000);
	fault_log_read(log);
}

static void expect_right_value(struct __test_metadata *_metadata, const struct kvm_regs *regs,
			       const struct operation *operation, const struct vrc_test_context *request, int vmcs_may_be_elsewhere)
{
	if (vmcs_may_be_elsewhere && request->error == -EIO)
		return;
	EXPECT_EQ(0, request->error) TH_LOG("%s", operation->name);
	if (!request->error && reads(operation))
		EXPECT_EQ(right_value(regs, operation), request->value);
}

static void expect_event(struct __test_metadata *_metadata, const struct trace_event *event, const char *kind,
			 const struct operation *operation)
{
	EXPECT_TRUE(event_is(event, "context_violation"));
	EXPECT_EQ(0U, event_number(event, "vcpu"));
	EXPECT_TRUE(event_has(event, "kind", kind)) TH_LOG("%s", event->fields);
	EXPECT_TRUE(event_has(event, "operation", operation->name)) TH_LOG("%s", event->fields);
	EXPECT_TRUE(event_has(event, "reg", operation->reg ? operation->reg : "none")) TH_LOG("%s", event->fields);
}

static void expect_has(struct __test_metadata *_metadata, const char *text, const char *part)
{
	EXPECT_NE(NULL, strstr(text, part)) TH_LOG("no \"%s\" in: %s", part, text);
}

static void expect_line(struct __test_metadata *_metadata, const char *line, const char *says, const char *task,
			const struct operation *operation)
{
	char part[256];

	snprintf(part, sizeof(part), "vCPU 0: %s%s%s %s", operation->name, operation->reg ? " of " : "",
		 operation->reg ? operation->reg : "",
		 strcmp(says, "with preemption disabled") ? says : "in a scheduler callback");
	expect_has(_metadata, line, part);
	expect_has(_metadata, line, says);
	snprintf(part, sizeof(part), "task %s, pid ", task);
	expect_has(_metadata, line, part);
	expect_has(_metadata, line, " vrc_vcpu_use_cache+0x");
}

static void try_operation(struct __test_metadata *_metadata, struct _test_data_context *self,
			  const struct _fixture_variant_context *variant, const struct operation *operation)
{
	unsigned int expected = variant->kind ? 1 : 0;
	int elsewhere = variant->where == VRC_TEST_IN_FOREIGN_TASK;
	uint64_t value = right_value(&self->regs, operation);
	struct vrc_test_context request;
	uint64_t before[2];
	char counter[64];

	snprintf(counter, sizeof(counter), "context_%s", variant->kind ? variant->kind : "unlocked");
	before[0] = fault_count(counter);
	warn_again();
	fault_log_skip(&self->log);
	trace_clear();
	for (int turn = 0; turn < TIMES; turn++) {
		ASSERT_EQ(0, use(self->device, &self->vcpu, variant->where, operation, value, &request));
		expect_right_value(_metadata, &self->regs, operation, &request, elsewhere);
	}
	read_log(&self->log, expected);
	before[1] = fault_count(counter);
	trace_read(&self->trace);

	EXPECT_EQ(expected, self->log.reports) TH_LOG("%s: %s", operation->name, self->log.report);
	EXPECT_EQ(expected, self->log.lines) TH_LOG("%s: %s", operation->name, self->log.line);
	EXPECT_EQ(expected * TIMES, before[1] - before[0]) TH_LOG("%s", operation->name);
	EXPECT_EQ(expected * TIMES, self->trace.count) TH_LOG("%s", operation->name);
	for (unsigned int i = 0; i < self->trace.count; i++)
		expect_event(_metadata, &self->trace.event[i], variant->kind, operation);
	if (!expected)
		return;
	/*
	 * Nothing may be printed under the lock of a run queue.  Interrupts are off at each use, as they are in the
	 * scheduler, so what looks like it is reported later, too.
	 */
	EXPECT_EQ(!strcmp(variant->kind, "scheduler"), self->log.delayed != 0) TH_LOG("%s", operation->name);
	expect_line(_metadata, self->log.line, variant->says, variant->task, operation);
	snprintf(counter, sizeof(counter), " vrc_context_%s", variant->kind);
	expect_has(_metadata, self->log.report, counter);
}

TEST_F(context, each_operation)
{
	unsigned int expected = variant->kind ? OPERATIONS : 0;
	struct kvm_regs regs;
	char regex[128];
	uint64_t before;

	RETURN_IF_SKIPPED();
	before = sum_of_counters();
	if (expected) {
		snprintf(regex, sizeof(regex), "WARNING: .*/linux/context\\.c:[0-9]+ (at )?vrc_context_%s\\b", variant->kind);
		announce_reports(expected, regex);
	}
	for (unsigned int i = 0; i < OPERATIONS; i++)
		try_operation(_metadata, self, variant, &operations[i]);
	EXPECT_EQ(before + expected * TIMES, sum_of_counters());

	/* No other counter has changed. The operations were carried out, and the vCPU runs on. */
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(0, memcmp(&self->regs, &regs, sizeof(regs)));
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
	vcpu_get_regs(&self->vcpu, &regs);
	EXPECT_EQ(GUEST_CODE + 3, regs.rip);
	if (lockdep_is_there())
		EXPECT_EQ(1, lockdep_works());
}

static const struct operation *find(enum vrc_test_operation number)
{
	for (unsigned int i = 0; i < OPERATIONS; i++) {
		if (operations[i].number == number)
			return &operations[i];
	}
	die("unknown operation");
}

/* It is a check, not a lock: the operation continues, and an error is still returned. */
TEST_F(context, operations_still_return_errors)
{
	const struct operation *write = find(VRC_TEST_WRITE), *vm_exit = find(VRC_TEST_VM_EXIT);
	struct vrc_test_context request;
	char regex[128];

	RETURN_IF_SKIPPED();
	if (variant->kind) {
		snprintf(regex, sizeof(regex), "WARNING: .*/linux/context\\.c:[0-9]+ (at )?vrc_context_%s\\b", variant->kind);
		announce_reports(1, regex);
	}
	warn_again();
	/* A register was set but not written back, so there cannot have been a VM-exit. */
	ASSERT_EQ(0, use(self->device, &self->vcpu, VRC_TEST_IN_TASK, write, self->regs.rflags ^ 1, &request));
	ASSERT_EQ(0, request.error);
	ASSERT_EQ(0, use(self->device, &self->vcpu, variant->where, vm_exit, 0, &request));
	EXPECT_EQ(-EIO, request.error);
	ASSERT_EQ(0, use(self->device, &self->vcpu, VRC_TEST_IN_TASK, find(VRC_TEST_READ), 0, &request));
	EXPECT_EQ(0, request.error);
	EXPECT_EQ(self->regs.rflags ^ 1, request.value);
	read_log(&self->log, variant->kind ? 1 : 0);
	EXPECT_EQ(variant->kind ? 1U : 0U, self->log.reports);
}

/* No line in the log, no counter and no event. */
TEST_F(context, nothing_is_reported_while_the_check_is_off)
{
	struct vrc_test_context request;
	uint64_t before;

	RETURN_IF_SKIPPED();
	before = sum_of_counters();
	if (lockdep_is_there())
		SKIP(return, "with lockdep the check is always on");
	parameter_set("check_context", 0);
	warn_again();
	fault_log_skip(&self->log);
	for (unsigned int i = 0; i < OPERATIONS; i++) {
		const struct operation *operation = &operations[i];

		ASSERT_EQ(0, use(self->device, &self->vcpu, variant->where, operation,
				 right_value(&self->regs, operation), &request));
		expect_right_value(_metadata, &self->regs, operation, &request,
				   variant->where == VRC_TEST_IN_FOREIGN_TASK);
	}
	read_log(&self->log, 0);
	trace_read(&self->trace);
	EXPECT_EQ(0U, self->log.reports);
	EXPECT_EQ(0U, self->log.lines);
	EXPECT_EQ(0U, self->trace.count);
	EXPECT_EQ(before, sum_of_counters());
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

TEST_HARNESS_MAIN
