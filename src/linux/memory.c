// SPDX-License-Identifier: GPL-2.0
/* Kernel memory, and pinned memory of userspace. */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/io.h>

#include "objects.h"

/* Memory in use by the C++ part: all of it must be freed when the module is unloaded. */
static atomic_long_t pages_in_use;
static atomic_long_t blocks_in_use;

void *vrc_host_alloc(unsigned long bytes)
{
	void *memory = kvzalloc(bytes, GFP_KERNEL_ACCOUNT);

	if (memory)
		atomic_long_inc(&blocks_in_use);
	return memory;
}

void vrc_host_free(void *memory)
{
	if (memory)
		atomic_long_dec(&blocks_in_use);
	kvfree(memory);
}

void *vrc_host_alloc_page(void)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (page)
		atomic_long_inc(&pages_in_use);
	return page;
}

void vrc_host_free_page(void *page)
{
	if (page)
		atomic_long_dec(&pages_in_use);
	free_page((unsigned long)page);
}

void vrc_memory_in_use(long *pages, long *blocks)
{
	*pages = atomic_long_read(&pages_in_use);
	*blocks = atomic_long_read(&blocks_in_use);
}

vrc_u64 vrc_host_physical(const void *direct_map)
{
	return __pa(direct_map);
}

void *vrc_host_direct_map(vrc_u64 physical)
{
	return __va(physical);
}

int vrc_host_copy_from_user(void *to, vrc_u64 user_address, unsigned long bytes)
{
	return copy_from_user(to, (const void __user *)user_address, bytes) ? -EFAULT : 0;
}

int vrc_host_copy_to_user(vrc_u64 user_address, const void *from, unsigned long bytes)
{
	return copy_to_user((void __user *)user_address, from, bytes) ? -EFAULT : 0;
}

struct vrc_host_pinned {
	unsigned long count;
	struct page *pages[];
};

/* Pages to pin or unpin before other tasks get the CPU. */
#define PIECE 1024UL

static void unpin(struct vrc_host_pinned *pinned, unsigned long count)
{
	unsigned long done, piece;

	for (done = 0; done < count; done += piece) {
		piece = min(count - done, PIECE);
		unpin_user_pages_dirty_lock(pinned->pages + done, piece, true);
		cond_resched();
	}
}

int vrc_host_pin(struct vrc_host_vm *vm, vrc_u64 user_address, vrc_u64 page_count, struct vrc_host_pinned **result)
{
	struct vrc_host_pinned *pinned;
	unsigned long done = 0;
	int error;

	if (!access_ok((void __user *)user_address, page_count << PAGE_SHIFT))
		return -EINVAL;
	/* Before allocating a list of so many pages, which may be large. */
	if (page_count > totalram_pages())
		return -ENOMEM;
	error = account_locked_vm(vm->mm, page_count, true);
	if (error)
		return error;
	pinned = kvzalloc(struct_size(pinned, pages, page_count), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!pinned) {
		error = -ENOMEM;
		goto uncharge;
	}
	pinned->count = page_count;

	while (done < page_count) {
		/* In pieces, so that a signal ends a long wait. */
		int piece = min_t(unsigned long, page_count - done, PIECE);
		unsigned long address = user_address + (done << PAGE_SHIFT);
		int got = pin_user_pages_fast(address, piece, FOLL_LONGTERM | FOLL_WRITE, pinned->pages + done);

		if (got <= 0) {
			error = got ? got : -EFAULT;
			goto release;
		}
		done += got;
		if (fatal_signal_pending(current)) {
			error = -EINTR;
			goto release;
		}
		cond_resched();
	}
	*result = pinned;
	return 0;

release:
	unpin(pinned, done);
	kvfree(pinned);
uncharge:
	account_locked_vm(vm->mm, page_count, false);
	return error;
}

void vrc_host_unpin(struct vrc_host_vm *vm, struct vrc_host_pinned *pinned)
{
	unpin(pinned, pinned->count);
	account_locked_vm(vm->mm, pinned->count, false);
	kvfree(pinned);
}

vrc_u64 vrc_host_pinned_physical(const struct vrc_host_pinned *pinned, vrc_u64 page)
{
	return page_to_phys(pinned->pages[page]);
}
