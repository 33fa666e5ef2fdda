// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts and NMIs to the CPU where a vCPU runs, each sent only after the last one was handled. The handler checks
 * whether it has interrupted the guest, and compares the guest's registers, as the cache has them, with the VMCS.
 *
 * From another CPU they are IPIs. On the CPU itself an interrupt comes from a timer, and an NMI from the HPET: the
 * entry of its pin in the I/O APIC has delivery mode NMI meanwhile.
 */
#include <linux/acpi.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/stop_machine.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/apic.h>
#include <asm/hpet.h>
#include <asm/irq_regs.h>
#include <asm/nmi.h>

#include "groups.h"
#include "../../src/linux/compat.h"
#include "../../src/test_hooks/exports.h"
#include "vregcache_test.h"

/* The kernel removes a handler by its name. */
#define HANDLER "vregcache_test:nmi"

static DEFINE_MUTEX(one_at_a_time);

/* The current request; its handlers run on its CPU alone. */
static struct {
	struct vrc_test_interruptions request;
	struct vrc_host_vcpu *vcpu;
	bool local; /* the CPU interrupts itself */
	bool armed;
	u32 sent;
	u32 stretch; /* in tenths */
	unsigned long site; /* in the host, of the first one that hit the guest */
	struct vrc_pmi_comparison comparison;
} now;

/* So that no two are a minute apart. */
#define MAX_DISTANCE_US 100000

/* How long to wait for the next one, which always varies; longer on a machine that is slow to enter the guest. */
static unsigned int distance_us(void)
{
	return now.request.distance_us * (10 + now.stretch) / 10 * (10 + now.sent * 37 % 61) / 10;
}

/* ---- the handlers ---- */

static void compare(struct vrc_test_interruptions *to)
{
	struct vrc_pmi_comparison *found = &now.comparison;
	int i;

	vrc_test_pmi_compare(now.vcpu, found);
	to->registers += found->registers;
	if (found->differences && !to->differences) {
		to->first = found->first;
		to->in_memory = found->in_memory;
		to->in_vmcs = found->in_vmcs;
	}
	to->differences += found->differences;
	if (found->rip < to->rip_begin || found->rip >= to->rip_end)
		to->wrong_rips++;
	for (i = 0; i < ARRAY_SIZE(to->gpr); i++) {
		if (to->gpr_mask & 1 << i && found->gpr[i] != to->gpr[i])
			to->wrong_gprs++;
	}
}

/*
 * An interruption while the host handles an interrupt has not hit the guest: an NMI in the middle of the handler, the
 * soft interrupt after it, and an interrupt of that.
 */
static struct hrtimer aside_timer;
static bool nmi_is_due, timer_is_due;

static void record_aside(void)
{
	now.request.asides++;
	now.request.false_asides += vrc_test_pmi_in_guest(now.vcpu);
}

/* Anything later than the deadline proves nothing. */
static void wait_while(bool *due)
{
	u64 deadline = ktime_get_mono_fast_ns() + 200 * NSEC_PER_MSEC;

	while (READ_ONCE(*due) && ktime_get_mono_fast_ns() < deadline)
		cpu_relax();
	WRITE_ONCE(*due, false);
}

static enum hrtimer_restart on_aside_timer(struct hrtimer *unused)
{
	if (READ_ONCE(timer_is_due))
		record_aside();
	WRITE_ONCE(timer_is_due, false);
	return HRTIMER_NORESTART;
}

static void on_softirq(struct tasklet_struct *unused)
{
	record_aside();
	WRITE_ONCE(timer_is_due, true);
	hrtimer_start(&aside_timer, ns_to_ktime(20 * NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
	wait_while(&timer_is_due);
}

static DECLARE_TASKLET(aside_tasklet, on_softirq);

static int send_nmi(void);

static void start_asides(void)
{
	WRITE_ONCE(nmi_is_due, true);
	send_nmi();
	wait_while(&nmi_is_due);
	tasklet_schedule(&aside_tasklet);
}

/* @ip: the interrupted address in the host, or 0 if unknown. Guest mode is always left at the same place. */
static void handled(unsigned long ip)
{
	struct vrc_test_interruptions *to = &now.request;

	if (vrc_test_pmi_in_guest(now.vcpu)) {
		to->in_guest++;
		if (!now.site)
			now.site = ip;
		if (ip && ip - now.site + 32 > 64)
			to->elsewhere++;
		compare(to);
		if (!to->nmi && !(to->in_guest & 63))
			start_asides();
	} else if (to->in_guest < to->handled * 2 / 3 && now.stretch < 200) {
		now.stretch++;
	}
	/* The sender then sees the handler's results. */
	smp_store_release(&to->handled, to->handled + 1);
}

static void next_from_the_hpet(void);

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	if (!READ_ONCE(now.armed) || raw_smp_processor_id() != now.request.cpu)
		return NMI_DONE;
	if (READ_ONCE(nmi_is_due)) {
		record_aside();
		WRITE_ONCE(nmi_is_due, false);
		return NMI_HANDLED;
	}
	if (!now.request.nmi)
		return NMI_HANDLED;
	/* The HPET's timer may fire once more than requested. */
	if (now.request.handled == READ_ONCE(now.sent))
		return NMI_HANDLED;
	handled(regs->ip);
	if (now.local)
		next_from_the_hpet();
	return NMI_HANDLED;
}

/* The kernel does not report the address that an IPI interrupts. */
static void on_ipi(void *unused)
{
	handled(0);
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	handled(get_irq_regs()->ip);
	if (now.request.handled == now.request.count)
		return HRTIMER_NORESTART;
	now.sent++;
	hrtimer_forward_now(timer, ns_to_ktime(distance_us() * (u64)NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

/* ---- interrupts ---- */

static struct hrtimer timer;
static call_single_data_t call;

static void set_up_timer(struct hrtimer *to, enum hrtimer_restart (*function)(struct hrtimer *timer))
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(to, function, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(to, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	to->function = function;
#endif
}

static void start_timer(void)
{
	set_up_timer(&timer, on_timer);
	now.sent = 1;
	hrtimer_start(&timer, ns_to_ktime(distance_us() * (u64)NSEC_PER_USEC), HRTIMER_MODE_REL_PINNED_HARD);
}

static int send_interrupt(void)
{
	return smp_call_function_single_async(now.request.cpu, &call);
}

/* ---- NMIs ---- */

static u32 apic_id;

static void learn_apic_id(void *unused)
{
	apic_id = cpuid_ebx(1) >> 24;
}

static int send_nmi(void)
{
	unsigned long flags;
	u64 base;

	rdmsrq(MSR_IA32_APICBASE, base);
	if (base & X2APIC_ENABLE) {
		wrmsrq(APIC_BASE_MSR + (APIC_ICR >> 4), (u64)apic_id << 32 | APIC_DM_NMI);
		return 0;
	}
	/* The two halves of the ICR must be written together. */
	local_irq_save(flags);
	while (native_apic_mem_read(APIC_ICR) & APIC_ICR_BUSY)
		cpu_relax();
	native_apic_mem_write(APIC_ICR2, apic_id << 24);
	native_apic_mem_write(APIC_ICR, APIC_DM_NMI);
	local_irq_restore(flags);
	return 0;
}

static void __iomem *hpet;
static void __iomem *io_apic;
static unsigned int hpet_pin;
static u32 saved_entry[2], saved_timer, saved_hpet;

static void write_entry(const u32 *entry)
{
	/* Masked while the other half is written. */
	writel(0x10 + 2 * hpet_pin, io_apic);
	writel(1 << 16, io_apic + 0x10);
	writel(0x11 + 2 * hpet_pin, io_apic);
	writel(entry[1], io_apic + 0x10);
	writel(0x10 + 2 * hpet_pin, io_apic);
	writel(entry[0], io_apic + 0x10);
}

/* All CPUs are stopped, so none is between the I/O APIC's index and its data. */
static int take_pin(void *unused)
{
	const u32 nmi[2] = { APIC_DM_NMI, apic_id << 24 };
	int i;

	for (i = 0; i < 2; i++) {
		writel(0x10 + 2 * hpet_pin + i, io_apic);
		saved_entry[i] = readl(io_apic + 0x10);
	}
	write_entry(nmi);
	return 0;
}

static int give_pin_back(void *unused)
{
	write_entry(saved_entry);
	return 0;
}

/* The pin of the HPET's timer 0 while it replaces the PIT, and the I/O APIC of that pin. */
static u64 find_io_apic(void)
{
	struct acpi_table_header *table;
	struct acpi_subtable_header *sub;
	u64 address = 0;
	void *end;

	hpet_pin = 0;
	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_MADT, 0, &table)))
		return 0;
	end = (void *)table + table->length;
	for (sub = (void *)table + sizeof(struct acpi_table_madt); (void *)(sub + 1) <= end && sub->length;
	     sub = (void *)sub + sub->length) {
		struct acpi_madt_interrupt_override *override = (void *)sub;
		struct acpi_madt_io_apic *found = (void *)sub;

		if (sub->type == ACPI_MADT_TYPE_IO_APIC && !found->global_irq_base)
			address = found->address;
		if (sub->type == ACPI_MADT_TYPE_INTERRUPT_OVERRIDE && !override->source_irq)
			hpet_pin = override->global_irq;
	}
	acpi_put_table(table);
	return address;
}

static u64 find_hpet(void)
{
	struct acpi_table_header *table;
	u64 address;

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_HPET, 0, &table)))
		return 0;
	address = ((struct acpi_table_hpet *)table)->address.address;
	acpi_put_table(table);
	return address;
}

static void next_from_the_hpet(void)
{
	/* 10^15 femtoseconds are a second. */
	u32 ticks_per_us = 1000000000U / readl(hpet + HPET_PERIOD);
	u32 distance = distance_us();
	u32 due;

	if (now.request.handled == now.request.count)
		return;
	now.sent++;
	/* A time that has passed when it is set would fire only in a minute. */
	do {
		due = readl(hpet + HPET_COUNTER) + distance * ticks_per_us;
		writel(due, hpet + HPET_Tn_CMP(0));
		distance *= 2;
	} while ((s32)(readl(hpet + HPET_COUNTER) - due) >= 0);
}

static int start_hpet(void)
{
	u64 hpet_address = find_hpet(), io_apic_address = find_io_apic();
	int error = -ENODEV;

	if (!hpet_address || !io_apic_address)
		return -ENODEV;
	hpet = ioremap(hpet_address, HPET_MMAP_SIZE);
	io_apic = ioremap(io_apic_address, PAGE_SIZE);
	if (!hpet || !io_apic)
		goto unmap;
	saved_timer = readl(hpet + HPET_Tn_CFG(0));
	saved_hpet = readl(hpet + HPET_CFG);
	/* The kernel uses it for its tick. */
	error = -EBUSY;
	if (saved_timer & HPET_TN_ENABLE)
		goto unmap;
	stop_machine(take_pin, NULL, NULL);
	writel(saved_hpet | HPET_CFG_LEGACY | HPET_CFG_ENABLE, hpet + HPET_CFG);
	writel((saved_timer & ~(HPET_TN_PERIODIC | HPET_TN_LEVEL)) | HPET_TN_ENABLE | HPET_TN_32BIT,
	       hpet + HPET_Tn_CFG(0));
	next_from_the_hpet();
	return 0;

unmap:
	if (hpet)
		iounmap(hpet);
	if (io_apic)
		iounmap(io_apic);
	return error;
}

static void stop_hpet(void)
{
	writel(saved_timer, hpet + HPET_Tn_CFG(0));
	writel(saved_hpet, hpet + HPET_CFG);
	stop_machine(give_pin_back, NULL, NULL);
	iounmap(hpet);
	iounmap(io_apic);
}

/* ---- both ---- */

/* Waits until this many were handled; fails after ten seconds without one. */
static int wait_until_handled(u32 count, bool often)
{
	unsigned long deadline = jiffies + 10 * HZ;
	u32 last = 0, handled;

	/* The handlers' results are visible then. */
	while ((handled = smp_load_acquire(&now.request.handled)) < count) {
		if (handled != last) {
			last = handled;
			deadline = jiffies + 10 * HZ;
		}
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (often)
			usleep_range(200, 250);
		else
			msleep(20);
	}
	return 0;
}

static int send_all(int (*send)(void))
{
	int error;

	while (now.sent < now.request.count) {
		usleep_range(distance_us(), distance_us() + 10);
		now.sent++;
		do {
			error = send();
			/* The last call is over, but its entry is not free yet. */
		} while (error == -EBUSY);
		if (!error)
			error = wait_until_handled(now.sent, true);
		if (error)
			return error;
	}
	return 0;
}

static int interrupt(void)
{
	int error;

	set_up_timer(&aside_timer, on_aside_timer);
	if (!now.local) {
		INIT_CSD(&call, on_ipi, NULL);
		error = send_all(send_interrupt);
		/* The handler is no longer running after this. */
		smp_call_function_single(now.request.cpu, learn_apic_id, NULL, true);
	} else {
		start_timer();
		error = wait_until_handled(now.request.count, false);
		hrtimer_cancel(&timer);
	}
	tasklet_kill(&aside_tasklet);
	hrtimer_cancel(&aside_timer);
	return error;
}

static int interrupt_by_nmi(void)
{
	int error;

	if (!now.local)
		return send_all(send_nmi);
	error = start_hpet();
	if (!error) {
		error = wait_until_handled(now.request.count, false);
		stop_hpet();
	}
	return error;
}

static int run(struct file *file)
{
	int error = vrc_test_vcpu(file, &now.vcpu);

	if (error)
		return error;
	/* The caller is bound to its CPU. */
	now.local = raw_smp_processor_id() == now.request.cpu;
	smp_call_function_single(now.request.cpu, learn_apic_id, NULL, true);
	error = register_nmi_handler(NMI_LOCAL, on_nmi, 0, HANDLER);
	if (error)
		return error;
	WRITE_ONCE(now.armed, true);
	error = now.request.nmi ? interrupt_by_nmi() : interrupt();
	WRITE_ONCE(now.armed, false);
	unregister_nmi_handler(NMI_LOCAL, HANDLER);
	return error;
}

static long nmi_ioctl(unsigned int command, void __user *argument)
{
	int error;

	if (command != VRC_TEST_INTERRUPT_GUEST)
		return -ENOTTY;
	if (mutex_lock_killable(&one_at_a_time))
		return -EINTR;
	memset(&now, 0, sizeof(now));
	error = copy_from_user(&now.request, argument, sizeof(now.request)) ? -EFAULT : 0;
	if (!error && (now.request.cpu >= nr_cpu_ids || !cpu_online(now.request.cpu) || !now.request.distance_us ||
		       now.request.distance_us > MAX_DISTANCE_US))
		error = -EINVAL;
	if (!error)
		error = WITH_VCPU(now.request.vcpu, run);
	if (error != -EFAULT && copy_to_user(argument, &now.request, sizeof(now.request)))
		error = -EFAULT;
	mutex_unlock(&one_at_a_time);
	return error;
}

const struct vrc_test_group vrc_test_nmi = {
	.ioctl = nmi_ioctl,
};
