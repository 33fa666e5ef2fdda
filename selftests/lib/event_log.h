/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A 64-bit IDT whose 256 handlers record each event in a log, in the order of
 * delivery, and return. It uses the tests' own memory below GUEST_EVENT_END.
 */
#ifndef SELFTESTS_LIB_EVENT_LOG_H
#define SELFTESTS_LIB_EVENT_LOG_H

#include "guest.h"

#define GUEST_EVENT_STUBS	(GUEST_FREE + 0x0000)
#define GUEST_EVENT_LOG		(GUEST_FREE + 0x2000)
#define GUEST_EVENT_END		(GUEST_FREE + 0x4000)
#define EVENT_STUB_BYTES	16

/* The number of events. */
#define EVENT_COUNT		(GUEST_EVENT_LOG + 0x00)
/* Only the handler of this vector stops at an OUT to PORT_EVENT before it returns. */
#define EVENT_STOP		(GUEST_EVENT_LOG + 0x08)
/* If not 0, the handler of NMIs returns through the 40 bytes there, to which userspace copies its frame. */
#define EVENT_NMI_FRAME		(GUEST_EVENT_LOG + 0x10)
#define EVENT_RECORDS		(GUEST_EVENT_LOG + 0x40)
#define EVENT_RECORD_BYTES	0x30
#define EVENT_RECORD_LIMIT	64

#define PORT_EVENT		0x21

#ifndef __ASSEMBLER__
#include "vm.h"

/* As the guest stores it. DR6 is the value on entry to the handler. */
struct event_record {
	uint64_t vector;
	uint64_t error_code;
	uint64_t rip;
	uint64_t rflags;
	uint64_t dr6;
	uint64_t rsp;
};

_Static_assert(sizeof(struct event_record) == EVENT_RECORD_BYTES, "assembly knows this size");

/* Empties the log and installs the IDT, in GUEST_IDT. The vCPU is in long mode. */
void vcpu_install_event_log(struct vcpu *vcpu);
uint64_t event_count(struct vm *vm);
const struct event_record *event_at(struct vm *vm, unsigned int index);
/* In event_log64.S. */
extern const uint8_t guest_event_log64_nmi_iret[];
/* The address of the handler's IRET that returns from an NMI by EVENT_NMI_FRAME. */
uint64_t event_nmi_iret(void);
#endif

#endif /* SELFTESTS_LIB_EVENT_LOG_H */
