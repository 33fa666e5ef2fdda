// SPDX-License-Identifier: GPL-2.0
/* The trace events report exactly what happened to the registers, and cause nothing themselves. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/harness.h"
#include "lib/counters.h"
#include "lib/cpus.h"
#include "lib/event_log.h"
#include "lib/modes.h"
#include "lib/trace.h"
#include "lib/vm.h"

#define CPUID_EXITS	100
#define OUT_EXITS	20
#define INTERRUPT	0x41
/* While the host runs another task, its state in the VMCS may have to change; that is written, and is no register. */
#define HOST_STATE_WRITES 10

FIXTURE(trace) {
	struct vm vm;
	struct vcpu vcpu;
	struct trace trace;
	struct counters counters;
	int cpu;
	/* Or -1. */
	int other_cpu;
};

/* CPUID RCX times, then OUT RBX times, then HLT. */
GUEST_ASM(count, 64,
	"	mov %ecx, %esi\n"
	"1:	xor %eax, %eax\n"
	"	push %rbx\n"
	"	cpuid\n"
	"	pop %rbx\n"
	"	dec %esi\n"
	"	jnz 1b\n"
	"2:	outb %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	dec %ebx\n"
	"	jnz 2b\n"
	"	hlt\n");

static void start(struct vcpu *vcpu)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK, .rcx = CPUID_EXITS, .rbx = OUT_EXITS,
	};

	vcpu_set_regs(vcpu, &regs);
}

static int run(struct vcpu *vcpu)
{
	int reason;

	start(vcpu);
	do {
		reason = vcpu_run(vcpu);
	} while (reason == KVM_EXIT_IO);
	return reason;
}

FIXTURE_SETUP(trace)
{
	const char *why;

	if (!device_is_vregcache())
		SKIP(return, "%s has no such events", device_path());
	ensure_module();
	/* Clocks of several CPUs need not agree, and the order matters. */
	self->cpu = another_cpu(-1);
	self->other_cpu = another_cpu(self->cpu);
	ASSERT_EQ(0, pin_to_cpu(self->cpu));
	why = trace_open(&self->trace);
	ASSERT_EQ(NULL, why) TH_LOG("%s", why);
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, count);
	/* This maps all memory that the guest will touch. */
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_clear();
}

FIXTURE_TEARDOWN(trace)
{
	if (!self->vm.fd)
		return;
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	trace_close(&self->trace);
}

TEST_F(trace, module_offers_eight_events)
{
	static const char *const names[] = { "context_violation", "invalidate", "mismatch", "miss", "vm_entry", "vm_exit",
					     "vmcs_load", "write_back" };
	struct dirent *entry;
	unsigned int found = 0, known = 0;
	DIR *directory;

	RETURN_IF_SKIPPED();
	directory = opendir("/sys/kernel/tracing/events/vregcache");
	ASSERT_NE(NULL, directory);
	while ((entry = readdir(directory))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		found++;
		for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
			known += !strcmp(names[i], entry->d_name);
	}
	closedir(directory);
	EXPECT_EQ(ARRAY_SIZE(names), found);
	EXPECT_EQ(ARRAY_SIZE(names), known);
}

/* Counters that the events themselves must not change. */
static struct counters measure(struct vcpu *vcpu)
{
	struct counters counters;

	counters_reset();
	if (run(vcpu) != KVM_EXIT_HLT || !counters_read(&counters))
		die("no HLT, or no counters");
	return counters;
}

TEST_F(trace, tracing_accesses_no_vmcs_field)
{
	static const char *const reasons[] = { "cpuid", "io", "hlt" };
	struct counters off, on, off_again;

	RETURN_IF_SKIPPED();
	off = measure(&self->vcpu);
	trace_enable("", 1);
	on = measure(&self->vcpu);
	trace_enable("", 0);
	trace_read(&self->trace);
	EXPECT_LT(CPUID_EXITS * 5U, self->trace.count);
	off_again = measure(&self->vcpu);
	for (unsigned int i = 0; i < ARRAY_SIZE(reasons); i++) {
		struct counter without = counters_find(&off, reasons[i]), with = counters_find(&on, reasons[i]);
		struct counter after = counters_find(&off_again, reasons[i]);

		EXPECT_LT(0U, without.exits);
		EXPECT_EQ(without.exits, with.exits);
		EXPECT_EQ(without.vmreads, with.vmreads) TH_LOG("%s", reasons[i]);
		EXPECT_GE(without.vmwrites + HOST_STATE_WRITES, with.vmwrites) TH_LOG("%s", reasons[i]);
		EXPECT_EQ(without.vmreads, after.vmreads);
	}
}

TEST_F(trace, no_events_while_tracing_is_off)
{
	RETURN_IF_SKIPPED();
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_enable("", 1);
	trace_enable("", 0);
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_read(&self->trace);
	EXPECT_EQ(0U, self->trace.count);
}

TEST_F(trace, each_event_can_be_enabled_alone)
{
	static const char *const names[] = { "invalidate", "miss", "vm_entry", "vm_exit", "write_back" };

	RETURN_IF_SKIPPED();
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		trace_clear();
		trace_enable(names[i], 1);
		ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
		trace_enable(names[i], 0);
		trace_read(&self->trace);
		EXPECT_LE(CPUID_EXITS + OUT_EXITS + 1U, self->trace.count) TH_LOG("%s", names[i]);
		EXPECT_EQ(self->trace.count, trace_count(&self->trace, names[i]));
	}
}

/* A cache, as the events describe it. */
struct model {
	uint64_t available;
	/* Values on which memory and the VMCS agree. */
	uint64_t value[64];
	/* Registers of the last VM-entry that are not written back yet. */
	uint64_t to_write;
	int in_guest;
	int exit_is_open;
	/* By exit reason; accesses from VM-exit to VM-exit. */
	uint64_t exits[76], misses[76], write_backs[76];
	unsigned int reason;
};

static unsigned int number_of(uint64_t bit)
{
	return __builtin_ctzll(bit);
}

static uint64_t reg(const char *name)
{
	return register_bit(name);
}

/* An event's value is the register's, if that is in memory. A dirty register was set, and no event reports to what. */
static void expect_value(struct __test_metadata *_metadata, const struct model *model, const struct trace_event *event,
			 const char *field, const char *name)
{
	uint64_t bit = reg(name), told = event_number(event, field);
	uint64_t known = event_registers(event, "available") & bit ? model->value[number_of(bit)] : 0;

	if (!(event_registers(event, "dirty") & bit))
		EXPECT_EQ(known, told) TH_LOG("%s of %s:%s", field, event->name, event->fields);
}

static void follow_entry(struct __test_metadata *_metadata, struct model *model, const struct trace_event *event)
{
	uint64_t available = event_registers(event, "available"), dirty = event_registers(event, "dirty");

	EXPECT_FALSE(model->in_guest) TH_LOG("VM-entry after VM-entry");
	EXPECT_FALSE(model->exit_is_open) TH_LOG("VM-entry before the exit was handled");
	EXPECT_EQ(dirty, dirty & available);
	EXPECT_EQ(model->available | dirty, available) TH_LOG("%s", event->fields);
	expect_value(_metadata, model, event, "rip", "rip");
	model->to_write = dirty;
	model->in_guest = 1;
}

static void follow_exit(struct __test_metadata *_metadata, struct model *model, const struct trace_event *event)
{
	uint64_t available = event_registers(event, "available"), dirty = event_registers(event, "dirty");
	uint64_t reason = model->value[number_of(reg("exit_reason"))];

	EXPECT_TRUE(model->exit_is_open) TH_LOG("vm_exit without an exit:%s", event->fields);
	EXPECT_EQ(model->available | dirty, available) TH_LOG("%s", event->fields);
	expect_value(_metadata, model, event, "rip", "rip");
	expect_value(_metadata, model, event, "length", "instruction_length");
	expect_value(_metadata, model, event, "qualification", "qualification");
	expect_value(_metadata, model, event, "guest_physical", "guest_physical");
	expect_value(_metadata, model, event, "interruption", "interruption");
	expect_value(_metadata, model, event, "interruption_error", "interruption_error");
	expect_value(_metadata, model, event, "vectoring", "vectoring");
	if (event_has(event, "reason", "cpuid")) {
		EXPECT_EQ(10U, reason);
		EXPECT_TRUE(event_has(event, "next", "guest"));
		/* The instruction was skipped. */
		EXPECT_EQ(reg("rip"), dirty);
		EXPECT_EQ(2U, event_number(event, "length"));
		EXPECT_EQ(model->value[number_of(reg("rip"))] + 2, event_number(event, "rip"));
	} else if (event_has(event, "reason", "io")) {
		EXPECT_EQ(30U, reason);
		EXPECT_TRUE(event_has(event, "next", "userspace"));
		EXPECT_EQ(PORT_TEST, event_number(event, "qualification") >> 16);
	} else if (event_has(event, "reason", "hlt")) {
		EXPECT_EQ(12U, reason);
		EXPECT_TRUE(event_has(event, "next", "userspace"));
	} else {
		/* The host's own interrupt. */
		EXPECT_TRUE(event_has(event, "reason", "external_interrupt")) TH_LOG("%s", event->fields);
		EXPECT_EQ(1U, reason);
	}
	model->exit_is_open = 0;
}

static void follow(struct __test_metadata *_metadata, struct model *model, const struct trace_event *event)
{
	uint64_t set;

	EXPECT_EQ(0U, event_number(event, "vcpu"));
	if (event_is(event, "vm_entry")) {
		follow_entry(_metadata, model, event);
	} else if (event_is(event, "vm_exit")) {
		follow_exit(_metadata, model, event);
	} else if (event_is(event, "write_back")) {
		set = event_registers(event, "reg");
		EXPECT_TRUE(model->in_guest);
		EXPECT_EQ(set, model->to_write & set) TH_LOG("written twice, or not dirty:%s", event->fields);
		model->to_write &= ~set;
		model->available |= set;
		model->value[number_of(set)] = event_number(event, "value");
		model->write_backs[model->reason]++;
	} else if (event_is(event, "invalidate")) {
		set = event_registers(event, "set");
		EXPECT_TRUE(model->in_guest) TH_LOG("VM-exit without VM-entry");
		EXPECT_EQ(0U, model->to_write) TH_LOG("dirty registers were not written back");
		/* Everything that the guest or the exit can change. */
		EXPECT_EQ(~(reg("cr0_shadow") | reg("cr4_shadow") | reg("efer")), set);
		model->available &= ~set;
		model->in_guest = 0;
		model->exit_is_open = 1;
	} else if (event_is(event, "miss")) {
		set = event_registers(event, "reg");
		EXPECT_FALSE(model->in_guest);
		EXPECT_EQ(0U, model->available & set) TH_LOG("a miss of an available register:%s", event->fields);
		model->available |= set;
		model->value[number_of(set)] = event_number(event, "value");
		if (set == reg("exit_reason")) {
			model->reason = event_number(event, "value");
			ASSERT_GT(76U, model->reason);
			model->exits[model->reason]++;
		}
		model->misses[model->reason]++;
	}
}

TEST_F(trace, events_agree_with_a_model_of_the_cache)
{
	static const struct { unsigned int number; const char *name; } reasons[] = {
		{ 10, "cpuid" }, { 30, "io" }, { 12, "hlt" },
	};
	struct model *model = calloc(1, sizeof(*model));
	unsigned int i = 0;

	RETURN_IF_SKIPPED();
	ASSERT_NE(NULL, model);
	trace_enable("", 1);
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	/* The registers in memory are known only from here on, after the first run to HLT. */
	trace_clear();
	counters_reset();
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	ASSERT_TRUE(counters_read(&self->counters));
	trace_enable("", 0);
	trace_read(&self->trace);

	/* The state that SET_REGS found in memory. */
	while (i < self->trace.count && !event_is(&self->trace.event[i], "vm_entry"))
		i++;
	ASSERT_GT(self->trace.count, i);
	model->available = event_registers(&self->trace.event[i], "available");
	model->reason = 12;
	for (; i < self->trace.count; i++)
		follow(_metadata, model, &self->trace.event[i]);
	EXPECT_FALSE(model->in_guest);
	EXPECT_FALSE(model->exit_is_open);

	EXPECT_EQ((uint64_t)CPUID_EXITS, model->exits[10]);
	EXPECT_EQ((uint64_t)OUT_EXITS, model->exits[30]);
	EXPECT_EQ(1U, model->exits[12]);
	/* The counters agree. HLT's have a part before vm_entry, and one from the run before. */
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		struct counter counter = counters_find(&self->counters, reasons[i].name);

		EXPECT_EQ(counter.exits, model->exits[reasons[i].number]) TH_LOG("%s", reasons[i].name);
		if (reasons[i].number == 12)
			continue;
		EXPECT_EQ(counter.vmreads, model->misses[reasons[i].number]) TH_LOG("%s", reasons[i].name);
		/* Not only registers are written: on the way back from userspace, the host's state is, too. */
		EXPECT_LE(model->write_backs[reasons[i].number], counter.vmwrites) TH_LOG("%s", reasons[i].name);
		if (reasons[i].number == 10)
			EXPECT_GE(model->write_backs[10] + HOST_STATE_WRITES, counter.vmwrites);
	}
	free(model);
}

TEST_F(trace, write_backs_have_the_values_that_were_set)
{
	struct kvm_sregs sregs;
	uint64_t dirty = 0;

	RETURN_IF_SKIPPED();
	vcpu_get_sregs(&self->vcpu, &sregs);
	sregs.gs.base = 0x123456789000;
	sregs.tr.limit = 0x68;
	vcpu_set_sregs(&self->vcpu, &sregs);
	trace_enable("", 1);
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_enable("", 0);
	trace_read(&self->trace);
	for (unsigned int i = 0; i < self->trace.count; i++) {
		const struct trace_event *event = &self->trace.event[i];

		if (event_is(event, "vm_entry")) {
			if (dirty)
				break;
			dirty = event_registers(event, "dirty");
			EXPECT_EQ(reg("gs.base") | reg("tr.limit"), dirty & (0xffffffffULL << 32));
			EXPECT_EQ((uint64_t)GUEST_CODE, event_number(event, "rip"));
			EXPECT_TRUE(event_has(event, "event", "none"));
		} else if (event_is(event, "write_back")) {
			uint64_t value = event_number(event, "value");

			if (event_has(event, "reg", "gs.base")) {
				EXPECT_EQ(0x123456789000ULL, value);
			} else if (event_has(event, "reg", "tr.limit")) {
				EXPECT_EQ(0x68U, value);
			} else if (event_has(event, "reg", "rip")) {
				EXPECT_EQ((uint64_t)GUEST_CODE, value);
			} else if (event_has(event, "reg", "rsp")) {
				EXPECT_EQ((uint64_t)GUEST_STACK, value);
			}
		}
	}
	EXPECT_NE(0U, dirty);
}

TEST_F(trace, filters_by_field_work)
{
	unsigned int misses_of_rip = 0;

	RETURN_IF_SKIPPED();
	trace_enable("miss", 1);
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_enable("miss", 0);
	trace_read(&self->trace);
	for (unsigned int i = 0; i < self->trace.count; i++)
		misses_of_rip += event_has(&self->trace.event[i], "reg", "rip");
	ASSERT_LT(CPUID_EXITS, misses_of_rip);
	ASSERT_GT(self->trace.count, misses_of_rip);

	/* In filters, registers and reasons are numbers. */
	ASSERT_EQ(0, trace_filter("miss", "reg == 0"));
	ASSERT_EQ(0, trace_filter("vm_exit", "reason == 10 && vcpu == 0"));
	ASSERT_EQ(0, trace_filter("write_back", "value == 0xffff1234"));
	EXPECT_EQ(-EINVAL, trace_filter("miss", "nonsense == 0"));
	ASSERT_EQ(0, trace_filter("miss", "reg == 0"));
	trace_clear();
	trace_enable("", 1);
	trace_enable("invalidate", 0);
	trace_enable("vm_entry", 0);
	trace_enable("vmcs_load", 0);
	ASSERT_EQ(KVM_EXIT_HLT, run(&self->vcpu));
	trace_enable("", 0);
	trace_read(&self->trace);
	for (unsigned int i = 0; i < self->trace.count; i++) {
		const struct trace_event *event = &self->trace.event[i];

		EXPECT_TRUE(event_is(event, "miss") ? event_has(event, "reg", "rip") :
			    event_is(event, "vm_exit") && event_has(event, "reason", "cpuid"))
			TH_LOG("%s:%s", event->name, event->fields);
	}
	EXPECT_EQ((unsigned int)CPUID_EXITS, trace_count(&self->trace, "vm_exit"));
	/* At an interrupt of the host, RIP need not be read. */
	EXPECT_LE(CPUID_EXITS + OUT_EXITS + 1U, trace_count(&self->trace, "miss"));
}

/* Handlers for NMI and interrupt that count, and a guest that allows both. */
GUEST_ASM(wait, 64,
	"	sti\n"
	"	nop\n"
	"	nop\n"
	"	cli\n"
	"	hlt\n");

static void run_pending(struct vcpu *vcpu)
{
	struct kvm_regs regs = { .rip = GUEST_CODE, .rflags = RFLAGS_FIXED, .rsp = GUEST_STACK };

	vcpu_set_regs(vcpu, &regs);
	if (vcpu_run(vcpu) != KVM_EXIT_HLT)
		die("the guest did not halt");
}

static unsigned int count_entries(const struct trace *trace, const char *what, unsigned int vector)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < trace->count; i++) {
		const struct trace_event *event = &trace->event[i];

		count += event_is(event, "vm_entry") && event_has(event, "event", what) &&
			 event_number(event, "vector") == vector;
	}
	return count;
}

TEST_F(trace, vm_entry_reports_the_injected_event)
{
	struct kvm_interrupt interrupt = { .irq = INTERRUPT };
	unsigned int plain;

	RETURN_IF_SKIPPED();
	vm_load(&self->vm, GUEST_CODE, wait);
	vcpu_install_event_log(&self->vcpu);
	/* This maps the handler's memory, so that no delivery is interrupted. */
	ASSERT_EQ(0, ioctl_errno(self->vcpu.fd, KVM_NMI, 0));
	run_pending(&self->vcpu);

	trace_enable("vm_entry", 1);
	run_pending(&self->vcpu);
	ASSERT_EQ(0, ioctl_errno(self->vcpu.fd, KVM_NMI, 0));
	run_pending(&self->vcpu);
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_INTERRUPT, &interrupt));
	run_pending(&self->vcpu);
	trace_enable("vm_entry", 0);
	trace_read(&self->trace);
	ASSERT_EQ(3U, event_count(&self->vm));
	plain = count_entries(&self->trace, "none", 0);
	EXPECT_EQ(1U, count_entries(&self->trace, "nmi", 2));
	EXPECT_EQ(1U, count_entries(&self->trace, "interrupt", INTERRUPT));
	EXPECT_EQ(self->trace.count, plain + 2);
}

TEST_F(trace, failed_entry_is_an_exit_with_its_reason)
{
	const struct trace_event *last;
	struct kvm_regs regs;

	RETURN_IF_SKIPPED();
	vcpu_get_regs(&self->vcpu, &regs);
	/* Invalid in IA-32e mode. */
	regs.rflags |= RFLAGS_VM;
	vcpu_set_regs(&self->vcpu, &regs);
	trace_enable("", 1);
	ASSERT_EQ(KVM_EXIT_FAIL_ENTRY, vcpu_run(&self->vcpu));
	trace_enable("", 0);
	trace_read(&self->trace);
	EXPECT_EQ(1U, trace_count(&self->trace, "vm_entry"));
	ASSERT_EQ(1U, trace_count(&self->trace, "vm_exit"));
	for (last = self->trace.event; !event_is(last, "vm_exit"); last++)
		;
	EXPECT_TRUE(event_has(last, "reason", "invalid_guest_state")) TH_LOG("%s", last->fields);
	EXPECT_TRUE(event_has(last, "next", "entry_failure")) TH_LOG("%s", last->fields);
}

TEST_F(trace, vmcs_load_reports_a_change_of_vmcs)
{
	struct vcpu other;
	struct kvm_regs regs;
	uint64_t address[2] = { 0 };

	RETURN_IF_SKIPPED();
	vcpu_create(&other, &self->vm, 1);
	vcpu_get_regs(&self->vcpu, &regs);
	trace_enable("", 1);
	for (int i = 0; i < 5; i++) {
		vcpu_get_regs(&other, &regs);
		/* Its VMCS is current now. */
		vcpu_get_regs(&other, &regs);
		vcpu_get_regs(&self->vcpu, &regs);
	}
	trace_enable("", 0);
	trace_read(&self->trace);
	EXPECT_EQ(10U, trace_count(&self->trace, "vmcs_load"));
	for (unsigned int i = 0, load = 0; i < self->trace.count; i++) {
		const struct trace_event *event = &self->trace.event[i];
		uint64_t vcpu, vmcs;

		if (!event_is(event, "vmcs_load"))
			continue;
		vcpu = event_number(event, "vcpu");
		vmcs = event_number(event, "vmcs");
		ASSERT_EQ(++load % 2, vcpu);
		EXPECT_EQ((uint64_t)self->cpu, event_number(event, "from"));
		EXPECT_EQ((unsigned int)self->cpu, event->cpu);
		if (!address[vcpu])
			address[vcpu] = vmcs;
		EXPECT_EQ(address[vcpu], vmcs);
		EXPECT_EQ(0U, vmcs % PAGE_BYTES);
	}
	EXPECT_NE(address[0], address[1]);
	vcpu_destroy(&other);
}

TEST_F(trace, vmcs_load_reports_the_previous_cpu)
{
	struct kvm_regs regs;
	struct vcpu fresh;

	RETURN_IF_SKIPPED();
	trace_enable("vmcs_load", 1);
	vcpu_create(&fresh, &self->vm, 7);
	trace_read(&self->trace);
	ASSERT_EQ(1U, trace_count(&self->trace, "vmcs_load"));
	EXPECT_TRUE(event_has(self->trace.event, "vcpu", "7"));
	EXPECT_TRUE(event_has(self->trace.event, "from", "-1"));
	if (self->other_cpu >= 0) {
		trace_clear();
		ASSERT_EQ(0, pin_to_cpu(self->other_cpu));
		vcpu_get_regs(&fresh, &regs);
		trace_read(&self->trace);
		ASSERT_EQ(1U, self->trace.count);
		EXPECT_EQ((uint64_t)self->cpu, event_number(self->trace.event, "from"));
		EXPECT_EQ((unsigned int)self->other_cpu, self->trace.event->cpu);
	}
	trace_enable("vmcs_load", 0);
	vcpu_destroy(&fresh);
}

TEST_HARNESS_MAIN
