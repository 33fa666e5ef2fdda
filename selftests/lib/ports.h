/* SPDX-License-Identifier: GPL-2.0 */
/* Runs a guest that communicates through ports, and records its output. */
#ifndef SELFTESTS_LIB_PORTS_H
#define SELFTESTS_LIB_PORTS_H

#include "vm.h"

#define PORT_LOG_BYTES 4096

struct port_log {
	/* All OUT data, in order, without PORT_DONE and PORT_FAIL. */
	uint8_t out[PORT_LOG_BYTES];
	size_t out_bytes;
	unsigned int exits;
	unsigned int hlts;
	/* Exits that carried more than one element of a string instruction. */
	unsigned int batches;
	/* Bytes that string INs were given: 0, 1, 2 and so on. */
	unsigned int in_string_bytes;
};

enum guest_end {
	GUEST_END_DONE,
	GUEST_END_FAILED_CHECK,
	GUEST_END_TOO_MANY_EXITS,
	/* Another exit reason: it is in kvm_run. */
	GUEST_END_OTHER_EXIT,
};

/*
 * A single IN from PORT_TEST or PORT_TEST_DX gets IN_DATA. HLT is counted and
 * passed. Prints the step of the guest if one of its checks failed.
 */
enum guest_end run_with_ports(struct vcpu *vcpu, struct port_log *log);

#endif /* SELFTESTS_LIB_PORTS_H */
