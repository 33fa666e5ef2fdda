// SPDX-License-Identifier: GPL-2.0
// Accesses guest memory as INS and OUTS do.
#include "vcpu/exits/string_memory.h"

namespace {

inline Result<StringSegment> StringSegment::begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io)
{
	using namespace vregcache::access_rights;
	StringSegment segment;
	segment.write_ = io.in;
	segment.flat64_ = VREGCACHE_TRY(in_64bit_mode(vcpu, vmcs));
	if (segment.flat64_) {
		segment.linear_bits_ = VREGCACHE_TRY(host_owned_cr4<cr4::kLa57>(vcpu, vmcs)) ? 57 : 48;
		return segment;
	}
	segment.stack_ = io.segment == Segment::kSs;
	segment.limit_ = VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(io.segment, SegmentPart::kLimit)));
	segment.rights_ = static_cast<u32>(
		VREGCACHE_TRY(vcpu.cache.read(vmcs, segment_register(io.segment, SegmentPart::kAccessRights))));
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	u64 protected_mode = VREGCACHE_TRY(host_owned_cr0<cr0::kPe>(vcpu, vmcs));
	segment.typed_ = protected_mode && !(flags & rflags::kVm);
	return segment;
}

inline bool StringSegment::allows(u64 offset, u64 linear, u32 bytes) const
{
	using namespace vregcache::access_rights;
	if (flat64_)
		return is_canonical(linear, linear_bits_) && is_canonical(linear + bytes - 1, linear_bits_);
	constexpr u32 kCode = 1u << 3, kExpandDown = 1u << 2, kWritableOrReadable = 1u << 1;
	if (typed_) {
		if (rights_ & kUnusable)
			return false;
		bool code = rights_ & kCode, permitted = rights_ & kWritableOrReadable;
		if (write_ ? code || !permitted : code && !permitted)
			return false;
	}
	u64 last = offset + bytes - 1;
	if ((rights_ & (kCode | kExpandDown)) != kExpandDown)
		return last <= limit_;
	return offset > limit_ && last <= (rights_ & kDefaultBig ? 0xffffffff : 0xffff);
}

inline Result<StringMemory> StringMemory::begin(Vcpu& vcpu, const LoadedVmcs& vmcs, const PortIo& io)
{
	StringMemory memory;
	memory.vcpu_ = &vcpu;
	memory.access_ = {.write = io.in, .user = VREGCACHE_TRY(privilege_level(vcpu, vmcs)) == 3};
	memory.segment_ = VREGCACHE_TRY(StringSegment::begin(vcpu, vmcs, io));
	memory.walk_ = VREGCACHE_TRY(PageWalk::begin(vcpu, vmcs));
	u64 flags = VREGCACHE_TRY(vcpu.cache.read<Reg::kRflags>(vmcs));
	memory.checks_alignment_ = memory.access_.user && (flags & rflags::kAc) &&
				   VREGCACHE_TRY(host_owned_cr0<cr0::kAm>(vcpu, vmcs));
	return memory;
}

inline StringMemory::Outcome StringMemory::fault(Event event)
{
	fault_ = event;
	return Outcome::kFault;
}

inline StringMemory::Outcome StringMemory::find(u64 address, u32 bytes, Piece& piece)
{
	if (!segment_.flat64())
		address = static_cast<u32>(address);
	Translation translation = walk_.translate(address, access_);
	if (translation.outcome == Translation::Outcome::kPageFault) {
		fault_address_ = address;
		return fault(Event::exception(vector::kPageFault, translation.error_code));
	}
	guest_physical_ = translation.guest_physical;
	if (translation.outcome == Translation::Outcome::kDone)
		piece.memory = vcpu_->vm->memory.at(guest_physical_);
	if (!piece.memory)
		return Outcome::kNoMemory;
	const u32 in_page = static_cast<u32>(kPageSize - (address & ~kPageMask));
	piece.bytes = bytes < in_page ? bytes : in_page;
	return Outcome::kDone;
}

inline StringMemory::Outcome StringMemory::copy_element(u64 offset, u64 linear, u8* data, u32 bytes)
{
	if (!segment_.allows(offset, linear, bytes))
		return fault(segment_.fault());
	if (checks_alignment_ && (linear & (bytes - 1)))
		return fault(Event::exception(vector::kAlignmentCheck, 0));
	Piece pieces[2];
	u32 count = 0;
	for (u32 found = 0; found < bytes; found += pieces[count++].bytes) {
		Outcome outcome = find(linear + found, bytes - found, pieces[count]);
		if (outcome != Outcome::kDone)
			return outcome;
	}
	for (u32 i = 0; data && i < count; data += pieces[i++].bytes) {
		if (access_.write)
			__builtin_memcpy(pieces[i].memory, data, pieces[i].bytes);
		else
			__builtin_memcpy(data, pieces[i].memory, pieces[i].bytes);
	}
	return Outcome::kDone;
}

inline u32 StringMemory::copy(const PortIo& io, bool backwards, bool transfer)
{
	u8* data = transfer ? vcpu_->io_data + io.data_offset : nullptr;
	for (u32 i = 0; i < io.count; i++) {
		u64 distance = u64{i} * io.size;
		u64 step = backwards ? -distance : distance;
		outcome_ = copy_element(io.offset + step, io.linear + step, data ? data + distance : nullptr, io.size);
		if (outcome_ != Outcome::kDone)
			return i;
	}
	return io.count;
}

inline Result<void> StringMemory::raise(const LoadedVmcs& vmcs) const
{
	if (fault_.information.vector() == vector::kPageFault)
		vcpu_->entry_switch.cr2 = fault_address_;
	return raise_fault(*vcpu_, vmcs, fault_);
}

}  // namespace
