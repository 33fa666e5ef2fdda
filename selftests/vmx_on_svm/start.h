// SPDX-License-Identifier: GPL-2.0
// A CPU that becomes the monitor's: after the ROM's initialization, after SIPI, or after S3.
#ifndef VMX_ON_SVM_START_H
#define VMX_ON_SVM_START_H

#include "monitor_guest.h"
#include "memory_map.h"
#include "sleep.h"

namespace {

struct [[gnu::packed]] TableOf16 {
	u16 limit;
	u32 base;
	u16 padding;
};

// The variables of the start-up page: layout.h, start.S.
struct [[gnu::packed]] StartPage {
	u8 jump[8];
	u32 cr3;
	u32 area_bytes;
	u32 first;
	u32 resume_esp;
	u16 resume_ss, resume_cs, resume_ip, rom_segment;
	u32 cr0, cr4;
	TableOf16 idtr, gdtr;
	u16 hook_e820, hook_e801;
	u32 cpus;
};
static_assert(offsetof(StartPage, cr3) == START_CR3);
static_assert(offsetof(StartPage, area_bytes) == START_AREA_BYTES);
static_assert(offsetof(StartPage, first) == START_FIRST);
static_assert(offsetof(StartPage, resume_esp) == START_RESUME_ESP);
static_assert(offsetof(StartPage, resume_ss) == START_RESUME_SS);
static_assert(offsetof(StartPage, rom_segment) == START_ROM_SEGMENT);
static_assert(offsetof(StartPage, cr0) == START_CR0);
static_assert(offsetof(StartPage, idtr) == START_IDTR);
static_assert(offsetof(StartPage, gdtr) == START_GDTR);
static_assert(offsetof(StartPage, hook_e820) == START_HOOK_E820);
static_assert(offsetof(StartPage, cpus) == START_CPUS);
static_assert(sizeof(StartPage) == START_CODE);

alignas(4096) u8 g_root_io_map[kIoMapBytes];

// A 64-bit interrupt gate.  SDM Vol. 3A, section 7.14.1.
struct Gate {
	u16 offset_low;
	u16 selector;
	u16 flags;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};
static_assert(sizeof(Gate) == 16);

inline void prepare_idt(Cpu& cpu)
{
	constexpr u16 kInterruptGatePresent = 0x8e00;
	constexpr unsigned kHandlerBytes = 16;
	Gate* const gates = reinterpret_cast<Gate*>(cpu.monitor_idt);

	static_assert(sizeof(cpu.monitor_idt) == 256 * sizeof(Gate));
	for (unsigned vector = 0; vector < 256; ++vector) {
		const u64 handler = reinterpret_cast<u64>(vos_handlers) + u64{vector} * kHandlerBytes;
		gates[vector] = {
			// clang-format off
			static_cast<u16>(handler), SELECTOR_CODE64, kInterruptGatePresent, static_cast<u16>(handler >> 16),
			static_cast<u32>(handler >> 32), 0,
			// clang-format on
		};
	}
	cpu.state.monitor_idtr = {sizeof(cpu.monitor_idt) - 1, reinterpret_cast<u64>(cpu.monitor_idt)};
}

// Intercepts both reading and writing.  AMD64 Architecture Programmer's Manual, Vol. 2, section 15.11.
inline void intercept_msr(u8* map, u32 msr)
{
	u32 number = msr;
	if (msr >= 0xc0010000)
		number = 0x4000 + (msr - 0xc0010000);
	else if (msr >= 0xc0000000)
		number = 0x2000 + (msr - 0xc0000000);
	map[number / 4] |= 3 << number % 4 * 2;
}

inline void prepare_root_controls(Cpu& cpu)
{
	static constexpr u32 kIntercepted[] = {
		kMsrFeatureControl, kMsrDebugControl,     kMsrEfer,     kMsrVmCr,
		kMsrVmHsavePa,      kMsrArchCapabilities, kMsrApicBase, kMsrX2apicInterruptCommand,
	};
	constexpr u16 kCr4 = bit(4);
	constexpr u32 kRootAsid = 1;
	Vmcb& vmcb = cpu.root_vmcb;

	for (const u32 msr : kIntercepted)
		intercept_msr(cpu.root_msr_map, msr);
	for (u32 msr = kMsrVmxBasic; msr <= kMsrVmxLast; ++msr)
		intercept_msr(cpu.root_msr_map, msr);
	vmcb.intercept_cr_read = vmcb.intercept_cr_write = kCr4;
	vmcb.intercept_exceptions = bit(kInvalidOpcode);
	vmcb.set_instruction_intercepts(kInterceptSvmInstructions | intercept(kExitCpuid) | intercept(kExitMsr) |
					intercept(kExitShutdown) | (g_watches_sleep ? intercept(kExitIo) : 0) |
					(cpu.boot_cpu ? intercept(kExitNmi) : 0));
	vmcb.io_permission_map = physical_of(g_root_io_map);
	vmcb.msr_permission_map = Cpu::physical(cpu.root_msr_map);
	vmcb.nested_control = kNestedPaging;
	vmcb.nested_page_table = g_root_paging.pointer();
	vmcb.asid = kRootAsid;
}

inline void prepare_guest_controls(Cpu& cpu)
{
	constexpr u32 kGuestAsid = 2;
	Vmcb& vmcb = cpu.guest_vmcb;

	fill_bytes(cpu.guest_msr_map, 0xff, sizeof(cpu.guest_msr_map));
	vmcb.io_permission_map = Cpu::physical(cpu.io_map);
	vmcb.msr_permission_map = Cpu::physical(cpu.guest_msr_map);
	vmcb.nested_control = kNestedPaging;
	vmcb.asid = kGuestAsid;
}

inline VmcbSegment real_mode_segment(u16 selector, u16 attributes)
{
	return {selector, attributes, 0xffff, u64{selector} << 4};
}

// The state after INIT.  SDM Vol. 3A, table 10-1.
inline void set_init_state(Cpu& cpu)
{
	constexpr u16 kCode = 0x9b, kData = 0x93, kLdt = 0x82, kTss = 0x8b;
	Vmcb& vmcb = cpu.root_vmcb;

	vmcb.cs = real_mode_segment(0, kCode);
	vmcb.ds = vmcb.es = vmcb.ss = vmcb.fs = vmcb.gs = real_mode_segment(0, kData);
	vmcb.ldtr = real_mode_segment(0, kLdt);
	vmcb.tr = real_mode_segment(0, kTss);
	vmcb.gdtr = vmcb.idtr = {0, 0, 0xffff, 0};
	vmcb.cpl = 0;
	vmcb.cr0 = kCr0CacheDisable | kCr0NotWriteThrough | kCr0ExtensionType;
	vmcb.cr2 = vmcb.cr3 = vmcb.cr4 = 0;
	vmcb.dr6 = kDr6Fixed1;
	vmcb.dr7 = kDr7Fixed1;
	vmcb.efer = kEferSvme;
	intercept_root_cr0(cpu);
	vmcb.rflags = kFlagReserved1;
	vmcb.rip = vmcb.rsp = vmcb.rax = 0;
	vmcb.pat = rdmsr(kMsrPat);
	vmcb.event = 0;
	vmcb.interrupt_state = 0;
	cpu.vmxe = false;
	fill_bytes(cpu.state.registers, 0, sizeof(cpu.state.registers));
	cpu.state.registers[kRdx] = cpuid(1).eax;
}

// The boot CPU after INIT: at the BIOS's first instruction.
inline void set_reset_state(Cpu& cpu)
{
	set_init_state(cpu);
	cpu.root_vmcb.cs.selector = 0xf000;
	cpu.root_vmcb.cs.base = 0xffff0000;
	cpu.root_vmcb.rip = 0xfff0;
	vmload(Cpu::physical(&cpu.root_vmcb));
}

// The BIOS goes on where it called the ROM.
inline void set_resume_state(Cpu& cpu, const StartPage& page)
{
	Vmcb& vmcb = cpu.root_vmcb;

	set_init_state(cpu);
	vmcb.cs = real_mode_segment(page.resume_cs, vmcb.cs.attributes);
	vmcb.ss = real_mode_segment(page.resume_ss, vmcb.ss.attributes);
	vmcb.rip = page.resume_ip;
	vmcb.rsp = page.resume_esp;
	vmcb.cr0 = page.cr0;
	vmcb.cr4 = page.cr4;
	vmcb.idtr = {0, 0, page.idtr.limit, page.idtr.base};
	vmcb.gdtr = {0, 0, page.gdtr.limit, page.gdtr.base};
}

inline void set_sipi_state(Cpu& cpu)
{
	Vmcb& vmcb = cpu.root_vmcb;

	set_init_state(cpu);
	vmcb.cs = real_mode_segment(g_start_vector[cpu.apic_id] << 8, vmcb.cs.attributes);
}

inline void set_wake_state(Cpu& cpu)
{
	Vmcb& vmcb = cpu.root_vmcb;

	set_init_state(cpu);
	vmcb.cs = real_mode_segment(g_wake_vector >> 4, vmcb.cs.attributes);
	vmcb.rip = g_wake_vector & 15;
	vmcb.cr0 = kCr0ExtensionType;
	if (u32* const vector = find_waking_vector(cpu))
		*vector = g_wake_vector;
	g_wake_vector = 0;
}

// The ROM keeps the start-up page and the hook.  Its checksum is the last thing written: the BIOS checks it.
inline void shrink_rom()
{
	u8* const rom = at<u8>(g_rom);
	constexpr unsigned kBytes = ROM_KEPT_BLOCKS * 512;
	u8 sum = 0;

	rom[2] = ROM_KEPT_BLOCKS;
	rom[kBytes - 1] = 0;
	for (unsigned i = 0; i < kBytes; ++i)
		sum += rom[i];
	rom[kBytes - 1] = -sum;
}

inline void start_machine(const StartPage& page)
{
	g_area = page.cr3;
	g_area_bytes = page.area_bytes;
	g_start_page = reinterpret_cast<u64>(&page);
	g_cpu_limit = page.cpus;
	g_rom = u64{page.rom_segment} << 4;
	g_hook_e820 = page.hook_e820;
	g_hook_e801 = page.hook_e801;
	g_watches_sleep = false;
	g_watched_page = 0;
	g_parameters = {};
	read_parameters();
	measure_apic_timer();
	g_root_paging.build();
	g_root_io_map[kPm1Control / 8] |= 3 << kPm1Control % 8;
}

inline void start_cpu(Cpu& cpu, u32 apic_id, StartPage& page)
{
	const bool first = page.first;

	if (first)
		start_machine(page);
	// All but the stack, which is in use.
	fill_bytes(&cpu.state, 0, sizeof(Cpu) - offsetof(Cpu, state));
	cpu.apic_id = apic_id;
	cpu.boot_cpu = rdmsr(kMsrApicBase) & kApicBaseBootCpu;
	cpu.current_vmcs = kNoVmcs;
	cpu.ept_pointer = kNoVmcs;
	cpu.facts = read_cpu_facts();
	apply_parameters(cpu);
	cpu.state.run_vmcb = Cpu::physical(&cpu.root_vmcb);
	flush_nested_pages(cpu);
	prepare_idt(cpu);
	prepare_root_controls(cpu);
	prepare_guest_controls(cpu);
	wrmsr(kMsrVmHsavePa, Cpu::physical(cpu.host_save));
	if (first) {
		g_cr4_hides_vmxe = !intercepts_reads_of_cr4(cpu);
		set_resume_state(cpu, page);
		page.first = 0;
		shrink_rom();
		copy_bytes(g_start_image, &page, sizeof(g_start_image));
	} else if (g_wake_vector && cpu.boot_cpu) {
		set_wake_state(cpu);
	} else {
		set_sipi_state(cpu);
	}
	vmload(Cpu::physical(&cpu.root_vmcb));
	cpu.started = true;
}

}  // namespace

#endif
