// SPDX-License-Identifier: GPL-2.0
// The VMCS: which fields exist, and how they lie in the region that the client gives to VMPTRLD. The data live
// there and nowhere else, so that VMCLEAR and VMPTRLD carry them from one CPU to another.
#ifndef VMX_ON_SVM_VMCS_H
#define VMX_ON_SVM_VMCS_H

#include "types.h"

namespace {

// SDM Vol. 3D, Appendix B.  Only fields whose controls are offered exist (capability.h).
// clang-format off
enum class Field : u32 {
	Vpid = 0x0000,

	GuestEsSelector = 0x0800, GuestCsSelector = 0x0802, GuestSsSelector = 0x0804, GuestDsSelector = 0x0806,
	GuestFsSelector = 0x0808, GuestGsSelector = 0x080a, GuestLdtrSelector = 0x080c, GuestTrSelector = 0x080e,

	HostEsSelector = 0x0c00, HostCsSelector = 0x0c02, HostSsSelector = 0x0c04, HostDsSelector = 0x0c06,
	HostFsSelector = 0x0c08, HostGsSelector = 0x0c0a, HostTrSelector = 0x0c0c,

	IoBitmapA = 0x2000, IoBitmapB = 0x2002, MsrBitmap = 0x2004, ExitMsrStoreAddress = 0x2006,
	ExitMsrLoadAddress = 0x2008, EntryMsrLoadAddress = 0x200a, ExecutiveVmcs = 0x200c, TscOffset = 0x2010,
	VirtualApicAddress = 0x2012, EptPointer = 0x201a, TscMultiplier = 0x2032,

	GuestPhysicalAddress = 0x2400,

	VmcsLinkPointer = 0x2800, GuestDebugControl = 0x2802, GuestPat = 0x2804, GuestEfer = 0x2806,
	GuestPdpte0 = 0x280a, GuestPdpte1 = 0x280c, GuestPdpte2 = 0x280e, GuestPdpte3 = 0x2810,

	HostPat = 0x2c00, HostEfer = 0x2c02,

	PinControls = 0x4000, ProcessorControls = 0x4002, ExceptionBitmap = 0x4004, PageFaultErrorMask = 0x4006,
	PageFaultErrorMatch = 0x4008, Cr3TargetCount = 0x400a, ExitControls = 0x400c, ExitMsrStoreCount = 0x400e,
	ExitMsrLoadCount = 0x4010, EntryControls = 0x4012, EntryMsrLoadCount = 0x4014,
	EntryInterruptionInfo = 0x4016, EntryExceptionError = 0x4018, EntryInstructionLength = 0x401a,
	TprThreshold = 0x401c, SecondaryControls = 0x401e, PleGap = 0x4020, PleWindow = 0x4022,

	InstructionError = 0x4400, ExitReason = 0x4402, ExitInterruptionInfo = 0x4404, ExitInterruptionError = 0x4406,
	IdtVectoringInfo = 0x4408, IdtVectoringError = 0x440a, ExitInstructionLength = 0x440c,
	ExitInstructionInfo = 0x440e,

	GuestEsLimit = 0x4800, GuestCsLimit = 0x4802, GuestSsLimit = 0x4804, GuestDsLimit = 0x4806,
	GuestFsLimit = 0x4808, GuestGsLimit = 0x480a, GuestLdtrLimit = 0x480c, GuestTrLimit = 0x480e,
	GuestGdtrLimit = 0x4810, GuestIdtrLimit = 0x4812,
	GuestEsAccess = 0x4814, GuestCsAccess = 0x4816, GuestSsAccess = 0x4818, GuestDsAccess = 0x481a,
	GuestFsAccess = 0x481c, GuestGsAccess = 0x481e, GuestLdtrAccess = 0x4820, GuestTrAccess = 0x4822,
	GuestInterruptibility = 0x4824, GuestActivity = 0x4826, GuestSmBase = 0x4828, GuestSysenterCs = 0x482a,
	PreemptionTimer = 0x482e,

	HostSysenterCs = 0x4c00,

	Cr0Mask = 0x6000, Cr4Mask = 0x6002, Cr0Shadow = 0x6004, Cr4Shadow = 0x6006,
	Cr3Target0 = 0x6008, Cr3Target1 = 0x600a, Cr3Target2 = 0x600c, Cr3Target3 = 0x600e,

	ExitQualification = 0x6400, IoRcx = 0x6402, IoRsi = 0x6404, IoRdi = 0x6406, IoRip = 0x6408,
	GuestLinearAddress = 0x640a,

	GuestCr0 = 0x6800, GuestCr3 = 0x6802, GuestCr4 = 0x6804,
	GuestEsBase = 0x6806, GuestCsBase = 0x6808, GuestSsBase = 0x680a, GuestDsBase = 0x680c,
	GuestFsBase = 0x680e, GuestGsBase = 0x6810, GuestLdtrBase = 0x6812, GuestTrBase = 0x6814,
	GuestGdtrBase = 0x6816, GuestIdtrBase = 0x6818, GuestDr7 = 0x681a, GuestRsp = 0x681c, GuestRip = 0x681e,
	GuestRflags = 0x6820, GuestPendingDebug = 0x6822, GuestSysenterEsp = 0x6824, GuestSysenterEip = 0x6826,

	HostCr0 = 0x6c00, HostCr3 = 0x6c02, HostCr4 = 0x6c04, HostFsBase = 0x6c06, HostGsBase = 0x6c08,
	HostTrBase = 0x6c0a, HostGdtrBase = 0x6c0c, HostIdtrBase = 0x6c0e, HostSysenterEsp = 0x6c10,
	HostSysenterEip = 0x6c12, HostRsp = 0x6c14, HostRip = 0x6c16,
};
// clang-format on

// The fields by ranges of consecutive even encodings, both ends included.
struct FieldRange {
	Field first, last;
};
constexpr FieldRange kFieldRanges[] = {
	{Field::Vpid, Field::Vpid},
	{Field::GuestEsSelector, Field::GuestTrSelector},
	{Field::HostEsSelector, Field::HostTrSelector},
	{Field::IoBitmapA, Field::ExecutiveVmcs},
	{Field::TscOffset, Field::VirtualApicAddress},
	{Field::EptPointer, Field::EptPointer},
	{Field::TscMultiplier, Field::TscMultiplier},
	{Field::GuestPhysicalAddress, Field::GuestPhysicalAddress},
	{Field::VmcsLinkPointer, Field::GuestEfer},
	{Field::GuestPdpte0, Field::GuestPdpte3},
	{Field::HostPat, Field::HostEfer},
	{Field::PinControls, Field::PleWindow},
	{Field::InstructionError, Field::ExitInstructionInfo},
	{Field::GuestEsLimit, Field::GuestSysenterCs},
	{Field::PreemptionTimer, Field::PreemptionTimer},
	{Field::HostSysenterCs, Field::HostSysenterCs},
	{Field::Cr0Mask, Field::Cr3Target3},
	{Field::ExitQualification, Field::GuestLinearAddress},
	{Field::GuestCr0, Field::GuestSysenterEip},
	{Field::HostCr0, Field::HostRip},
};

constexpr Field operator+(Field first, unsigned index)
{
	return static_cast<Field>(static_cast<u32>(first) + 2 * index);
}

// An encoding: bit 0 access type, bits 9:1 index, 11:10 type, 14:13 width.  SDM Vol. 3C, section 25.11.2.
enum class FieldWidth { Bits16, Bits64, Bits32, Natural };
enum class FieldType { Control, ExitInformation, Guest, Host };

class FieldEncoding {
 public:
	constexpr explicit FieldEncoding(u64 value) : value_(value) {}

	constexpr bool high_access() const { return value_ & 1; }
	constexpr unsigned index() const { return value_ >> 1 & 0x1ff; }
	constexpr FieldType type() const { return static_cast<FieldType>(value_ >> 10 & 3); }
	constexpr FieldWidth width() const { return static_cast<FieldWidth>(value_ >> 13 & 3); }
	// Reserved bits are clear, and only a 64-bit field is accessed by halves.
	constexpr bool well_formed() const
	{
		return !(value_ & ~u64{0x6fff}) && (!high_access() || width() == FieldWidth::Bits64);
	}

 private:
	u64 value_;
};

constexpr unsigned kFieldIndexLimit = 32;
constexpr u8 kNoSlot = 0xff;

class SlotTable {
 public:
	constexpr SlotTable()
	{
		for (auto& group : slot_)
			for (auto& slot : group)
				slot = kNoSlot;
		for (const FieldRange& range : kFieldRanges) {
			for (u32 value = static_cast<u32>(range.first); value <= static_cast<u32>(range.last);
			     value += 2) {
				const FieldEncoding encoding(value);
				slot_[value >> 10 & 31][encoding.index()] = count_++;
				if (encoding.index() > highest_index_)
					highest_index_ = encoding.index();
			}
		}
	}

	constexpr u8 find(u64 value) const
	{
		const FieldEncoding encoding(value);
		if (!encoding.well_formed() || encoding.index() >= kFieldIndexLimit)
			return kNoSlot;
		return slot_[value >> 10 & 31][encoding.index()];
	}
	constexpr unsigned count() const { return count_; }
	constexpr unsigned highest_index() const { return highest_index_; }

 private:
	u8 slot_[32][kFieldIndexLimit] = {};
	unsigned count_ = 0;
	unsigned highest_index_ = 0;
};
constexpr SlotTable kSlots;
static_assert(kSlots.count() < kNoSlot);
static_assert(kSlots.find(0x681f) == kNoSlot && kSlots.find(0x2001) == kSlots.find(0x2000));

constexpr u32 kVmcsRevision = 0x00534f56;  // bit 31 is clear

struct VmcsRegion {
	u32 revision;
	u32 abort_indicator;
	u32 launched;
	u32 reserved;
	u64 slot[kSlots.count()];

	[[gnu::always_inline]] u64 read(Field field) const { return slot[kSlots.find(static_cast<u32>(field))]; }
	[[gnu::always_inline]] void write(Field field, u64 value)
	{
		slot[kSlots.find(static_cast<u32>(field))] = value;
	}
};
static_assert(offsetof(VmcsRegion, abort_indicator) == 4, "SDM Vol. 3C, section 25.2");
static_assert(sizeof(VmcsRegion) <= kPageBytes);

}  // namespace

#endif
