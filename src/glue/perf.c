// SPDX-License-Identifier: GPL-2.0
/*
 * perf's guest callbacks: a sample that hits a guest has the guest's RIP and mode.  On request, for there is one
 * slot.
 */
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/perf_event.h>

#include "objects.h"
#include "pmi.h"

/* The slot is KVM's by right: it registers its callbacks when kvm_intel or kvm_amd is loaded, and does not ask. */
static const char *const kvm_modules[] = { "kvm_intel", "kvm_amd" };

static DEFINE_MUTEX(slot_lock);
static bool wanted;	     /* what the parameter says; before the module is up nothing else counts */
static bool module_is_up;
static bool registered;
static const char *arriving; /* of the modules above, the one between its announcement and its end */

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

static const char *slot_owner(void)
{
	return arriving ?: vrc_first_module(kvm_modules, ARRAY_SIZE(kvm_modules));
}

static int take_slot(void)
{
	const char *owner = slot_owner();

	if (owner) {
		vrc_host_error("perf_guest: perf's callbacks are %s's; unload it (modprobe -r %s), then set perf_guest",
			       owner, owner);
		return -EBUSY;
	}
	perf_register_guest_info_callbacks(&callbacks);
	return 0;
}

/* Waits for callbacks that are under way. */
static void give_slot_back(void)
{
	perf_unregister_guest_info_callbacks(&callbacks);
}

#else

static int take_slot(void)
{
	vrc_host_error("perf_guest: this kernel has no guest callbacks of perf (CONFIG_GUEST_PERF_EVENTS)");
	return -EOPNOTSUPP;
}

static void give_slot_back(void)
{
}

#endif

static int follow(bool on)
{
	int error = 0;

	if (on && !registered)
		error = take_slot();
	else if (!on && registered)
		give_slot_back();
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
		error = follow(on);
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
MODULE_PARM_DESC(perf_guest, "let perf sample guests: their RIP and privilege level (default: no; kvm_intel must not be loaded)");

static const char *kvm_module(const struct module *module)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(kvm_modules); i++) {
		if (!strcmp(module->name, kvm_modules[i]))
			return kvm_modules[i];
	}
	return NULL;
}

/* A module is announced before its init function runs. */
static int module_comes_or_goes(struct notifier_block *block, unsigned long state, void *data)
{
	const char *name = kvm_module(data);

	if (!name)
		return NOTIFY_DONE;
	mutex_lock(&slot_lock);
	if (state == MODULE_STATE_COMING)
		arriving = name;
	else if (arriving == name)
		arriving = NULL;
	if (arriving && registered) {
		follow(false);
		wanted = false;
		vrc_host_info("perf_guest is off: %s is being loaded, and perf's guest callbacks are its own", name);
	}
	mutex_unlock(&slot_lock);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = { .notifier_call = module_comes_or_goes };

int vrc_perf_start(void)
{
	int error = register_module_notifier(&module_notifier);

	if (error)
		return error;
	mutex_lock(&slot_lock);
	module_is_up = true;
	error = follow(wanted);
	mutex_unlock(&slot_lock);
	if (error)
		unregister_module_notifier(&module_notifier);
	return error;
}

void vrc_perf_stop(void)
{
	unregister_module_notifier(&module_notifier);
	mutex_lock(&slot_lock);
	module_is_up = false;
	follow(false);
	mutex_unlock(&slot_lock);
}
