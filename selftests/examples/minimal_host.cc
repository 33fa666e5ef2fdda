// SPDX-License-Identifier: GPL-2.0
// A minimal host of the library: an array in place of a VMCS, and the cycle of entries and exits.  A hypervisor replaces the
// three functions of Vmcs, and Key, whose constructor it keeps for the code that loads a VMCS.
#include <vregcache/cache.h>

#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

using vregcache::Reg;

struct Hardware {
	std::vector<std::uint64_t> field = std::vector<std::uint64_t>(0x8000);
	unsigned vmreads = 0;
	unsigned vmwrites = 0;
};

constexpr vregcache::VmcsId kVmcs{0x1000};

class Vmcs {
 public:
	struct Key {};

	explicit Vmcs(Hardware& hardware) : hardware_(&hardware) {}

	vregcache::Result<vregcache::u64> vmread(vregcache::u32 encoding) const
	{
		hardware_->vmreads++;
		return hardware_->field[encoding];
	}
	vregcache::Result<void> vmwrite(vregcache::u32 encoding, vregcache::u64 value) const
	{
		hardware_->vmwrites++;
		hardware_->field[encoding] = value;
		return {};
	}
	bool is_current(vregcache::VmcsId vmcs) const { return vmcs == kVmcs; }

 private:
	Hardware* hardware_;
};

// One exit, whose handler looks at RIP three times and skips an instruction.
bool exit_and_enter(vregcache::Cache<Vmcs>& cache, const vregcache::PinnedVmcs<Vmcs>& vmcs)
{
	if (!cache.vm_exit(vmcs).ok())
		return false;
	std::uint64_t rip = 0, rflags = 0;
	if (!cache.read_all<Reg::kRip, Reg::kRflags>(vmcs, rip, rflags).ok())
		return false;
	for (int i = 0; i < 2; i++) {
		if (cache.read<Reg::kRip>(vmcs).value_or(0) != rip)
			return false;
	}
	cache.write<Reg::kRip>(vmcs, rip + 2);
	return cache.write_back(vmcs).ok();
}

}  // namespace

int main()
{
	Hardware hardware;
	const vregcache::PinnedVmcs<Vmcs> vmcs{Vmcs(hardware), Vmcs::Key()};
	vregcache::Cache<Vmcs> cache;
	bool ok = cache.bind(vmcs, kVmcs).ok();
	for (int i = 0; i < 100; i++)
		ok = ok && exit_and_enter(cache, vmcs);
	const std::uint64_t rip = cache.read<Reg::kRip>(vmcs).value_or(0);
	std::printf("100 exits: %u VMREADs, %u VMWRITEs, RIP %#llx\n", hardware.vmreads, hardware.vmwrites,
		    static_cast<unsigned long long>(rip));
	return ok && hardware.vmreads == 200 && hardware.vmwrites == 100 && rip == 200 ? 0 : 1;
}
