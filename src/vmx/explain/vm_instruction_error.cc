// SPDX-License-Identifier: GPL-2.0
// Meanings of the VM-instruction error numbers (SDM Vol. 3C, 31.4).
#include "vmx/explain/vm_instruction_error.h"

namespace {

inline const char* vm_instruction_error_text(u32 number)
{
	switch (number) {
	case 1:
		return "VMCALL was executed in VMX root operation";
	case 2:
		return "VMCLEAR was given an invalid physical address";
	case 3:
		return "VMCLEAR was given the VMXON region";
	case 4:
		return "VMLAUNCH was executed with a launched VMCS";
	case 5:
		return "VMRESUME was executed with a VMCS that is not launched";
	case 6:
		return "VMRESUME was executed after VMXOFF and VMXON";
	case vm_instruction_error::kInvalidControl:
		return "a control field is invalid";
	case vm_instruction_error::kInvalidHostState:
		return "a host-state field is invalid";
	case 9:
		return "VMPTRLD was given an invalid physical address";
	case 10:
		return "VMPTRLD was given the VMXON region";
	case 11:
		return "VMPTRLD was given a VMCS with the wrong revision identifier";
	case 12:
		return "VMREAD or VMWRITE was given an unsupported field";
	case 13:
		return "VMWRITE was given a read-only field";
	case 15:
		return "VMXON was executed in VMX root operation";
	case 16:
		return "the executive-VMCS pointer is invalid";
	case 17:
		return "the executive VMCS is not launched";
	case 18:
		return "the executive-VMCS pointer is not the VMXON pointer, as ending dual-monitor treatment requires";
	case 19:
		return "VMCALL was executed with a VMCS that is not clear";
	case 20:
		return "VMCALL was executed with invalid VM-exit controls";
	case 22:
		return "VMCALL found the wrong MSEG revision identifier";
	case 23:
		return "VMXOFF is not allowed under dual-monitor treatment";
	case 24:
		return "VMCALL found unsupported SMM-monitor features";
	case 25:
		return "a VM-execution control of the executive VMCS is invalid";
	case 26:
		return "events are blocked by MOV SS";
	case 28:
		return "INVEPT or INVVPID was given an invalid operand";
	default:
		return "unknown error";
	}
}

}  // namespace
