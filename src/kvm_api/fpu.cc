// SPDX-License-Identifier: GPL-2.0
// KVM_GET_FPU and KVM_SET_FPU.
#include "kvm_api/ioctls.h"
#include "vmx/capability.h"

namespace {

// The FXSAVE image (SDM Vol. 1, table 10-2) in KVM's order.
struct [[gnu::packed]] FxsaveImage {
	u16 fcw, fsw;
	u8 ftwx, reserved1;
	u16 last_opcode;
	u64 last_ip, last_dp;
	u32 mxcsr, mxcsr_mask;
	u8 fpr[8][16];
	u8 xmm[16][16];
	u8 reserved2[96];
};

static_assert(sizeof(FxsaveImage) == 512);

// The x87 part, between an image and KVM's structure, in either direction.
template <class To, class From>
void copy_x87(To& to, const From& from)
{
	__builtin_memcpy(to.fpr, from.fpr, sizeof(to.fpr));
	to.fcw = from.fcw;
	to.fsw = from.fsw;
	to.ftwx = from.ftwx;
	to.last_opcode = from.last_opcode;
	to.last_ip = from.last_ip;
	to.last_dp = from.last_dp;
}

inline long get_fpu(Vcpu& vcpu, unsigned long argument)
{
	const FxsaveImage& image = *static_cast<FxsaveImage*>(vrc_host_fpu_image(vcpu.host));
	// A component that is in its initial configuration is not in the image (SDM Vol. 1, 13.6).
	bool compacted;
	const u64 components = vrc_host_fpu_components(vcpu.host, &compacted);
	constexpr u16 kInitialControlWord = 0x37f;
	constexpr u32 kInitialMxcsr = 0x1f80;
	kvm_fpu fpu = {};
	fpu.fcw = kInitialControlWord;
	// In the standard format MXCSR is always in the image (SDM Vol. 1, 13.7).
	fpu.mxcsr = compacted && !(components & xcr0::kSse) ? kInitialMxcsr : image.mxcsr;
	if (components & xcr0::kX87)
		copy_x87(fpu, image);
	if (components & xcr0::kSse)
		__builtin_memcpy(fpu.xmm, image.xmm, sizeof(fpu.xmm));
	return copy_to_user(argument, fpu);
}

inline long set_fpu(Vcpu& vcpu, unsigned long argument)
{
	kvm_fpu fpu;
	if (int error = copy_from_user(fpu, argument))
		return error;
	FxsaveImage& image = *static_cast<FxsaveImage*>(vrc_host_fpu_image(vcpu.host));
	// A reserved bit of MXCSR would fault when the image is loaded.
	if (fpu.mxcsr & ~g_vmx.mxcsr_mask)
		return refuse(vcpu, "KVM_SET_FPU", "MXCSR has reserved bits set");
	copy_x87(image, fpu);
	__builtin_memcpy(image.xmm, fpu.xmm, sizeof(fpu.xmm));
	image.mxcsr = fpu.mxcsr;
	vrc_host_fpu_image_changed(vcpu.host);
	return 0;
}

}  // namespace
