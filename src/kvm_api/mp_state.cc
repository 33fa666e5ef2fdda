// SPDX-License-Identifier: GPL-2.0
// KVM_GET_MP_STATE and KVM_SET_MP_STATE.
#include "kvm_api/ioctls.h"

namespace {

inline long get_mp_state(Vcpu&, unsigned long argument)
{
	return copy_to_user(argument, kvm_mp_state{KVM_MP_STATE_RUNNABLE});
}

inline long set_mp_state(Vcpu&, unsigned long argument)
{
	kvm_mp_state state;
	if (int error = copy_from_user(state, argument))
		return error;
	return state.mp_state == KVM_MP_STATE_RUNNABLE ? 0 : -EINVAL;
}

}  // namespace
