// SPDX-License-Identifier: GPL-2.0
#include "host.h"

#include <machine.h>

#include <gtest/gtest.h>
#include <vcpu/uapi.h>
#include <vmx/architecture.h>
#include <vregcache/vmx_layout.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

struct vrc_host_pinned {
	std::vector<u64> physical;
};

namespace vregcache::test {

namespace {
Host* g_host;
constexpr u64 kPageSize = 4096;
}  // namespace

Host::Host() { g_host = this; }
Host::~Host()
{
	trace(false);
	check_contexts(false);
	verify(false);
	vrc_watched_reads = 0;
	g_host = nullptr;
}
Host& host() { return *g_host; }

void Host::complain(const std::string& what) const { ADD_FAILURE() << what; }

void Host::check_may_sleep(const char* what) const
{
	if (interrupts_off)
		complain(std::string(what) + " may sleep, and interrupts are off");
	if (fpu_owner)
		complain(std::string(what) + " may sleep, and the guest's FPU registers are in the CPU");
}

namespace {

u64 new_physical(void* page)
{
	u64 physical = host().next_page;
	host().next_page += kPageSize;
	host().pages[physical] = page;
	return physical;
}

bool may_allocate()
{
	if (!host().allocations_until_failure)
		return false;
	host().allocations_until_failure--;
	return true;
}

std::string text_of(const char* format, va_list arguments)
{
	char text[512];
	std::vsnprintf(text, sizeof(text), format, arguments);
	return text;
}

}  // namespace

}  // namespace vregcache::test

using namespace vregcache::test;

// ---- log ----

void vrc_host_error(const char* format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	host().errors.push_back(text_of(format, arguments));
	va_end(arguments);
}

void vrc_host_info(const char*, ...) {}
void vrc_host_warn(const char* what) { host().complain(std::string("WARN: ") + what); }
void vrc_host_warn_no_register(unsigned int) { host().complain("WARN: no such register"); }

u8 vrc_watched_reads;

// ---- verification ----

extern static_key_false vrc_verify_key;
static_key_false vrc_verify_key;
u32 vrc_verify_period;
u64 vrc_verified[VRC_VERIFIED_KINDS];

void Host::verify(bool on) const
{
	vrc_verify_key.enabled = on;
	vrc_verify_period = (vrc_verify_period + 1 + on) | on;
	vrc_watched_reads = on ? VRC_WATCH_VERIFICATION : 0;
}

void vrc_report_mismatch(const vrc_mismatch* mismatch)
{
	char text[160];
	std::snprintf(text, sizeof(text), "register %u, field 0x%x: memory has 0x%llx, the VMCS 0x%llx; at %u, by %u",
		      mismatch->reg, mismatch->field, mismatch->memory, mismatch->vmcs, mismatch->at,
		      mismatch->cached_by);
	host().complain(text);
}

// ---- trace events ----

// NOLINTBEGIN(bugprone-reserved-identifier): the kernel's names
#define TRACE_EVENTS(X) X(vm_entry) X(vm_exit) X(miss) X(write_back) X(invalidate) X(vmcs_load)
#define TRACEPOINT(event)                           \
	extern "C" tracepoint __tracepoint_##event; \
	tracepoint __tracepoint_##event;
TRACE_EVENTS(TRACEPOINT)

void Host::trace(bool on) const
{
#define LISTEN(event) __tracepoint_##event.listeners = on;
	TRACE_EVENTS(LISTEN)
}
// NOLINTEND(bugprone-reserved-identifier)

void vrc_trace_vm_entry(const vrc_trace_entry* entry) { host().traced_entries.push_back(*entry); }
void vrc_trace_vm_exit(const vrc_trace_exit* exit) { host().traced_exits.push_back(*exit); }

// ---- the context rule ----

extern "C" static_key_false vrc_check_context_key;
static_key_false vrc_check_context_key;

void Host::check_contexts(bool on) const
{
	vrc_check_context_key.enabled = on;
	vrc_watched_reads = on ? VRC_WATCH_CONTEXT : 0;
}

extern "C" void note_context_check(const vrc_host_vcpu* vcpu, vrc_u32 what)
{
	host().context_checks.push_back({vcpu, static_cast<vregcache::Operation>(VRC_CONTEXT_OPERATION(what)),
					 static_cast<vregcache::Reg>(VRC_CONTEXT_REGISTER(what))});
}

// ---- memory ----

void* vrc_host_alloc(unsigned long bytes)
{
	host().check_may_sleep("an allocation");
	if (!may_allocate())
		return nullptr;
	host().blocks_in_use++;
	return std::calloc(1, bytes);
}

void vrc_host_free(void* memory)
{
	if (memory)
		host().blocks_in_use--;
	std::free(memory);
}

void* vrc_host_alloc_page()
{
	host().check_may_sleep("an allocation");
	if (!may_allocate())
		return nullptr;
	void* page = std::aligned_alloc(kPageSize, kPageSize);
	std::memset(page, 0, kPageSize);
	new_physical(page);
	return page;
}

void vrc_host_free_page(void* page)
{
	if (page)
		host().pages.erase(vrc_host_physical(page));
	std::free(page);
}

vrc_u64 vrc_host_physical(const void* direct_map)
{
	for (const auto& [physical, page] : host().pages) {
		if (page == direct_map)
			return physical;
	}
	host().complain("a physical address is asked for of what is no page");
	return 0;
}

void* vrc_host_direct_map(vrc_u64 physical)
{
	auto found = host().pages.find(physical);
	if (found == host().pages.end()) {
		host().complain("a physical address that no page has");
		std::abort();
	}
	return found->second;
}

int vrc_host_copy_from_user(void* to, vrc_u64 user_address, unsigned long bytes)
{
	host().check_may_sleep("a copy from userspace");
	if (!host().user_memory_is_there)
		return -EFAULT;
	std::memcpy(to, reinterpret_cast<const void*>(user_address), bytes);
	return 0;
}

int vrc_host_copy_to_user(vrc_u64 user_address, const void* from, unsigned long bytes)
{
	host().check_may_sleep("a copy to userspace");
	if (!host().user_memory_is_there)
		return -EFAULT;
	std::memcpy(reinterpret_cast<void*>(user_address), from, bytes);
	return 0;
}

int vrc_host_pin(vrc_host_vm*, vrc_u64 user_address, vrc_u64 page_count, vrc_host_pinned** pinned)
{
	host().check_may_sleep("pinning");
	*pinned = new vrc_host_pinned;
	for (vrc_u64 page = 0; page < page_count; page++)
		(*pinned)->physical.push_back(new_physical(reinterpret_cast<void*>(user_address + page * kPageSize)));
	return 0;
}

void vrc_host_unpin(vrc_host_vm*, vrc_host_pinned* pinned)
{
	for (u64 physical : pinned->physical)
		host().pages.erase(physical);
	delete pinned;
}

vrc_u64 vrc_host_pinned_physical(const vrc_host_pinned* pinned, vrc_u64 page) { return pinned->physical.at(page); }

// ---- processors ----

unsigned int vrc_host_cpu_limit() { return kCpuCount; }
unsigned int vrc_host_cpu() { return hardware().current; }
unsigned long vrc_host_irq_save() { return host().interrupts_off++; }

void vrc_host_irq_restore(unsigned long flags)
{
	if (flags != --host().interrupts_off)
		host().complain("interrupts are restored in another order than they were saved in");
}

void vrc_host_on_cpu(unsigned int cpu, void (*function)(void*), void* argument)
{
	if (host().interrupts_off)
		host().complain("another CPU is waited for, and interrupts are off");
	unsigned here = hardware().current;
	hardware().move_to(cpu);
	host().interrupts_off++;
	function(argument);
	host().interrupts_off--;
	hardware().move_to(here);
}

void vrc_host_on_each_cpu(void (*function)(void*), void* argument)
{
	for (unsigned cpu = 0; cpu < kCpuCount; cpu++)
		vrc_host_on_cpu(cpu, function, argument);
}

void vrc_host_set_cr4_vmxe(vrc_bool on)
{
	u64& cr4 = hardware().cpu().cr4;
	cr4 = on ? cr4 | cr4::kVmxe : cr4 & ~cr4::kVmxe;
}

void vrc_host_irq_disable()
{
	if (host().interrupts_off++)
		host().complain("interrupts are turned off twice");
}

void vrc_host_irq_enable()
{
	if (--host().interrupts_off)
		host().complain("interrupts are turned on in the wrong place");
	host().interrupts_were_on++;
}

void vrc_host_synchronize_rcu() { host().check_may_sleep("waiting for other CPUs"); }
vrc_bool vrc_host_kvm_msrs_in_cpu() { return host().kvm_msrs_in_cpu; }

int vrc_host_run_begin(vrc_host_vcpu* vcpu)
{
	if (!host().interrupts_off)
		host().complain("the guest is to run, and interrupts are on");
	if (host().signal_pending && host().signal_pending())
		return -EINTR;
	if (host().task_work)
		return -EBUSY;
	if (host().need_resched && host().need_resched())
		return -EAGAIN;
	host().fpu_owner = vcpu;
	return 0;
}

void vrc_host_run_end(vrc_host_vcpu* vcpu)
{
	if (host().fpu_owner != vcpu)
		host().complain("the guest's FPU registers are not in the CPU");
	host().fpu_owner = nullptr;
}

void vrc_host_reschedule()
{
	if (host().interrupts_off)
		host().complain("the CPU is given away, and interrupts are off");
	if (host().reschedule)
		host().reschedule();
}

int vrc_host_do_task_work(vrc_host_vcpu*)
{
	host().check_may_sleep("work of the task");
	auto work = std::exchange(host().task_work, {});
	return work() ? -EINTR : 0;
}

void vrc_host_prediction_barrier() { host().prediction_barriers++; }

namespace {

// A handler that may read registers must find none from before the guest ran.
void check_that_memory_is_not_old(const vrc_host_vcpu& vcpu)
{
	using namespace vregcache;
	for (u32 number = 0; number < index(Reg::kEnd); number++) {
		vrc_raw_register raw = {};
		vrc_vcpu_raw_register(vcpu.machine, number, &raw);
		const u32 encoding = VmxLayout::encoding(static_cast<Reg>(number));
		const u64 in_vmcs = hardware().vmcs_memory.peek(host().last_entered, encoding);
		if (raw.available && !raw.dirty && raw.value != in_vmcs)
			host().complain("while a handler runs, memory has an old register " + std::to_string(number));
	}
}

}  // namespace

void vrc_host_handle_nmi(vrc_host_vcpu* vcpu)
{
	check_that_memory_is_not_old(*vcpu);
	if (!host().interrupts_off)
		host().complain("a host NMI is handled, and interrupts are on already");
	host().nmis_handled++;
	if (host().interruption_handler)
		host().interruption_handler(*vcpu);
}

void vrc_host_take_interrupt(vrc_host_vcpu* vcpu)
{
	if (--host().interrupts_off)
		host().complain("an interrupt is taken, and interrupts stay off");
	host().interrupts_taken++;
	check_that_memory_is_not_old(*vcpu);
	if (host().interruption_handler)
		host().interruption_handler(*vcpu);
}

vrc_bool vrc_host_handle_split_lock(vrc_u64 rip)
{
	host().check_may_sleep("handling a split lock");
	host().split_locks.push_back(rip);
	return host().permits_split_locks;
}

void vrc_host_handle_machine_check() { host().machine_checks_handled++; }

// ---- locks ----

void vrc_host_memory_lock(vrc_host_vm* vm)
{
	host().check_may_sleep("the memory lock");
	if (vm->memory_locked)
		host().complain("the memory lock is taken twice");
	vm->memory_locked = true;
}

void vrc_host_memory_unlock(vrc_host_vm* vm)
{
	if (!vm->memory_locked)
		host().complain("the memory lock is not held");
	vm->memory_locked = false;
}

void vrc_host_global_lock()
{
	host().check_may_sleep("the global lock");
	host().globally_locked = true;
}

void vrc_host_global_unlock() { host().globally_locked = false; }

// ---- host state ----

void vrc_host_invalidate_tss_limit() {}

void vrc_host_load_selectors(vrc_u16 ds, vrc_u16 es, vrc_u16 fs, vrc_u16 gs)
{
	auto& cpu = hardware().cpu();
	cpu.ds = ds;
	cpu.es = es;
	if (fs) {
		cpu.fs = fs;
		cpu.msr[msr::kFsBase] = 0;
	}
	if (gs) {
		cpu.gs = gs;
		cpu.msr[msr::kKernelGsBase] = 0;
	}
}

// ---- the FPU ----

void* vrc_host_fpu_image(vrc_host_vcpu* vcpu) { return vcpu->fpu_image; }
u64 vrc_host_fpu_components(vrc_host_vcpu* vcpu, vrc_bool* compacted)
{
	*compacted = vcpu->fpu_is_compacted;
	return vcpu->fpu_components;
}
void vrc_host_fpu_image_changed(vrc_host_vcpu* vcpu) { vcpu->fpu_components |= xcr0::kX87 | xcr0::kSse; }

// ---- a vCPU on a CPU ----

void vrc_host_run_enter(vrc_host_vcpu* vcpu) { vcpu->runs = true; }
void vrc_host_run_leave(vrc_host_vcpu* vcpu) { vcpu->runs = false; }
int vrc_host_leave_cpu() { return -EINTR; }

// ---- facts ----

void vrc_host_cpu_facts(vrc_cpu_facts* facts)
{
	*facts = {};
	facts->rdtscp = true;
	facts->pku = false;
	facts->xsave = true;
	facts->split_lock_detection = host().detects_split_locks;
	facts->fpu_features = xcr0::kX87 | xcr0::kSse | xcr0::kAvx;
}

const char* vrc_host_vmx_owner() { return nullptr; }
