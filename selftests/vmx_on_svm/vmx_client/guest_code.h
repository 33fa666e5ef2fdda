// SPDX-License-Identifier: GPL-2.0
// The guests' code, in guest.S.
#ifndef VMX_CLIENT_GUEST_CODE_H
#define VMX_CLIENT_GUEST_CODE_H

extern "C" {
// clang-format off
#define GUEST(name) extern const char vc_guest_##name[]
GUEST(cpuid); GUEST(hlt); GUEST(invd); GUEST(wbinvd); GUEST(invlpg); GUEST(invlpg_gs); GUEST(rdpmc); GUEST(rdtsc);
GUEST(rdtscp); GUEST(pause); GUEST(monitor); GUEST(mwait); GUEST(xsetbv); GUEST(vmcall); GUEST(vmclear); GUEST(vmptrld);
GUEST(vmptrst); GUEST(vmread_register); GUEST(vmread_memory); GUEST(vmwrite); GUEST(vmlaunch); GUEST(vmresume);
GUEST(vmxoff); GUEST(vmxon); GUEST(invept); GUEST(invvpid); GUEST(mov_to_cr0); GUEST(mov_from_cr0); GUEST(mov_to_cr3);
GUEST(mov_from_cr3); GUEST(mov_to_cr4); GUEST(mov_from_cr4); GUEST(mov_to_cr8); GUEST(mov_from_cr8); GUEST(clts);
GUEST(lmsw_register); GUEST(lmsw_memory); GUEST(smsw); GUEST(mov_to_dr); GUEST(mov_from_dr); GUEST(out_dx);
GUEST(in_immediate); GUEST(out_immediate); GUEST(rep_outsb); GUEST(outsl_gs); GUEST(rep_insw); GUEST(rdmsr);
GUEST(wrmsr);
GUEST(ud2); GUEST(int3); GUEST(int_n); GUEST(icebp); GUEST(gp); GUEST(div); GUEST(store); GUEST(load); GUEST(nops);
GUEST(sti_nops); GUEST(spin); GUEST(store_and_spin); GUEST(iretq); GUEST(after_iretq); GUEST(handlers);
GUEST(real_mode); GUEST(real_mode_end); GUEST(protected_mode); GUEST(protected_mode_end); GUEST(long_mode);
GUEST(long_mode_end); GUEST(sti_cpuid); GUEST(mov_ss_cpuid); GUEST(mov_ss_nops); GUEST(cpuid_nop); GUEST(pushf);
GUEST(popf); GUEST(rep_stosb); GUEST(syscall); GUEST(sysret); GUEST(hlt_nops); GUEST(sti_hlt); GUEST(pae); GUEST(pae_end); GUEST(events); GUEST(events_end);
// clang-format on
}

#endif
