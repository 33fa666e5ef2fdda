// SPDX-License-Identifier: GPL-2.0
// Parameters, from QEMU's command line: -fw_cfg name=opt/vmx-rom/NAME,string=NUMBER.  The number may be hexadecimal (0x...).
//
// With testing=1 the other ones are also MSRs, from kMsrParameters on in the order of the table, which root software may write
// at any time (vmx_rom_parameter.c): the value is for all CPUs, but capabilities change only on the CPU that executes WRMSR.
#ifndef VMX_ON_SVM_PARAMETERS_H
#define VMX_ON_SVM_PARAMETERS_H

#include "machine_instructions.h"

namespace {

struct Parameters {
	u64 feature_control = 5;       // IA32_FEATURE_CONTROL as firmware leaves it; 5: locked, VMX enabled
	u64 absent_secondary = 0;      // secondary processor-based controls to do without
	u64 vmwrite_any_field = 0;     // IA32_VMX_MISC bit 29
	u64 vmxon_fails_on = ~u64{0};  // the APIC ID of a CPU whose VMXON fails
	u64 hide_vmx = 0;              // CPUID does not show VMX
	u64 testing = 0;
};

Parameters g_parameters;

struct Parameter {
	const char* name;
	u64 Parameters::*value;
};

constexpr Parameter kParameters[] = {
	{"feature_control", &Parameters::feature_control},
	{"absent_secondary", &Parameters::absent_secondary},
	{"vmwrite_any_field", &Parameters::vmwrite_any_field},
	{"vmxon_fails_on", &Parameters::vmxon_fails_on},
	{"hide_vmx", &Parameters::hide_vmx},
	{"testing", &Parameters::testing},
};
constexpr u32 kParameterCount = sizeof(kParameters) / sizeof(kParameters[0]);
// In the range that Intel leaves to software.  SDM Vol. 4, chapter 2.
constexpr u32 kMsrParameters = 0x400000f0;
constexpr u32 kMsrLastParameter = kMsrParameters + kParameterCount - 2;

// QEMU's docs/specs/fw_cfg.
class FwCfg {
 public:
	// Calls @visit with the name of each file; that may read the file by text().
	template <typename Visit>
	static void for_each_file(Visit visit)
	{
		constexpr u16 kDirectory = 0x19;
		select(kDirectory);
		const u32 files = big_endian();
		for (u32 i = 0; i < files; ++i) {
			// Reading a file loses the place in the directory.
			select(kDirectory);
			big_endian();
			Entry entry = {};
			for (u32 skipped = 0; skipped <= i; ++skipped)
				read(&entry, sizeof(entry));
			visit(entry);
		}
	}

	struct Entry {
		u8 size[4];
		u8 item[2];
		u8 reserved[2];
		char name[56];

		// Reads at most @limit - 1 bytes, and a zero.
		void text(char* buffer, u32 limit) const
		{
			const u32 bytes = u32{size[0]} << 24 | u32{size[1]} << 16 | u32{size[2]} << 8 | size[3];
			const u32 count = bytes < limit ? bytes : limit - 1;
			select(static_cast<u16>(item[0] << 8 | item[1]));
			read(buffer, count);
			buffer[count] = 0;
		}
	};
	static_assert(sizeof(Entry) == 64);

 private:
	static constexpr u16 kSelector = 0x510, kData = 0x511;

	static void select(u16 item) { outw(kSelector, item); }
	static void read(void* buffer, u32 count)
	{
		for (u32 i = 0; i < count; ++i)
			static_cast<u8*>(buffer)[i] = inb(kData);
	}
	static u32 big_endian()
	{
		u8 bytes[4];
		read(bytes, sizeof(bytes));
		return u32{bytes[0]} << 24 | u32{bytes[1]} << 16 | u32{bytes[2]} << 8 | bytes[3];
	}
};

// Returns what follows @prefix, or nullptr.
inline const char* after(const char* text, const char* prefix)
{
	while (*prefix) {
		if (*text++ != *prefix++)
			return nullptr;
	}
	return text;
}

inline u64 number(const char* text)
{
	u64 value = 0;
	const char* hexadecimal = after(text, "0x");
	if (hexadecimal)
		text = hexadecimal;
	for (;; ++text) {
		const char digit = *text;
		if (digit >= '0' && digit <= '9')
			value = value * (hexadecimal ? 16 : 10) + (digit - '0');
		else if (hexadecimal && (digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
			value = value * 16 + ((digit | 0x20) - 'a' + 10);
		else
			return value;
	}
}

inline void read_parameters()
{
	FwCfg::for_each_file([](const FwCfg::Entry& entry) {
		const char* const name = after(entry.name, "opt/vmx-rom/");
		if (!name)
			return;
		for (const Parameter& parameter : kParameters) {
			const char* const rest = after(name, parameter.name);
			if (!rest || *rest)
				continue;
			char text[24];
			entry.text(text, sizeof(text));
			g_parameters.*parameter.value = number(text);
		}
	});
}

}  // namespace

#endif
