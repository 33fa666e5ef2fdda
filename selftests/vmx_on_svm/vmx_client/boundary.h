/* SPDX-License-Identifier: GPL-2.0 */
/* What crosses between the C glue, the tests in C++ and the guest code in assembly. */
#ifndef VMX_CLIENT_BOUNDARY_H
#define VMX_CLIENT_BOUNDARY_H

#ifdef __cplusplus
extern "C" {
#endif

/* Guest general-purpose registers, in the order of their numbers; rsp holds the host's RFLAGS after VM-exit. */
struct vc_registers {
	unsigned long rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

/* How a VMX instruction ended: 0, or one of these, or the vector of the exception it raised. */
enum vc_outcome {
	VC_SUCCEED = 0,
	VC_FAIL_INVALID = 1,
	VC_FAIL_VALID = 2,
	VC_UD = 6,
	VC_GP = 13,
	VC_PF = 14,
};

/* guest.S: VMLAUNCH or VMRESUME; returns after the VM-exit with an outcome of the instruction. */
int vc_enter(struct vc_registers *registers, int resume);
/* guest.S: VMLAUNCH with blocking by MOV SS. */
int vc_launch_after_mov_ss(void);
/* guest.S: VMREAD and VMWRITE with memory operands. */
void vc_vmwrite_sib(unsigned long field, const unsigned long *base, unsigned long index);
unsigned long vc_vmread_stack(unsigned long field);
unsigned long vc_vmread_rip_relative(unsigned long field);
/* guest.S: the arithmetic flags after VMREAD, which were set before. */
unsigned long vc_vmread_flags(unsigned long field);
/* guest.S: calls an interrupt handler as the CPU would. */
void vc_call_interrupt_handler(unsigned long handler);
void vc_call_nmi_handler(void);

/* glue.c */
int vc_vmxon(unsigned long address);
int vc_vmxoff(void);
int vc_vmclear(unsigned long address);
int vc_vmptrld(unsigned long address);
int vc_vmptrst(unsigned long *pointer);
int vc_vmwrite(unsigned long field, unsigned long value);
int vc_vmread(unsigned long field, unsigned long *value);
int vc_vmread_memory(unsigned long field, unsigned long *pointer);
int vc_vmcall(void);
int vc_invept(unsigned long type, const void *descriptor);
int vc_invvpid(unsigned long type, const void *descriptor);
int vc_rdmsr(unsigned int msr, unsigned long *value);
int vc_wrmsr(unsigned int msr, unsigned long value);
void vc_set_cr4_vmxe(int on);
int vc_write_cr4(unsigned long value);
unsigned long vc_physical(const void *pointer);
unsigned long vc_local_apic(void);
unsigned int vc_cpu_count(void);
/* Runs the function on another CPU; 0 if there is none. */
int vc_on_other_cpu(void (*function)(void *), void *argument);
void vc_interrupts_on_and_off(void);
/* Results in KTAP, and the observations to be compared with the recorded ones. */
void vc_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vc_observe(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* tests.cc: called with preemption and interrupts disabled. */
unsigned long vc_context_bytes(void);
void vc_run_tests(void *context);

#ifdef __cplusplus
}
#endif

#endif
