// SPDX-License-Identifier: GPL-2.0 OR MIT
// General-purpose registers by their number in an instruction, wherever each is kept, and RIP.
//
// Outside 64-bit mode values are cut to 32 bits; the _raw functions cut nothing.  For the whole of RIP and RSP use
// cache.read<Reg::kRip>() and cache.write<Reg::kRip>().
#pragma once

#include "gpr.h"
#include "register.h"
#include "result.h"
#include "segment.h"

namespace vregcache {

// Is the guest in IA-32e mode, and in a 64-bit code segment (SDM Vol. 3A, 2.2 and 3.4.5)?
template <class Cache>
Result<bool> in_64bit_mode(Cache& cache, const typename Cache::Loaded& vmcs)
{
	constexpr u64 kLongModeActive = 1u << 10;
	if (!(VREGCACHE_TRY(cache.template read<Reg::kEfer>(vmcs)) & kLongModeActive))
		return false;
	constexpr Reg kCs = segment_register(Segment::kCs, SegmentPart::kAccessRights);
	return (VREGCACHE_TRY(cache.template read<kCs>(vmcs)) & access_rights::kLong) != 0;
}

// Reads the mode only if it matters, which saves a VMREAD.
template <class Cache>
Result<u64> cut_to_mode(Cache& cache, const typename Cache::Loaded& vmcs, u64 value)
{
	if (value >> 32 && !VREGCACHE_TRY(in_64bit_mode(cache, vmcs)))
		return u64{static_cast<u32>(value)};
	return value;
}

// Error::kNoRegister: no register has the number.
template <class Cache>
Result<u64> read_gpr_raw(Cache& cache, const typename Cache::Loaded& vmcs, const GprFile& file, Gpr gpr)
{
	if (!is_register(gpr)) [[unlikely]]
		return cache.no_register(static_cast<u8>(gpr));
	if (gpr == Gpr::kRsp)
		return cache.template read<Reg::kRsp>(vmcs);
	return file[gpr];
}

template <class Cache>
Result<void> write_gpr_raw(Cache& cache, const typename Cache::Loaded& vmcs, GprFile& file, Gpr gpr, u64 value)
{
	if (!is_register(gpr)) [[unlikely]]
		return cache.no_register(static_cast<u8>(gpr));
	if (gpr == Gpr::kRsp)
		cache.template write<Reg::kRsp>(vmcs, value);
	else
		file[gpr] = value;
	return {};
}

template <class Cache>
Result<u64> read_gpr(Cache& cache, const typename Cache::Loaded& vmcs, const GprFile& file, Gpr gpr)
{
	return cut_to_mode(cache, vmcs, VREGCACHE_TRY(read_gpr_raw(cache, vmcs, file, gpr)));
}

template <class Cache>
Result<void> write_gpr(Cache& cache, const typename Cache::Loaded& vmcs, GprFile& file, Gpr gpr, u64 value)
{
	if (!is_register(gpr)) [[unlikely]]
		return cache.no_register(static_cast<u8>(gpr));
	return write_gpr_raw(cache, vmcs, file, gpr, VREGCACHE_TRY(cut_to_mode(cache, vmcs, value)));
}

// Errors: as Cache::read().
template <Reg kReg, class Cache>
	requires(kReg == Reg::kRip || kReg == Reg::kRsp)
Result<u64> read_in_mode(Cache& cache, const typename Cache::Loaded& vmcs)
{
	return cut_to_mode(cache, vmcs, VREGCACHE_TRY(cache.template read<kReg>(vmcs)));
}

template <Reg kReg, class Cache>
	requires(kReg == Reg::kRip || kReg == Reg::kRsp)
Result<void> write_in_mode(Cache& cache, const typename Cache::Loaded& vmcs, u64 value)
{
	cache.template write<kReg>(vmcs, VREGCACHE_TRY(cut_to_mode(cache, vmcs, value)));
	return {};
}

// Advances RIP by the length of an instruction.  EIP wraps; the mode is read only if it would.
template <class Cache>
Result<void> add_to_rip(Cache& cache, const typename Cache::Loaded& vmcs, u32 length)
{
	u64 rip = VREGCACHE_TRY(cache.template read<Reg::kRip>(vmcs));
	u64 next = rip + length;
	if ((rip ^ next) >> 32)
		return write_in_mode<Reg::kRip>(cache, vmcs, next);
	cache.template write<Reg::kRip>(vmcs, next);
	return {};
}

// EDX:EAX, the 64-bit operand of RDMSR, WRMSR and XSETBV in every mode.
VREGCACHE_INLINE u64 read_edx_eax(const GprFile& file)
{
	return static_cast<u32>(file[Gpr::kRax]) | file[Gpr::kRdx] << 32;
}

VREGCACHE_INLINE void write_edx_eax(GprFile& file, u64 value)
{
	file[Gpr::kRax] = static_cast<u32>(value);
	file[Gpr::kRdx] = value >> 32;
}

}  // namespace vregcache
