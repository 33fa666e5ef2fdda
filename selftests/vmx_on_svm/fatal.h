// SPDX-License-Identifier: GPL-2.0
// The end of the machine: a message on the debug port and the first serial port, then a triple fault.
#ifndef VMX_ON_SVM_FATAL_H
#define VMX_ON_SVM_FATAL_H

#include "machine_instructions.h"

namespace {

constexpr u16 kDebugPort = 0xe9;
constexpr u16 kSerialPort = 0x3f8;
constexpr u16 kSerialLineStatus = kSerialPort + 5;
constexpr u8 kSerialTransmitterEmpty = 0x20;

inline void print(char c)
{
	outb(kDebugPort, c);
	for (int attempts = 0; attempts < 100000; ++attempts) {
		if (inb(kSerialLineStatus) & kSerialTransmitterEmpty)
			break;
	}
	outb(kSerialPort, c);
}

inline void print(const char* text)
{
	for (; *text; ++text)
		print(*text);
}

inline void print_hex(u64 value)
{
	int shift = 60;
	while (shift && !(value >> shift))
		shift -= 4;
	print("0x");
	for (; shift >= 0; shift -= 4)
		print("0123456789abcdef"[value >> shift & 15]);
}

// Resets the machine: an exception without an IDT to deliver it.
[[noreturn]] inline void triple_fault()
{
	load_idt(DescriptorTable{0, 0});
	for (;;)
		asm volatile("ud2");
}

[[noreturn]] inline void fatal(const char* what, u64 code, u64 rip)
{
	print("\r\nvmx_on_svm: fatal: ");
	print(what);
	print(": ");
	print_hex(code);
	print(" at RIP ");
	print_hex(rip);
	print("\r\n");
	triple_fault();
}

}  // namespace

#endif
