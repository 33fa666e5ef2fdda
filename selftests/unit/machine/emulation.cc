// SPDX-License-Identifier: GPL-2.0
// Privileged instructions, emulated on HostCpu.
#include "emulation.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vmx/architecture.h>

#include <cstdio>
#include <cstdlib>

#include "host.h"

using vregcache::test::CpuidLeaf;
using vregcache::test::DescriptorTableRegister;
using vregcache::test::hardware;
using vregcache::test::InstructionFrame;
using vregcache::test::kCpuCount;

// To the module this is a per-CPU variable: at this address in the GS segment, whose base move_to() sets.
extern "C" u64 vrc_current_vmcs[kCpuCount];
u64 vrc_current_vmcs[kCpuCount];
extern "C" u64 vrc_emulate_scratch;
u64 vrc_emulate_scratch;
extern "C" const char vrc_emulate_return_to_fixup[];

// A stub pushes the address of the function that emulates the instruction, and jumps here.
// clang-format off
asm(R"(
	.text
vrc_emulate_common:
	pushfq
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	cld
	call *128(%rbp)
	mov %rbp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	popfq
	lea 8(%rsp), %rsp
	ret

	/* Instead of returning after the call, where the operands would be dropped; the upper one is the target. */
vrc_emulate_return_to_fixup:
	lea 8(%rsp), %rsp
	ret
)");
// clang-format on

namespace {

constexpr u64 kCarry = 1u << 0, kParity = 1u << 2, kAdjust = 1u << 4, kZero = 1u << 6, kSign = 1u << 7,
	      kOverflow = 1u << 11;

struct ExceptionTableEntry {
	int from;
	int to;
	int type;
};

}  // namespace

extern "C" const ExceptionTableEntry __start___ex_table[];  // NOLINT(*-identifier*): the linker's
extern "C" const ExceptionTableEntry __stop___ex_table[];   // NOLINT(*-identifier*)

namespace {

[[noreturn]] void crash(const char* what, u64 operand)
{
	std::fprintf(stderr, "the module would have crashed the kernel: %s (0x%llx)\n", what,
		     static_cast<unsigned long long>(operand));
	std::abort();
}

// The instruction faults: the kernel's exception table says where to continue.  Its entries refer to the start of the
// instruction, which is a few bytes before the return address.
void fault(InstructionFrame& frame, const char* what, u64 operand)
{
	constexpr u64 kLongest = 64;
	const ExceptionTableEntry* nearest = nullptr;
	u64 distance = kLongest;
	for (const ExceptionTableEntry* entry = __start___ex_table; entry < __stop___ex_table; entry++) {
		u64 from = reinterpret_cast<u64>(&entry->from) + static_cast<u64>(static_cast<long>(entry->from));
		if (from <= frame.return_address && frame.return_address - from < distance) {
			distance = frame.return_address - from;
			nearest = entry;
		}
	}
	if (!nearest)
		crash(what, operand);
	u64 to = reinterpret_cast<u64>(&nearest->to) + static_cast<u64>(static_cast<long>(nearest->to));
	frame.operand[1] = to;
	frame.return_address = reinterpret_cast<u64>(vrc_emulate_return_to_fixup);
}

// The outcome of a VMX instruction (SDM Vol. 3C, 31.2).
void finish_vmx(InstructionFrame& frame, vregcache::Error error)
{
	frame.rflags &= ~(kCarry | kParity | kAdjust | kZero | kSign | kOverflow);
	switch (error) {
	case vregcache::Error::kNone:
		break;
	case vregcache::Error::kVmFailInvalid:
		frame.rflags |= kCarry;
		break;
	case vregcache::Error::kVmFailValid:
		frame.rflags |= kZero;
		break;
	default:
		fault(frame, "a VMX instruction faults", static_cast<u64>(error));
	}
}

vregcache::Error vmx_root()
{
	return hardware().cpu().in_vmx_operation ? vregcache::Error::kNone : vregcache::Error::kFault;
}

u64 memory_operand(const InstructionFrame& frame)
{
	u64 value;
	__builtin_memcpy(&value, reinterpret_cast<const void*>(frame.operand[0]), sizeof(value));
	return value;
}

void store_table(const InstructionFrame& frame, const DescriptorTableRegister& table)
{
	char* to = reinterpret_cast<char*>(frame.operand[0]);
	__builtin_memcpy(to, &table.limit, sizeof(table.limit));
	__builtin_memcpy(to + sizeof(table.limit), &table.base, sizeof(table.base));
}

DescriptorTableRegister table_operand(const InstructionFrame& frame)
{
	const char* from = reinterpret_cast<const char*>(frame.operand[0]);
	DescriptorTableRegister table;
	__builtin_memcpy(&table.limit, from, sizeof(table.limit));
	__builtin_memcpy(&table.base, from + sizeof(table.limit), sizeof(table.base));
	return table;
}

u64 edx_eax(const InstructionFrame& frame) { return static_cast<u32>(frame.rax) | frame.rdx << 32; }

void set_edx_eax(InstructionFrame& frame, u64 value)
{
	frame.rax = static_cast<u32>(value);
	frame.rdx = value >> 32;
}

}  // namespace

// The stub, and the head of the function that emulates the instruction.
// clang-format off
#define INSTRUCTION(name)                                                                  \
	asm(".text\n.globl vrc_emulate_" #name "\nvrc_emulate_" #name ":\n\t"              \
	    "push $vrc_carry_out_" #name "\n\tjmp vrc_emulate_common");                    \
	extern "C" void vrc_carry_out_##name(InstructionFrame& frame);                     \
	void vrc_carry_out_##name([[maybe_unused]] InstructionFrame& frame)
// clang-format on

// ---- VMX ----

INSTRUCTION(vmread)
{
	if (vmx_root() != vregcache::Error::kNone)
		return finish_vmx(frame, vmx_root());
	vregcache::Result<u64> read = hardware().cpu().vmx.vmread(static_cast<u32>(frame.operand[0]));
	frame.operand[1] = read.value_or(frame.operand[1]);
	finish_vmx(frame, read.error());
}

INSTRUCTION(vmwrite)
{
	if (vmx_root() != vregcache::Error::kNone)
		return finish_vmx(frame, vmx_root());
	finish_vmx(frame, hardware().cpu().vmx.vmwrite(static_cast<u32>(frame.operand[0]), frame.operand[1]).error());
}

INSTRUCTION(vmxon)
{
	auto& cpu = hardware().cpu();
	if (!(cpu.cr4 & cr4::kVmxe) || cpu.in_vmx_operation)
		return fault(frame, "VMXON without CR4.VMXE, or in VMX operation", cpu.cr4);
	const u32* region = static_cast<const u32*>(vrc_host_direct_map(memory_operand(frame)));
	if (region[0] != (cpu.msr[msr::kVmxBasic] & 0x7fffffff))
		return finish_vmx(frame, vregcache::Error::kVmFailInvalid);
	cpu.in_vmx_operation = true;
	finish_vmx(frame, vregcache::Error::kNone);
}

INSTRUCTION(vmxoff)
{
	auto& cpu = hardware().cpu();
	if (cpu.in_vmx_operation) {
		for (const auto& [vmcs, state] : hardware().vmcs_state) {
			if (state.active_on == hardware().current)
				vregcache::test::host().complain("VMXOFF while a VMCS is active on the CPU");
		}
	}
	finish_vmx(frame, vmx_root());
	cpu.in_vmx_operation = false;
	cpu.vmx.unload();
}

INSTRUCTION(vmclear)
{
	vregcache::Error error = vmx_root();
	if (error == vregcache::Error::kNone) {
		const VmcsId vmcs{memory_operand(frame)};
		auto& state = hardware().vmcs_state[vmcs];
		if (state.active_on != ~0u && state.active_on != hardware().current)
			vregcache::test::host().complain("VMCLEAR on another CPU than where the VMCS is active");
		state = {.initialized = true};
		if (hardware().cpu().vmx.current() == vmcs)
			hardware().cpu().vmx.unload();
	}
	finish_vmx(frame, error);
}

INSTRUCTION(vmptrld)
{
	vregcache::Error error = vmx_root();
	if (error == vregcache::Error::kNone) {
		const u64 address = memory_operand(frame);
		const VmcsId vmcs{address};
		const u32* region = static_cast<const u32*>(vrc_host_direct_map(address));
		auto& state = hardware().vmcs_state[vmcs];
		if (state.active_on != ~0u && state.active_on != hardware().current)
			vregcache::test::host().complain("VMPTRLD of a VMCS that is active on another CPU");
		if (!state.initialized)
			vregcache::test::host().complain("VMPTRLD of a region that VMCLEAR has not initialized");
		if (region[0] != (hardware().cpu().msr[msr::kVmxBasic] & 0x7fffffff)) {
			error = vregcache::Error::kVmFailInvalid;
		} else {
			hardware().vmptrlds++;
			state.active_on = hardware().current;
			hardware().cpu().vmx.load(vmcs);
		}
	}
	finish_vmx(frame, error);
}

INSTRUCTION(vmptrst)
{
	vregcache::Error error = vmx_root();
	if (error == vregcache::Error::kNone)
		*reinterpret_cast<u64*>(frame.operand[1]) = static_cast<u64>(hardware().cpu().vmx.current());
	finish_vmx(frame, error);
}

INSTRUCTION(invept)
{
	hardware().invepts++;
	finish_vmx(frame, vmx_root());
}

// ---- model-specific, control and debug registers ----

INSTRUCTION(rdmsr)
{
	auto& registers = hardware().cpu().msr;
	auto found = registers.find(static_cast<u32>(frame.rcx));
	if (found == registers.end())
		return fault(frame, "RDMSR of an MSR that is not there", frame.rcx);
	set_edx_eax(frame, found->second);
}

INSTRUCTION(wrmsr)
{
	auto& registers = hardware().cpu().msr;
	auto found = registers.find(static_cast<u32>(frame.rcx));
	if (found == registers.end())
		return fault(frame, "WRMSR of an MSR that is not there", frame.rcx);
	found->second = edx_eax(frame);
}

#define READ_REGISTER(name, variable) \
	INSTRUCTION(read_##name) { frame.operand[1] = hardware().cpu().variable; }
#define WRITE_REGISTER(name, variable) \
	INSTRUCTION(write_##name) { hardware().cpu().variable = frame.operand[0]; }
READ_REGISTER(cr0, cr0)
READ_REGISTER(cr2, cr2)
READ_REGISTER(cr3, cr3)
READ_REGISTER(cr4, cr4)
READ_REGISTER(dr0, dr[0])
READ_REGISTER(dr1, dr[1])
READ_REGISTER(dr2, dr[2])
READ_REGISTER(dr3, dr[3])
READ_REGISTER(dr6, dr[6])
READ_REGISTER(dr7, dr[7])
WRITE_REGISTER(cr2, cr2)
WRITE_REGISTER(dr0, dr[0])
WRITE_REGISTER(dr1, dr[1])
WRITE_REGISTER(dr2, dr[2])
WRITE_REGISTER(dr3, dr[3])
WRITE_REGISTER(dr6, dr[6])
WRITE_REGISTER(dr7, dr[7])

// ---- segments ----

READ_REGISTER(cs, cs)
READ_REGISTER(ss, ss)
READ_REGISTER(ds, ds)
READ_REGISTER(es, es)
READ_REGISTER(fs, fs)
READ_REGISTER(gs, gs)
INSTRUCTION(str) { frame.operand[1] = hardware().cpu().tr; }

INSTRUCTION(sldt) { frame.operand[1] = hardware().cpu().ldtr; }

INSTRUCTION(lldt) { hardware().cpu().ldtr = static_cast<u16>(frame.operand[0]); }

INSTRUCTION(sgdt) { store_table(frame, hardware().cpu().gdtr); }

INSTRUCTION(sidt) { store_table(frame, hardware().cpu().idtr); }

INSTRUCTION(lgdt) { hardware().cpu().gdtr = table_operand(frame); }

INSTRUCTION(lidt) { hardware().cpu().idtr = table_operand(frame); }

// ---- user-mode instructions whose results must not come from the CPU that runs the tests ----

INSTRUCTION(cpuid)
{
	const u32 leaf = static_cast<u32>(frame.rax);
	auto found = hardware().cpuid.find({leaf, static_cast<u32>(frame.rcx)});
	const CpuidLeaf result = found == hardware().cpuid.end() ? CpuidLeaf{} : found->second;
	frame.rax = result.eax;
	frame.rbx = result.ebx;
	frame.rcx = result.ecx;
	frame.rdx = result.edx;
}

INSTRUCTION(rdtsc) { set_edx_eax(frame, hardware().cpu().tsc += 1000); }

INSTRUCTION(xgetbv) { set_edx_eax(frame, hardware().cpu().xcr0); }

INSTRUCTION(xsetbv) { hardware().cpu().xcr0 = edx_eax(frame); }

INSTRUCTION(rdpkru)
{
	frame.rax = hardware().cpu().pkru;
	frame.rdx = 0;
}

INSTRUCTION(wrpkru) { hardware().cpu().pkru = static_cast<u32>(frame.rax); }

namespace vregcache::test {

namespace {

Hardware* g_hardware;

void set_gs_base(u64 base) { syscall(SYS_arch_prctl, ARCH_SET_GS, base); }

// The capabilities of a CPU with everything that the module requires (SDM Vol. 3D, Appendix A): for controls, bits 31:0
// are those that must be 1, bits 63:32 those that may be 1.
void add_vmx_msrs(std::map<u32, u64>& msr)
{
	auto controls = [](u32 must_be_one, u32 may_be_one) { return u64{may_be_one} << 32 | must_be_one; };
	constexpr u64 kLocked = 1u << 0, kVmxOutsideSmx = 1u << 2;
	constexpr u64 kWriteBack = u64{6} << 50, kInsOutsInformation = u64{1} << 54, kTrueControls = u64{1} << 55;
	constexpr u64 kRegionSize = u64{4096} << 32;
	constexpr u64 kRevision = 0x12;
	msr[msr::kFeatureControl] = kLocked | kVmxOutsideSmx;
	msr[msr::kVmxBasic] = kRevision | kRegionSize | kWriteBack | kInsOutsInformation | kTrueControls;
	msr[msr::kVmxTruePinbased] = controls(0x16, 0x7f);
	msr[msr::kVmxTrueProcbased] = controls(0x04006172, 0xfff9fffe);
	msr[msr::kVmxProcbased2] = controls(0, 0x188ff);
	msr[msr::kVmxTrueExit] = controls(0x36dfb, 0x7fffff);
	msr[msr::kVmxTrueEntry] = controls(0x11fb, 0xffff);
	// Activity states HLT, shutdown and wait-for-SIPI; four CR3 targets.
	msr[msr::kVmxMisc] = 1u << 6 | 1u << 7 | 1u << 8 | u64{4} << 16;
	msr[msr::kVmxCr0Fixed0] = cr0::kPe | cr0::kNe | cr0::kPg;
	msr[msr::kVmxCr0Fixed1] = 0xffffffff;
	msr[msr::kVmxCr4Fixed0] = cr4::kVmxe;
	msr[msr::kVmxCr4Fixed1] = 0x7727ff;
	// Page walks of length 4, write-back, INVEPT of a single context and of all.
	msr[msr::kVmxEptVpid] = 1u << 6 | 1u << 14 | 1u << 20 | 1u << 25 | 1u << 26;
}

// Values of a 64-bit kernel, all different.
void start_cpu(HostCpu& cpu, unsigned number)
{
	constexpr u64 kKernel = 0xffff800000000000;
	const u64 mine = kKernel + u64{number} * 0x10000000;
	add_vmx_msrs(cpu.msr);
	cpu.msr[msr::kTimeStampCounter] = 0;
	cpu.msr[msr::kSysenterCs] = 0x10;
	cpu.msr[msr::kSysenterEsp] = mine + 0x1000;
	cpu.msr[msr::kSysenterEip] = kKernel + 0x2000;
	cpu.msr[msr::kDebugctl] = 0;
	cpu.msr[msr::kPat] = 0x0407050600070106;
	cpu.msr[msr::kEfer] = efer::kSce | efer::kLme | efer::kLma | efer::kNxe;
	cpu.msr[msr::kStar] = 0x0023001000000000;
	cpu.msr[msr::kLstar] = kKernel + 0x3000;
	cpu.msr[msr::kCstar] = kKernel + 0x4000;
	cpu.msr[msr::kSfmask] = 0x257fd5;
	cpu.msr[msr::kFsBase] = 0x7f0000001000;
	cpu.msr[msr::kGsBase] = mine + 0x5000;
	cpu.msr[msr::kKernelGsBase] = 0x7f0000002000;
	cpu.msr[msr::kTscAux] = number;
	cpu.cr0 = cr0::kPe | cr0::kMp | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kAm | cr0::kPg;
	cpu.cr2 = 0x7f0000003000;
	cpu.cr3 = 0x1000000;
	cpu.cr4 = cr4::kPae | cr4::kMce | cr4::kPge | cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kFsgsbase | cr4::kOsxsave |
		  cr4::kSmep | cr4::kSmap;
	cpu.dr[6] = 0xffff0ff0;
	cpu.dr[7] = 0x400;
	cpu.xcr0 = xcr0::kX87 | xcr0::kSse | xcr0::kAvx;
	cpu.pkru = 0x55555554;
	cpu.cs = 0x10;
	cpu.ss = 0x18;
	cpu.tr = 0x40;
	// The descriptor of a 64-bit TSS, at the kernel's selector, with a base whose bytes are all different.
	cpu.gdt[0x40 / 8] = 0x8100'8b32'1000'2067 + (u64{number} << 32);
	cpu.gdt[0x40 / 8 + 1] = 0xffff8000;
	cpu.gdtr = {static_cast<u16>(sizeof(cpu.gdt) - 1), reinterpret_cast<u64>(cpu.gdt.data())};
	cpu.idtr = {0xfff, kKernel + 0x6000};
}

void add_cpuid(std::map<std::pair<u32, u32>, CpuidLeaf>& cpuid)
{
	constexpr u32 kXsave = 1u << 26, kVmx = 1u << 5, kAvx = 1u << 28, kSse3 = 1u << 0;
	constexpr u32 kFsgsbase = 1u << 0, kSmep = 1u << 7, kSmap = 1u << 20, kUmip = 1u << 2, kLa57 = 1u << 16;
	constexpr u32 kNx = 1u << 20, kGigabytePages = 1u << 26, kRdtscp = 1u << 27, kLongMode = 1u << 29;
	cpuid[{0, 0}] = {0xd, 0x756e6547, 0x6c65746e, 0x49656e69};
	cpuid[{1, 0}] = {0x50654, 0x00020800, kSse3 | kVmx | kXsave | kAvx, 0x0783fbff};
	cpuid[{7, 0}] = {0, kFsgsbase | kSmep | kSmap, kUmip | kLa57, 0};
	cpuid[{0xd, 0}] = {7, 832, 832, 0};
	cpuid[{0xd, 1}] = {7, 832, 0, 0};
	cpuid[{0xd, 2}] = {256, 576, 0, 0};
	cpuid[{0x80000000, 0}] = {0x80000008, 0, 0, 0};
	cpuid[{0x80000001, 0}] = {0, 0, 1, 1u << 11 | kNx | kGigabytePages | kRdtscp | kLongMode};
	cpuid[{0x80000008, 0}] = {57 << 8 | 46, 0, 0, 0};
}

}  // namespace

Hardware::Hardware()
{
	for (unsigned number = 0; number < kCpuCount; number++)
		start_cpu(cpus[number], number);
	add_cpuid(cpuid);
	g_hardware = this;
	move_to(0);
}

Hardware::~Hardware()
{
	set_gs_base(0);
	g_hardware = nullptr;
}

void Hardware::move_to(unsigned number)
{
	current = number;
	set_gs_base(number * sizeof(vrc_current_vmcs[0]));
}

Hardware& hardware() { return *g_hardware; }

}  // namespace vregcache::test
