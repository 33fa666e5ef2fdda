// SPDX-License-Identifier: GPL-2.0
/* Memory of the kernel, and pinned memory of userspace. */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/io.h>

#include "objects.h"

void *vrc_host_alloc(unsigned long bytes)
{
	return kvzalloc(bytes, GFP_KERNEL_ACCOUNT);
}

void vrc_host_free(void *memory)
{
	kvfree(memory);
}

void *vrc_host_alloc_page(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

void vrc_host_free_page(void *page)
{
	free_page((unsigned long)page);
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
	bool writable;
	struct page *pages[];
};

static void unpin(struct vrc_host_pinned *pinned, unsigned long count)
{
	if (pinned->writable)
		unpin_user_pages_dirty_lock(pinned->pages, count, true);
	else
		unpin_user_pages(pinned->pages, count);
}

int vrc_host_pin(struct vrc_host_vm *vm, vrc_u64 user_address, vrc_u64 page_count, vrc_bool writable,
		 struct vrc_host_pinned **result)
{
	unsigned int flags = FOLL_LONGTERM | (writable ? FOLL_WRITE : 0);
	struct vrc_host_pinned *pinned;
	unsigned long done = 0;
	int error;

	if (!access_ok((void __user *)user_address, page_count << PAGE_SHIFT))
		return -EINVAL;
	error = account_locked_vm(vm->mm, page_count, true);
	if (error)
		return error;
	pinned = kvzalloc(struct_size(pinned, pages, page_count), GFP_KERNEL_ACCOUNT);
	if (!pinned) {
		error = -ENOMEM;
		goto uncharge;
	}
	pinned->count = page_count;
	pinned->writable = writable;

	while (done < page_count) {
		/* In pieces, so that a signal ends a long wait. */
		int piece = min_t(unsigned long, page_count - done, 1024);
		int got = pin_user_pages_fast(user_address + (done << PAGE_SHIFT), piece, flags, pinned->pages + done);

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
