// SPDX-License-Identifier: GPL-2.0
/* /sys/kernel/debug/vregcache: accesses to VMCSs, by the VM-exit that made them; the CPUs; and faults. */
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <asm/special_insns.h>

#include "faults.h"
#include "objects.h"
#include "verify.h"

static struct dentry *directory;

static int exits_show(struct seq_file *output, void *unused)
{
	struct vrc_counter_row row;
	unsigned int i;

	seq_puts(output, "reason exits hits vmreads vmwrites eager\n");
	for (i = 0; vrc_counter_row(i, &row); i++) {
		if (!row.exits && !row.hits && !row.vmreads && !row.vmwrites)
			continue;
		seq_printf(output, "%s %llu ", row.reason, row.exits);
		if (READ_ONCE(vrc_watched_reads) & VRC_WATCH_HITS)
			seq_printf(output, "%llu", row.hits);
		else
			seq_putc(output, '-');
		seq_printf(output, " %llu %llu %llu\n", row.vmreads, row.vmwrites, row.eager);
	}
	return 0;
}

static int exits_open(struct inode *inode, struct file *file)
{
	return single_open(file, exits_show, NULL);
}

/* Only 0 can be written: it resets the counters. */
static ssize_t exits_write(struct file *file, const char __user *buffer, size_t bytes, loff_t *offset)
{
	int value;
	int error = kstrtoint_from_user(buffer, bytes, 0, &value);

	if (error)
		return error;
	if (value)
		return -EINVAL;
	vrc_counters_reset();
	return bytes;
}

static const struct file_operations exits_operations = {
	.owner = THIS_MODULE,
	.open = exits_open,
	.read = seq_read,
	.write = exits_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void read_cr4_vmxe(void *enabled)
{
	*(bool *)enabled = __read_cr4() & X86_CR4_VMXE;
}

/* CR4.VMXE is read on the CPU itself, so only CPUs that are up are shown. */
static int cpus_show(struct seq_file *output, void *unused)
{
	struct vrc_cpu_row row;
	unsigned int cpu;
	bool enabled;

	seq_puts(output, "cpu vmx cr4.vmxe vmxons vmcss\n");
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		vrc_cpu_row(cpu, &row);
		smp_call_function_single(cpu, read_cr4_vmxe, &enabled, true);
		seq_printf(output, "%u %s %d %llu %u\n", cpu, row.on ? "on" : "off", enabled, row.vmxons, row.vmcss);
	}
	cpus_read_unlock();
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(cpus);

static int memory_show(struct seq_file *output, void *unused)
{
	long pages, blocks;

	vrc_memory_in_use(&pages, &blocks);
	seq_printf(output, "pages %ld\nblocks %ld\n", pages, blocks);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(memory);

DEFINE_SHOW_ATTRIBUTE(vrc_faults);
DEFINE_SHOW_ATTRIBUTE(vrc_verified);

void vrc_debugfs_register(void)
{
	directory = debugfs_create_dir("vregcache", NULL);
	debugfs_create_file("exits", 0600, directory, NULL, &exits_operations);
	debugfs_create_file("cpus", 0400, directory, NULL, &cpus_fops);
	debugfs_create_file("memory", 0400, directory, NULL, &memory_fops);
	debugfs_create_file("faults", 0400, directory, NULL, &vrc_faults_fops);
	debugfs_create_file("verified", 0400, directory, NULL, &vrc_verified_fops);
}

void vrc_debugfs_unregister(void)
{
	debugfs_remove_recursive(directory);
}
