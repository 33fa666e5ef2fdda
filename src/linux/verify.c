// SPDX-License-Identifier: GPL-2.0
/*
 * Verification: each vCPU's register cache is compared with its VMCS (src/instrument/verification.h).  Each difference
 * is counted and traced, and changes nothing.  The first one is reported with a WARN, and so is the first after debugfs
 * clear_warn_once was written; but not one that the handler of a hard interrupt finds.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "faults.h"
#include "hit_observation.h"
#include "names.h"
#include "trace.h"
#include "verify.h"

DEFINE_STATIC_KEY_FALSE(vrc_verify_key);
static struct vrc_watch verify = { .bit = VRC_WATCH_VERIFICATION, .key = &vrc_verify_key };

u32 vrc_verify_period;
u64 vrc_verified[VRC_VERIFIED_KINDS];

/* The kernel holds the lock of the module's parameters. */
static int set_verify(const char *value, const struct kernel_param *parameter)
{
	u32 even = ALIGN(vrc_verify_period, 2);
	bool on = true;
	int error = value ? kstrtobool(value, &on) : 0;

	if (error || on == static_key_enabled(&vrc_verify_key))
		return error;
	/* While the key is being switched, the caller that cached a value is not always recorded. */
	WRITE_ONCE(vrc_verify_period, even);
	error = vrc_watch_parameter.set(value, parameter);
	if (on)
		WRITE_ONCE(vrc_verify_period, even + 1);
	return error;
}

static int get_verify(char *buffer, const struct kernel_param *parameter)
{
	return vrc_watch_parameter.get(buffer, parameter);
}

static const struct kernel_param_ops verify_parameter = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_verify,
	.get = get_verify,
};

module_param_cb(verify, &verify_parameter, &verify, 0644);
__MODULE_PARM_TYPE(verify, "bool");
MODULE_PARM_DESC(verify, "compare each vCPU's register cache with the VMCS at each cache hit and at each VM-entry; slow (default: no)");

int vrc_verified_show(struct seq_file *output, void *unused)
{
	static const char *const names[] = {
		[VRC_VERIFIED_HITS] = "hits",
		[VRC_VERIFIED_REGISTERS] = "registers",
		[VRC_VERIFIED_LAST_WRITTEN] = "last_written",
	};
	unsigned int i;

	for (i = 0; i < VRC_VERIFIED_KINDS; i++)
		seq_printf(output, "%s %llu\n", names[i], READ_ONCE(vrc_verified[i]));
	return 0;
}

void vrc_verify_end(void)
{
	u64 hits = vrc_verified[VRC_VERIFIED_HITS], registers = vrc_verified[VRC_VERIFIED_REGISTERS];
	u64 written = vrc_verified[VRC_VERIFIED_LAST_WRITTEN];

	if (hits || registers || written)
		pr_info("verification compared %llu reads, %llu registers and %llu last-written values with the VMCS\n",
			hits, registers, written);
}

#define NAME_OF_REGISTER(number, mask, name, reg)	\
	[number] = #name
#define NAME_OF(number, name, constant)			\
	[number] = #name

static const char *found_at(const struct vrc_mismatch *mismatch)
{
	static const char *const names[] = { VRC_FOUND_AT(NAME_OF) };

	return names[mismatch->at];
}

static const char *consequence(const struct vrc_mismatch *mismatch)
{
	if (mismatch->at == VRC_FOUND_AT_ENTRY)
		return "the guest runs with the value in the VMCS, but the cache returns the value in memory";
	return "the cache returns the value in memory";
}

static const char *unnamed_origin(const struct vrc_mismatch *mismatch)
{
	if (mismatch->cached_by == VRC_CACHED_BY_LAST_WRITE)
		return "the last value written";
	return "cached before verification";
}

/* Two separate functions, because the WARN shows the function's name. */
static noinline __noclone void vrc_verify_mismatch(const struct vrc_mismatch *mismatch)
{
	static const char *const registers[] = { VRC_REGISTERS(NAME_OF_REGISTER) };
	static const char *const cached_by[] = { VRC_OPERATIONS(NAME_OF) };
	bool is_register = mismatch->reg != VRC_NOT_A_REGISTER;
	char origin[128];

	if (!VRC_WARN_IS_NEW())
		return;
	if (mismatch->cached_by < ARRAY_SIZE(cached_by))
		snprintf(origin, sizeof(origin), "cached by a %s at %pS", cached_by[mismatch->cached_by],
			 (void *)mismatch->caller);
	else
		strscpy(origin, unnamed_origin(mismatch), sizeof(origin));
	pr_warn("vCPU %u: memory has 0x%llx for %s, but VMCS field 0x%x has 0x%llx; found at %s, %s; task %s, pid %d, CPU %u; %s; to find the cause, record the trace events (trace-cmd record -e vregcache) and look at those before the next mismatch\n",
		mismatch->vcpu, mismatch->memory, is_register ? registers[mismatch->reg] : mismatch->name,
		mismatch->field, mismatch->vmcs, found_at(mismatch), origin, current->comm,
		task_pid_nr(current), raw_smp_processor_id(),
		consequence(mismatch));
	WARN_ON_ONCE(1);
}

static noinline __noclone void vrc_verify_wrong_vmcs(const struct vrc_mismatch *mismatch)
{
	if (!VRC_WARN_IS_NEW())
		return;
	pr_warn("vCPU %u: VMCS 0x%llx should be current on CPU %u, but the current VMCS is 0x%llx; found at %s; task %s, pid %d; no VMCS field was accessed; look for another module that uses VMX (lsmod)\n",
		mismatch->vcpu, mismatch->memory, raw_smp_processor_id(), mismatch->vmcs, found_at(mismatch),
		current->comm, task_pid_nr(current));
	WARN_ON_ONCE(1);
}

void vrc_report_mismatch(const struct vrc_mismatch *mismatch)
{
	bool wrong_vmcs = mismatch->cached_by == VRC_CACHED_BY_VMPTRLD;

	vrc_count_fault(wrong_vmcs ? VRC_FAULT_WRONG_VMCS : VRC_FAULT_MISMATCH);
	trace_mismatch(mismatch);
	/* The caller may hold a lock of the scheduler that a console needs.  VM-entry finds the difference again. */
	if (in_hardirq() && !in_nmi())
		return;
	if (wrong_vmcs)
		vrc_verify_wrong_vmcs(mismatch);
	else
		vrc_verify_mismatch(mismatch);
}
