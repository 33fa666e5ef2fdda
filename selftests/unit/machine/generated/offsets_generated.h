// SPDX-License-Identifier: GPL-2.0
// What the build of the module takes from kernel headers (src/linux/offsets.c), for a kernel that is not there.
#pragma once

#define VRC_EX_TYPE_DEFAULT 1
#define VRC_KERNEL_CS 0x10
#define VRC_KERNEL_DS 0x18
#define VRC_TSS_SELECTOR 0x40
// HostCpu::gdt of emulation.h, and the usual IDT.
#define VRC_GDT_LIMIT 0x7f
#define VRC_IDT_LIMIT 0xfff
// struct tracepoint of host.h is its key alone, a counter.
#define VRC_TRACEPOINT_KEY 0
#define VRC_STATIC_KEY_ENABLED 0
// run_begin() and run_end() are called in pairs.
#define VRC_FPU_IN_WINDOW_ONLY 1
