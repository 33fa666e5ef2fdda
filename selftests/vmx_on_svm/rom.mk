# SPDX-License-Identifier: GPL-2.0
# Builds the VMX ROM: make -f rom.mk OUT=DIRECTORY makes DIRECTORY/vmx.rom.

SRC := $(dir $(lastword $(MAKEFILE_LIST)))
OUT ?= .
CXX := g++
CC := gcc
# Empty for mutants, which may leave something unused.
WERROR ?= -Werror

# The monitor uses no registers but the general ones, and no stack below RSP: interrupts of its windows come there.
CXXFLAGS := -std=gnu++20 -O2 -g -Wall -Wextra -Wno-unused-function $(WERROR) -ffreestanding -fno-exceptions -fno-rtti \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-threadsafe-statics -fno-pic -fno-pie \
	-fno-strict-aliasing -mcmodel=kernel -mno-red-zone -mgeneral-regs-only

all: $(OUT)/vmx.rom
boot_test: $(OUT)/boot_test.elf
.PHONY: all boot_test

$(OUT)/vmx.rom: $(OUT)/rom.bin $(SRC)make_rom.py
	$(SRC)make_rom.py $(OUT)/rom.bin $@

$(OUT)/rom.bin: $(OUT)/rom.elf
	objcopy -O binary -j .text $< $@

$(OUT)/rom.elf: $(SRC)rom.S $(SRC)start.S $(SRC)layout.h $(OUT)/monitor.bin
	$(CC) -m32 -c -Wa,-I$(OUT) -I$(SRC) -o $(OUT)/rom.o $(SRC)rom.S
	ld -m elf_i386 -Ttext=0 -e _start -o $@ $(OUT)/rom.o

$(OUT)/monitor.bin: $(OUT)/monitor.elf
	objcopy -O binary $< $@

$(OUT)/monitor.elf: $(OUT)/monitor.o $(OUT)/entry.o $(SRC)monitor.lds
	ld -nostdlib -z noexecstack --no-warn-rwx-segments -T $(SRC)monitor.lds -o $@ $(OUT)/entry.o $(OUT)/monitor.o

$(OUT)/monitor.o: $(SRC)monitor.cc $(wildcard $(SRC)*.h) $(SRC)rom.mk | $(OUT)
	$(CXX) $(CXXFLAGS) -c -o $@ $<

$(OUT)/entry.o: $(SRC)entry.S $(SRC)layout.h $(SRC)offsets.h | $(OUT)
	$(CC) -c -g -o $@ $<

# A Multiboot program, which QEMU takes as a 32-bit ELF file.
BOOT_TEST := $(SRC)boot_test/
$(OUT)/boot_test.elf: $(OUT)/boot_test.o $(OUT)/boot_test_start.o $(BOOT_TEST)boot_test.lds
	ld -nostdlib -z noexecstack --no-warn-rwx-segments -T $(BOOT_TEST)boot_test.lds -e start -o $(OUT)/boot_test.elf64 \
		$(OUT)/boot_test_start.o $(OUT)/boot_test.o
	objcopy -O elf32-i386 $(OUT)/boot_test.elf64 $@

$(OUT)/boot_test.o: $(BOOT_TEST)boot_test.cc $(BOOT_TEST)layout.h $(SRC)vmx_client/fields.h $(SRC)rom.mk | $(OUT)
	$(CXX) $(filter-out -mcmodel=kernel,$(CXXFLAGS)) -c -o $@ $<

$(OUT)/boot_test_start.o: $(BOOT_TEST)start.S $(BOOT_TEST)layout.h | $(OUT)
	$(CC) -c -g -I$(BOOT_TEST) -o $@ $<

$(OUT):
	mkdir -p $@
