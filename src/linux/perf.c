// SPDX-License-Identifier: GPL-2.0
/*
 * perf's guest callbacks: a sample that hits a guest has the guest's RIP and mode.  Registered on request, because
 * there is only one slot.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/perf_event.h>
#include <linux/printk.h>

#include "guest_interrupt.h"
#include "objects.h"

/*
 * The slot belongs to KVM, which registers its callbacks when kvm_intel is loaded, without checking.  On a CPU with
 * VMX, kvm_amd does not get that far.
 */
#define KVM "kvm_intel"

static DEFINE_MUTEX(slot_lock);
static bool wanted; /* the parameter's value; only recorded until the module is up */
static bool module_is_up;
static bool registered;
static bool kvm_is_loading; /* it has been announced, and its init has not returned */

#ifdef CONFIG_GUEST_PERF_EVENTS

static bool sample(unsigned long *ip, bool *user)
{
	struct vrc_host_vcpu *vcpu = pmi_vcpu();
	vrc_u64 rip;

	if (!vcpu || vrc_vcpu_pmi_sample(vcpu->machine, &rip, user))
		return false;
	*ip = rip;
	return true;
}

static unsigned int guest_state(void)
{
	unsigned long ip;
	bool user;

	if (!sample(&ip, &user))
		return 0;
	return PERF_GUEST_ACTIVE | (user ? PERF_GUEST_USER : 0);
}

static unsigned long guest_ip(void)
{
	unsigned long ip;
	bool user;

	return sample(&ip, &user) ? ip : 0;
}

static struct perf_guest_info_callbacks callbacks = {
	.state = guest_state,
	.get_ip = guest_ip,
};

/* A user who may set the parameter may fill the log, so these messages are not rate-limited. */
static int take_slot(void)
{
	switch (kvm_is_loading ? VRC_LOADED : vrc_module_presence(KVM)) {
	case VRC_ABSENT:
		perf_register_guest_info_callbacks(&callbacks);
		return 0;
	case VRC_LOADED:
		pr_err("perf_guest: " KVM " has registered perf's guest callbacks; unload it (modprobe -r " KVM
		       "), then set perf_guest\n");
		return -EBUSY;
	default:
		pr_err("perf_guest: " KVM
		       " is built into this kernel and uses perf's guest callbacks; use a kernel that has it as a module\n");
		return -EBUSY;
	}
}

/* Waits for callbacks that are running. */
static void release_slot(void)
{
	perf_unregister_guest_info_callbacks(&callbacks);
}

#else

static int take_slot(void)
{
	pr_err("perf_guest: this kernel has no perf guest callbacks (CONFIG_GUEST_PERF_EVENTS is not set)\n");
	return -EOPNOTSUPP;
}

static void release_slot(void)
{
}

#endif

static int set_registered(bool on)
{
	int error = 0;

	if (on && !registered)
		error = take_slot();
	else if (!on && registered)
		release_slot();
	if (!error)
		registered = on;
	return error;
}

static int set_perf_guest(const char *text, const struct kernel_param *parameter)
{
	bool on = true;
	int error = text ? kstrtobool(text, &on) : 0;

	if (error)
		return error;
	mutex_lock(&slot_lock);
	if (module_is_up)
		error = set_registered(on);
	if (!error)
		wanted = on;
	mutex_unlock(&slot_lock);
	return error;
}

static const struct kernel_param_ops perf_guest_operations = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_perf_guest,
	.get = param_get_bool,
};
module_param_cb(perf_guest, &perf_guest_operations, &wanted, 0644);
__MODULE_PARM_TYPE(perf_guest, "bool");
MODULE_PARM_DESC(perf_guest, "let perf sample the RIP and privilege level of guests (default: no); kvm_intel must not be loaded");

/* A module is announced before its init function runs. */
static int module_state_changed(struct notifier_block *block, unsigned long state, void *data)
{
	const struct module *module = data;

	if (strcmp(module->name, KVM))
		return NOTIFY_DONE;
	mutex_lock(&slot_lock);
	kvm_is_loading = state == MODULE_STATE_COMING;
	if (kvm_is_loading && registered) {
		set_registered(false);
		wanted = false;
		pr_info("perf_guest is off: " KVM " is being loaded and registers perf's guest callbacks\n");
	}
	mutex_unlock(&slot_lock);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = { .notifier_call = module_state_changed };

int vrc_perf_start(void)
{
	int error = register_module_notifier(&module_notifier);

	if (error)
		return error;
	mutex_lock(&slot_lock);
	module_is_up = true;
	error = set_registered(wanted);
	if (error) {
		module_is_up = false;
		pr_err("the module is not loaded; load it without perf_guest=1\n");
	}
	mutex_unlock(&slot_lock);
	if (error)
		unregister_module_notifier(&module_notifier);
	return error;
}

void vrc_perf_stop(void)
{
	/* If KVM is loaded just now, it must find the slot free, so the notifier stays registered until then. */
	mutex_lock(&slot_lock);
	module_is_up = false;
	set_registered(false);
	mutex_unlock(&slot_lock);
	unregister_module_notifier(&module_notifier);
}
