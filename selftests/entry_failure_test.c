// SPDX-License-Identifier: GPL-2.0
/*
 * VM-entry fails: on one invalid VMCS field after the other, and on a VMCS that is not current or not launched.
 * Userspace gets KVM_EXIT_FAIL_ENTRY, the kernel's log names the check and the field, pending events are kept, and the
 * guest continues once the field is fixed.
 */
#include "lib/harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "lib/cpus.h"
#include "lib/faults.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "vregcache_test/vregcache_test.h"

#define NOT_LAUNCHED		5ULL
#define CONTROL_ERROR		7ULL
#define HOST_ERROR		8ULL
#define GUEST_STATE		0x80000021ULL
#define DEBUG_EXCEPTION		1

#define BIT(n)			(1ULL << (n))
#define EVERYTHING		(~0ULL)
#define NOT_CANONICAL		BIT(63)
/* No processor has so many physical-address bits, and CR3 has no other field there. */
#define NOT_PHYSICAL		BIT(55)
#define INTERRUPT(type, vector)	(BIT(31) | (type) << 8 | (vector))
#define ERROR_CODE		BIT(11)

#define MSR_VMX_BASIC		0x480
#define MSR_VMX_PROCBASED2	0x48b
#define MSR_EFER		0xc0000080

FIXTURE(entry) {
	struct vm vm;
	struct vcpu vcpu;
	struct kernel_log log;
	int verified;
	/* The CPU that the test is bound to. */
	int cpu;
};

/* Reports by OUT, then once more by HLT. */
GUEST_ASM(say, 64,
	"1:	out %al, $" GUEST_STRING(PORT_TEST) "\n"
	"	hlt\n"
	"	inc %rax\n"
	"	jmp 1b\n");
/* OUT is two bytes long. */
#define AFTER_OUT (GUEST_CODE + 2)

FIXTURE_SETUP(entry)
{
	const char *reason = test_module_load();

	if (reason)
		SKIP(return, "%s", reason);
	/* Verification would report the changes that are made to the VMCS here. */
	self->verified = parameter_set("verify", 0);
	/* Host state belongs to a CPU, and must not change between being invalid and being fixed. */
	self->cpu = pin_here();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	vm_load(&self->vm, GUEST_CODE, say);
	kernel_log_open(&self->log);
}

FIXTURE_TEARDOWN(entry)
{
	kernel_log_close(&self->log);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	parameter_set("verify", self->verified);
	test_module_close();
}

/* ---- one invalid field ---- */

enum mode { LONG, PAE, PROTECTED, REAL, VIRTUAL_8086 };

struct change {
	uint32_t field;
	uint64_t clear;
	uint64_t set;
};

struct broken {
	const char *name;
	/* The field's name in the log. */
	const char *field;
	const char *section;
	uint64_t reason;
	struct change change;
	/* Other changes that are needed so that this is the check that fails. */
	struct change before[3];
	enum mode mode;
	/* If not 0, the field that the log names instead: one that depends on the broken one. */
	uint32_t named;
	/* Bochs does not make this check. */
	int not_on_bochs;
	/* Valid if IA32_VMX_BASIC bit 56 is set. */
	int any_error_code;
};

#define CONTROL(section_, field_, change_, ...) \
	{ .section = section_, .reason = CONTROL_ERROR, .field = field_, .change = change_, __VA_ARGS__ }
#define HOST(section_, field_, change_, ...) \
	{ .section = section_, .reason = HOST_ERROR, .field = field_, .change = change_, __VA_ARGS__ }
#define GUEST(section_, field_, change_, ...) \
	{ .section = section_, .reason = GUEST_STATE, .field = field_, .change = change_, __VA_ARGS__ }
#define SET(field, bits)	{ (field), 0, (bits) }
#define CLEAR(field, bits)	{ (field), (bits), 0 }
#define VALUE(field, value)	{ (field), EVERYTHING, (value) }
#define BOTH(field, clear, set)	{ (field), (clear), (set) }
/* A bit that the processor reserves, found at run time. */
#define RESERVED_SECONDARY	SET(VMCS_SECONDARY, 0)

#define PIN_BASED "pin-based VM-execution controls"
#define PRIMARY "primary processor-based VM-execution controls"
#define SECONDARY "secondary processor-based VM-execution controls"
#define INFORMATION "VM-entry interruption information"
#define UNRESTRICTED_OFF CLEAR(VMCS_SECONDARY, BIT(7))
#define LDTR_USABLE VALUE(VMCS_RIGHTS(LDTR), 0x82)
#define INTERRUPTS_ON SET(VMCS_GUEST_RFLAGS, RFLAGS_IF)

#define MAYBE(...) __VA_ARGS__

static const struct broken broken[] = {
	/* SDM Vol. 3C, 27.2.1.1 */
	CONTROL("27.2.1.1", PIN_BASED, MAYBE(CLEAR(VMCS_PIN_BASED, BIT(1))), .name = "a bit that must be 1"),
	CONTROL("27.2.1.1", PIN_BASED, MAYBE(SET(VMCS_PIN_BASED, BIT(31))), .name = "a bit that must be 0"),
	CONTROL("27.2.1.1", PRIMARY, MAYBE(CLEAR(VMCS_PRIMARY, BIT(1))), .name = "a bit that must be 1"),
	CONTROL("27.2.1.1", PRIMARY, MAYBE(SET(VMCS_PRIMARY, BIT(0))), .name = "a bit that must be 0"),
	CONTROL("27.2.1.1", SECONDARY, MAYBE(RESERVED_SECONDARY), .name = "a bit that must be 0"),
	CONTROL("27.2.1.1", "CR3-target count", MAYBE(VALUE(VMCS_CR3_TARGET_COUNT, 0x200)), .name = "too many"),
	CONTROL("27.2.1.1", "address of I/O bitmap A", MAYBE(VALUE(VMCS_IO_BITMAP_A, 0x10)),
		.before = { SET(VMCS_PRIMARY, BIT(25)) }, .name = "not page-aligned"),
	CONTROL("27.2.1.1", "address of I/O bitmap B", MAYBE(VALUE(VMCS_IO_BITMAP_B, NOT_PHYSICAL)),
		.before = { SET(VMCS_PRIMARY, BIT(25)), VALUE(VMCS_IO_BITMAP_A, 0) }, .name = "beyond the physical-address width"),
	CONTROL("27.2.1.1", "address of MSR bitmaps", MAYBE(VALUE(VMCS_MSR_BITMAPS, 0x20)),
		.before = { SET(VMCS_PRIMARY, BIT(28)) }, .name = "not page-aligned"),
	CONTROL("27.2.1.1", PIN_BASED, MAYBE(CLEAR(VMCS_PIN_BASED, BIT(3))), .name = "virtual NMIs without NMI exiting"),
	CONTROL("27.2.1.1", PRIMARY, MAYBE(SET(VMCS_PRIMARY, BIT(22))), .before = { CLEAR(VMCS_PIN_BASED, BIT(5)) },
		.name = "NMI-window exiting without virtual NMIs"),
	CONTROL("27.2.1.1", "virtual-processor identifier", MAYBE(VALUE(VMCS_VPID, 0)),
		.before = { SET(VMCS_SECONDARY, BIT(5)) }, .name = "VPID 0"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(BOTH(VMCS_EPT_POINTER, 7, 1)), .name = "memory type"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(BOTH(VMCS_EPT_POINTER, 0x38, 0x10)), .name = "page-walk length"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(SET(VMCS_EPT_POINTER, BIT(8))), .name = "reserved bit"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(SET(VMCS_EPT_POINTER, NOT_PHYSICAL)), .name = "beyond the physical-address width"),
	CONTROL("27.2.1.1", SECONDARY, MAYBE(CLEAR(VMCS_SECONDARY, BIT(1))), .name = "unrestricted guest without EPT"),

	/* SDM Vol. 3C, 27.2.1.2 */
	CONTROL("27.2.1.2", "VM-exit controls", MAYBE(CLEAR(VMCS_EXIT_CONTROLS, BIT(0))), .name = "a bit that must be 1"),
	CONTROL("27.2.1.2", "VM-exit controls", MAYBE(SET(VMCS_EXIT_CONTROLS, BIT(22))),
		.name = "preemption timer saved without being active"),
	CONTROL("27.2.1.2", "VM-exit MSR-store address", MAYBE(VALUE(VMCS_EXIT_MSR_STORE_ADDRESS, 8)),
		.before = { VALUE(VMCS_EXIT_MSR_STORE_COUNT, 1) }, .name = "misaligned"),
	CONTROL("27.2.1.2", "VM-exit MSR-load address", MAYBE(VALUE(VMCS_EXIT_MSR_LOAD_ADDRESS, NOT_PHYSICAL)),
		.before = { VALUE(VMCS_EXIT_MSR_LOAD_COUNT, 1) }, .name = "beyond the physical-address width"),

	/* SDM Vol. 3C, 27.2.1.3 */
	CONTROL("27.2.1.3", "VM-entry controls", MAYBE(CLEAR(VMCS_ENTRY_CONTROLS, BIT(0))), .name = "a bit that must be 1"),
	CONTROL("27.2.1.3", "VM-entry controls", MAYBE(SET(VMCS_ENTRY_CONTROLS, BIT(31))), .name = "a bit that must be 0"),
	CONTROL("27.2.1.3", "VM-entry controls", MAYBE(SET(VMCS_ENTRY_CONTROLS, BIT(11))), .name = "dual-monitor treatment"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(1, 0))), .name = "reserved type"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 6) | BIT(20))),
		.name = "reserved bit"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(2, 3))), .name = "vector of an NMI"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 32))),
		.name = "vector of an exception"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 13))), .any_error_code = 1,
		.name = "#GP without an error code"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 6) | ERROR_CODE)),
		.any_error_code = 1, .name = "#UD with an error code"),
	CONTROL("27.2.1.3", INFORMATION, MAYBE(VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 13) | ERROR_CODE)), .mode = REAL,
		.name = "an error code in real mode"),
	CONTROL("27.2.1.3", "VM-entry exception error code", MAYBE(VALUE(VMCS_ENTRY_ERROR_CODE, 0x10000)),
		.before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(3, 13) | ERROR_CODE) }, .name = "more than 16 bits"),
	CONTROL("27.2.1.3", "VM-entry instruction length", MAYBE(VALUE(VMCS_ENTRY_LENGTH, 16)),
		.before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(4, 0x30)) }, .name = "too long"),
	CONTROL("27.2.1.3", "VM-entry MSR-load address", MAYBE(VALUE(VMCS_ENTRY_MSR_LOAD_ADDRESS, 4)),
		.before = { VALUE(VMCS_ENTRY_MSR_LOAD_COUNT, 1) }, .name = "misaligned"),

	/*
	 * SDM Vol. 3C, 27.2.2 to 27.2.4. None of these values could be mistaken for a valid one. The base of FS is
	 * missing because the module writes it for each run.
	 */
	HOST("27.2.4", "VM-exit controls", MAYBE(CLEAR(VMCS_EXIT_CONTROLS, BIT(9))), .name = "host not in IA-32e mode"),
	HOST("27.2.4", "host CR4", MAYBE(CLEAR(VMCS_HOST_CR4, CR4_PAE)), .name = "PAE is 0"),
	HOST("27.2.4", "host RIP", MAYBE(CLEAR(VMCS_HOST_RIP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host CR0", MAYBE(CLEAR(VMCS_HOST_CR0, CR0_PG)), .name = "a bit that must be 1"),
	HOST("27.2.2", "host CR0", MAYBE(SET(VMCS_HOST_CR0, BIT(40))), .name = "a bit that must be 0"),
	HOST("27.2.2", "host CR4", MAYBE(CLEAR(VMCS_HOST_CR4, CR4_VMXE)), .name = "a bit that must be 1"),
	HOST("27.2.2", "host CR4", MAYBE(SET(VMCS_HOST_CR4, BIT(50))), .name = "a bit that must be 0"),
	HOST("27.2.2", "host CR3", MAYBE(SET(VMCS_HOST_CR3, NOT_PHYSICAL)), .name = "beyond the physical-address width"),
	HOST("27.2.2", "host IA32_SYSENTER_ESP", MAYBE(VALUE(VMCS_HOST_SYSENTER_ESP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host IA32_SYSENTER_EIP", MAYBE(VALUE(VMCS_HOST_SYSENTER_EIP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host IA32_PAT", MAYBE(BOTH(VMCS_HOST_PAT, 0xff, 2)), .name = "reserved memory type"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(SET(VMCS_HOST_EFER, BIT(1))), .name = "reserved bit"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(CLEAR(VMCS_HOST_EFER, EFER_LMA)), .name = "LMA is 0"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(CLEAR(VMCS_HOST_EFER, EFER_LME)), .name = "LME is 0"),
	HOST("27.2.3", "host CS selector", MAYBE(SET(VMCS_HOST_SELECTOR(CS), 3)), .name = "RPL is not 0"),
	HOST("27.2.3", "host SS selector", MAYBE(SET(VMCS_HOST_SELECTOR(SS), 4)), .name = "TI is 1"),
	HOST("27.2.3", "host DS selector", MAYBE(SET(VMCS_HOST_SELECTOR(DS), 3)), .name = "RPL is not 0"),
	HOST("27.2.3", "host ES selector", MAYBE(SET(VMCS_HOST_SELECTOR(ES), 4)), .name = "TI is 1"),
	HOST("27.2.3", "host FS selector", MAYBE(SET(VMCS_HOST_SELECTOR(FS), 3)), .name = "RPL is not 0"),
	HOST("27.2.3", "host GS selector", MAYBE(SET(VMCS_HOST_SELECTOR(GS), 4)), .name = "TI is 1"),
	HOST("27.2.3", "host TR selector", MAYBE(SET(VMCS_HOST_TR_SELECTOR, 1)), .name = "RPL is not 0"),
	HOST("27.2.3", "host CS selector", MAYBE(VALUE(VMCS_HOST_SELECTOR(CS), 0)), .name = "null"),
	HOST("27.2.3", "host TR selector", MAYBE(VALUE(VMCS_HOST_TR_SELECTOR, 0)), .name = "null"),
	HOST("27.2.3", "host GS base", MAYBE(CLEAR(VMCS_HOST_GS_BASE, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.3", "host TR base", MAYBE(CLEAR(VMCS_HOST_TR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.3", "host GDTR base", MAYBE(CLEAR(VMCS_HOST_GDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.3", "host IDTR base", MAYBE(CLEAR(VMCS_HOST_IDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),

	/* SDM Vol. 3C, 27.3.1.1 */
	GUEST("27.3.1.1", "guest CR0", MAYBE(CLEAR(VMCS_GUEST_CR0, CR0_NE)), .name = "a bit that must be 1"),
	GUEST("27.3.1.1", "guest CR0", MAYBE(SET(VMCS_GUEST_CR0, BIT(40))), .name = "a bit that must be 0"),
	GUEST("27.3.1.1", "guest CR0", MAYBE(CLEAR(VMCS_GUEST_CR0, CR0_PE)), .mode = PAE, .name = "paging without protection"),
	GUEST("27.3.1.1", "guest CR0", MAYBE(CLEAR(VMCS_GUEST_CR0, CR0_PG)), .not_on_bochs = 1,
	      .name = "IA-32e mode without paging"),
	GUEST("27.3.1.1", "guest CR0", MAYBE(CLEAR(VMCS_GUEST_CR0, CR0_PG)), .mode = PAE, .before = { UNRESTRICTED_OFF },
	      .name = "no paging without unrestricted guest"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(CLEAR(VMCS_GUEST_CR4, CR4_VMXE)), .name = "a bit that must be 1"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(SET(VMCS_GUEST_CR4, BIT(50))), .name = "a bit that must be 0"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(CLEAR(VMCS_GUEST_CR4, CR4_PAE)), .name = "IA-32e mode without PAE"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(SET(VMCS_GUEST_CR4, BIT(17))), .mode = PROTECTED, .name = "PCIDE outside IA-32e mode"),
	GUEST("27.3.1.1", "guest CR3", MAYBE(SET(VMCS_GUEST_CR3, NOT_PHYSICAL)), .name = "beyond the physical-address width"),
	GUEST("27.3.1.1", "guest IA32_DEBUGCTL", MAYBE(SET(VMCS_GUEST_DEBUGCTL, BIT(40))), .not_on_bochs = 1,
	      .name = "reserved bit"),
	GUEST("27.3.1.1", "guest DR7", MAYBE(SET(VMCS_GUEST_DR7, BIT(32))), .name = "more than 32 bits"),
	GUEST("27.3.1.1", "guest IA32_SYSENTER_ESP", MAYBE(VALUE(VMCS_GUEST_SYSENTER_ESP, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.1", "guest IA32_SYSENTER_EIP", MAYBE(VALUE(VMCS_GUEST_SYSENTER_EIP, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.1", "guest IA32_PAT", MAYBE(BOTH(VMCS_GUEST_PAT, 0xff00, 0x300)), .name = "reserved memory type"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, BIT(1))), .name = "reserved bit"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(CLEAR(VMCS_GUEST_EFER, EFER_LMA)), .name = "LMA is 0 in IA-32e mode"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, EFER_LMA)), .mode = PROTECTED, .name = "LMA without IA-32e mode"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(CLEAR(VMCS_GUEST_EFER, EFER_LME)), .name = "LMA without LME"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, EFER_LME)), .mode = PAE, .name = "LME without LMA"),

	/* SDM Vol. 3C, 27.3.1.2 */
	GUEST("27.3.1.2", "guest TR selector", MAYBE(SET(VMCS_SELECTOR(TR), 4)), .name = "TI is 1"),
	GUEST("27.3.1.2", "guest LDTR selector", MAYBE(SET(VMCS_SELECTOR(LDTR), 4)), .before = { LDTR_USABLE }, .name = "TI is 1"),
	GUEST("27.3.1.2", "guest SS selector", MAYBE(SET(VMCS_SELECTOR(SS), 3)), .before = { UNRESTRICTED_OFF },
	      .name = "RPL is not that of CS"),
	GUEST("27.3.1.2", "guest TR base", MAYBE(SET(VMCS_BASE(TR), NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.2", "guest FS base", MAYBE(SET(VMCS_BASE(FS), NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.2", "guest GS base", MAYBE(SET(VMCS_BASE(GS), NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.2", "guest LDTR base", MAYBE(SET(VMCS_BASE(LDTR), NOT_CANONICAL)), .before = { LDTR_USABLE },
	      .name = "not canonical"),
	GUEST("27.3.1.2", "guest CS base", MAYBE(SET(VMCS_BASE(CS), BIT(32))), .name = "more than 32 bits"),
	GUEST("27.3.1.2", "guest SS base", MAYBE(SET(VMCS_BASE(SS), BIT(32))), .name = "more than 32 bits"),
	GUEST("27.3.1.2", "guest DS base", MAYBE(SET(VMCS_BASE(DS), BIT(33))), .name = "more than 32 bits"),
	GUEST("27.3.1.2", "guest ES base", MAYBE(SET(VMCS_BASE(ES), BIT(34))), .name = "more than 32 bits"),

	GUEST("27.3.1.2", "guest CS access rights", MAYBE(CLEAR(VMCS_RIGHTS(CS), 1)), .name = "not accessed"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(CLEAR(VMCS_RIGHTS(CS), 0x10)), .name = "system segment"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(SET(VMCS_RIGHTS(CS), 0x20)), .name = "DPL is not that of SS"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(SET(VMCS_RIGHTS(CS), 0x24)), .name = "conforming, DPL above that of SS"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(BOTH(VMCS_RIGHTS(CS), 0xf, 0x63)), .mode = REAL, .name = "data with a DPL"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(BOTH(VMCS_RIGHTS(CS), 0xf, 3)), .mode = PAE,
	      .before = { UNRESTRICTED_OFF }, .name = "data without unrestricted guest"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(CLEAR(VMCS_RIGHTS(CS), 0x80)), .name = "not present"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(SET(VMCS_RIGHTS(CS), 0x100)), .name = "reserved bit"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(SET(VMCS_RIGHTS(CS), 0x4000)), .name = "L and D"),
	GUEST("27.3.1.2", "guest CS access rights", MAYBE(CLEAR(VMCS_RIGHTS(CS), 0x8000)), .name = "G is 0 with a limit of 4 GiB"),

	GUEST("27.3.1.2", "guest SS access rights", MAYBE(CLEAR(VMCS_RIGHTS(SS), 2)), .name = "not writable"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(CLEAR(VMCS_RIGHTS(SS), 0x10)), .name = "system segment"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(CLEAR(VMCS_RIGHTS(SS), 0x80)), .name = "not present"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(SET(VMCS_RIGHTS(SS), BIT(17))), .name = "reserved bit"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(SET(VMCS_RIGHTS(SS), 0x20)), .mode = REAL,
	      .before = { SET(VMCS_RIGHTS(CS), 0xf) }, .name = "DPL in real mode"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(SET(VMCS_RIGHTS(SS), 0x20)), .mode = PAE,
	      .before = { UNRESTRICTED_OFF, SET(VMCS_RIGHTS(CS), 4) }, .name = "DPL is not the RPL"),
	GUEST("27.3.1.2", "guest SS access rights", MAYBE(CLEAR(VMCS_LIMIT(SS), 0xfff)), .named = VMCS_RIGHTS(SS),
	      .name = "G is 1 with a limit inside a page"),

	GUEST("27.3.1.2", "guest DS access rights", MAYBE(CLEAR(VMCS_RIGHTS(DS), 1)), .name = "not accessed"),
	GUEST("27.3.1.2", "guest DS access rights", MAYBE(SET(VMCS_SELECTOR(DS), 3)), .before = { UNRESTRICTED_OFF },
	      .named = VMCS_RIGHTS(DS), .name = "DPL below the RPL"),
	GUEST("27.3.1.2", "guest ES access rights", MAYBE(BOTH(VMCS_RIGHTS(ES), 0xf, 9)), .name = "code that is not readable"),
	GUEST("27.3.1.2", "guest FS access rights", MAYBE(CLEAR(VMCS_RIGHTS(FS), 0x80)), .name = "not present"),
	GUEST("27.3.1.2", "guest GS access rights", MAYBE(CLEAR(VMCS_RIGHTS(GS), 0x10)), .name = "system segment"),
	GUEST("27.3.1.2", "guest GS access rights", MAYBE(SET(VMCS_RIGHTS(GS), 0x800)), .name = "reserved bit"),

	GUEST("27.3.1.2", "guest TR access rights", MAYBE(CLEAR(VMCS_RIGHTS(TR), 2)), .name = "TSS that is not busy"),
	GUEST("27.3.1.2", "guest TR access rights", MAYBE(BOTH(VMCS_RIGHTS(TR), 0xf, 3)), .name = "16-bit TSS in IA-32e mode"),
	GUEST("27.3.1.2", "guest TR access rights", MAYBE(SET(VMCS_RIGHTS(TR), 0x10)), .name = "not a system segment"),
	GUEST("27.3.1.2", "guest TR access rights", MAYBE(CLEAR(VMCS_RIGHTS(TR), 0x80)), .name = "not present"),
	GUEST("27.3.1.2", "guest TR access rights", MAYBE(SET(VMCS_RIGHTS(TR), 0x10000)), .name = "unusable"),
	GUEST("27.3.1.2", "guest TR access rights", MAYBE(SET(VMCS_RIGHTS(TR), 0x8000)), .name = "G is 1 with a small limit"),
	GUEST("27.3.1.2", "guest LDTR access rights", MAYBE(VALUE(VMCS_RIGHTS(LDTR), 0x83)), .name = "not an LDT"),
	GUEST("27.3.1.2", "guest LDTR access rights", MAYBE(VALUE(VMCS_RIGHTS(LDTR), 0x92)), .name = "not a system segment"),
	GUEST("27.3.1.2", "guest LDTR access rights", MAYBE(VALUE(VMCS_RIGHTS(LDTR), 0x02)), .name = "not present"),

	GUEST("27.3.1.2", "guest SS base", MAYBE(SET(VMCS_BASE(SS), 0x10)), .mode = VIRTUAL_8086, .name = "does not match the selector"),
	GUEST("27.3.1.2", "guest DS limit", MAYBE(VALUE(VMCS_LIMIT(DS), 0xfffff)), .mode = VIRTUAL_8086, .name = "not 64 KiB"),
	GUEST("27.3.1.2", "guest GS access rights", MAYBE(VALUE(VMCS_RIGHTS(GS), 0x93)), .mode = VIRTUAL_8086, .name = "not 0xf3"),

	/* SDM Vol. 3C, 27.3.1.3 */
	GUEST("27.3.1.3", "guest GDTR base", MAYBE(SET(VMCS_GUEST_GDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.3", "guest IDTR base", MAYBE(SET(VMCS_GUEST_IDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.3", "guest GDTR limit", MAYBE(SET(VMCS_GUEST_GDTR_LIMIT, 0x10000)), .name = "more than 16 bits"),
	GUEST("27.3.1.3", "guest IDTR limit", MAYBE(SET(VMCS_GUEST_IDTR_LIMIT, BIT(31))), .name = "more than 16 bits"),

	/* SDM Vol. 3C, 27.3.1.4 */
	GUEST("27.3.1.4", "guest RIP", MAYBE(SET(VMCS_GUEST_RIP, NOT_CANONICAL)), .not_on_bochs = 1, .name = "not canonical"),
	GUEST("27.3.1.4", "guest RIP", MAYBE(SET(VMCS_GUEST_RIP, BIT(32))), .mode = PROTECTED, .name = "more than 32 bits"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(3))), .name = "reserved bit"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(CLEAR(VMCS_GUEST_RFLAGS, RFLAGS_FIXED)), .name = "bit 1 is 0"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(17))), .name = "VM in IA-32e mode"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(17))), .mode = REAL, .name = "VM in real mode"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(CLEAR(VMCS_GUEST_RFLAGS, RFLAGS_IF)),
	      .before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(0, 0x20)) }, .name = "external interrupt without IF"),

	/* SDM Vol. 3C, 27.3.1.5 */
	GUEST("27.3.1.5", "guest activity state", MAYBE(VALUE(VMCS_GUEST_ACTIVITY, 4)), .name = "undefined state"),
	GUEST("27.3.1.5", "guest activity state", MAYBE(VALUE(VMCS_GUEST_ACTIVITY, 1)),
	      .before = { INTERRUPTS_ON, VALUE(VMCS_GUEST_INTERRUPTIBILITY, 1) }, .name = "HLT with blocking by STI"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(SET(VMCS_GUEST_INTERRUPTIBILITY, BIT(5))), .name = "reserved bit"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 3)),
	      .before = { INTERRUPTS_ON }, .name = "blocking by STI and MOV SS"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 1)),
	      .name = "blocking by STI without IF"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 2)),
	      .before = { INTERRUPTS_ON, VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(0, 0x20)) }, .name = "blocked external interrupt"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 2)),
	      .before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(2, 2)) }, .name = "NMI blocked by MOV SS"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 8)),
	      .before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(2, 2)) }, .name = "NMI blocked by an NMI"),
	GUEST("27.3.1.5", "guest interruptibility state", MAYBE(VALUE(VMCS_GUEST_INTERRUPTIBILITY, 4)), .name = "blocking by SMI"),
	GUEST("27.3.1.5", "guest pending debug exceptions", MAYBE(SET(VMCS_GUEST_PENDING_DEBUG, BIT(5))), .name = "reserved bit"),
	GUEST("27.3.1.5", "guest pending debug exceptions", MAYBE(SET(VMCS_GUEST_PENDING_DEBUG, BIT(14))), .not_on_bochs = 1,
	      .before = { VALUE(VMCS_GUEST_INTERRUPTIBILITY, 2) }, .name = "BS without TF"),
	GUEST("27.3.1.5", "guest pending debug exceptions", MAYBE(CLEAR(VMCS_GUEST_PENDING_DEBUG, BIT(14))), .not_on_bochs = 1,
	      .before = { VALUE(VMCS_GUEST_INTERRUPTIBILITY, 2), SET(VMCS_GUEST_RFLAGS, RFLAGS_TF) }, .name = "TF without BS"),
	GUEST("27.3.1.5", "VMCS link pointer", MAYBE(VALUE(VMCS_LINK_POINTER, 0x10)), .name = "not page-aligned"),

	/* SDM Vol. 3C, 27.3.1.6 */
	GUEST("27.3.1.6", "guest PDPTE0", MAYBE(SET(VMCS_GUEST_PDPTE0, BIT(1))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE1", MAYBE(SET(VMCS_GUEST_PDPTE0 + 2, BIT(2))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE2", MAYBE(SET(VMCS_GUEST_PDPTE0 + 4, BIT(5))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE3", MAYBE(SET(VMCS_GUEST_PDPTE0 + 6, NOT_PHYSICAL)), .mode = PAE, .name = "beyond the physical-address width"),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const mode_names[] = {
	[LONG] = "long mode", [PAE] = "PAE paging", [PROTECTED] = "no paging", [REAL] = "real mode",
	[VIRTUAL_8086] = "virtual-8086 mode",
};

/* Counts in AL and outputs it: each turn is an exit to userspace. */
#define COUNT_AND_SAY					\
	"1:	inc %al\n"				\
	"	out %al, $" GUEST_STRING(PORT_TEST) "\n"	\
	"	jmp 1b\n"
GUEST_ASM(count, 32, COUNT_AND_SAY);

/* Runs one turn. Returns the guest's output, or the exit reason with bit 31 set. */
static uint32_t turn(struct vcpu *vcpu)
{
	uint8_t said;

	if (vcpu_run(vcpu) != KVM_EXIT_IO || !vcpu_is_io(vcpu, KVM_EXIT_IO_OUT, PORT_TEST, 1))
		return vcpu->run->exit_reason | BIT(31);
	said = *(uint8_t *)vcpu_io_data(vcpu);
	vcpu_complete_io(vcpu);
	return said;
}

/* The hardware's reason if KVM_RUN ends with KVM_EXIT_FAIL_ENTRY, else 0. */
static uint64_t failed_entry(struct vcpu *vcpu)
{
	long error = ioctl_errno(vcpu->fd, KVM_RUN, 0);

	if (error || vcpu->run->exit_reason != KVM_EXIT_FAIL_ENTRY)
		return 0;
	return vcpu->run->fail_entry.hardware_entry_failure_reason;
}

/*
 * A failed entry has written back all registers, so the cache does not
 * overwrite later writes to the VMCS below it.
 */
static void write_registers_back(struct vcpu *vcpu)
{
	uint64_t count = vmcs_read(vcpu, VMCS_CR3_TARGET_COUNT);

	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0x200);
	errno = 0;
	if (failed_entry(vcpu) != CONTROL_ERROR)
		die("a CR3-target count of 0x200 gave exit reason %u", vcpu->run->exit_reason);
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, count);
}

/* From PROTECTED. The guest does not run in this mode: its OUT would need a TSS that allows the port. */
static void enter_virtual_8086(struct vcpu *vcpu)
{
	struct kvm_segment segment = { .limit = 0xffff, .type = 3, .present = 1, .dpl = 3, .s = 1 };
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	vcpu_get_sregs(vcpu, &sregs);
	segment.selector = GUEST_DATA >> 4;
	segment.base = GUEST_DATA;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment;
	segment.selector = GUEST_CODE >> 4;
	segment.base = GUEST_CODE;
	sregs.cs = segment;
	vcpu_set_sregs(vcpu, &sregs);

	vcpu_get_regs(vcpu, &regs);
	regs.rip = 0;
	regs.rflags = RFLAGS_FIXED | BIT(17);
	vcpu_set_regs(vcpu, &regs);
}

static void enter(struct vcpu *vcpu, enum mode mode)
{
	switch (mode) {
	case LONG:
		vcpu_enter_long(vcpu);
		break;
	case PAE:
		vcpu_enter_pae(vcpu);
		break;
	case REAL:
		vcpu_enter_real(vcpu);
		break;
	case PROTECTED:
	case VIRTUAL_8086:
		vcpu_enter_protected(vcpu);
		break;
	}
	vm_load(vcpu->vm, GUEST_CODE, count);
}

static uint64_t read_host_msr(int cpu, uint32_t index)
{
	char path[64];
	uint64_t value;
	int fd;

	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &value, sizeof(value), index) != sizeof(value))
		die("%s", path);
	close(fd);
	return value;
}

/* A bit that the capability MSR does not allow to be 1. */
static uint64_t reserved_bit(int cpu, uint32_t capability_msr)
{
	uint32_t allowed = read_host_msr(cpu, capability_msr) >> 32;

	if (!~allowed)
		die("MSR %#x allows all controls", capability_msr);
	return BIT(31 - __builtin_clz(~allowed));
}

struct saved {
	uint32_t field;
	uint64_t old;
	uint64_t now;
};

static struct saved apply(struct vcpu *vcpu, const struct change *change, int cpu)
{
	struct saved saved = { .field = change->field, .old = vmcs_read(vcpu, change->field) };
	uint64_t set = change->set;

	if (change->field == VMCS_SECONDARY && !set && !change->clear)
		set = reserved_bit(cpu, MSR_VMX_PROCBASED2);
	saved.now = (saved.old & ~change->clear) | set;
	vmcs_write(vcpu, saved.field, saved.now);
	return saved;
}

/* Keeps a newer value that the module or the CPU has written since. */
static void restore(struct vcpu *vcpu, const struct saved *saved)
{
	if (vmcs_read(vcpu, saved->field) == saved->now)
		vmcs_write(vcpu, saved->field, saved->old);
}

/* Returns 1 if the log has exactly one line, and it names the check, the field and its value. */
static int log_is_right(struct __test_metadata *_metadata, struct kernel_log *log, const struct broken *broken,
			uint64_t value)
{
	char expected[256];
	unsigned int found;

	snprintf(expected, sizeof(expected), "; SDM Vol. 3C, %s: %s is %#llx, ", broken->section, broken->field,
		 (unsigned long long)value);
	/* The kernel prints 0x0, the C library 0. */
	if (!value)
		snprintf(expected, sizeof(expected), "; SDM Vol. 3C, %s: %s is 0x0, ", broken->section, broken->field);
	found = kernel_log_count(log, expected);
	if (found == 1 && strchr(log->text, '\n') == strrchr(log->text, '\n'))
		return 1;
	TH_LOG("expected one line with: %s", expected);
	TH_LOG("found %u in: %s", found, log->text);
	return 0;
}

/* 1 if the guest continues where it was, with all registers unchanged except by its own instructions. */
static int guest_runs_on(struct __test_metadata *_metadata, struct vcpu *vcpu, struct kvm_regs *before,
			 const struct kvm_sregs *special)
{
	struct kvm_sregs special_now;
	struct kvm_regs now;
	uint32_t said = turn(vcpu);

	vcpu_get_regs(vcpu, &now);
	vcpu_get_sregs(vcpu, &special_now);
	before->rax = (before->rax & ~0xffULL) | (uint8_t)(before->rax + 1);
	/* INC changes these flags. */
	before->rflags = (before->rflags & ~0x8d4ULL) | (now.rflags & 0x8d4);
	if (said == (uint8_t)before->rax && !memcmp(&now, before, sizeof(now)) &&
	    !memcmp(&special_now, special, sizeof(special_now)))
		return 1;
	TH_LOG("after the fix: output %#x at RIP %#llx, RFLAGS %#llx, RAX %#llx", said, now.rip, now.rflags, now.rax);
	TH_LOG("expected %#x at %#llx, %#llx, %#llx; special registers are %s", (uint8_t)before->rax, before->rip,
	       before->rflags, before->rax, memcmp(&special_now, special, sizeof(special_now)) ? "different" : "equal");
	return 0;
}

/* 1 if VM-entry fails as it should, and the guest continues once the field is fixed. */
static int fails_and_recovers(struct __test_metadata *_metadata, struct vcpu *vcpu, struct kernel_log *log, int cpu,
			      const struct broken *broken)
{
	struct saved before[COUNT(broken->before)], saved;
	struct kvm_sregs special;
	struct kvm_regs regs;
	unsigned int count = 0;
	uint64_t reason, named;
	int good;

	vcpu_get_sregs(vcpu, &special);
	vcpu_get_regs(vcpu, &regs);
	if (broken->mode == VIRTUAL_8086)
		enter_virtual_8086(vcpu);
	write_registers_back(vcpu);
	for (; count < COUNT(broken->before) && (broken->before[count].clear || broken->before[count].set); count++)
		before[count] = apply(vcpu, &broken->before[count], cpu);
	saved = apply(vcpu, &broken->change, cpu);
	named = broken->named ? vmcs_read(vcpu, broken->named) : saved.now;

	kernel_log_skip(log);
	reason = failed_entry(vcpu);
	good = reason == broken->reason;
	if (!good)
		TH_LOG("expected KVM_EXIT_FAIL_ENTRY with %#llx, got exit reason %u with %#llx",
		       (unsigned long long)broken->reason, vcpu->run->exit_reason, (unsigned long long)reason);
	else
		good = log_is_right(_metadata, log, broken, named);

	restore(vcpu, &saved);
	while (count)
		restore(vcpu, &before[--count]);
	if (broken->mode == VIRTUAL_8086) {
		vcpu_set_sregs(vcpu, &special);
		vcpu_set_regs(vcpu, &regs);
	}
	/* After an entry that succeeded, the guest is elsewhere. */
	return reason && guest_runs_on(_metadata, vcpu, &regs, &special) && good;
}

/* Why this CPU does not make the check, or NULL. */
static const char *reason_to_skip(const struct broken *broken, int cpu)
{
	if (broken->not_on_bochs && machine_is_bochs())
		return "Bochs does not make this check";
	if (broken->any_error_code && (read_host_msr(cpu, MSR_VMX_BASIC) & BIT(56)))
		return "this CPU accepts any error code";
	return NULL;
}

/* All rows of a section of the SDM. */
static void check_section(struct __test_metadata *_metadata, struct _test_data_entry *self, const char *section)
{
	unsigned int checked = 0;

	RETURN_IF_SKIPPED();
	for (const struct broken *row = broken; row < broken + COUNT(broken); row++) {
		const char *skip = reason_to_skip(row, self->cpu);
		struct vcpu vcpu;
		struct vm vm;

		if (strncmp(row->section, section, strlen(section)))
			continue;
		if (skip) {
			TH_LOG("%s: %s: %s", row->field, row->name, skip);
			continue;
		}
		vm_create(&vm, GUEST_MEM_SIZE);
		vcpu_create(&vcpu, &vm, 0);
		enter(&vcpu, row->mode);
		/* The VMCS must have been launched: the first entry uses another instruction. */
		ASSERT_EQ(1U, turn(&vcpu));
		EXPECT_TRUE(fails_and_recovers(_metadata, &vcpu, &self->log, self->cpu, row))
			TH_LOG("%s: %s (%s)", row->field, row->name, mode_names[row->mode]);
		vcpu_destroy(&vcpu);
		vm_destroy(&vm);
		checked++;
	}
	EXPECT_LT(0U, checked);
}

TEST_F_TIMEOUT(entry, fails_on_invalid_controls, 120)
{
	check_section(_metadata, self, "27.2.1.");
}

TEST_F_TIMEOUT(entry, fails_on_invalid_host_state, 120)
{
	check_section(_metadata, self, "27.2.2");
	check_section(_metadata, self, "27.2.3");
	check_section(_metadata, self, "27.2.4");
}

TEST_F_TIMEOUT(entry, fails_on_invalid_guest_control_registers_and_msrs, 120)
{
	check_section(_metadata, self, "27.3.1.1");
}

TEST_F_TIMEOUT(entry, fails_on_invalid_guest_segments, 120)
{
	check_section(_metadata, self, "27.3.1.2");
	check_section(_metadata, self, "27.3.1.3");
}

TEST_F_TIMEOUT(entry, fails_on_invalid_guest_rip_rflags_and_other_state, 120)
{
	check_section(_metadata, self, "27.3.1.4");
	check_section(_metadata, self, "27.3.1.5");
	check_section(_metadata, self, "27.3.1.6");
}

/* ---- after the failure ---- */

/* Leaves the vCPU after its OUT, with the #DB of a single step not yet delivered. */
static void make_debug_exception_pending(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct kvm_regs regs;

	vcpu_install_idt64(vcpu);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(vcpu));
	vcpu_get_regs(vcpu, &regs);
	regs.rflags |= RFLAGS_TF;
	vcpu_set_regs(vcpu, &regs);
	vcpu_complete_io(vcpu);
	vcpu_get_regs(vcpu, &regs);
	ASSERT_EQ((uint64_t)AFTER_OUT, regs.rip);
	ASSERT_EQ(0U, vm_read64(vcpu->vm, GUEST_EXC_RECORD + EXC_COUNT));
}

static void expect_debug_exception(struct __test_metadata *_metadata, struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	/* The handler returns to the HLT, which is not single-stepped. */
	vm_write64(vm, GUEST_EXC_RECORD + EXC_RESUME, AFTER_OUT);
	EXPECT_EQ(0, vcpu_run_to_hlt(vcpu));
	EXPECT_EQ(1U, vm_read64(vm, GUEST_EXC_RECORD + EXC_COUNT));
	EXPECT_EQ((uint64_t)DEBUG_EXCEPTION, vm_read64(vm, GUEST_EXC_RECORD + EXC_VECTOR));
	EXPECT_EQ((uint64_t)AFTER_OUT, vm_read64(vm, GUEST_EXC_RECORD + EXC_RIP));
}

TEST_F(entry, pending_event_is_kept_while_a_control_is_invalid)
{
	struct vcpu *vcpu = &self->vcpu;

	make_debug_exception_pending(_metadata, vcpu);
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0x200);
	for (int turn = 0; turn < 3; turn++) {
		EXPECT_EQ(CONTROL_ERROR, failed_entry(vcpu));
		/* The module has taken the event back. */
		EXPECT_EQ(0U, vmcs_read(vcpu, VMCS_ENTRY_INTERRUPTION) >> 31);
	}
	EXPECT_EQ(3U, kernel_log_count(&self->log, "CR3-target count is 0x200"));
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0);
	expect_debug_exception(_metadata, vcpu);
}

TEST_F(entry, pending_event_is_kept_while_guest_state_is_invalid)
{
	struct vcpu *vcpu = &self->vcpu;
	uint64_t limit;

	make_debug_exception_pending(_metadata, vcpu);
	limit = vmcs_read(vcpu, VMCS_GUEST_GDTR_LIMIT);
	vmcs_write(vcpu, VMCS_GUEST_GDTR_LIMIT, 0x10000);
	for (int turn = 0; turn < 3; turn++) {
		EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
		EXPECT_EQ(0U, vmcs_read(vcpu, VMCS_ENTRY_INTERRUPTION) >> 31);
	}
	EXPECT_EQ(3U, kernel_log_count(&self->log, "guest GDTR limit is 0x10000"));
	vmcs_write(vcpu, VMCS_GUEST_GDTR_LIMIT, limit);
	expect_debug_exception(_metadata, vcpu);
}

/* An error in the event itself is found although the module takes the event back. */
TEST_F(entry, checks_include_the_injected_event)
{
	struct vcpu *vcpu = &self->vcpu;

	make_debug_exception_pending(_metadata, vcpu);
	/* Wait-for-SIPI with an event that does not end it; without that state the state itself is invalid. */
	vmcs_write(vcpu, VMCS_GUEST_ACTIVITY, 3);
	EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.5: guest activity state is 0x3"));
	vmcs_write(vcpu, VMCS_GUEST_ACTIVITY, 0);
	expect_debug_exception(_metadata, vcpu);
}

/* RFLAGS.VM is allowed by itself, but not in IA-32e mode: KVM_RUN checks the combination. */
TEST_F(entry, set_regs_fixes_rflags)
{
	struct kvm_regs good, bad, now;

	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_regs(&self->vcpu, &good);
	bad = good;
	bad.rflags |= RFLAGS_VM;
	bad.rax = 0x1234;
	vcpu_set_regs(&self->vcpu, &bad);
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.4: guest RFLAGS is 0x20002, "));
	/* Userspace reads back the values that it set. */
	vcpu_get_regs(&self->vcpu, &now);
	EXPECT_EQ(0, memcmp(&bad, &now, sizeof(bad)));
	vcpu_set_regs(&self->vcpu, &good);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

TEST_F(entry, set_sregs_fixes_efer)
{
	struct kvm_sregs good;
	uint64_t efer;

	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	vcpu_complete_io(&self->vcpu);
	vcpu_get_sregs(&self->vcpu, &good);
	ASSERT_TRUE(vcpu_set_msr(&self->vcpu, MSR_EFER, good.efer & ~EFER_LME));
	EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "27.3.1.1: guest IA32_EFER is "));
	ASSERT_TRUE(vcpu_get_msr(&self->vcpu, MSR_EFER, &efer));
	EXPECT_EQ(good.efer & ~EFER_LME, efer);
	vcpu_set_sregs(&self->vcpu, &good);
	EXPECT_EQ(0, vcpu_run_to_hlt(&self->vcpu));
}

/* The first entry is a VMLAUNCH. If it fails, the next one must be a VMLAUNCH again. */
TEST_F(entry, failed_vmlaunch_is_followed_by_vmlaunch)
{
	struct vcpu *vcpu = &self->vcpu;
	uint64_t limit = vmcs_read(vcpu, VMCS_GUEST_IDTR_LIMIT);

	/* Registers are written back before the controls are checked, so the limit then stays as the test sets it. */
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0x200);
	EXPECT_EQ(CONTROL_ERROR, failed_entry(vcpu));
	limit = vmcs_read(vcpu, VMCS_GUEST_IDTR_LIMIT);
	vmcs_write(vcpu, VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(vcpu, VMCS_GUEST_IDTR_LIMIT, 0x20000);
	EXPECT_EQ(GUEST_STATE, failed_entry(vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log, "guest IDTR limit is 0x20000"));
	vmcs_write(vcpu, VMCS_GUEST_IDTR_LIMIT, limit);
	EXPECT_EQ(KVM_EXIT_IO, vcpu_run(vcpu));
	EXPECT_EQ(0, vcpu_run_to_hlt(vcpu));
}

/* VMCLEAR below the module: the VMCS is not current, and not launched when it is loaded again. */
TEST_F(entry, fails_if_the_vmcs_is_not_current_or_not_launched)
{
	struct kvm_sregs sregs;
	struct vcpu other;

	vcpu_create(&other, &self->vm, 1);
	ASSERT_EQ(KVM_EXIT_IO, vcpu_run(&self->vcpu));
	ASSERT_EQ(0, vmcs_try_clear(self->vcpu.fd));
	/* Beside KVM the module asks the CPU which VMCS is current, and loads it again. */
	if (!is_beside_kvm()) {
		EXPECT_EQ(-EIO, ioctl_errno(self->vcpu.fd, KVM_RUN, 0));
		EXPECT_EQ(1U, kernel_log_count(&self->log, "VMfailInvalid: no VMCS is current"));
	}

	/* The other VMCS becomes current, then this one again. */
	vcpu_get_sregs(&other, &sregs);
	EXPECT_EQ(NOT_LAUNCHED, failed_entry(&self->vcpu));
	EXPECT_EQ(1U, kernel_log_count(&self->log,
				       "VMRESUME was executed with a VMCS that is not launched (VM-instruction error 5)"));
	vcpu_destroy(&other);
}

/* While the test module is loaded, it is not. */
TEST_F(entry, log_of_failures_is_rate_limited)
{
	struct kvm_regs regs;
	unsigned int lines;

	test_module_unload();
	kernel_log_skip(&self->log);
	vcpu_get_regs(&self->vcpu, &regs);
	regs.rflags |= RFLAGS_VM;
	vcpu_set_regs(&self->vcpu, &regs);
	for (int turn = 0; turn < 40; turn++)
		EXPECT_EQ(GUEST_STATE, failed_entry(&self->vcpu));
	lines = kernel_log_count(&self->log, "guest RFLAGS is 0x20002");
	/* Ten in five seconds, and the first interval may end in between. */
	EXPECT_GE(lines, 1U);
	EXPECT_LE(lines, 20U);
	ASSERT_EQ(NULL, test_module_load());
}

TEST_F(entry, test_module_accepts_only_vcpus_of_this_process)
{
	struct vrc_test_field request = { .vcpu = self->vcpu.fd, .encoding = VMCS_GUEST_RIP };
	uint64_t value;
	int pipes[2];
	int device;
	pid_t child;
	int status;

	EXPECT_EQ(0, vmcs_try_read(self->vcpu.fd, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(-1, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(self->vm.fd, VMCS_GUEST_RIP, &value));
	EXPECT_EQ(-EBADF, vmcs_try_read(self->vm.dev, VMCS_GUEST_RIP, &value));
	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EBADF, vmcs_try_write(pipes[0], VMCS_GUEST_RIP, 0));
	EXPECT_EQ(-EBADF, vmcs_try_clear(pipes[0]));
	close(pipes[0]);
	close(pipes[1]);

	/* A field that does not exist, read and written. */
	EXPECT_EQ(-EINVAL, vmcs_try_read(self->vcpu.fd, 0x7ffe, &value));
	EXPECT_EQ(-EINVAL, vmcs_try_write(self->vcpu.fd, 0x7ffe, 0));

	child = fork();
	if (child == 0)
		_exit(vmcs_try_read(self->vcpu.fd, VMCS_GUEST_RIP, &value) == -EIO ? 0 : 1);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);

	device = open("/dev/vregcache_test", O_RDWR | O_CLOEXEC);
	ASSERT_GE(device, 0);
	EXPECT_EQ(-ENOTTY, ioctl_errno(device, _IO(VRC_TEST_IOCTL_TYPE, 0xff), 0));
	EXPECT_EQ(-EFAULT, ioctl_errno(device, VRC_TEST_VMCS_READ, 0));
	EXPECT_EQ(0, ioctl_ptr(device, VRC_TEST_VMCS_READ, &request));
	EXPECT_EQ(vmcs_read(&self->vcpu, VMCS_GUEST_RIP), request.value);
	close(device);
}

TEST_HARNESS_MAIN
