// SPDX-License-Identifier: GPL-2.0
// All C++ of the module, unchanged, and the tokens that its own functions require.
#include <type_traits>

#include "privileged_instructions.h"

#include <module.cc>  // NOLINT(bugprone-suspicious-include)

namespace {

// True if the call compiles with this token.
template <class Token>
concept EntersGuest = requires(Vcpu& vcpu, Token& token) { enter_guest(vcpu, token); };
static_assert(EntersGuest<const PinnedVmcs> && !EntersGuest<const LoadedVmcs> && !EntersGuest<Vcpu>);

template <class Token>
concept PreparesEntry = requires(Vcpu& vcpu, Token& token) { prepare_entry(vcpu, token); };
static_assert(PreparesEntry<const PinnedVmcs> && !PreparesEntry<const LoadedVmcs>);

template <class Token>
concept Injects = requires(Vcpu& vcpu, Token& token) { vcpu.injected.inject(token, vcpu.controls, true); };
static_assert(Injects<const PinnedVmcs> && !Injects<const LoadedVmcs>);

// One VM-entry requires more than a token: the task's other work must have been checked, with interrupts off.
template <class Token>
concept Enters = requires(GuestRun& run, Token& token) { run.enter(token); };
static_assert(Enters<const PinnedVmcs> && !Enters<const LoadedVmcs> && !std::is_default_constructible_v<GuestRun>);

// A token cannot be made at will.
static_assert(!std::is_constructible_v<LoadedVmcs, RawVmx> && !std::is_default_constructible_v<VmcsKey>);

}  // namespace
