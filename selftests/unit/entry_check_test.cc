// SPDX-License-Identifier: GPL-2.0
// The diagnosis of a failed VM-entry: each check of SDM Vol. 3C, 27.2 and 27.3, finds the one broken field of an
// otherwise valid state.
// NOLINTBEGIN(bugprone-suspicious-include)
#include <vmx/explain/entry_check_controls.cc>
#include <vmx/explain/entry_check_guest.cc>
#include <vmx/explain/entry_check_host.cc>
#include <vmx/explain/entry_check_rules.cc>
#include <vmx/explain/field_name.cc>
#include <vmx/explain/vm_instruction_error.cc>
// NOLINTEND(bugprone-suspicious-include)

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "sdm_fields.h"

namespace {

namespace field = vregcache;
using vregcache::test::kSdmFields;

constexpr u64 bit(u32 number) { return u64{1} << number; }
constexpr u64 kNotCanonical = bit(63), kNotPhysical = bit(46);

// The fields of a VMCS, for the checks to read.
class State {
 public:
	State& set(AnyField which, u64 value)
	{
		fields_[which.encoding] = value;
		return *this;
	}
	State& flip(AnyField which, u64 bits) { return set(which, at(which) ^ bits); }
	u64 at(AnyField which) const { return fields_.at(which.encoding); }

	// A check of a field that no state has would check nothing.
	Result<u64> vmread(u32 encoding) const
	{
		auto found = fields_.find(encoding);
		if (found == fields_.end()) {
			ADD_FAILURE() << "field 0x" << std::hex << encoding << " is read, and no state has it";
			return Error::kVmFailValid;
		}
		return found->second;
	}

 private:
	std::map<u32, u64> fields_;
};

EntryFacts typical_facts()
{
	EntryFacts facts;
	facts.pin_based = {0x16, 0x7f};
	facts.primary = {0x04006172, 0xfff9fffe};
	facts.secondary = {0, 0xff};
	facts.vm_exit = {0x36dfb, 0x7fffff};
	facts.vm_entry = {0x11fb, 0xffff};
	facts.cr0_fixed0 = cr0::kPe | cr0::kNe | cr0::kPg;
	facts.cr0_fixed1 = 0xffffffff;
	facts.cr4_fixed0 = cr4::kVmxe;
	facts.cr4_fixed1 = 0xf727ff | bit(23);
	facts.misc = bit(6) | bit(7) | bit(8) | u64{4} << 16;
	facts.ept_vpid = bit(6) | bit(14);
	facts.physical_bits = 46;
	facts.linear_bits = 48;
	return facts;
}

SegmentFields segment(vregcache::Segment which) { return SegmentFields(which); }
using vregcache::Segment;

State& set_segment(State& state, Segment which, u16 selector, u64 base, u32 limit, u32 rights)
{
	SegmentFields fields(which);
	return state.set(fields.selector, selector)
		.set(fields.base, base)
		.set(fields.limit, limit)
		.set(fields.access_rights, rights);
}

constexpr u32 kUnusable = 0x10000;

// A 64-bit guest on a 64-bit host, with the controls that the module sets.
State long_mode()
{
	State state;
	state.set(field::kPinBasedControls, 0x16 | pin::kExternalInterrupt | pin::kNmi | pin::kVirtualNmis)
		.set(field::kPrimaryProcessorBasedControls, 0x04006172 | primary::kHlt | primary::kSecondary)
		.set(field::kSecondaryProcessorBasedControls, secondary::kEpt | secondary::kUnrestrictedGuest)
		.set(field::kVirtualProcessorId, 1)
		.set(field::kCr3TargetCount, 0)
		.set(field::kIoBitmapA, 0)
		.set(field::kIoBitmapB, 0)
		.set(field::kMsrBitmaps, 0)
		.set(field::kEptPointer, 0x12345000 | 3 << 3 | 6)
		.set(field::kVmExitControls, 0x36dff | exit_control::kHostAddressSpaceSize | exit_control::kLoadPat |
						     exit_control::kLoadEfer | exit_control::kSaveEfer)
		.set(field::kVmExitMsrStoreCount, 0)
		.set(field::kVmExitMsrStoreAddress, 0)
		.set(field::kVmExitMsrLoadCount, 0)
		.set(field::kVmExitMsrLoadAddress, 0)
		.set(field::kVmEntryControls,
		     0x11ff | entry_control::kIa32eMode | entry_control::kLoadPat | entry_control::kLoadEfer)
		.set(field::kVmEntryMsrLoadCount, 0)
		.set(field::kVmEntryMsrLoadAddress, 0)
		.set(field::kVmEntryInterruptionInformation, 0)
		.set(field::kVmEntryExceptionErrorCode, 0)
		.set(field::kVmEntryInstructionLength, 0);

	constexpr u64 kKernel = 0xffff800000000000, kPat = 0x0007040600070406;
	state.set(field::kHostCr0, cr0::kPe | cr0::kNe | cr0::kWp | cr0::kPg)
		.set(field::kHostCr3, 0x1000)
		.set(field::kHostCr4, cr4::kPae | cr4::kVmxe)
		.set(field::kHostRip, kKernel)
		.set(field::kHostCsSelector, 0x10)
		.set(field::kHostSsSelector, 0x18)
		.set(field::kHostDsSelector, 0)
		.set(field::kHostEsSelector, 0)
		.set(field::kHostFsSelector, 0)
		.set(field::kHostGsSelector, 0)
		.set(field::kHostTrSelector, 0x40)
		.set(field::kHostFsBase, 0)
		.set(field::kHostGsBase, kKernel)
		.set(field::kHostTrBase, kKernel)
		.set(field::kHostGdtrBase, kKernel)
		.set(field::kHostIdtrBase, kKernel)
		.set(field::kHostIa32SysenterEsp, kKernel)
		.set(field::kHostIa32SysenterEip, kKernel)
		.set(field::kHostIa32Pat, kPat)
		.set(field::kHostIa32Efer, efer::kSce | efer::kLme | efer::kLma | efer::kNxe);

	state.set(field::kGuestCr0, cr0::kPe | cr0::kNe | cr0::kWp | cr0::kPg)
		.set(field::kGuestCr3, 0x2000)
		.set(field::kGuestCr4, cr4::kPae | cr4::kVmxe)
		.set(field::kGuestDr7, 0x400)
		.set(field::kGuestIa32Debugctl, 0)
		.set(field::kGuestIa32SysenterEsp, 0)
		.set(field::kGuestIa32SysenterEip, 0)
		.set(field::kGuestIa32Pat, kPat)
		.set(field::kGuestIa32Efer, efer::kLme | efer::kLma)
		.set(field::kGuestRip, 0x100000)
		.set(field::kGuestRflags, rflags::kFixed | rflags::kIf)
		.set(field::kGuestGdtrBase, 0)
		.set(field::kGuestGdtrLimit, 0xffff)
		.set(field::kGuestIdtrBase, 0)
		.set(field::kGuestIdtrLimit, 0xffff)
		.set(field::kGuestActivityState, 0)
		.set(field::kGuestInterruptibilityState, 0)
		.set(field::kGuestPendingDebugExceptions, 0)
		.set(field::kVmcsLinkPointer, ~u64{0})
		.set(field::kGuestPdpte0, 0)
		.set(field::kGuestPdpte1, 0)
		.set(field::kGuestPdpte2, 0)
		.set(field::kGuestPdpte3, 0);
	for (Segment which : {Segment::kSs, Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs})
		set_segment(state, which, 0x10, 0, 0xffffffff, 0xc093);
	set_segment(state, Segment::kCs, 0x8, 0, 0xffffffff, 0xa09b);
	set_segment(state, Segment::kTr, 0x48, 0x3000, 0x67, 0x8b);
	set_segment(state, Segment::kLdtr, 0, 0, 0, kUnusable);
	return state;
}

State with_ldtr()
{
	State state = long_mode();
	return set_segment(state, Segment::kLdtr, 0x50, 0x4000, 0x7, 0x82);
}

State pae()
{
	State state = long_mode();
	state.flip(field::kVmEntryControls, entry_control::kIa32eMode).set(field::kGuestIa32Efer, 0);
	set_segment(state, Segment::kCs, 0x8, 0, 0xffffffff, 0xc09b);
	state.set(field::kGuestPdpte0, 0x5001).set(field::kGuestPdpte1, 0x6001).set(field::kGuestPdpte2, 0x7001);
	return state;
}

State protected_mode()
{
	State state = pae();
	return state.flip(field::kGuestCr0, cr0::kPg).flip(field::kGuestCr4, cr4::kPae);
}

State real_mode()
{
	State state = protected_mode();
	state.flip(field::kGuestCr0, cr0::kPe);
	for (Segment which : {Segment::kSs, Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs})
		set_segment(state, which, 0x100, 0x1000, 0xffff, 0x93);
	return set_segment(state, Segment::kCs, 0xf000, 0xffff0000, 0xffff, 0x93);
}

State virtual_8086()
{
	State state = pae();
	state.flip(field::kGuestRflags, rflags::kVm);
	for (Segment which : {Segment::kCs, Segment::kSs, Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs})
		set_segment(state, which, 0x1234, 0x12340, 0xffff, 0xf3);
	return state;
}

// Without unrestricted guest.
State restricted(State state)
{
	return state.flip(field::kSecondaryProcessorBasedControls, secondary::kUnrestrictedGuest);
}

State injecting(State state, InterruptionType type, u32 vector, u32 more = 0)
{
	return state.set(field::kVmEntryInterruptionInformation,
			 InterruptionInformation::kValid | static_cast<u32>(type) << 8 | vector | more);
}

void expect(const EntryFinding& finding, const char* section, AnyField named, const State& state)
{
	ASSERT_TRUE(finding.found()) << "nothing found; expected " << field_name(named.encoding);
	EXPECT_STREQ(section, finding.section) << finding.rule;
	EXPECT_STREQ(field_name(named.encoding), field_name(finding.field)) << finding.rule;
	EXPECT_EQ(state.at(AnyField(finding.field)), finding.value);
	EXPECT_TRUE(finding.rule && *finding.rule);
}

class EntryCheck : public testing::Test {
 protected:
	EntryCheck() : facts_(typical_facts()) {}

	void control(const char* section, State state, AnyField broken, u64 flipped)
	{
		state.flip(broken, flipped);
		SCOPED_TRACE(std::string(field_name(broken.encoding)) + " at line " + std::to_string(line_));
		expect(find_invalid_control(state, facts_), section, broken, state);
	}
	void host(const char* section, State state, AnyField broken, u64 flipped)
	{
		state.flip(broken, flipped);
		SCOPED_TRACE(std::string(field_name(broken.encoding)) + " at line " + std::to_string(line_));
		expect(find_invalid_host_state(state, facts_), section, broken, state);
	}
	void guest(const char* section, const State& state, AnyField broken, u64 flipped, u64 qualification = 0)
	{
		guest_names(section, state, broken, flipped, broken, qualification);
	}
	// The check names a field other than the broken one.
	void guest_names(const char* section, State state, AnyField broken, u64 flipped, AnyField named,
			 u64 qualification = 0)
	{
		state.flip(broken, flipped);
		SCOPED_TRACE(std::string(field_name(broken.encoding)) + " at line " + std::to_string(line_));
		expect(find_invalid_guest_state(state, facts_, qualification), section, named, state);
	}
	void nothing_in(const State& state)
	{
		SCOPED_TRACE("line " + std::to_string(line_));
		for (const EntryFinding& finding :
		     {find_invalid_control(state, facts_), find_invalid_host_state(state, facts_),
		      find_invalid_guest_state(state, facts_, 0)})
			EXPECT_FALSE(finding.found()) << field_name(finding.field) << ": " << finding.rule;
	}

	EntryFacts facts_;
	int line_ = 0;
};

// The line identifies the failed check.
#define CONTROL (line_ = __LINE__), control
#define HOST (line_ = __LINE__), host
#define GUEST (line_ = __LINE__), guest
#define GUEST_NAMES (line_ = __LINE__), guest_names
#define NOTHING_IN (line_ = __LINE__), nothing_in

TEST_F(EntryCheck, FindsNothingWhereNothingIsWrong)
{
	for (const State& state : {long_mode(), with_ldtr(), pae(), protected_mode(), real_mode(), virtual_8086(),
				   restricted(long_mode()), restricted(pae()), restricted(virtual_8086())})
		nothing_in(state);
}

TEST_F(EntryCheck, FindsReservedControls)
{
	State state = long_mode();
	CONTROL("27.2.1.1", state, field::kPinBasedControls, bit(1));
	CONTROL("27.2.1.1", state, field::kPinBasedControls, bit(7));
	CONTROL("27.2.1.1", state, field::kPrimaryProcessorBasedControls, bit(1));
	CONTROL("27.2.1.1", state, field::kPrimaryProcessorBasedControls, bit(0));
	CONTROL("27.2.1.1", state, field::kSecondaryProcessorBasedControls, bit(8));
	CONTROL("27.2.1.2", state, field::kVmExitControls, bit(0));
	CONTROL("27.2.1.2", state, field::kVmExitControls, bit(23));
	CONTROL("27.2.1.3", state, field::kVmEntryControls, bit(0));
	CONTROL("27.2.1.3", state, field::kVmEntryControls, bit(16));
	facts_.secondary.must_be_1 = bit(4);
	CONTROL("27.2.1.1", state, field::kSecondaryProcessorBasedControls, 0);
	// Without secondary controls they are not checked.
	state.flip(field::kPrimaryProcessorBasedControls, primary::kSecondary)
		.set(field::kSecondaryProcessorBasedControls, ~u64{0});
	EXPECT_FALSE(find_invalid_control(state, facts_).found());
}

TEST_F(EntryCheck, FindsExecutionControls)
{
	State state = long_mode();
	CONTROL("27.2.1.1", state, field::kCr3TargetCount, 5);
	State io = long_mode().flip(field::kPrimaryProcessorBasedControls, bit(25));
	CONTROL("27.2.1.1", io, field::kIoBitmapA, 1);
	CONTROL("27.2.1.1", io, field::kIoBitmapA, kNotPhysical);
	CONTROL("27.2.1.1", io, field::kIoBitmapB, 0x800);
	CONTROL("27.2.1.1", io, field::kIoBitmapB, kNotPhysical);
	CONTROL("27.2.1.1", long_mode().flip(field::kPrimaryProcessorBasedControls, bit(28)), field::kMsrBitmaps, 8);
	CONTROL("27.2.1.1", state, field::kPinBasedControls, pin::kNmi);
	CONTROL("27.2.1.1", long_mode().flip(field::kPinBasedControls, pin::kVirtualNmis),
		field::kPrimaryProcessorBasedControls, primary::kNmiWindow);
	CONTROL("27.2.1.1", long_mode().flip(field::kSecondaryProcessorBasedControls, bit(5)),
		field::kVirtualProcessorId, 1);
	CONTROL("27.2.1.1", state, field::kSecondaryProcessorBasedControls, secondary::kEpt);
}

TEST_F(EntryCheck, FindsTheEptPointer)
{
	State state = long_mode();
	CONTROL("27.2.1.1", state, field::kEptPointer, 6 ^ 0);
	CONTROL("27.2.1.1", state, field::kEptPointer, 6 ^ 1);
	CONTROL("27.2.1.1", state, field::kEptPointer, (3 ^ 2) << 3);
	CONTROL("27.2.1.1", state, field::kEptPointer, (3 ^ 4) << 3);
	CONTROL("27.2.1.1", state, field::kEptPointer, bit(6));
	CONTROL("27.2.1.1", state, field::kEptPointer, bit(7));
	CONTROL("27.2.1.1", state, field::kEptPointer, bit(11));
	CONTROL("27.2.1.1", state, field::kEptPointer, kNotPhysical);
	// A processor that supports all of them.
	facts_.ept_vpid |= bit(7) | bit(8) | bit(21) | bit(23);
	NOTHING_IN(long_mode().flip(field::kEptPointer, 6 ^ 0));
	NOTHING_IN(long_mode().flip(field::kEptPointer, (3 ^ 4) << 3));
	NOTHING_IN(long_mode().flip(field::kEptPointer, bit(6)));
	NOTHING_IN(long_mode().flip(field::kEptPointer, bit(7)));
}

TEST_F(EntryCheck, FindsMsrAreas)
{
	struct {
		const char* section;
		AnyField count, address;
	} const areas[] = {
		{"27.2.1.2", field::kVmExitMsrStoreCount, field::kVmExitMsrStoreAddress},
		{"27.2.1.2", field::kVmExitMsrLoadCount, field::kVmExitMsrLoadAddress},
		{"27.2.1.3", field::kVmEntryMsrLoadCount, field::kVmEntryMsrLoadAddress},
	};
	for (const auto& area : areas) {
		CONTROL(area.section, long_mode().set(area.count, 1), area.address, 8);
		CONTROL(area.section, long_mode().set(area.count, 1), area.address, kNotPhysical);
		CONTROL(area.section, long_mode().set(area.count, 2), area.address, kNotPhysical - 16);
		// Its end is at address 15.
		CONTROL(area.section, long_mode().set(area.count, 2), area.address, ~u64{15});
		NOTHING_IN(long_mode().set(area.count, 1).set(area.address, kNotPhysical - 16));
		NOTHING_IN(long_mode().set(area.address, 8));
	}
}

TEST_F(EntryCheck, FindsExitAndEntryControls)
{
	CONTROL("27.2.1.2", long_mode(), field::kVmExitControls, bit(22));
	NOTHING_IN(long_mode().flip(field::kVmExitControls, bit(22)).flip(field::kPinBasedControls, bit(6)));
	CONTROL("27.2.1.3", long_mode(), field::kVmEntryControls, bit(10));
	CONTROL("27.2.1.3", long_mode(), field::kVmEntryControls, bit(11));
}

TEST_F(EntryCheck, FindsInjectedEvents)
{
	using enum InterruptionType;
	AnyField information = field::kVmEntryInterruptionInformation;
	State state = long_mode();
	NOTHING_IN(injecting(state, kHardwareException, vector::kInvalidOpcode));
	NOTHING_IN(injecting(state, kHardwareException, vector::kGeneralProtection,
			     InterruptionInformation::kErrorCodeValid));
	NOTHING_IN(injecting(real_mode(), kHardwareException, vector::kGeneralProtection));
	NOTHING_IN(injecting(state, InterruptionType::kNmi, 2));
	// Not valid, so not checked.
	NOTHING_IN(State(state).set(information, 0x7fffffff));

	CONTROL("27.2.1.3", injecting(state, InterruptionType::kReserved, 0), information, 0);
	CONTROL("27.2.1.3", injecting(state, kOtherEvent, 1), information, 0);
	CONTROL("27.2.1.3", injecting(state, InterruptionType::kNmi, 3), information, 0);
	CONTROL("27.2.1.3", injecting(state, kHardwareException, 32), information, 0);
	CONTROL("27.2.1.3", injecting(state, kHardwareException, 6, bit(12)), information, 0);
	CONTROL("27.2.1.3", injecting(state, kHardwareException, 6, bit(30)), information, 0);
	for (u32 number : {8, 10, 11, 12, 13, 14, 17})
		CONTROL("27.2.1.3", injecting(state, kHardwareException, number), information, 0);
	for (u32 number : {0, 1, 3, 6, 7, 9, 15, 16, 18, 19, 20})
		CONTROL("27.2.1.3",
			injecting(state, kHardwareException, number, InterruptionInformation::kErrorCodeValid),
			information, 0);
	CONTROL("27.2.1.3", injecting(real_mode(), kHardwareException, 13, InterruptionInformation::kErrorCodeValid),
		information, 0);
	CONTROL("27.2.1.3", injecting(state, kExternalInterrupt, 13, InterruptionInformation::kErrorCodeValid),
		information, 0);
	CONTROL("27.2.1.3", injecting(state, kHardwareException, 13, InterruptionInformation::kErrorCodeValid),
		field::kVmEntryExceptionErrorCode, bit(16));
	for (InterruptionType type : {kSoftwareInterrupt, kPrivilegedSoftwareException, kSoftwareException}) {
		CONTROL("27.2.1.3", injecting(state, type, 3), field::kVmEntryInstructionLength, 0);
		CONTROL("27.2.1.3", injecting(state, type, 3), field::kVmEntryInstructionLength, 16);
		NOTHING_IN(injecting(state, type, 3).set(field::kVmEntryInstructionLength, 15));
	}
}

TEST_F(EntryCheck, FollowsWhatTheProcessorAllowsForEvents)
{
	using enum InterruptionType;
	State state = long_mode();
	AnyField information = field::kVmEntryInterruptionInformation;
	facts_.misc |= bit(30);
	NOTHING_IN(injecting(state, kSoftwareInterrupt, 3));
	facts_.basic |= bit(56);
	NOTHING_IN(injecting(state, kHardwareException, 13));
	NOTHING_IN(injecting(state, kHardwareException, 6, InterruptionInformation::kErrorCodeValid));
	CONTROL("27.2.1.3", injecting(state, kExternalInterrupt, 32, InterruptionInformation::kErrorCodeValid),
		information, 0);
	NOTHING_IN(injecting(state, kOtherEvent, 0));
	facts_.primary.may_be_1 &= ~(1u << 27);
	CONTROL("27.2.1.3", injecting(state, kOtherEvent, 0), information, 0);
}

TEST_F(EntryCheck, FindsHostState)
{
	State state = long_mode();
	HOST("27.2.4", state, field::kVmExitControls, exit_control::kHostAddressSpaceSize);
	HOST("27.2.4", state, field::kHostCr4, cr4::kPae);
	HOST("27.2.4", state, field::kHostRip, kNotCanonical);
	for (u64 needed : {cr0::kPe, cr0::kNe, cr0::kPg})
		HOST("27.2.2", state, field::kHostCr0, needed);
	HOST("27.2.2", state, field::kHostCr0, bit(32));
	HOST("27.2.2", state, field::kHostCr4, cr4::kVmxe);
	HOST("27.2.2", state, field::kHostCr4, bit(32));
	HOST("27.2.2", long_mode().flip(field::kHostCr4, bit(23)), field::kHostCr0, cr0::kWp);
	NOTHING_IN(long_mode().flip(field::kHostCr4, bit(23)));
	HOST("27.2.2", state, field::kHostCr3, kNotPhysical);
	HOST("27.2.2", state, field::kHostIa32SysenterEsp, kNotCanonical);
	HOST("27.2.2", state, field::kHostIa32SysenterEip, kNotCanonical);
	HOST("27.2.2", state, field::kHostIa32Efer, bit(1));
	HOST("27.2.2", state, field::kHostIa32Efer, efer::kLma);
	HOST("27.2.2", state, field::kHostIa32Efer, efer::kLme);
	for (AnyField selector :
	     {AnyField(field::kHostCsSelector), AnyField(field::kHostSsSelector), AnyField(field::kHostDsSelector),
	      AnyField(field::kHostEsSelector), AnyField(field::kHostFsSelector), AnyField(field::kHostGsSelector),
	      AnyField(field::kHostTrSelector)}) {
		for (u64 bits : {1, 2, 4})
			HOST("27.2.3", state, selector, bits);
	}
	HOST("27.2.3", state, field::kHostCsSelector, state.at(field::kHostCsSelector));
	HOST("27.2.3", state, field::kHostTrSelector, state.at(field::kHostTrSelector));
	for (AnyField base : {AnyField(field::kHostFsBase), AnyField(field::kHostGsBase), AnyField(field::kHostTrBase),
			      AnyField(field::kHostGdtrBase), AnyField(field::kHostIdtrBase)})
		HOST("27.2.3", state, base, kNotCanonical);
}

TEST_F(EntryCheck, FindsEachByteOfPat)
{
	State state = long_mode();
	for (u32 at = 0; at < 64; at += 8) {
		for (u64 type : {2, 3, 8, 0x80}) {
			u64 now = state.at(field::kHostIa32Pat) >> at & 0xff;
			HOST("27.2.2", state, field::kHostIa32Pat, (now ^ type) << at);
			GUEST("27.3.1.1", state, field::kGuestIa32Pat, (now ^ type) << at);
		}
	}
	// Not loaded, so not checked.
	NOTHING_IN(long_mode().flip(field::kVmExitControls, exit_control::kLoadPat).set(field::kHostIa32Pat, 2));
	NOTHING_IN(long_mode().flip(field::kVmEntryControls, entry_control::kLoadPat).set(field::kGuestIa32Pat, 2));
	NOTHING_IN(long_mode().flip(field::kVmExitControls, exit_control::kLoadEfer).set(field::kHostIa32Efer, 2));
	NOTHING_IN(long_mode().flip(field::kVmEntryControls, entry_control::kLoadEfer).set(field::kGuestIa32Efer, 2));
}

TEST_F(EntryCheck, FindsGuestControlRegisters)
{
	GUEST("27.3.1.1", long_mode(), field::kGuestCr0, cr0::kNe);
	GUEST("27.3.1.1", long_mode(), field::kGuestCr0, bit(32));
	NOTHING_IN(long_mode().flip(field::kGuestCr0, cr0::kNw | cr0::kCd));
	GUEST("27.3.1.1", pae(), field::kGuestCr0, cr0::kPe);
	GUEST("27.3.1.1", restricted(pae()), field::kGuestCr0, cr0::kPg);
	GUEST("27.3.1.1", long_mode(), field::kGuestCr4, cr4::kVmxe);
	GUEST("27.3.1.1", long_mode(), field::kGuestCr4, bit(32));
	GUEST("27.3.1.1", long_mode().flip(field::kGuestCr4, bit(23)), field::kGuestCr0, cr0::kWp);
	GUEST("27.3.1.1", long_mode(), field::kGuestCr0, cr0::kPg);
	GUEST("27.3.1.1", long_mode(), field::kGuestCr4, cr4::kPae);
	GUEST("27.3.1.1", pae(), field::kGuestCr4, cr4::kPcide);
	NOTHING_IN(long_mode().flip(field::kGuestCr4, cr4::kPcide));
	GUEST("27.3.1.1", long_mode(), field::kGuestCr3, kNotPhysical);
}

TEST_F(EntryCheck, FindsGuestDebugRegistersAndMsrs)
{
	State state = long_mode();
	for (u32 reserved : {2, 3, 4, 5, 15, 16, 63})
		GUEST("27.3.1.1", state, field::kGuestIa32Debugctl, bit(reserved));
	GUEST("27.3.1.1", state, field::kGuestDr7, bit(32));
	State not_loaded = long_mode().flip(field::kVmEntryControls, entry_control::kLoadDebugControls);
	facts_.vm_entry.must_be_1 &= ~entry_control::kLoadDebugControls;
	NOTHING_IN(State(not_loaded).set(field::kGuestDr7, bit(32)).set(field::kGuestIa32Debugctl, bit(16)));
	facts_.rtm = facts_.bus_lock_detection = true;
	NOTHING_IN(State(state).set(field::kGuestIa32Debugctl, bit(2) | bit(15)));
	GUEST("27.3.1.1", state, field::kGuestIa32SysenterEsp, kNotCanonical);
	GUEST("27.3.1.1", state, field::kGuestIa32SysenterEip, kNotCanonical);
	GUEST("27.3.1.1", state, field::kGuestIa32Efer, bit(1));
	GUEST("27.3.1.1", state, field::kGuestIa32Efer, efer::kLma);
	GUEST("27.3.1.1", protected_mode(), field::kGuestIa32Efer, efer::kLma);
	GUEST("27.3.1.1", state, field::kGuestIa32Efer, efer::kLme);
	GUEST("27.3.1.1", pae(), field::kGuestIa32Efer, efer::kLme);
	NOTHING_IN(protected_mode().flip(field::kGuestIa32Efer, efer::kLme));
}

TEST_F(EntryCheck, FindsSelectorsAndBases)
{
	State state = long_mode();
	GUEST("27.3.1.2", state, field::kGuestTrSelector, 4);
	GUEST("27.3.1.2", with_ldtr(), field::kGuestLdtrSelector, 4);
	NOTHING_IN(long_mode().flip(field::kGuestLdtrSelector, 4));
	GUEST("27.3.1.2", restricted(state), field::kGuestSsSelector, 3);
	GUEST("27.3.1.2", state, field::kGuestTrBase, kNotCanonical);
	GUEST("27.3.1.2", state, field::kGuestFsBase, kNotCanonical);
	GUEST("27.3.1.2", state, field::kGuestGsBase, kNotCanonical);
	GUEST("27.3.1.2", with_ldtr(), field::kGuestLdtrBase, kNotCanonical);
	NOTHING_IN(long_mode().flip(field::kGuestLdtrBase, kNotCanonical));
	GUEST("27.3.1.2", state, field::kGuestCsBase, bit(32));
	for (Segment which : {Segment::kSs, Segment::kDs, Segment::kEs}) {
		GUEST("27.3.1.2", state, segment(which).base, bit(63));
		State unusable = long_mode().flip(segment(which).access_rights, kUnusable);
		NOTHING_IN(unusable.flip(segment(which).base, bit(63)));
	}
}

TEST_F(EntryCheck, FindsVirtual8086Segments)
{
	for (Segment which : {Segment::kCs, Segment::kSs, Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs}) {
		GUEST("27.3.1.2", virtual_8086(), segment(which).base, 0x10);
		GUEST("27.3.1.2", virtual_8086(), segment(which).limit, 1);
		GUEST("27.3.1.2", virtual_8086(), segment(which).access_rights, 0x20);
	}
}

TEST_F(EntryCheck, FindsTheCodeSegment)
{
	AnyField rights = field::kGuestCsAccessRights;
	State state = long_mode();
	for (u64 type : {0, 1, 2, 4, 5, 6, 7, 8, 10, 12, 14})
		GUEST("27.3.1.2", state, rights, 11 ^ type);
	GUEST("27.3.1.2", restricted(pae()), rights, 11 ^ 3);
	NOTHING_IN(pae().flip(rights, 11 ^ 3));
	GUEST("27.3.1.2", pae().flip(rights, 11 ^ 3), rights, 0x20);
	GUEST("27.3.1.2", state, rights, 0x10);
	GUEST("27.3.1.2", state, rights, 0x20);
	GUEST("27.3.1.2", State(state).flip(rights, 4), rights, 0x20);
	GUEST("27.3.1.2", state, rights, 0x80);
	GUEST("27.3.1.2", state, rights, 0x800);
	GUEST("27.3.1.2", state, rights, bit(17));
	GUEST("27.3.1.2", state, rights, 0x4000);
	GUEST("27.3.1.2", state, rights, 0x8000);
	GUEST_NAMES("27.3.1.2", state, field::kGuestCsLimit, 1, rights);
}

TEST_F(EntryCheck, FindsTheStackSegment)
{
	AnyField rights = field::kGuestSsAccessRights;
	State state = long_mode();
	for (u64 type : {0, 1, 2, 4, 5, 6, 9, 11})
		GUEST("27.3.1.2", state, rights, 3 ^ type);
	NOTHING_IN(State(state).flip(rights, 4));
	// A conforming CS allows SS another DPL.
	State conforming = State(state).flip(field::kGuestCsAccessRights, 4);
	GUEST("27.3.1.2", restricted(conforming), rights, 0x20);
	NOTHING_IN(State(conforming).flip(rights, 0x20));
	GUEST("27.3.1.2", real_mode().set(field::kGuestCsAccessRights, 0x9f), rights, 0x20);
	GUEST("27.3.1.2", pae().flip(field::kGuestCsAccessRights, 11 ^ 3), rights, 0x60);
	GUEST("27.3.1.2", state, rights, 0x10);
	GUEST("27.3.1.2", state, rights, 0x80);
	GUEST("27.3.1.2", state, rights, 0x100);
	GUEST("27.3.1.2", state, rights, 0x8000);
	GUEST_NAMES("27.3.1.2", state, field::kGuestSsLimit, 0x800, rights);
	NOTHING_IN(State(state).set(rights, kUnusable));
}

TEST_F(EntryCheck, FindsDataSegments)
{
	State state = long_mode();
	for (Segment which : {Segment::kDs, Segment::kEs, Segment::kFs, Segment::kGs}) {
		AnyField rights = segment(which).access_rights;
		GUEST("27.3.1.2", state, rights, 1);
		GUEST("27.3.1.2", state, rights, 3 ^ 9);
		NOTHING_IN(State(state).flip(rights, 3 ^ 11));
		GUEST("27.3.1.2", state, rights, 0x10);
		GUEST_NAMES("27.3.1.2", restricted(state), segment(which).selector, 3, rights);
		NOTHING_IN(State(state).flip(segment(which).selector, 3));
		// Conforming code has no such rule.
		NOTHING_IN(restricted(state).flip(rights, 3 ^ 15).flip(segment(which).selector, 3));
		GUEST("27.3.1.2", state, rights, 0x80);
		GUEST("27.3.1.2", state, rights, 0x200);
		GUEST("27.3.1.2", state, rights, 0x8000);
		GUEST_NAMES("27.3.1.2", state, segment(which).limit, 1, rights);
		NOTHING_IN(State(state).set(rights, kUnusable));
	}
}

TEST_F(EntryCheck, FindsTaskRegister)
{
	AnyField rights = field::kGuestTrAccessRights;
	State state = long_mode();
	for (u64 type : {0, 1, 2, 3, 9, 10, 15})
		GUEST("27.3.1.2", state, rights, 11 ^ type);
	NOTHING_IN(pae().flip(rights, 11 ^ 3));
	GUEST("27.3.1.2", pae(), rights, 2);
	GUEST("27.3.1.2", state, rights, 0x10);
	GUEST("27.3.1.2", state, rights, 0x80);
	GUEST("27.3.1.2", state, rights, 0x400);
	GUEST("27.3.1.2", state, rights, kUnusable);
	GUEST("27.3.1.2", state, rights, 0x8000);
	GUEST_NAMES("27.3.1.2", state, field::kGuestTrLimit, bit(20), rights);
}

TEST_F(EntryCheck, FindsLocalDescriptorTable)
{
	AnyField rights = field::kGuestLdtrAccessRights;
	for (u64 type : {0, 1, 3, 10})
		GUEST("27.3.1.2", with_ldtr(), rights, 2 ^ type);
	GUEST("27.3.1.2", with_ldtr(), rights, 0x10);
	GUEST("27.3.1.2", with_ldtr(), rights, 0x80);
	GUEST("27.3.1.2", with_ldtr(), rights, 0x100);
	GUEST("27.3.1.2", with_ldtr(), rights, 0x8000);
	GUEST_NAMES("27.3.1.2", with_ldtr(), field::kGuestLdtrLimit, bit(20), rights);
}

TEST_F(EntryCheck, FindsDescriptorTables)
{
	GUEST("27.3.1.3", long_mode(), field::kGuestGdtrBase, kNotCanonical);
	GUEST("27.3.1.3", long_mode(), field::kGuestIdtrBase, kNotCanonical);
	GUEST("27.3.1.3", long_mode(), field::kGuestGdtrLimit, bit(16));
	GUEST("27.3.1.3", long_mode(), field::kGuestIdtrLimit, bit(31));
}

TEST_F(EntryCheck, FindsRipAndRflags)
{
	GUEST("27.3.1.4", long_mode(), field::kGuestRip, bit(60));
	GUEST("27.3.1.4", long_mode(), field::kGuestRip, bit(48));
	// Not canonical, but bits 63:48 are identical.
	NOTHING_IN(long_mode().flip(field::kGuestRip, bit(47)));
	NOTHING_IN(long_mode().flip(field::kGuestRip, bit(32)));
	GUEST("27.3.1.4", pae(), field::kGuestRip, bit(32));
	GUEST("27.3.1.4", long_mode().set(field::kGuestCsAccessRights, 0xc09b), field::kGuestRip, bit(32));
	for (u32 reserved : {3, 5, 15, 22, 63})
		GUEST("27.3.1.4", long_mode(), field::kGuestRflags, bit(reserved));
	GUEST("27.3.1.4", long_mode(), field::kGuestRflags, rflags::kFixed);
	GUEST("27.3.1.4", long_mode(), field::kGuestRflags, rflags::kVm);
	GUEST("27.3.1.4", real_mode(), field::kGuestRflags, rflags::kVm);
	GUEST("27.3.1.4", injecting(long_mode(), InterruptionType::kExternalInterrupt, 0x20), field::kGuestRflags,
	      rflags::kIf);
	NOTHING_IN(injecting(long_mode(), InterruptionType::kNmi, 2).flip(field::kGuestRflags, rflags::kIf));
}

TEST_F(EntryCheck, FindsActivityState)
{
	using enum InterruptionType;
	AnyField activity = field::kGuestActivityState;
	for (u64 state : {1, 2, 3})
		NOTHING_IN(long_mode().set(activity, state));
	GUEST("27.3.1.5", long_mode(), activity, 4);
	GUEST("27.3.1.5", long_mode().flip(field::kGuestInterruptibilityState, 1), activity, 2);
	GUEST("27.3.1.5", long_mode().flip(field::kGuestInterruptibilityState, 2), activity, 2);
	GUEST("27.3.1.5", long_mode().flip(field::kGuestCsAccessRights, 0x60).flip(field::kGuestSsAccessRights, 0x60),
	      activity, 1);

	NOTHING_IN(injecting(long_mode(), kExternalInterrupt, 0x20).set(activity, 1));
	NOTHING_IN(injecting(long_mode(), kHardwareException, vector::kDebug).set(activity, 1));
	NOTHING_IN(injecting(long_mode(), kOtherEvent, 0).set(activity, 1));
	NOTHING_IN(injecting(long_mode(), InterruptionType::kNmi, 2).set(activity, 1));
	NOTHING_IN(injecting(long_mode(), InterruptionType::kNmi, 2).set(activity, 2));
	NOTHING_IN(injecting(long_mode(), kHardwareException, vector::kMachineCheck).set(activity, 1));
	NOTHING_IN(injecting(long_mode(), kHardwareException, vector::kMachineCheck).set(activity, 2));
	GUEST("27.3.1.5", injecting(long_mode(), kHardwareException, vector::kInvalidOpcode), activity, 1);
	GUEST("27.3.1.5", injecting(long_mode(), kExternalInterrupt, 0x20), activity, 2);
	GUEST("27.3.1.5", injecting(long_mode(), kHardwareException, vector::kDebug), activity, 2);
	GUEST("27.3.1.5", injecting(long_mode(), InterruptionType::kNmi, 2), activity, 3);
	facts_.misc &= ~(bit(6) | bit(7) | bit(8));
	for (u64 state : {1, 2, 3})
		GUEST("27.3.1.5", long_mode(), activity, state);
}

TEST_F(EntryCheck, FindsInterruptibility)
{
	AnyField interruptibility = field::kGuestInterruptibilityState;
	GUEST("27.3.1.5", long_mode(), interruptibility, bit(5));
	GUEST("27.3.1.5", long_mode(), interruptibility, 3);
	GUEST("27.3.1.5", long_mode().flip(field::kGuestRflags, rflags::kIf), interruptibility, 1);
	for (u64 shadow : {1, 2}) {
		NOTHING_IN(long_mode().set(interruptibility, shadow));
		GUEST("27.3.1.5", injecting(long_mode(), InterruptionType::kExternalInterrupt, 0x20), interruptibility,
		      shadow);
	}
	GUEST("27.3.1.5", injecting(long_mode(), InterruptionType::kNmi, 2), interruptibility, 2);
	GUEST("27.3.1.5", injecting(long_mode(), InterruptionType::kNmi, 2), interruptibility, 8);
	NOTHING_IN(injecting(long_mode(), InterruptionType::kNmi, 2)
			   .flip(field::kPinBasedControls, pin::kVirtualNmis)
			   .set(interruptibility, 8));
	NOTHING_IN(long_mode().set(interruptibility, 8));
	GUEST("27.3.1.5", long_mode(), interruptibility, 4);
	GUEST("27.3.1.5", long_mode(), interruptibility, 0x12);
}

TEST_F(EntryCheck, FindsPendingDebugExceptions)
{
	AnyField pending = field::kGuestPendingDebugExceptions;
	for (u32 reserved : {4, 11, 13, 15, 16, 17, 63})
		GUEST("27.3.1.5", long_mode(), pending, bit(reserved));
	NOTHING_IN(long_mode().set(pending, 0xf | bit(12) | bit(14)));
	State stepping = long_mode().flip(field::kGuestRflags, rflags::kTf).set(pending, bit(14));
	for (u64 shadow : {1, 2}) {
		GUEST("27.3.1.5", long_mode().set(field::kGuestInterruptibilityState, shadow), pending, bit(14));
		GUEST("27.3.1.5", State(stepping).set(field::kGuestInterruptibilityState, shadow), pending, bit(14));
		NOTHING_IN(State(stepping).set(field::kGuestInterruptibilityState, shadow));
		// BTF: single steps only on branches.
		GUEST("27.3.1.5",
		      State(stepping)
			      .set(field::kGuestInterruptibilityState, shadow)
			      .set(pending, 0)
			      .set(field::kGuestIa32Debugctl, 2),
		      pending, bit(14));
	}
	GUEST("27.3.1.5", long_mode().set(field::kGuestActivityState, 1), pending, bit(14));
	facts_.rtm = facts_.bus_lock_detection = true;
	NOTHING_IN(long_mode().set(pending, bit(11) | bit(16)));
}

TEST_F(EntryCheck, FindsLinkPointer) { GUEST("27.3.1.5", long_mode(), field::kVmcsLinkPointer, 1); }

TEST_F(EntryCheck, FindsPdptes)
{
	for (AnyField entry :
	     {AnyField(field::kGuestPdpte0), AnyField(field::kGuestPdpte1), AnyField(field::kGuestPdpte2)}) {
		for (u32 reserved : {1, 2, 5, 6, 7, 8, 46, 63})
			GUEST("27.3.1.6", pae(), entry, bit(reserved));
	}
	GUEST("27.3.1.6", pae(), field::kGuestPdpte3, 3);
	// Not present, or no PAE paging: any value.
	NOTHING_IN(pae().flip(field::kGuestPdpte3, 2));
	NOTHING_IN(long_mode().set(field::kGuestPdpte0, 3));
	NOTHING_IN(protected_mode().set(field::kGuestPdpte0, 3));
	NOTHING_IN(pae().flip(field::kGuestCr4, cr4::kPae).set(field::kGuestPdpte0, 3));
}

// If several fields are wrong, the qualification says which of them VM-entry found.
TEST_F(EntryCheck, FollowsTheQualification)
{
	State all_wrong = pae();
	all_wrong.set(field::kGuestRflags, 0)
		.set(field::kVmcsLinkPointer, 0)
		.set(field::kGuestPdpte0, 3)
		.set(field::kGuestInterruptibilityState, 2);
	all_wrong = injecting(all_wrong, InterruptionType::kNmi, 2);
	GUEST("27.3.1.4", all_wrong, field::kGuestRflags, 0, 0);
	GUEST("27.3.1.6", all_wrong, field::kGuestPdpte0, 0, 2);
	GUEST("27.3.1.5", all_wrong, field::kGuestInterruptibilityState, 0, 3);
	GUEST("27.3.1.5", all_wrong, field::kVmcsLinkPointer, 0, 4);
	// It names a check that finds nothing here, or no check.
	for (u64 qualification : {1, 2, 3, 4, 99})
		GUEST("27.3.1.4", long_mode(), field::kGuestRflags, rflags::kFixed, qualification);
}

TEST_F(EntryCheck, TellsWhatTheFieldMustBe)
{
	State state = long_mode().set(field::kGuestCsAccessRights, 0xa0fb);
	EntryFinding finding = find_invalid_guest_state(state, facts_, 0);
	EXPECT_STREQ("guest SS access rights", finding.operand_name);
	EXPECT_EQ(0xc093u, finding.operand);
	finding = find_invalid_guest_state(virtual_8086().set(field::kGuestDsBase, 0), facts_, 0);
	EXPECT_STREQ("must be", finding.operand_name);
	EXPECT_EQ(0x12340u, finding.operand);
	finding = find_invalid_control(long_mode().set(field::kCr3TargetCount, 9), facts_);
	EXPECT_STREQ("at most", finding.operand_name);
	EXPECT_EQ(4u, finding.operand);
	finding = find_invalid_control(long_mode().set(field::kPinBasedControls, 0), facts_);
	EXPECT_STREQ("mask", finding.operand_name);
	EXPECT_EQ(0x16u, finding.operand);
}

// The words of a name without separators.
std::string letters(const std::string& text)
{
	std::string kept;
	for (char c : text) {
		if (isalnum(static_cast<unsigned char>(c)))
			kept += static_cast<char>(tolower(static_cast<unsigned char>(c)));
	}
	return kept;
}

TEST(FieldName, EachFieldOfGuestAndHostHasItsOwn)
{
	for (const auto& sdm : kSdmFields) {
		if (sdm.kind == vregcache::FieldKind::kGuestState || sdm.kind == vregcache::FieldKind::kHostState) {
			EXPECT_EQ(letters(sdm.name).substr(1), letters(field_name(sdm.encoding)));
		}
	}
}

TEST(FieldName, NoTwoFieldsShareOne)
{
	std::set<std::string> names = {field_name(0x7ffe)};
	for (const auto& sdm : kSdmFields) {
		if (sdm.kind != vregcache::FieldKind::kExitInformation) {
			EXPECT_TRUE(names.insert(field_name(sdm.encoding)).second) << field_name(sdm.encoding);
		}
	}
}

TEST(VmInstructionError, EachNumberOfTheSdmHasItsOwnWords)
{
	std::set<std::string> texts = {vm_instruction_error_text(0)};
	for (u32 number = 1; number <= 28; number++) {
		if (number == 14 || number == 21 || number == 27) {
			EXPECT_STREQ(vm_instruction_error_text(0), vm_instruction_error_text(number));
		} else {
			EXPECT_TRUE(texts.insert(vm_instruction_error_text(number)).second) << number;
		}
	}
	EXPECT_STREQ(vm_instruction_error_text(0), vm_instruction_error_text(29));
}

}  // namespace
