// SPDX-License-Identifier: GPL-2.0
/*
 * The owner of VMX operation.
 *
 * own   we execute VMXON and VMXOFF.  Only up to Linux 6.18: later kernels keep for KVM what changes CR4.VMXE.
 * kvm   KVM does.  It keeps every CPU in VMX operation for as long as a virtual machine exists, so we hold one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/anon_inodes.h>
#include <linux/cdev.h>
#include <linux/dcache.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/major.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "compat.h"
#include "objects.h"

#define KVM "kvm_intel"

/* Once the module is loaded, the owner that was chosen. */
static char vmx_owner[8] = "auto";
module_param_string(vmx_owner, vmx_owner, sizeof(vmx_owner), 0444);
MODULE_PARM_DESC(vmx_owner, "the owner of VMX operation: kvm (the module uses VMX beside kvm_intel), own (it executes VMXON itself), or auto (default): kvm if kvm_intel is loaded, else own");

/* KVM's virtual machine that we hold; nothing runs in it. */
static struct file *pinned;

/* The state in /sys/module, wherever the caller has sysfs mounted. */
enum vrc_presence vrc_module_presence(const char *name)
{
	struct kset *modules = THIS_MODULE->mkobj.kobj.kset;
	struct kobject *found = modules ? kset_find_obj(modules, name) : NULL;
	enum vrc_presence presence;

	if (!found)
		return VRC_ABSENT;
	presence = container_of(found, struct module_kobject, kobj)->mod ? VRC_LOADED : VRC_BUILT_IN;
	kobject_put(found);
	return presence;
}

const char *vrc_host_vmx_owner(void)
{
	static const char *const known[] = { KVM, "vboxdrv", "vmmon", "acrn" };
	int i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (vrc_module_presence(known[i]) != VRC_ABSENT)
			return known[i];
	}
	return NULL;
}

/*
 * A file of KVM's device, by its number: /dev/kvm may be anything, a link to our own device for example, and /dev need
 * not be mounted.
 */
static struct file *open_kvm(void)
{
	/* For its file system, which every kernel has mounted for itself. */
	struct file *anchor = anon_inode_getfile("vregcache", &generic_ro_fops, NULL, O_RDONLY);
	struct file *file;
	struct inode *inode;
	int error;

	if (IS_ERR(anchor))
		return anchor;
	inode = alloc_anon_inode(anchor->f_path.mnt->mnt_sb);
	if (IS_ERR(inode)) {
		fput(anchor);
		return ERR_CAST(inode);
	}
	inode->i_mode = 0;
	init_special_inode(inode, S_IFCHR | 0600, MKDEV(MISC_MAJOR, KVM_MINOR));
	file = alloc_file_pseudo(inode, anchor->f_path.mnt, "kvm", O_RDWR, inode->i_fop);
	fput(anchor);
	if (IS_ERR(file)) {
		iput(inode);
		return file;
	}
	error = file->f_op->open(inode, file);
	if (error) {
		/* The failed open has put the device, and the end of a file that looks open puts it again. */
		if (inode->i_cdev)
			kobject_get(&inode->i_cdev->kobj);
		fput(file);
		return ERR_PTR(error);
	}
	return file;
}

static int pin_kvm(void)
{
	struct file *kvm = open_kvm();
	long descriptor;

	if (IS_ERR(kvm))
		return PTR_ERR(kvm);
	descriptor = kvm->f_op->unlocked_ioctl(kvm, KVM_CREATE_VM, 0);
	fput(kvm);
	if (descriptor < 0)
		return descriptor;
	pinned = fget(descriptor);
	close_fd(descriptor);
	return pinned ? 0 : -EBADF;
}

/* A parameter of kvm_intel's that shows whether KVM does something.  Those of a built-in KVM are out of reach. */
static bool kvm_does(const char *name)
{
	struct kset *modules = THIS_MODULE->mkobj.kobj.kset;
	struct kobject *found = modules ? kset_find_obj(modules, KVM) : NULL;
	const struct module *kvm = found ? container_of(found, struct module_kobject, kobj)->mod : NULL;
	bool does = false;
	unsigned int i;

	for (i = 0; kvm && i < kvm->num_kp; i++) {
		const struct kernel_param *parameter = &kvm->kp[i];

		if (parameter->ops == &param_ops_bool && !strcmp(parameter->name, name))
			does = *(const bool *)parameter->arg;
	}
	kobject_put(found);
	return does;
}

/* Why the VMCS pointer of a CPU may not be what KVM believes, or NULL. */
static const char *why_not_beside_kvm(void)
{
	if (kvm_does("enlightened_vmcs"))
		return "KVM uses the enlightened VMCS of Hyper-V; reload " KVM " with enlightened_vmcs=0";
	if (kvm_does("tdx"))
		return "KVM uses TDX; reload " KVM " with tdx=0";
	return NULL;
}

static int let_kvm_own(void)
{
	const char *why_not;
	int error;

	if (vrc_module_presence(KVM) == VRC_ABSENT) {
		pr_err("vmx_owner=kvm: " KVM " is not loaded; load it first (modprobe " KVM ")\n");
		return -ENODEV;
	}
	why_not = why_not_beside_kvm();
	if (why_not) {
		pr_err("%s\n", why_not);
		return -EOPNOTSUPP;
	}
	error = pin_kvm();
	if (error)
		pr_err("KVM refuses to create a virtual machine, which would keep VMX on (error %d); see whether KVM itself works\n",
		       error);
	return error;
}

static int own(void)
{
#ifdef VRC_KERNEL_SETS_VMXE
	return 0;
#else
	pr_err("this kernel lets only KVM turn VMX on; load " KVM " first (modprobe " KVM ")\n");
	return -EOPNOTSUPP;
#endif
}

int vrc_vmx_owner_start(bool *beside_kvm)
{
	const bool automatic = !strcmp(vmx_owner, "auto");

	*beside_kvm = automatic ? vrc_module_presence(KVM) != VRC_ABSENT : !strcmp(vmx_owner, "kvm");
	if (!automatic && !*beside_kvm && strcmp(vmx_owner, "own")) {
		pr_err("vmx_owner=%s: it must be kvm, own or auto\n", vmx_owner);
		return -EINVAL;
	}
	strscpy(vmx_owner, *beside_kvm ? "kvm" : "own", sizeof(vmx_owner));
	return *beside_kvm ? let_kvm_own() : own();
}

void vrc_vmx_owner_log(void)
{
	if (pinned)
		pr_info("loaded with vmx_owner=kvm: KVM keeps VMX on, and its guests run as before\n");
	else
		pr_info("loaded with vmx_owner=own: KVM cannot run guests before this module is unloaded\n");
}

void vrc_vmx_owner_stop(void)
{
	if (pinned)
		fput(pinned);
	pinned = NULL;
}
