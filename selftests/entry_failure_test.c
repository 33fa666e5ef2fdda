// SPDX-License-Identifier: GPL-2.0
/*
 * VM-entry fails on one broken VMCS field after the other. Each time userspace
 * gets KVM_EXIT_FAIL_ENTRY, the kernel's log names the check and the field, and
 * the guest runs on as if nothing had happened once the field is fixed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest.h"
#include "lib/cpus.h"
#include "lib/machine.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/faults.h"
#include "lib/vm.h"

#define CONTROL_ERROR		7
#define HOST_ERROR		8
#define GUEST_STATE		0x80000021ULL

#define BIT(n)			(1ULL << (n))
#define EVERYTHING		(~0ULL)
#define NOT_CANONICAL		BIT(63)
/* No processor has so many physical-address bits, and CR3 has no other field there. */
#define NOT_PHYSICAL		BIT(55)
#define INTERRUPT(type, vector)	(BIT(31) | (type) << 8 | (vector))
#define ERROR_CODE		BIT(11)

#define MSR_VMX_BASIC		0x480
#define MSR_VMX_PROCBASED2	0x48b

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
		.before = { SET(VMCS_PRIMARY, BIT(25)) }, .name = "not a page"),
	CONTROL("27.2.1.1", "address of I/O bitmap B", MAYBE(VALUE(VMCS_IO_BITMAP_B, NOT_PHYSICAL)),
		.before = { SET(VMCS_PRIMARY, BIT(25)), VALUE(VMCS_IO_BITMAP_A, 0) }, .name = "not physical"),
	CONTROL("27.2.1.1", "address of MSR bitmaps", MAYBE(VALUE(VMCS_MSR_BITMAPS, 0x20)),
		.before = { SET(VMCS_PRIMARY, BIT(28)) }, .name = "not a page"),
	CONTROL("27.2.1.1", PIN_BASED, MAYBE(CLEAR(VMCS_PIN_BASED, BIT(3))), .name = "virtual NMIs without NMI exiting"),
	CONTROL("27.2.1.1", PRIMARY, MAYBE(SET(VMCS_PRIMARY, BIT(22))), .before = { CLEAR(VMCS_PIN_BASED, BIT(5)) },
		.name = "NMI-window exiting without virtual NMIs"),
	CONTROL("27.2.1.1", "virtual-processor identifier", MAYBE(VALUE(VMCS_VPID, 0)),
		.before = { SET(VMCS_SECONDARY, BIT(5)) }, .name = "VPID 0"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(BOTH(VMCS_EPT_POINTER, 7, 1)), .name = "memory type"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(BOTH(VMCS_EPT_POINTER, 0x38, 0x10)), .name = "page-walk length"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(SET(VMCS_EPT_POINTER, BIT(8))), .name = "reserved bit"),
	CONTROL("27.2.1.1", "EPT pointer", MAYBE(SET(VMCS_EPT_POINTER, NOT_PHYSICAL)), .name = "not physical"),
	CONTROL("27.2.1.1", SECONDARY, MAYBE(CLEAR(VMCS_SECONDARY, BIT(1))), .name = "unrestricted guest without EPT"),

	/* SDM Vol. 3C, 27.2.1.2 */
	CONTROL("27.2.1.2", "VM-exit controls", MAYBE(CLEAR(VMCS_EXIT_CONTROLS, BIT(0))), .name = "a bit that must be 1"),
	CONTROL("27.2.1.2", "VM-exit controls", MAYBE(SET(VMCS_EXIT_CONTROLS, BIT(22))),
		.name = "preemption timer saved without being active"),
	CONTROL("27.2.1.2", "VM-exit MSR-store address", MAYBE(VALUE(VMCS_EXIT_MSR_STORE_ADDRESS, 8)),
		.before = { VALUE(VMCS_EXIT_MSR_STORE_COUNT, 1) }, .name = "misaligned"),
	CONTROL("27.2.1.2", "VM-exit MSR-load address", MAYBE(VALUE(VMCS_EXIT_MSR_LOAD_ADDRESS, NOT_PHYSICAL)),
		.before = { VALUE(VMCS_EXIT_MSR_LOAD_COUNT, 1) }, .name = "not physical"),

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
	HOST("27.2.4", "host CR4", MAYBE(CLEAR(VMCS_HOST_CR4, CR4_PAE)), .name = "no PAE"),
	HOST("27.2.4", "host RIP", MAYBE(CLEAR(VMCS_HOST_RIP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host CR0", MAYBE(CLEAR(VMCS_HOST_CR0, CR0_PG)), .name = "a bit that must be 1"),
	HOST("27.2.2", "host CR0", MAYBE(SET(VMCS_HOST_CR0, BIT(40))), .name = "a bit that must be 0"),
	HOST("27.2.2", "host CR4", MAYBE(CLEAR(VMCS_HOST_CR4, CR4_VMXE)), .name = "a bit that must be 1"),
	HOST("27.2.2", "host CR4", MAYBE(SET(VMCS_HOST_CR4, BIT(50))), .name = "a bit that must be 0"),
	HOST("27.2.2", "host CR3", MAYBE(SET(VMCS_HOST_CR3, NOT_PHYSICAL)), .name = "not physical"),
	HOST("27.2.2", "host IA32_SYSENTER_ESP", MAYBE(VALUE(VMCS_HOST_SYSENTER_ESP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host IA32_SYSENTER_EIP", MAYBE(VALUE(VMCS_HOST_SYSENTER_EIP, NOT_CANONICAL)), .name = "not canonical"),
	HOST("27.2.2", "host IA32_PAT", MAYBE(BOTH(VMCS_HOST_PAT, 0xff, 2)), .name = "no memory type"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(SET(VMCS_HOST_EFER, BIT(1))), .name = "reserved bit"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(CLEAR(VMCS_HOST_EFER, EFER_LMA)), .name = "no LMA"),
	HOST("27.2.2", "host IA32_EFER", MAYBE(CLEAR(VMCS_HOST_EFER, EFER_LME)), .name = "no LME"),
	HOST("27.2.3", "host CS selector", MAYBE(SET(VMCS_HOST_SELECTOR(CS), 3)), .name = "RPL"),
	HOST("27.2.3", "host SS selector", MAYBE(SET(VMCS_HOST_SELECTOR(SS), 4)), .name = "TI"),
	HOST("27.2.3", "host DS selector", MAYBE(SET(VMCS_HOST_SELECTOR(DS), 3)), .name = "RPL"),
	HOST("27.2.3", "host ES selector", MAYBE(SET(VMCS_HOST_SELECTOR(ES), 4)), .name = "TI"),
	HOST("27.2.3", "host FS selector", MAYBE(SET(VMCS_HOST_SELECTOR(FS), 3)), .name = "RPL"),
	HOST("27.2.3", "host GS selector", MAYBE(SET(VMCS_HOST_SELECTOR(GS), 4)), .name = "TI"),
	HOST("27.2.3", "host TR selector", MAYBE(SET(VMCS_HOST_TR_SELECTOR, 1)), .name = "RPL"),
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
	      .name = "no paging and no unrestricted guest"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(CLEAR(VMCS_GUEST_CR4, CR4_VMXE)), .name = "a bit that must be 1"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(SET(VMCS_GUEST_CR4, BIT(50))), .name = "a bit that must be 0"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(CLEAR(VMCS_GUEST_CR4, CR4_PAE)), .name = "IA-32e mode without PAE"),
	GUEST("27.3.1.1", "guest CR4", MAYBE(SET(VMCS_GUEST_CR4, BIT(17))), .mode = PROTECTED, .name = "PCIDE outside IA-32e mode"),
	GUEST("27.3.1.1", "guest CR3", MAYBE(SET(VMCS_GUEST_CR3, NOT_PHYSICAL)), .name = "not physical"),
	GUEST("27.3.1.1", "guest IA32_DEBUGCTL", MAYBE(SET(VMCS_GUEST_DEBUGCTL, BIT(40))), .not_on_bochs = 1,
	      .name = "reserved bit"),
	GUEST("27.3.1.1", "guest DR7", MAYBE(SET(VMCS_GUEST_DR7, BIT(32))), .name = "more than 32 bits"),
	GUEST("27.3.1.1", "guest IA32_SYSENTER_ESP", MAYBE(VALUE(VMCS_GUEST_SYSENTER_ESP, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.1", "guest IA32_SYSENTER_EIP", MAYBE(VALUE(VMCS_GUEST_SYSENTER_EIP, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.1", "guest IA32_PAT", MAYBE(BOTH(VMCS_GUEST_PAT, 0xff00, 0x300)), .name = "no memory type"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, BIT(1))), .name = "reserved bit"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(CLEAR(VMCS_GUEST_EFER, EFER_LMA)), .name = "no LMA in IA-32e mode"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, EFER_LMA)), .mode = PROTECTED, .name = "LMA without IA-32e mode"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(CLEAR(VMCS_GUEST_EFER, EFER_LME)), .name = "LMA without LME"),
	GUEST("27.3.1.1", "guest IA32_EFER", MAYBE(SET(VMCS_GUEST_EFER, EFER_LME)), .mode = PAE, .name = "LME without LMA"),

	/* SDM Vol. 3C, 27.3.1.2 */
	GUEST("27.3.1.2", "guest TR selector", MAYBE(SET(VMCS_SELECTOR(TR), 4)), .name = "TI"),
	GUEST("27.3.1.2", "guest LDTR selector", MAYBE(SET(VMCS_SELECTOR(LDTR), 4)), .before = { LDTR_USABLE }, .name = "TI"),
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
	      .name = "G is 1 with a limit that is no number of pages"),

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

	GUEST("27.3.1.2", "guest SS base", MAYBE(SET(VMCS_BASE(SS), 0x10)), .mode = VIRTUAL_8086, .name = "not of the selector"),
	GUEST("27.3.1.2", "guest DS limit", MAYBE(VALUE(VMCS_LIMIT(DS), 0xfffff)), .mode = VIRTUAL_8086, .name = "not 64 KiB"),
	GUEST("27.3.1.2", "guest GS access rights", MAYBE(VALUE(VMCS_RIGHTS(GS), 0x93)), .mode = VIRTUAL_8086, .name = "not F3"),

	/* SDM Vol. 3C, 27.3.1.3 */
	GUEST("27.3.1.3", "guest GDTR base", MAYBE(SET(VMCS_GUEST_GDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.3", "guest IDTR base", MAYBE(SET(VMCS_GUEST_IDTR_BASE, NOT_CANONICAL)), .name = "not canonical"),
	GUEST("27.3.1.3", "guest GDTR limit", MAYBE(SET(VMCS_GUEST_GDTR_LIMIT, 0x10000)), .name = "more than 16 bits"),
	GUEST("27.3.1.3", "guest IDTR limit", MAYBE(SET(VMCS_GUEST_IDTR_LIMIT, BIT(31))), .name = "more than 16 bits"),

	/* SDM Vol. 3C, 27.3.1.4 */
	GUEST("27.3.1.4", "guest RIP", MAYBE(SET(VMCS_GUEST_RIP, NOT_CANONICAL)), .not_on_bochs = 1, .name = "not canonical"),
	GUEST("27.3.1.4", "guest RIP", MAYBE(SET(VMCS_GUEST_RIP, BIT(32))), .mode = PROTECTED, .name = "more than 32 bits"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(3))), .name = "reserved bit"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(CLEAR(VMCS_GUEST_RFLAGS, RFLAGS_FIXED)), .name = "bit 1"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(17))), .name = "VM in IA-32e mode"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(SET(VMCS_GUEST_RFLAGS, BIT(17))), .mode = REAL, .name = "VM in real mode"),
	GUEST("27.3.1.4", "guest RFLAGS", MAYBE(CLEAR(VMCS_GUEST_RFLAGS, RFLAGS_IF)),
	      .before = { VALUE(VMCS_ENTRY_INTERRUPTION, INTERRUPT(0, 0x20)) }, .name = "external interrupt without IF"),

	/* SDM Vol. 3C, 27.3.1.5 */
	GUEST("27.3.1.5", "guest activity state", MAYBE(VALUE(VMCS_GUEST_ACTIVITY, 4)), .name = "there is no such state"),
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
	GUEST("27.3.1.5", "VMCS link pointer", MAYBE(VALUE(VMCS_LINK_POINTER, 0x10)), .name = "not a page"),

	/* SDM Vol. 3C, 27.3.1.6 */
	GUEST("27.3.1.6", "guest PDPTE0", MAYBE(SET(VMCS_GUEST_PDPTE0, BIT(1))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE1", MAYBE(SET(VMCS_GUEST_PDPTE0 + 2, BIT(2))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE2", MAYBE(SET(VMCS_GUEST_PDPTE0 + 4, BIT(5))), .mode = PAE, .name = "reserved bit"),
	GUEST("27.3.1.6", "guest PDPTE3", MAYBE(SET(VMCS_GUEST_PDPTE0 + 6, NOT_PHYSICAL)), .mode = PAE, .name = "not physical"),
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

/* Calls KVM_RUN directly, because the exit reason is under test. */
static uint64_t failed_entry(struct vcpu *vcpu)
{
	if (ioctl(vcpu->fd, KVM_RUN, 0UL))
		die("KVM_RUN");
	return vcpu->run->exit_reason == KVM_EXIT_FAIL_ENTRY ? vcpu->run->fail_entry.hardware_entry_failure_reason : 0;
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

/* The CPU that all tests run on. */
static int cpu;

static uint64_t read_host_msr(uint32_t index)
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
static uint64_t reserved_bit(uint32_t capability_msr)
{
	uint32_t allowed = read_host_msr(capability_msr) >> 32;

	if (!~allowed)
		die("MSR %#x allows all controls", capability_msr);
	return BIT(31 - __builtin_clz(~allowed));
}

struct saved {
	uint32_t field;
	uint64_t old;
	uint64_t now;
};

static struct saved apply(struct vcpu *vcpu, const struct change *change)
{
	struct saved saved = { .field = change->field, .old = vmcs_read(vcpu, change->field) };
	uint64_t set = change->set;

	if (change->field == VMCS_SECONDARY && !set && !change->clear)
		set = reserved_bit(MSR_VMX_PROCBASED2);
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

struct machine {
	struct vm vm;
	struct vcpu vcpu;
	struct kernel_log log;
};

static void machine_create(struct machine *machine, enum mode mode)
{
	vm_create(&machine->vm, GUEST_MEM_SIZE);
	vcpu_create(&machine->vcpu, &machine->vm, 0);
	enter(&machine->vcpu, mode);
	kernel_log_open(&machine->log);
}

static void machine_destroy(struct machine *machine)
{
	kernel_log_close(&machine->log);
	vcpu_destroy(&machine->vcpu);
	vm_destroy(&machine->vm);
}

/* Returns 1 if the log has exactly one line, and it names the check, the field and its value. */
static int log_is_right(struct machine *machine, const struct broken *broken, uint64_t value)
{
	char expected[256];
	unsigned int found;

	snprintf(expected, sizeof(expected), "; SDM Vol. 3C, %s: %s is %#llx, ", broken->section, broken->field,
		 (unsigned long long)value);
	/* The kernel prints 0x0, the C library 0. */
	if (!value)
		snprintf(expected, sizeof(expected), "; SDM Vol. 3C, %s: %s is 0x0, ", broken->section, broken->field);
	found = kernel_log_count(&machine->log, expected);
	if (found == 1 && strchr(machine->log.text, '\n') == strrchr(machine->log.text, '\n'))
		return 1;
	ksft_print_msg("expected one line with: %s\n", expected);
	ksft_print_msg("found %u: %s", found, machine->log.text[0] ? machine->log.text : "nothing\n");
	return 0;
}

/* 1 if the guest continues where it was, with all registers unchanged except by its own instructions. */
static int guest_runs_on(struct vcpu *vcpu, struct kvm_regs *before, const struct kvm_sregs *special)
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
	ksft_print_msg("mended, the guest said %#x at RIP %#llx, RFLAGS %#llx, RAX %#llx\n", said, now.rip, now.rflags, now.rax);
	ksft_print_msg("expected %#x at %#llx, %#llx, %#llx; special registers are %s\n", (uint8_t)before->rax, before->rip,
		       before->rflags, before->rax, memcmp(&special_now, special, sizeof(special_now)) ? "others" : "the same");
	return 0;
}

static int breaks_and_mends(struct machine *machine, const struct broken *broken)
{
	struct saved before[COUNT(broken->before)], saved;
	struct vcpu *vcpu = &machine->vcpu;
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
		before[count] = apply(vcpu, &broken->before[count]);
	saved = apply(vcpu, &broken->change);
	named = broken->named ? vmcs_read(vcpu, broken->named) : saved.now;

	kernel_log_skip(&machine->log);
	reason = failed_entry(vcpu);
	good = reason == broken->reason;
	if (!good)
		ksft_print_msg("KVM_EXIT_FAIL_ENTRY with %#llx expected, exit reason %u with %#llx came\n",
			       (unsigned long long)broken->reason, vcpu->run->exit_reason, (unsigned long long)reason);
	else
		good = log_is_right(machine, broken, named);

	restore(vcpu, &saved);
	while (count)
		restore(vcpu, &before[--count]);
	if (broken->mode == VIRTUAL_8086) {
		vcpu_set_sregs(vcpu, &special);
		vcpu_set_regs(vcpu, &regs);
	}
	/* After an entry that succeeded, the guest is elsewhere. */
	return reason && guest_runs_on(vcpu, &regs, &special) && good;
}

static void test_one(struct machine *machine, const struct broken *broken)
{
	char name[128];

	snprintf(name, sizeof(name), "%s: %s (%s)", broken->field, broken->name, mode_names[broken->mode]);
	if (broken->not_on_bochs && machine_is_bochs()) {
		ksft_test_result_skip("%s: Bochs does not make this check\n", name);
		return;
	}
	if (broken->any_error_code && (read_host_msr(MSR_VMX_BASIC) & BIT(56))) {
		ksft_test_result_skip("%s: this processor allows it\n", name);
		return;
	}
	machine_create(machine, broken->mode);
	/* The VMCS must have been launched: the first entry uses another instruction. */
	if (turn(&machine->vcpu) != 1)
		die("the guest does not run in %s", mode_names[broken->mode]);
	ksft_test_result(breaks_and_mends(machine, broken), "%s\n", name);
	machine_destroy(machine);
}

int main(void)
{
	struct machine machine;
	const char *reason;
	int verified;
	size_t i;

	ksft_print_header();
	reason = test_module_load();
	if (reason)
		ksft_exit_skip("%s\n", reason);
	/* Verification would report the changes that are made to the VMCS here. */
	verified = parameter_set("verify", 0);
	/* Host state belongs to a CPU, and must not change between being broken and being fixed. */
	cpu = pin_here();
	ksft_set_plan(COUNT(broken));
	for (i = 0; i < COUNT(broken); i++)
		test_one(&machine, &broken[i]);
	parameter_set("verify", verified);
	test_module_unload();
	ksft_finished();
}
