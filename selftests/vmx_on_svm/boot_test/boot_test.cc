// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the VMX ROM where there is no operating system: what the machine looks like to whatever boots, how its CPUs start and
 * take INIT and SIPI, and that nothing reaches the monitor's memory.  Results in KTAP on the first serial port.
 *
 * The command line names what to run: "tests", with what the ROM's parameters should have changed, or "reboots=N".
 */

#include "../vmx_client/fields.h"
#include "layout.h"

extern "C" {
extern u64 gdt[], gdt_tss[];
extern const char trampoline[], trampoline_end[], exception_handlers[], interrupt_handler[], guest_vmcall[],
	guest_spin[];
extern u8 cpu_stacks[];
extern volatile u32 guest_counter;
long enter_guest();
void run_tests(const u32* multiboot);
void run_other_cpu(u32 id);
void handle_exception(u64* frame);
void handle_interrupt();
void* memcpy(void* to, const void* from, u64 bytes);
void* memset(void* to, int value, u64 bytes);
}

void* memcpy(void* to, const void* from, u64 bytes)
{
	void* const result = to;
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}

void* memset(void* to, int value, u64 bytes)
{
	void* const result = to;
	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return result;
}

namespace {

constexpr u64 kPage = 4096;

// Ports, and output.

void outb(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
u8 inb(u16 port)
{
	u8 value;
	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void print(char letter)
{
	constexpr u16 kSerial = 0x3f8, kLineStatus = kSerial + 5;
	while (!(inb(kLineStatus) & 0x20))
		;
	outb(kSerial, static_cast<u8>(letter));
}

void print(const char* text)
{
	while (*text)
		print(*text++);
}

void print(u64 value)
{
	print("0x");
	unsigned shift = 60;
	while (shift && !(value >> shift))
		shift -= 4;
	for (;; shift -= 4) {
		print("0123456789abcdef"[value >> shift & 15]);
		if (!shift)
			return;
	}
}

void print_decimal(unsigned number)
{
	if (number > 9)
		print_decimal(number / 10);
	print(static_cast<char>('0' + number % 10));
}

unsigned test_count, failed_count;

// QEMU's isa-debug-exit ends with status 1 or 3.
[[noreturn]] void end(bool failed)
{
	outb(0xf4, failed);
	for (;;)
		asm volatile("hlt");
}

class Test {
 public:
	explicit Test(const char* name) : name_(name) {}
	Test(const Test&) = delete;
	~Test()
	{
		failed_count += failed_;
		print(failed_ ? "not ok " : "ok ");
		print_decimal(++test_count);
		print(" ");
		print(name_);
		print("\n");
	}

	void equal(const char* what, u64 got, u64 expected)
	{
		if (got == expected)
			return;
		failed_ = true;
		print("# ");
		print(name_);
		print(": ");
		print(what);
		print(": got ");
		print(got);
		print(", expected ");
		print(expected);
		print("\n");
	}
	void check(const char* what, bool holds) { equal(what, holds, true); }

 private:
	const char* name_;
	bool failed_ = false;
};

// Instructions that may raise an exception: the vector, or kNone.

constexpr u64 kNone = 0x100, kInvalidOpcode = 6, kGeneralProtection = 13;
u64 resume_at, raised;

#define ATTEMPT(instruction, ...)                                                             \
	({                                                                                    \
		raised = kNone;                                                               \
		asm volatile("leaq 9f(%%rip), %%r11\n\tmovq %%r11, %0\n\t" instruction "\n9:" \
			     : "=m"(resume_at)                                                \
			     : __VA_ARGS__                                                    \
			     : "r11", "cc", "memory");                                        \
		resume_at = 0;                                                                \
		raised;                                                                       \
	})

u64 attempt_write_cr0(u64 value) { return ATTEMPT("movq %1, %%cr0", "r"(value)); }
u64 attempt_write_cr4(u64 value) { return ATTEMPT("movq %1, %%cr4", "r"(value)); }
u64 attempt_write_cr3(u64 value) { return ATTEMPT("movq %1, %%cr3", "r"(value)); }
u64 attempt_read_msr(u32 msr) { return ATTEMPT("rdmsr", "c"(msr), "a"(0), "d"(0)); }

u64 read_cr0()
{
	u64 value;
	asm volatile("movq %%cr0, %0" : "=r"(value));
	return value;
}
u64 read_cr3()
{
	u64 value;
	asm volatile("movq %%cr3, %0" : "=r"(value));
	return value;
}
u64 read_cr4()
{
	u64 value;
	asm volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}
u64 read_msr(u32 msr)
{
	u32 low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | u64{high} << 32;
}

struct CpuidResult {
	u32 eax, ebx, ecx, edx;
};
CpuidResult cpuid(u32 leaf, u32 subleaf = 0)
{
	CpuidResult result;
	asm volatile("cpuid"
		     : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
		     : "a"(leaf), "c"(subleaf));
	return result;
}

u64 read_tsc()
{
	u32 low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | u64{high} << 32;
}

// Waits until the condition holds; false after a second or so of the ACPI timer (3.58 MHz, 24 bits).
template <typename Condition>
bool wait_until(Condition condition, u32 milliseconds = 2000)
{
	constexpr u16 kTimer = 0x608;
	u32 left = milliseconds * 3580, last = 0, now;
	asm volatile("inl %1, %0" : "=a"(last) : "Nd"(kTimer));
	while (!condition()) {
		asm volatile("inl %1, %0" : "=a"(now) : "Nd"(kTimer));
		const u32 passed = (now - last) & 0xffffff;
		last = now;
		if (passed >= left)
			return false;
		left -= passed;
		asm volatile("pause");
	}
	return true;
}
void wait(u32 milliseconds)
{
	wait_until([] { return false; }, milliseconds);
}

// The local APIC.

constexpr u64 kApic = 0xfee00000, kIdRegister = 0x20, kTaskPriority = 0x80, kCommand = 0x300, kDestination = 0x310,
	      kErrorEntry = 0x370;
constexpr u32 kNmi = 0x4400, kInit = 0x4500, kStartup = 0x4600, kToOthers = 3 << 18;

volatile u32& apic(u64 offset) { return *reinterpret_cast<volatile u32*>(kApic + offset); }

void send(u32 id, u32 command)
{
	apic(kDestination) = id << 24;
	apic(kCommand) = command;
	while (apic(kCommand) & 1 << 12)
		asm volatile("pause");
}

// A SIPI that comes too early has no effect: sends it until the condition holds.
template <typename Condition>
bool send_startup(u32 id, u32 vector, Condition condition)
{
	constexpr unsigned kAttempts = 40;
	for (unsigned i = 0; i < kAttempts; ++i) {
		send(id, kStartup | vector);
		if (wait_until(condition, 50))
			return true;
	}
	return false;
}

// What the CPUs are to do, by APIC ID.

enum class Task : u32 { Idle, EnterVmx, RunGuest, WaitForSipi, LeaveVmx };
struct alignas(4096) OtherCpu {
	u8 vmxon[kPage];
	u8 vmcs[kPage];
	volatile u32 starts;  // after SIPI
	volatile Task task;
	volatile bool done;
	volatile u32 reason;
	volatile u64 qualification;
	volatile u64 features;
};
OtherCpu cpus[CPU_LIMIT];
u32 boot_id, cpu_count;
volatile bool cpu_present[CPU_LIMIT];

constexpr u64 kNmiVector = 2;
volatile u32 nmi_count, nmis_at_start, interrupt_count;

struct MemoryRange {
	u64 first, bytes;
};
MemoryRange area;

// VMX.

u64 vmxon(const void* region)
{
	static volatile u8 failed;
	const u64 address = reinterpret_cast<u64>(region);
	const u64 vector = ATTEMPT("vmxon %1\n\tsetbe %2", "m"(address), "m"(failed));
	return vector == kNone ? failed : vector;
}
bool vmclear(u64 address)
{
	u8 failed;
	asm volatile("vmclear %1; setbe %0" : "=q"(failed) : "m"(address) : "cc", "memory");
	return !failed;
}
bool vmptrld(u64 address)
{
	u8 failed;
	asm volatile("vmptrld %1; setbe %0" : "=q"(failed) : "m"(address) : "cc", "memory");
	return !failed;
}
void write(Field field, u64 value) { asm volatile("vmwrite %1, %0" : : "r"(u64{field}), "r"(value) : "cc"); }
u64 read(Field field)
{
	u64 value;
	asm volatile("vmread %1, %0" : "=r"(value) : "r"(u64{field}) : "cc");
	return value;
}
u64 adjust(u64 wanted, u32 capability)
{
	const u64 value = read_msr(capability);
	return (wanted | (value & 0xffffffff)) & value >> 32;
}

alignas(4096) u64 ept[512], ept_pointers[512];

// A guest with the host's own page tables, in EPT that maps the lower 4 GiB to itself.
void prepare_guest(const char* code, u64 msr_bitmap, u64 activity, u64 ept_table)
{
	constexpr u32 kCode = 0xa09b, kData = 0xc093, kTask = 0x8b, kUnusableSegment = kUnusable;
	for (unsigned i = 0; i < 4; ++i)
		ept_pointers[i] = i << 30 | 1 << 7 | 6 << 3 | 7;
	ept[0] = ept_table | 7;
	write(kPinControls, adjust(kPinInterrupts | kPinNmis, 0x48d));
	write(kProcControls, adjust(kProcSecondary | (msr_bitmap ? kProcMsrBitmaps : 0), 0x48e));
	write(kProc2Controls, adjust(kProc2Ept | kProc2Unrestricted, 0x48b));
	write(kExitControls, adjust(kExitHost64, 0x48f));
	write(kEntryControls, adjust(kEntryIa32e, 0x490));
	write(kEptPointer, reinterpret_cast<u64>(ept) | 3 << 3 | 6);
	write(kMsrBitmap, msr_bitmap);
	write(kLinkPointer, ~u64{0});
	static constexpr Field kZero[] = {
		kExceptionBitmap,  kPageFaultMask,     kPageFaultMatch,    kCr3TargetCount,  kExitMsrStoreCount,
		kExitMsrLoadCount, kEntryMsrLoadCount, kEntryInfo,         kCr0Mask,         kCr4Mask,
		kInterruptibility, kPendingDebug,      kGuestDebugControl, kGuestSysenterCs, kGuestSysenterEsp,
		kGuestSysenterEip, kHostSysenterCs,    kHostSysenterEsp,   kHostSysenterEip, kHostFsBase,
		kHostGsBase,       kHostTrBase,
	};
	for (const Field field : kZero)
		write(field, 0);
	for (unsigned i = 0; i < 8; ++i) {
		const bool none = i == 6;
		write(static_cast<Field>(kGuestEsSelector + 2 * i), none     ? 0
								    : i == 1 ? CODE64
								    : i == 7 ? TASK_STATE
									     : DATA);
		write(static_cast<Field>(kGuestEsLimit + 2 * i), i == 7 ? 0x67 : ~u32{0});
		write(static_cast<Field>(kGuestEsAccess + 2 * i), none     ? kUnusableSegment
								  : i == 1 ? kCode
								  : i == 7 ? kTask
									   : kData);
		write(static_cast<Field>(kGuestEsBase + 2 * i), 0);
	}
	for (unsigned i = 0; i < 6; ++i)
		write(static_cast<Field>(kHostEsSelector + 2 * i), i == 1 ? CODE64 : DATA);
	write(kHostTrSelector, TASK_STATE);
	struct [[gnu::packed]] {
		u16 limit;
		u64 base;
	} table;
	asm volatile("sgdt %0" : "=m"(table));
	write(kHostGdtrBase, table.base);
	write(kGuestGdtrBase, table.base);
	write(kGuestGdtrLimit, table.limit);
	asm volatile("sidt %0" : "=m"(table));
	write(kHostIdtrBase, table.base);
	write(kGuestIdtrBase, table.base);
	write(kGuestIdtrLimit, table.limit);
	write(kHostCr0, read_cr0());
	write(kHostCr3, read_cr3());
	write(kHostCr4, read_cr4());
	write(kGuestCr0, read_cr0());
	write(kGuestCr3, read_cr3());
	write(kGuestCr4, read_cr4());
	write(kGuestDr7, 0x400);
	write(kGuestRip, reinterpret_cast<u64>(code));
	write(kGuestRsp, 0);
	write(kGuestRflags, 2);
	write(kActivity, activity);
}

u32 run_guest(OtherCpu& cpu, const char* code, u64 msr_bitmap, u64 activity,
	      u64 ept_table = reinterpret_cast<u64>(ept_pointers))
{
	*reinterpret_cast<u32*>(cpu.vmcs) = static_cast<u32>(read_msr(0x480));
	if (!vmclear(reinterpret_cast<u64>(cpu.vmcs)) || !vmptrld(reinterpret_cast<u64>(cpu.vmcs)))
		return 0xfff;
	prepare_guest(code, msr_bitmap, activity, ept_table);
	constexpr u64 kAllContexts = 2;
	static constexpr u64 kNoDescriptor[2] = {};
	asm volatile("invept %0, %1" : : "m"(kNoDescriptor), "r"(kAllContexts) : "cc", "memory");
	return enter_guest() ? 0xffe : static_cast<u32>(read(kExitReason));
}

u64 enter_vmx_operation(OtherCpu& cpu)
{
	*reinterpret_cast<u32*>(cpu.vmxon) = static_cast<u32>(read_msr(0x480));
	attempt_write_cr4(read_cr4() | bit(13));
	return vmxon(cpu.vmxon);
}

void leave_vmx_operation()
{
	asm volatile("vmxoff" : : : "cc");
	attempt_write_cr4(read_cr4() & ~bit(13));
}

// Has another CPU do something, and waits until it is done.
bool assign(u32 id, Task task, bool wait_for_it = true)
{
	cpus[id].done = false;
	cpus[id].task = task;
	return !wait_for_it || wait_until([=] { return cpus[id].done; });
}

struct [[gnu::packed]] {
	u16 limit;
	const void* base;
} idt_register;
u64 idt[2 * 0x41];
u32 task_states[CPU_LIMIT][32];

void load_tables(u32 id)
{
	asm volatile("lidt %0" : : "m"(idt_register));
	// One task-state segment is enough for CPUs that never change their privilege level.
	if (id == boot_id) {
		const u64 base = reinterpret_cast<u64>(task_states[0]);
		gdt_tss[0] = 0x67 | (base & 0xffffff) << 16 | u64{0x89} << 40 | (base >> 24 & 0xff) << 56;
		gdt_tss[1] = base >> 32;
	} else {
		gdt_tss[0] &= ~(u64{2} << 40);
	}
	asm volatile("ltr %w0" : : "r"(TASK_STATE));
}

}  // namespace

void handle_exception(u64* frame)
{
	if (frame[0] == kNmiVector) {
		__atomic_add_fetch(&nmi_count, 1, __ATOMIC_SEQ_CST);
		return;
	}
	if (!resume_at) {
		print("Bail out! exception ");
		print(frame[0]);
		print(" at ");
		print(frame[2]);
		print("\n");
		end(true);
	}
	raised = frame[0];
	frame[2] = resume_at;
}

void handle_interrupt()
{
	constexpr u64 kEndOfInterrupt = 0xb0;
	interrupt_count = interrupt_count + 1;
	apic(kEndOfInterrupt) = 0;
}

void run_other_cpu(u32 id)
{
	OtherCpu& cpu = cpus[id];
	static volatile u32 lock;
	// The descriptor of the task-state segment is shared.
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		;
	load_tables(id);
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	cpu.features = cpuid(1).ecx;
	cpu.task = Task::Idle;
	cpu_present[id] = true;
	cpu.starts = cpu.starts + 1;
	for (;;) {
		switch (cpu.task) {
		case Task::Idle:
			asm volatile("pause");
			continue;
		case Task::EnterVmx:
			cpu.reason = static_cast<u32>(enter_vmx_operation(cpu));
			break;
		case Task::RunGuest:
			cpu.reason = run_guest(cpu, guest_spin, 0, 0);
			// An NMI that made the guest exit blocks NMIs up to the next IRET.
			asm volatile("int $2");
			break;
		case Task::WaitForSipi:
			cpu.reason = run_guest(cpu, guest_spin, 0, 3);
			cpu.qualification = read(kQualification);
			break;
		case Task::LeaveVmx:
			leave_vmx_operation();
			break;
		}
		cpu.task = Task::Idle;
		cpu.done = true;
	}
}

namespace {

void test_identity(bool hidden)
{
	Test test("CPUID and MSRs are those of an Intel CPU with VMX");
	const CpuidResult vendor = cpuid(0), features = cpuid(1), amd = cpuid(0x80000001);
	test.equal("vendor", vendor.ebx, 0x756e6547);
	test.equal("VMX", features.ecx >> 5 & 1, !hidden);
	test.equal("hypervisor bit", features.ecx >> 31, 0);
	test.equal("SVM", amd.ecx >> 2 & 1, 0);
	test.check("capability MSRs", read_msr(0x480) >> 32 & 0x1fff);
	test.equal("AMD's VM_CR", attempt_read_msr(0xc0010114), kGeneralProtection);
}

void test_control_registers()
{
	Test test("CR0, CR3 and CR4 take what a CPU takes");
	const u64 cr0 = read_cr0(), cr4 = read_cr4();
	test.equal("CR0, bit 32", attempt_write_cr0(cr0 | bit(32)), kGeneralProtection);
	test.equal("CR0.NW without CR0.CD", attempt_write_cr0(cr0 | bit(29)), kGeneralProtection);
	test.equal("CR0.PG without CR0.PE", attempt_write_cr0(cr0 & ~bit(0)), kGeneralProtection);
	test.equal("CR3, bit 60", attempt_write_cr3(read_cr3() | bit(60)), kGeneralProtection);
	test.equal("CR4, bit 40", attempt_write_cr4(cr4 | bit(40)), kGeneralProtection);
	test.equal("CR4.PAE", attempt_write_cr4(cr4 & ~bit(5)), kGeneralProtection);
	test.equal("CR4.VMXE", attempt_write_cr4(cr4 | bit(13)), kNone);
	test.equal("CR4 as it is read", read_cr4(), cr4 | bit(13));
	test.equal("CR4.VMXE again", attempt_write_cr4(cr4), kNone);
	test.equal("CR0", read_cr0(), cr0);
}

// The reserved range of the memory map that is the monitor's: between the BIOS's ranges there is no other of that size.
bool find_area(const u32* multiboot)
{
	const u8* entry = reinterpret_cast<const u8*>(u64{multiboot[12]});
	const u8* const end_of_map = entry + multiboot[11];
	unsigned found = 0;
	while (entry < end_of_map) {
		u32 words[6];
		memcpy(words, entry, sizeof(words));
		const u64 first = words[1] | u64{words[2]} << 32, bytes = words[3] | u64{words[4]} << 32;
		// Larger ones are of the chipset.
		constexpr u64 kLeast = 0x400000, kMost = 0x4000000;
		const bool plausible = bytes >= kLeast && bytes <= kMost && !(bytes & (bytes - 1)) &&
				       !(first & (bytes - 1));
		if (words[5] == 2 && plausible && !(first >> 32)) {
			area = {first, bytes};
			++found;
		}
		entry += words[0] + 4;
	}
	return found == 1;
}

void test_memory(const u32* multiboot)
{
	{
		Test test("the memory map reserves the monitor's memory, once");
		test.check("multiboot information has a map", multiboot[0] & bit(6));
		test.check("one range of that size", find_area(multiboot));
	}
	Test test("the monitor's memory is one blank page for software");
	for (u64 address = area.first; address < area.first + area.bytes; address += kPage) {
		volatile u64* const words = reinterpret_cast<volatile u64*>(address);
		if (words[0] || words[511])
			test.equal("not blank", address, 0);
	}
	volatile u64* const first = reinterpret_cast<volatile u64*>(area.first);
	first[0] = 0x1122334455667788;
	volatile u64* const last = reinterpret_cast<volatile u64*>(area.first + area.bytes - kPage);
	test.equal("the last page is the first one", last[0], 0x1122334455667788);
	first[0] = 0;
}

template <typename Change>
void expect_write(Test& test, const char* what, u32 before, u32 after, Change change)
{
	volatile u32* const entry = &apic(kErrorEntry);
	*entry = before;
	change(entry);
	test.equal(what, *entry, after);
}

void test_apic_writes()
{
	Test test("instructions that write to the local APIC");
	const u32 old = apic(kErrorEntry);
#define CHANGE(instruction, ...) \
	[](volatile u32* entry) { asm volatile(instruction : "+m"(*entry) : __VA_ARGS__ : "cc"); }
	expect_write(test, "MOV of a register", 0x10000, 0x10031, CHANGE("movl %1, %0", "r"(0x10031)));
	expect_write(test, "MOV of an immediate", 0x10000, 0x10032, CHANGE("movl $0x10032, %0", ));
	expect_write(test, "MOV of R9", 0x10000, 0x10033, [](volatile u32* entry) {
		asm volatile("movl $0x10033, %%r9d; movl %%r9d, %0" : "=m"(*entry) : : "r9");
	});
	expect_write(test, "XCHG", 0x10021, 0x10034, CHANGE("xchgl %1, %0", "r"(0x10034)));
	expect_write(test, "OR of a register", 0x10011, 0x10031, CHANGE("orl %1, %0", "r"(0x30)));
	expect_write(test, "OR of an immediate", 0x10001, 0x10031, CHANGE("orl $0x30, %0", ));
	expect_write(test, "OR of 32 bits", 0x31, 0x10031, CHANGE("orl $0x10000, %0", ));
	expect_write(test, "AND", 0x100ff, 0x10031, CHANGE("andl $0x10031, %0", ));
	expect_write(test, "XOR", 0x100ff, 0x100f0, CHANGE("xorl $15, %0", ));
	expect_write(test, "ADD", 0x10030, 0x10035, CHANGE("addl %1, %0", "r"(5)));
	expect_write(test, "SUB", 0x10035, 0x10030, CHANGE("subl $5, %0", ));
	expect_write(test, "BTS", 0x31, 0x10031, CHANGE("btsl $16, %0", ));
	expect_write(test, "BTR", 0x10033, 0x10031, CHANGE("btrl %1, %0", "r"(1)));
	expect_write(test, "BTC", 0x10031, 0x10030, CHANGE("btcl $0, %0", ));
	expect_write(test, "LOCK OR", 0x10001, 0x10003, CHANGE("lock orl $2, %0", ));
#undef CHANGE
	expect_write(test, "STOS", 0x10000, 0x10036, [](volatile u32* entry) {
		volatile u32* to = entry;
		asm volatile("stosl" : "+D"(to) : "a"(0x10036) : "memory");
	});
	expect_write(test, "MOV of EAX by its address", 0x10000, 0x10037, [](volatile u32*) {
		asm volatile("movabsl %%eax, %P0" : : "i"(kApic + kErrorEntry), "a"(0x10037) : "memory");
	});
	u32 flags = 0;
	asm volatile("testl %%esp, %%esp; orl $0, %1; setz %b0"
		     : "+q"(flags), "+m"(*const_cast<u32*>(&apic(kTaskPriority)))
		     :
		     : "cc");
	test.equal("ZF", flags, 1);
	apic(kErrorEntry) = old;
}

u32 started_cpus()
{
	u32 count = 0;
	for (const bool present : cpu_present)
		count += present;
	return count;
}

void test_start()
{
	memcpy(reinterpret_cast<void*>(u64{TRAMPOLINE}), trampoline, static_cast<u64>(trampoline_end - trampoline));
	{
		Test test("INIT and SIPI to all others start each CPU");
		apic(kCommand) = kInit | kToOthers;
		wait(10);
		apic(kCommand) = kStartup | kToOthers | TRAMPOLINE / kPage;
		test.check("all have started", wait_until([] { return started_cpus() == cpu_count - 1; }));
		test.equal("CPUs", started_cpus(), cpu_count - 1);
		apic(kCommand) = kStartup | kToOthers | TRAMPOLINE / kPage;
		wait(5);
		for (u32 id = 0; id < CPU_LIMIT; ++id) {
			if (!cpu_present[id])
				continue;
			test.equal("starts; a second SIPI has no effect", cpus[id].starts, 1);
			test.equal("VMX", cpus[id].features >> 5 & 1, 1);
		}
	}
	for (u32 id = 0; id < CPU_LIMIT; ++id) {
		if (!cpu_present[id])
			continue;
		Test test("INIT and SIPI start a CPU again");
		send(id, kInit);
		send(id, kStartup | TRAMPOLINE / kPage);
		test.check("it has started", wait_until([=] { return cpus[id].starts == 2; }));
		break;
	}
}

// Runs a guest that spins until its VMX-preemption timer expires, or something else ends its run.
u32 run_timed_guest(OtherCpu& cpu, u32 value)
{
	*reinterpret_cast<u32*>(cpu.vmcs) = static_cast<u32>(read_msr(0x480));
	if (!vmclear(reinterpret_cast<u64>(cpu.vmcs)) || !vmptrld(reinterpret_cast<u64>(cpu.vmcs)))
		return 0xfff;
	prepare_guest(guest_spin, 0, 0, reinterpret_cast<u64>(ept_pointers));
	write(kPinControls, read(kPinControls) | kPinPreemptionTimer);
	write(kPreemptionTimer, value);
	return enter_guest() ? 0xffe : static_cast<u32>(read(kExitReason));
}

// The VMX-preemption timer, and software's own use of the APIC's, which the ROM shares.
void test_preemption_timer()
{
	constexpr u64 kTimerEntry = 0x320, kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0,
		      kRequests = 0x200;
	constexpr u32 kMasked = 1 << 16, kDivideBy1 = 0xb, kVector = 0x40, kExpired = 52, kInterrupt = 1;
	const u32 rate = read_msr(0x485) & 31;
	OtherCpu& cpu = cpus[boot_id];
	auto is_requested = [] { return apic(kRequests + kVector / 32 * 16) >> kVector % 32 & 1; };
	// In counts of the TSC.
	auto run_for = [&](u64 time) { return run_timed_guest(cpu, static_cast<u32>(time >> rate)); };
	{
		Test test("VMX-preemption timer: not before its time");
		constexpr u64 kTimes[] = {1 << 12, 1 << 20, 1 << 24,
					  u64{3} << 29};  // the last one is far away for the ROM
		for (const u64 time : kTimes) {
			const u64 begin = read_tsc();
			test.equal("reason", run_for(time), kExpired);
			const u64 passed = read_tsc() - begin;
			test.check("not sooner", passed + (1 << rate) >= time);
			test.check("not much later", passed < time + (u64{1} << 31));
		}
		test.equal("NMIs", nmi_count, nmis_at_start);
	}
	{
		Test test("VMX-preemption timer: the APIC's timer goes on");
		constexpr u32 kLong = 0xf0000000;
		apic(kDivide) = kDivideBy1;
		apic(kTimerEntry) = kMasked | kVector;
		apic(kInitialCount) = kLong;
		const u32 before = apic(kCurrentCount);
		test.equal("reason", run_for(1 << 24), kExpired);
		const u32 passed = before - apic(kCurrentCount);
		test.check("it has counted", passed > 1000);
		test.check("it has counted no more than that", passed < 2'000'000'000);
		test.equal("its LVT entry", apic(kTimerEntry), kMasked | kVector);
		test.equal("its divisor", apic(kDivide), kDivideBy1);
	}
	{
		Test test("VMX-preemption timer: the APIC's timer comes first");
		apic(kTimerEntry) = kVector;
		apic(kInitialCount) = 1'000'000;
		test.equal("reason", run_for(u64{1} << 30), kInterrupt);
		test.check("the interrupt is requested", is_requested());
		asm volatile("sti; nop; nop; cli");
		test.equal("interrupts", interrupt_count, 1);
	}
	{
		Test test("VMX-preemption timer: the APIC's timer comes later");
		apic(kInitialCount) = 300'000'000;
		test.equal("reason", run_for(1 << 16), kExpired);
		test.check("no interrupt is requested yet", !is_requested());
		test.check("it comes", wait_until(is_requested));
		asm volatile("sti; nop; nop; cli");
		test.equal("interrupts", interrupt_count, 2);
	}
	{
		Test test("VMX-preemption timer: a periodic timer of the APIC keeps its time");
		constexpr u32 kPeriodic = 1 << 17, kPeriod = 20'000'000, kPeriods = 10;
		const u32 interrupts = interrupt_count;
		apic(kTimerEntry) = kPeriodic | kVector;
		apic(kInitialCount) = kPeriod;
		// Each entry is much shorter than a period.
		bool expired = true;
		const bool enough = wait_until(
			[&] {
				const u32 reason = run_for(1 << 20);
				expired &= reason == kExpired || reason == kInterrupt;
				asm volatile("sti; nop; nop; cli");
				return interrupt_count - interrupts >= kPeriods;
			},
			10 * kPeriods * (kPeriod / 1'000'000));
		test.check("as many interrupts", enough);
		test.check("each run ended by a timer", expired);
		apic(kTimerEntry) = kMasked | kVector;
		apic(kInitialCount) = 0;
	}
}

bool run_spinning_guest(u32 id)
{
	guest_counter = 0;
	assign(id, Task::RunGuest, false);
	return wait_until([] { return guest_counter; });
}

void test_init_in_vmx_operation(u32 id)
{
	OtherCpu& cpu = cpus[id];
	{
		Test test("INIT waits in VMX root operation, and ends VMX non-root operation");
		test.check("VMXON", assign(id, Task::EnterVmx));
		test.equal("VMXON succeeds", cpu.reason, 0);
		const u32 starts = cpu.starts;
		send(id, kInit);
		send(id, kStartup | TRAMPOLINE / kPage);
		wait(5);
		test.equal("starts", cpu.starts, starts);
		test.check("a VM-exit", assign(id, Task::RunGuest));
		test.equal("reason of the INIT that waited", cpu.reason, 3);
		test.check("the guest runs", run_spinning_guest(id));
		send(id, kInit);
		test.check("a VM-exit of the running guest", wait_until([&] { return cpu.done; }));
		test.equal("reason", cpu.reason, 3);
	}
	{
		Test test("NMI ends VMX non-root operation");
		test.check("the guest runs", run_spinning_guest(id));
		send(id, kNmi);
		test.check("a VM-exit", wait_until([&] { return cpu.done; }));
		test.equal("reason", cpu.reason, 0);
	}
	{
		Test test("wait-for-SIPI: a SIPI ends it, NMI and INIT do not");
		const u32 nmis = nmi_count;
		assign(id, Task::WaitForSipi, false);
		wait(20);
		send(id, kNmi);
		wait(20);
		test.check("still waiting", !cpu.done);
		test.check("a VM-exit", send_startup(id, 0x5a, [&] { return cpu.done; }));
		test.equal("reason", cpu.reason, 4);
		test.equal("vector", cpu.qualification, 0x5a);
		test.equal("NMIs that were held back", nmi_count, nmis + 1);
	}
	{
		Test test("INIT that waits is taken after VMXOFF");
		const u32 starts = cpu.starts;
		send(id, kInit);
		wait(5);
		assign(id, Task::LeaveVmx, false);
		wait(5);
		test.equal("starts", cpu.starts, starts);
		test.check("VMXOFF is the last instruction", !cpu.done);
		const bool again = send_startup(id, TRAMPOLINE / kPage, [&] { return cpu.starts == starts + 1; });
		test.check("it starts again", again);
	}
}

void test_vmx_operation()
{
	OtherCpu& cpu = cpus[boot_id];
	{
		Test test("VMX operation restricts CR0 and CR4");
		test.equal("VMXON", enter_vmx_operation(cpu), 0);
		test.equal("CR0.NE", attempt_write_cr0(read_cr0() & ~bit(5)), kGeneralProtection);
		test.equal("CR4.VMXE", attempt_write_cr4(read_cr4() & ~bit(13)), kGeneralProtection);
		test.equal("VMLAUNCH and VM-exit", run_guest(cpu, guest_vmcall, 0, 0), 18);
	}
	{
		Test test("VMX structures cannot be in the monitor's memory");
		*reinterpret_cast<volatile u32*>(area.first) = static_cast<u32>(read_msr(0x480));
		test.check("VMPTRLD", !vmptrld(area.first + 0x10000));
		*reinterpret_cast<volatile u32*>(area.first) = 0;
	}
	{
		Test test("addresses in the monitor's memory do no harm");
		test.equal("MSR bitmap", run_guest(cpu, guest_vmcall, area.first, 0), 18);
		test.equal("VMCLEAR", vmclear(area.first + 0x20000), 1);
		// Where the monitor's page tables are.
		asm volatile("vmptrst %0" : "=m"(*reinterpret_cast<u64*>(area.first)) : : "cc");
		const u32 reason = run_guest(cpu, guest_vmcall, 0, 0, area.first + 0x3000);
		test.check("EPT tables: a violation or misconfiguration", reason == 48 || reason == 49);
		test.equal("the machine goes on", run_guest(cpu, guest_vmcall, 0, 0), 18);
	}
	nmis_at_start = nmi_count;
	test_preemption_timer();
	leave_vmx_operation();
}

bool has_word(const char* text, const char* word)
{
	for (; *text; ++text) {
		unsigned i = 0;
		while (word[i] && text[i] == word[i])
			++i;
		if (!word[i])
			return true;
	}
	return false;
}

u32 number_after(const char* text, const char* word)
{
	for (; *text; ++text) {
		unsigned i = 0;
		while (word[i] && text[i] == word[i])
			++i;
		if (word[i])
			continue;
		u32 value = 0;
		for (text += i; *text >= '0' && *text <= '9'; ++text)
			value = value * 10 + static_cast<u32>(*text - '0');
		return value;
	}
	return 0;
}

// Bytes of the CMOS memory that the BIOS leaves alone and a reset keeps.
u8 read_cmos(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}
void write_cmos(u8 index, u8 value)
{
	outb(0x70, index);
	outb(0x71, value);
}

[[noreturn]] void reset(u32 way)
{
	static constexpr struct [[gnu::packed]] {
		u16 limit;
		u64 base;
	} kNoTable = {0, 0};
	switch (way) {
	case 0:
		outb(0xcf9, 6);
		break;
	case 1:
		outb(0x64, 0xfe);
		break;
	case 2:
		send(boot_id, kInit);
		wait(100);
		break;
	default:
		asm volatile("lidt %0; ud2" : : "m"(kNoTable));
	}
	for (;;)
		asm volatile("hlt");
}

// Starts all CPUs and resets the machine, again and again, in each way; on every other boot with CPUs in VMX operation.
void reboot(u32 wanted)
{
	constexpr u8 kMagic = 0x40, kCount = 0x41;
	constexpr u8 kStarted = 0xa5;
	if (read_cmos(kMagic) != kStarted) {
		write_cmos(kMagic, kStarted);
		write_cmos(kCount, 0);
	}
	const u8 count = read_cmos(kCount);
	if (count >= wanted) {
		Test test("reboots");
		test.equal("count", count, wanted);
		write_cmos(kMagic, 0);
		return;
	}
	memcpy(reinterpret_cast<void*>(u64{TRAMPOLINE}), trampoline, static_cast<u64>(trampoline_end - trampoline));
	apic(kCommand) = kInit | kToOthers;
	wait(2);
	apic(kCommand) = kStartup | kToOthers | TRAMPOLINE / kPage;
	if (!wait_until([] { return started_cpus() == cpu_count - 1; })) {
		Test test("all CPUs start at each boot");
		test.equal("boot", count, wanted);
		return;
	}
	for (u32 id = 0; id < CPU_LIMIT; ++id) {
		if (cpu_present[id] && (count & 1)) {
			assign(id, Task::EnterVmx);
			assign(id, Task::RunGuest, false);
		}
	}
	write_cmos(kCount, count + 1);
	reset(count & 3);
}

}  // namespace

void run_tests(const u32* multiboot)
{
	constexpr u64 kGate = u64{0x8e00} << 32 | u64{CODE64} << 16;
	const char* const options = reinterpret_cast<const char*>(u64{multiboot[4]});
	for (u64 vector = 0; vector < 32; ++vector) {
		const u64 handler = reinterpret_cast<u64>(exception_handlers) + 16 * vector;
		idt[2 * vector] = kGate | (handler & 0xffff) | (handler >> 16 & 0xffff) << 48;
		idt[2 * vector + 1] = handler >> 32;
	}
	const u64 handler = reinterpret_cast<u64>(interrupt_handler);
	idt[2 * 0x40] = kGate | (handler & 0xffff) | (handler >> 16 & 0xffff) << 48;
	idt[2 * 0x40 + 1] = handler >> 32;
	idt_register = {sizeof(idt) - 1, idt};
	// No interrupts of devices.
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	boot_id = apic(kIdRegister) >> 24;
	apic(0xf0) = apic(0xf0) | 0x1ff;
	load_tables(boot_id);
	cpu_count = number_after(options, "cpus=");
	print("KTAP version 1\n");
	if (const u32 reboots = number_after(options, "reboots=")) {
		reboot(reboots);
	} else {
		const bool hidden = has_word(options, "hide_vmx");
		test_identity(hidden);
		test_control_registers();
		test_memory(multiboot);
		test_apic_writes();
		if (!hidden)
			test_start();
		if (has_word(options, "vmxon_fails")) {
			Test test("VMXON fails where the parameter says so");
			test.equal("VMXON", enter_vmx_operation(cpus[boot_id]), 1);
		} else if (has_word(options, "disabled")) {
			Test test("VMXON needs IA32_FEATURE_CONTROL");
			test.equal("VMXON", enter_vmx_operation(cpus[boot_id]), kGeneralProtection);
			test.equal("MSR", read_msr(0x3a), 1);
		} else if (has_word(options, "no_unrestricted")) {
			Test test("a secondary control is absent where the parameter says so");
			test.equal("unrestricted guest", read_msr(0x48b) >> 39 & 1, 0);
			test.equal("EPT", read_msr(0x48b) >> 33 & 1, 1);
		} else {
			for (u32 id = 0; id < CPU_LIMIT; ++id) {
				if (cpu_present[id] && id != boot_id) {
					test_init_in_vmx_operation(id);
					break;
				}
			}
			test_vmx_operation();
		}
	}
	print("1..");
	print_decimal(test_count);
	print("\n");
	end(failed_count || !test_count);
}
