/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The program that kexec starts instead of a kernel: it starts every other CPU
 * by INIT and SIPI, reports the result on the serial port, and powers the
 * machine off. A CPU in VMX operation does not get that far: it can neither
 * clear CR4.VMXE nor take an INIT.
 */
#ifndef SELFTESTS_LIB_KEXEC_PAYLOAD_H
#define SELFTESTS_LIB_KEXEC_PAYLOAD_H

/* It is two pages long and runs at this address. */
#define KEXEC_PAYLOAD_BASE	0x10000
#define KEXEC_PAYLOAD_BYTES	0x2000
/* For the caller to fill in before it is loaded. */
#define KEXEC_OTHER_CPUS	0x1ff0
/* The ACPI power management control register. */
#define KEXEC_PM1A_CONTROL	0x1ff4

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t kexec_payload[KEXEC_PAYLOAD_BYTES];
#endif

#endif /* SELFTESTS_LIB_KEXEC_PAYLOAD_H */
