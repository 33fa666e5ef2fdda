// SPDX-License-Identifier: GPL-2.0
// Meanings of the VM-instruction error numbers (SDM Vol. 3C, 31.4).
#pragma once

#include "vmx/types.h"

namespace {

namespace vm_instruction_error {
constexpr u32 kInvalidControl = 7, kInvalidHostState = 8;
}

constexpr const char* vm_instruction_error_text(u32 number)
{
	switch (number) {
	case 1:
		return "VMCALL was executed in VMX root operation";
	case 2:
		return "VMCLEAR was given an impossible physical address";
	case 3:
		return "VMCLEAR was given the VMXON region";
	case 4:
		return "VMLAUNCH found a VMCS that is launched already";
	case 5:
		return "VMRESUME found a VMCS that is not launched";
	case 6:
		return "VMRESUME came after a VMXOFF and VMXON";
	case vm_instruction_error::kInvalidControl:
		return "a control field is invalid";
	case vm_instruction_error::kInvalidHostState:
		return "a host-state field is invalid";
	case 9:
		return "VMPTRLD was given an impossible physical address";
	case 10:
		return "VMPTRLD was given the VMXON region";
	case 11:
		return "VMPTRLD found another VMCS revision than the processor's";
	case 12:
		return "VMREAD or VMWRITE named a field that the processor does not have";
	case 13:
		return "VMWRITE named a read-only field";
	case 15:
		return "VMXON was executed in VMX root operation";
	case 16:
		return "the executive-VMCS pointer is invalid";
	case 17:
		return "the executive VMCS is not launched";
	case 18:
		return "the executive-VMCS pointer is not the VMXON pointer, which ending dual-monitor treatment needs";
	case 19:
		return "VMCALL for dual-monitor treatment found a VMCS that is not clear";
	case 20:
		return "VMCALL found invalid VM-exit controls";
	case 22:
		return "VMCALL found another MSEG revision than the processor's";
	case 23:
		return "VMXOFF is not allowed under dual-monitor treatment";
	case 24:
		return "VMCALL found features of the SMM monitor that the processor does not have";
	case 25:
		return "a VM-execution control of the executive VMCS is invalid";
	case 26:
		return "events are blocked by MOV SS";
	case 28:
		return "INVEPT or INVVPID was given an invalid operand";
	default:
		return "a number that the SDM does not list";
	}
}

}  // namespace
