// SPDX-License-Identifier: GPL-2.0
// Fills a VMCS: controls, host state, and guests of several kinds.
#ifndef VMX_CLIENT_GUEST_STATE_H
#define VMX_CLIENT_GUEST_STATE_H

#include "host_state.h"

namespace {

inline u64 adjust(u64 wanted, u32 capability)
{
	const u64 value = msr(capability);
	return (wanted | (value & 0xffffffff)) & value >> 32;
}

constexpr u32 kTruePin = 0x48d, kTrueProc = 0x48e, kTrueExit = 0x48f, kTrueEntry = 0x490, kProc2Capability = 0x48b;

struct Controls {
	u64 pin = kPinInterrupts | kPinNmis;
	u64 proc = 0;
	u64 proc2 = 0;
	u64 exit = kExitLoadEfer | kExitSaveEfer | kExitLoadPat;
	u64 entry = kEntryLoadEfer;
};

constexpr Field kStartOfGroups[] = {
	kGuestEsSelector,
	kGuestEsLimit,
	kGuestEsAccess,
	kGuestEsBase,
};

inline void set_segment(unsigned number, u16 selector, u64 base, u32 limit, u32 access)
{
	const u64 value[] = {selector, limit, access, base};
	for (unsigned i = 0; i < 4; ++i)
		write(kStartOfGroups[i] + 2 * number, value[i]);
}

inline void write_host_state()
{
	const struct {
		u64 field, value;
	} fields[] = {
		{kHostEsSelector, u64(host.es & ~7)},
		{kHostCsSelector, host.cs},
		{kHostSsSelector, host.ss},
		{kHostDsSelector, u64(host.ds & ~7)},
		{kHostFsSelector, 0},
		{kHostGsSelector, 0},
		{kHostTrSelector, host.tr},
		{kHostCr0, host.cr0},
		{kHostCr3, host.cr3},
		{kHostCr4, host.cr4},
		{kHostFsBase, host.fs_base},
		{kHostGsBase, host.gs_base},
		{kHostTrBase, host.tr_base},
		{kHostGdtrBase, host.gdtr.base},
		{kHostIdtrBase, host.idtr.base},
		{kHostEfer, host.efer},
		{kHostPat, host.pat},
		{kHostSysenterCs, host.sysenter_cs},
		{kHostSysenterEsp, host.sysenter_esp},
		{kHostSysenterEip, host.sysenter_eip},
	};
	for (const auto& field : fields)
		write(field.field, field.value);
}

constexpr u64 kZeroed[] = {
	kVpid,
	kTscOffset,
	kExceptionBitmap,
	kPageFaultMask,
	kPageFaultMatch,
	kCr3TargetCount,
	kExitMsrStoreCount,
	kExitMsrLoadCount,
	kEntryMsrLoadCount,
	kEntryInfo,
	kEntryError,
	kEntryLength,
	kInterruptibility,
	kActivity,
	kGuestSysenterCs,
	kGuestSysenterEsp,
	kGuestSysenterEip,
	kCr0Mask,
	kCr4Mask,
	kPendingDebug,
	kGuestDebugControl,
	kGuestPdpte0,
	kGuestPdpte0 + 2,
	kGuestPdpte0 + 4,
	kGuestPdpte0 + 6,
};

inline void set_controls(const Controls& controls)
{
	write(kPinControls, adjust(controls.pin, kTruePin));
	write(kProcControls, adjust(controls.proc | (controls.proc2 ? kProcSecondary : 0), kTrueProc));
	write(kProc2Controls, controls.proc2 ? adjust(controls.proc2, kProc2Capability) : 0);
	write(kExitControls, adjust(controls.exit | kExitHost64, kTrueExit));
	write(kEntryControls, adjust(controls.entry, kTrueEntry));
}

// A fresh VMCS, with the host state and nothing of a guest.
inline void begin(const Controls& controls)
{
	vc_vmclear(vc_physical(context->vmcs));
	vc_vmptrld(vc_physical(context->vmcs));
	launched = false;
	clear(&registers, sizeof(registers));
	for (const u64 field : kZeroed)
		write(field, 0);
	write(kLinkPointer, ~u64{0});
	set_controls(controls);
	write_host_state();
	write(kGuestPat, host.pat);
	write(kGuestDr7, 0x400);
	write(kGuestRflags, 2);
	write(kIoBitmapA, vc_physical(context->io_bitmap_a));
	write(kIoBitmapB, vc_physical(context->io_bitmap_b));
	write(kMsrBitmap, vc_physical(context->msr_bitmap));
}

// A 64-bit guest that shares the host's page tables; its code is in this module.
inline void begin_long_mode(Controls controls, const char* code)
{
	controls.entry |= kEntryIa32e;
	begin(controls);
	guest_code = code;
	for (const unsigned i : (const unsigned[]){0, 3, 4})
		set_segment(i, 0, 0, 0, kUnusable);
	set_segment(1, host.cs, 0, ~u32{0}, 0xa09b);
	set_segment(2, host.ss, 0, ~u32{0}, 0xc093);
	set_segment(5, 0, kGsBase, ~u32{0}, kUnusable);
	set_segment(6, 0, 0, 0, kUnusable);
	set_segment(7, host.tr, host.tr_base, 0x67, 0x8b);
	write(kGuestGdtrBase, host.gdtr.base);
	write(kGuestGdtrLimit, 127);
	write(kGuestIdtrBase, address(context->idt));
	write(kGuestIdtrLimit, sizeof(context->idt) - 1);
	write(kGuestCr0, host.cr0);
	write(kGuestCr3, host.cr3);
	write(kGuestCr4, host.cr4);
	write(kGuestEfer, host.efer);
	write(kGuestRip, address(code));
	write(kGuestRsp, address(context->stack) + 2048);
}

inline void map_ept_page(unsigned page, u64 rights = 7)
{
	context->ept[3][page] = vc_physical(context->guest_page[page]) | 6 << 3 | rights;
}

inline void reset_guest_memory(const char* code, const char* end)
{
	clear(context->guest_page, sizeof(context->guest_page));
	clear(context->ept, sizeof(context->ept));
	for (unsigned i = 0; i < 3; ++i)
		context->ept[i][0] = vc_physical(context->ept[i + 1]) | 7;
	for (unsigned page = 1; page < 4; ++page)
		map_ept_page(page);
	copy(context->guest_page[1], code, end - code);
	write(kEptPointer, vc_physical(context->ept[0]) | 6 | 3 << 3);
	const u64 descriptor[2] = {vc_physical(context->ept[0]) | 6 | 3 << 3, 0};
	vc_invept(1, descriptor);
}

constexpr u64 kEptControls = kProc2Ept | kProc2Unrestricted;

// A guest without paging, with EPT.  bits is 16 for real mode.
inline void begin_unpaged(Controls controls, unsigned bits, const char* code, const char* end)
{
	const bool real = bits == 16;
	controls.proc2 |= kEptControls;
	begin(controls);
	guest_code = nullptr;
	reset_guest_memory(code, end);
	for (unsigned i = 0; i < 6; ++i)
		set_segment(i, real ? 0 : 8, 0, real ? 0xffff : ~u32{0}, (i == 1 ? 0x9b : 0x93) | (real ? 0 : 0xc000));
	set_segment(6, 0, 0, 0, kUnusable);
	set_segment(7, 0, 0, 0xffff, 0x8b);
	write(kGuestGdtrBase, 0);
	write(kGuestIdtrBase, 0);
	write(kGuestGdtrLimit, 0xffff);
	write(kGuestIdtrLimit, 0xffff);
	write(kGuestCr0, real ? 0x30 : 0x31);
	write(kGuestCr3, 0);
	write(kGuestCr4, 0x2000);
	write(kGuestEfer, 0);
	write(kGuestRip, 0x1000);
	write(kGuestRsp, 0x2800);
}

}  // namespace

#endif
