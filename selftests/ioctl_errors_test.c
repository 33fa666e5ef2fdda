// SPDX-License-Identifier: GPL-2.0
/*
 * Invalid arguments of ioctls: each is refused with its errno and changes nothing. If no CPU can hold a value, the
 * kernel's log names it.
 */
#include "lib/harness.h"

#include <stddef.h>

#include "lib/cpuid.h"
#include "lib/modes.h"
#include "lib/test_module.h"
#include "lib/vm.h"

#define APIC_BASE_EXTD		(1UL << 10)
#define APIC_BASE_ENABLE	(1UL << 11)
#define NOT_CANONICAL		0x1000000000000000UL

#define MSR_DEBUGCTL		0x1d9
#define MSR_PAT			0x277
#define MSR_XSS			0xda0
#define MSR_EFER		0xc0000080
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102

#define COUNT(array)		(sizeof(array) / sizeof((array)[0]))

FIXTURE(errors) {
	struct vm vm;
	struct vcpu vcpu;
	struct kernel_log log;
	int checks_log;
};

FIXTURE_SETUP(errors)
{
	/* Without the test module the log is rate-limited. */
	self->checks_log = device_is_vregcache() && !test_module_load();
	vm_create(&self->vm, GUEST_MEM_SIZE);
	vcpu_create(&self->vcpu, &self->vm, 0);
	vcpu_enter_long(&self->vcpu);
	kernel_log_open(&self->log);
}

FIXTURE_TEARDOWN(errors)
{
	kernel_log_close(&self->log);
	vcpu_destroy(&self->vcpu);
	vm_destroy(&self->vm);
	if (self->checks_log)
		test_module_close();
}

/* The refusal was reported in one line, and this is a part of it. */
#define EXPECT_LOG(part)								\
	do {										\
		if (self->checks_log) {							\
			EXPECT_EQ(1U, kernel_log_count(&self->log, (part)))		\
				TH_LOG("no \"%s\" in: %s", (part), self->log.text);	\
			EXPECT_EQ(strchr(self->log.text, '\n'), strrchr(self->log.text, '\n'));	\
		}									\
	} while (0)

/* ---- arguments of any ioctl ---- */

enum file { DEVICE, VM, VM_WITHOUT_VCPU, VCPU };

struct user_pointer {
	enum file file;
	unsigned long request;
	const char *name;
	/* The structure, or its entries after a count of 10, is longer than 16 bytes. */
	int is_long;
};

#define SHORT(file, request)	{ file, request, #request, 0 }
#define LONG_(file, request)	{ file, request, #request, 1 }

static const struct user_pointer user_pointers[] = {
	LONG_(VCPU, KVM_GET_REGS), LONG_(VCPU, KVM_SET_REGS),
	LONG_(VCPU, KVM_GET_SREGS), LONG_(VCPU, KVM_SET_SREGS),
	SHORT(VCPU, KVM_GET_CPUID2), LONG_(VCPU, KVM_SET_CPUID2),
	LONG_(VCPU, KVM_GET_MSRS), LONG_(VCPU, KVM_SET_MSRS),
	LONG_(VCPU, KVM_GET_FPU), LONG_(VCPU, KVM_SET_FPU),
	SHORT(VCPU, KVM_GET_MP_STATE), SHORT(VCPU, KVM_SET_MP_STATE),
	LONG_(VCPU, KVM_GET_DEBUGREGS), LONG_(VCPU, KVM_SET_DEBUGREGS),
	LONG_(VCPU, KVM_GET_XCRS), LONG_(VCPU, KVM_SET_XCRS),
	LONG_(VM, KVM_SET_USER_MEMORY_REGION),
	/* With a vCPU it would be refused for that reason. */
	SHORT(VM_WITHOUT_VCPU, KVM_SET_IDENTITY_MAP_ADDR),
	SHORT(DEVICE, KVM_GET_SUPPORTED_CPUID),
	SHORT(DEVICE, KVM_GET_MSR_INDEX_LIST),
};

TEST_F(errors, bad_pointers_are_efault)
{
	uint8_t *pages = host_alloc(2 * PAGE_BYTES);
	uint8_t *edge = pages + PAGE_BYTES - 16;
	unsigned long pointers[] = { 0, (unsigned long)pages + PAGE_BYTES, 0xffff888000000000, (unsigned long)edge };
	struct vm bare;
	int files[4];

	munmap(pages + PAGE_BYTES, PAGE_BYTES);
	vm_create_bare(&bare);
	files[DEVICE] = self->vm.dev;
	files[VM] = self->vm.fd;
	files[VM_WITHOUT_VCPU] = bare.fd;
	files[VCPU] = self->vcpu.fd;
	for (size_t i = 0; i < COUNT(user_pointers); i++) {
		const struct user_pointer *ioctl = &user_pointers[i];

		for (size_t p = 0; p < COUNT(pointers) - !ioctl->is_long; p++) {
			/* A complete header whose entries are not mapped. */
			*(uint32_t *)edge = 10;
			EXPECT_EQ(-EFAULT, ioctl_errno(files[ioctl->file], ioctl->request, pointers[p]))
				TH_LOG("%s, pointer %#lx", ioctl->name, pointers[p]);
		}
	}
	vm_destroy(&bare);
	munmap(pages, PAGE_BYTES);
}

TEST_F(errors, counts_above_the_limit_are_e2big)
{
	static const struct {
		unsigned long request;
		uint32_t count;
	} rows[] = {
		{ KVM_SET_CPUID2, 0xffffffff },
		{ KVM_GET_MSRS, 0xffffffff }, { KVM_SET_MSRS, 0xffffffff },
		/* 32 bits do not hold the size of these entries. */
		{ KVM_GET_MSRS, 0x10000001 }, { KVM_SET_MSRS, 0x10000001 },
	};
	uint32_t *header = host_alloc(PAGE_BYTES);

	for (size_t i = 0; i < COUNT(rows); i++) {
		header[0] = rows[i].count;
		EXPECT_EQ(-E2BIG, ioctl_ptr(self->vcpu.fd, rows[i].request, header))
			TH_LOG("row %zu", i);
	}
	munmap(header, PAGE_BYTES);
}

TEST_F(errors, run_takes_no_argument)
{
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, 1));
	EXPECT_EQ(-EINVAL, ioctl_errno(self->vcpu.fd, KVM_RUN, ~0UL));
}

/* ---- KVM_SET_SREGS ---- */

struct change {
	size_t offset;
	size_t size;
	uint64_t clear;
	uint64_t set;
};

#define CHANGE(member, clear, set) \
	{ offsetof(struct kvm_sregs, member), sizeof(((struct kvm_sregs *)0)->member), (clear), (set) }
#define SET(member, bits)	CHANGE(member, 0, bits)
#define CLEAR(member, bits)	CHANGE(member, bits, 0)
#define VALUE(member, value)	CHANGE(member, ~0UL, value)

struct bad_sregs {
	const char *name;
	struct change change[3];
	/* A part of the line in the log. */
	const char *log;
	/* Each bit that the first change sets is tried alone. */
	int each_bit;
	/* Linux 6.1's KVM accepts it, and KVM_RUN fails. */
	int kvm_accepts;
};

#define SREGS	"KVM_SET_SREGS refused: "
#define SDM	"KVM_SET_SREGS refused; SDM Vol. 3C, "

static const struct bad_sregs bad_in_long_mode[] = {
	{ "CR0 bits 63:32", { SET(cr0, 0xffffffffUL << 32) }, .log = SREGS "CR0", .each_bit = 1, .kvm_accepts = 1 },
	{ "CR0.NW without CD", { SET(cr0, CR0_NW) }, .log = SREGS "CR0", .kvm_accepts = 1 },
	{ "CR0.PG without PE", { CLEAR(cr0, CR0_PE) }, .log = SREGS "CR0", .kvm_accepts = 1 },
	{ "CR0.PG without PE, no IA-32e mode", { CLEAR(cr0, CR0_PE), VALUE(efer, 0), VALUE(cs.l, 0) },
	  .log = SREGS "CR0",
	  .kvm_accepts = 1 },
	{ "CR4 bits that CPUID does not announce",
	  { SET(cr4, 1UL << 14 | 1UL << 15 | 1UL << 26 | 7UL << 29 | 1UL << 33 | 1UL << 40 | 1UL << 63) },
	  .log = SREGS "CR4",
	  .each_bit = 1 },
	/* KVM may offer VMX. */
	{ "CR4.VMXE", { SET(cr4, CR4_VMXE) }, .log = SREGS "CR4", .kvm_accepts = 1 },
	{ "reserved EFER bits",
	  { SET(efer, 1UL << 1 | 1UL << 2 | 1UL << 7 | 1UL << 9 | 1UL << 16 | 1UL << 19 | 3UL << 31 | 1UL << 63) },
	  .log = SREGS "IA32_EFER", .each_bit = 1, .kvm_accepts = 1 },
	{ "IA-32e mode without CR4.PAE", { CLEAR(cr4, CR4_PAE) }, .log = SREGS "EFER.LMA" },
	{ "EFER.LME and CR0.PG without LMA", { CLEAR(efer, EFER_LMA) }, .log = SREGS "EFER.LMA" },
	{ "EFER.LMA without LME", { CLEAR(efer, EFER_LME) }, .log = SREGS "EFER.LMA" },
	{ "EFER.LMA without CR0.PG", { CLEAR(cr0, CR0_PG) }, .log = SREGS "EFER.LMA" },
	{ "CS.L outside IA-32e mode", { VALUE(efer, 0) }, .log = SREGS "CS.L" },
	{ "CR3 above the physical-address width", { SET(cr3, 1UL << 62) }, .log = SREGS "CR3" },
	{ "CR8 above 15", { VALUE(cr8, 16) }, .log = SREGS "CR8", .kvm_accepts = 1 },
	{ "x2APIC mode of a disabled APIC", { CHANGE(apic_base, APIC_BASE_ENABLE, APIC_BASE_EXTD) },
	  .log = SREGS "IA32_APIC_BASE" },
	{ "GDTR base", { VALUE(gdt.base, NOT_CANONICAL) },
	  .log = SDM "27.3.1.3: guest GDTR base is ", .kvm_accepts = 1 },
	{ "IDTR base", { VALUE(idt.base, NOT_CANONICAL) },
	  .log = SDM "27.3.1.3: guest IDTR base is ", .kvm_accepts = 1 },
	{ "FS base", { VALUE(fs.base, NOT_CANONICAL) }, .log = SDM "27.3.1.2: guest FS base is ", .kvm_accepts = 1 },
	{ "GS base", { VALUE(gs.base, NOT_CANONICAL) }, .log = SDM "27.3.1.2: guest GS base is ", .kvm_accepts = 1 },
	{ "TR base", { VALUE(tr.base, NOT_CANONICAL) }, .log = SDM "27.3.1.2: guest TR base is ", .kvm_accepts = 1 },
	{ "CS is a system segment", { VALUE(cs.s, 0) },
	  .log = SDM "27.3.1.2: guest CS access rights is 0xa08b, S must be 1", .kvm_accepts = 1 },
	{ "TSS that is not busy", { VALUE(tr.type, 9) }, .log = SDM "27.3.1.2: guest TR access rights is 0x89, ",
	  .kvm_accepts = 1 },
	{ "16-bit TSS in IA-32e mode", { VALUE(tr.type, 3) }, .log = SDM "27.3.1.2: guest TR access rights is 0x83, ",
	  .kvm_accepts = 1 },
};

#define RIGHTS(segment)	SDM "27.3.1.2: guest " segment " access rights is "

static const struct bad_sregs bad_in_protected_mode[] = {
	{ "TSS that is not busy", { VALUE(tr.type, 9) }, .log = RIGHTS("TR"), .kvm_accepts = 1 },
	{ "LDT in TR", { VALUE(tr.type, 2) }, .log = RIGHTS("TR"), .kvm_accepts = 1 },
	{ "TR is no system segment", { VALUE(tr.s, 1) }, .log = RIGHTS("TR"), .kvm_accepts = 1 },
	{ "unusable TR", { VALUE(tr.unusable, 1) }, .log = RIGHTS("TR"), .kvm_accepts = 1 },
	{ "TSS in LDTR", { VALUE(ldt.unusable, 0), VALUE(ldt.present, 1), VALUE(ldt.type, 11) },
	  .log = RIGHTS("LDTR"),
	  .kvm_accepts = 1 },
	{ "read-only data in CS", { VALUE(cs.type, 1) }, .log = RIGHTS("CS"), .kvm_accepts = 1 },
	{ "CS is a system segment", { VALUE(cs.s, 0) }, .log = RIGHTS("CS"), .kvm_accepts = 1 },
	{ "CS base", { VALUE(cs.base, 1UL << 32) }, .log = SDM "27.3.1.2: guest CS base is ", .kvm_accepts = 1 },
	{ "CS.G is 0 with a limit of 4 GiB", { VALUE(cs.g, 0) }, .log = RIGHTS("CS"), .kvm_accepts = 1 },
	{ "SS.G is 1 with a limit inside a page", { VALUE(ss.limit, 0x12345678) },
	  .log = RIGHTS("SS"), .kvm_accepts = 1 },
	{ "read-only SS", { VALUE(ss.type, 1) }, .log = RIGHTS("SS"), .kvm_accepts = 1 },
	{ "DS base", { VALUE(ds.base, 1UL << 40) }, .log = SDM "27.3.1.2: guest DS base is ", .kvm_accepts = 1 },
	{ "execute-only code in ES", { VALUE(es.type, 9) }, .log = RIGHTS("ES"), .kvm_accepts = 1 },
	{ "FS base", { VALUE(fs.base, 1UL << 63) }, .log = SDM "27.3.1.2: guest FS base is ", .kvm_accepts = 1 },
	{ "GDTR base", { VALUE(gdt.base, 1UL << 62) }, .log = SDM "27.3.1.3: guest GDTR base is ", .kvm_accepts = 1 },
	{ "CR3 above the physical-address width", { VALUE(cr3, 1UL << 60) }, .log = SREGS "CR3", .kvm_accepts = 1 },
	/* Invalid with either value of RFLAGS.VM. */
	{ "CS.DPL 3 with SS.DPL 1", { VALUE(cs.dpl, 3), VALUE(ss.dpl, 1) },
	  .log = SDM "27.3.1.2: guest ", .kvm_accepts = 1 },
};

static void apply(struct kvm_sregs *sregs, const struct change *change)
{
	uint8_t *field = (uint8_t *)sregs + change->offset;
	uint64_t value = 0;

	memcpy(&value, field, change->size);
	value = (value & ~change->clear) | change->set;
	memcpy(field, &value, change->size);
}

/* Valid changes beside the error, so that a partial update is detected. */
static void change_more(struct kvm_sregs *sregs)
{
	sregs->cr2 ^= 0x1234567000;
	sregs->gdt.limit ^= 0x10;
	sregs->idt.limit ^= 0x20;
	sregs->es.selector ^= 0x40;
	sregs->tr.selector ^= 0x40;
	sregs->fs.limit ^= 0xf000;
}

struct state {
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t gs_base;
};

static void get_state(struct vcpu *vcpu, struct state *state)
{
	memset(state, 0, sizeof(*state));
	vcpu_get_sregs(vcpu, &state->sregs);
	vcpu_get_regs(vcpu, &state->regs);
	vcpu_get_msr(vcpu, MSR_GS_BASE, &state->gs_base);
}

static int is_refused_without_effect(struct vcpu *vcpu, const struct bad_sregs *bad, uint64_t set_first)
{
	struct change first = bad->change[0];
	struct state before, after;
	struct kvm_sregs attempt;
	long error;

	get_state(vcpu, &before);
	attempt = before.sregs;
	change_more(&attempt);
	first.set = set_first;
	apply(&attempt, &first);
	for (size_t i = 1; i < COUNT(bad->change); i++)
		apply(&attempt, &bad->change[i]);
	error = ioctl_ptr(vcpu->fd, KVM_SET_SREGS, &attempt);
	get_state(vcpu, &after);
	return error == -EINVAL && !memcmp(&before, &after, sizeof(before));
}

#define EXPECT_REFUSED(bad, set_first)							\
	do {										\
		kernel_log_skip(&self->log);						\
		EXPECT_TRUE(is_refused_without_effect(&self->vcpu, (bad), (set_first)))	\
			TH_LOG("%s, %#lx", (bad)->name, (uint64_t)(set_first));		\
		EXPECT_LOG((bad)->log);							\
	} while (0)

#define EXPECT_ALL_REFUSED(rows)								\
	do {											\
		for (const struct bad_sregs *bad_ = (rows); bad_ < (rows) + COUNT(rows); bad_++) {	\
			uint64_t set_ = bad_->change[0].set;					\
												\
			if (bad_->kvm_accepts && !device_is_vregcache())			\
				continue;							\
			if (!bad_->each_bit)							\
				EXPECT_REFUSED(bad_, set_);					\
			for (; bad_->each_bit && set_; set_ &= set_ - 1)			\
				EXPECT_REFUSED(bad_, set_ & -set_);				\
		}										\
	} while (0)

GUEST_ASM(halt, 64, "hlt\n");

TEST_F(errors, set_sregs_refuses_invalid_state_in_long_mode)
{
	EXPECT_ALL_REFUSED(bad_in_long_mode);
	/* The guest runs on. */
	vm_load(&self->vm, GUEST_CODE, halt);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

TEST_F(errors, set_sregs_refuses_invalid_state_in_protected_mode)
{
	vcpu_enter_protected(&self->vcpu);
	EXPECT_ALL_REFUSED(bad_in_protected_mode);
	vm_load(&self->vm, GUEST_CODE, halt);
	EXPECT_EQ(KVM_EXIT_HLT, vcpu_run(&self->vcpu));
}

/* Otherwise the refusals above might have another reason. */
TEST_F(errors, set_sregs_accepts_the_state_without_the_error)
{
	struct kvm_sregs sregs;

	for (int is_protected = 0; is_protected < 2; is_protected++) {
		if (is_protected)
			vcpu_enter_protected(&self->vcpu);
		vcpu_get_sregs(&self->vcpu, &sregs);
		change_more(&sregs);
		EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_SREGS, &sregs));
	}
}

/* ---- KVM_SET_REGS ---- */

TEST_F(errors, set_regs_refuses_reserved_flags)
{
	static const int bits[] = { 3, 5, 15, 22, 31, 32, 63 };
	struct kvm_regs regs, attempt, now;

	if (!device_is_vregcache())
		SKIP(return, "%s refuses them in KVM_RUN", device_path());
	vcpu_get_regs(&self->vcpu, &regs);
	for (size_t i = 0; i < COUNT(bits); i++) {
		attempt = regs;
		attempt.rflags |= 1UL << bits[i];
		attempt.rax = 0x1234;
		kernel_log_skip(&self->log);
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &attempt))
			TH_LOG("bit %d", bits[i]);
		EXPECT_LOG("KVM_SET_REGS refused; SDM Vol. 3C, 27.3.1.4: RFLAGS is ");
		vcpu_get_regs(&self->vcpu, &now);
		EXPECT_EQ(0, memcmp(&regs, &now, sizeof(regs)));
	}
}

TEST_F(errors, set_regs_refuses_rip_that_is_not_canonical)
{
	static const uint64_t bad[] = { 1UL << 63, 0x1000000000000000, 0x8fffffffffffffff };
	/* Also just after the last instruction of the lower half, which a CPU can reach. */
	static const uint64_t good[] = { 0, 0xffffffff, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, ~0UL };
	struct kvm_regs regs, attempt, now;

	if (!device_is_vregcache())
		SKIP(return, "%s refuses it in KVM_RUN", device_path());
	vcpu_get_regs(&self->vcpu, &regs);
	for (size_t i = 0; i < COUNT(bad); i++) {
		attempt = regs;
		attempt.rip = bad[i];
		kernel_log_skip(&self->log);
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &attempt))
			TH_LOG("%#lx", bad[i]);
		EXPECT_LOG("KVM_SET_REGS refused; SDM Vol. 3C, 27.3.1.4: RIP is ");
		vcpu_get_regs(&self->vcpu, &now);
		EXPECT_EQ(0, memcmp(&regs, &now, sizeof(regs)));
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		regs.rip = good[i];
		EXPECT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_REGS, &regs))
			TH_LOG("%#lx", good[i]);
	}
}

/* ---- other registers ---- */

TEST_F(errors, set_msrs_refuses_values_that_the_msr_cannot_hold)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		/* NULL: always there. */
		int (*exists)(struct vcpu *vcpu);
		int kvm_accepts;
	} rows[] = {
		{ MSR_LSTAR, 0x1000000000000000, NULL, 0 },
		{ MSR_CSTAR, 0x0100000000000000, NULL, 0 },
		{ MSR_FS_BASE, 0x1000000000000000, NULL, 0 },
		{ MSR_GS_BASE, 0x1000000000000000, NULL, 0 },
		{ MSR_KERNEL_GS_BASE, 0x1000000000000000, NULL, 0 },
		/* There is no memory type 2. */
		{ MSR_PAT, 0x0007040600070402, NULL, 0 },
		{ MSR_EFER, 0xffffffffffffffff, NULL, 0 },
		{ MSR_DEBUGCTL, 1UL << 63, NULL, 1 },
		{ MSR_XSS, 1UL << 62, vcpu_has_xsaves, 0 },
	};
	uint64_t before, after;

	for (size_t i = 0; i < COUNT(rows); i++) {
		if ((rows[i].exists && !rows[i].exists(&self->vcpu)) ||
		    (rows[i].kvm_accepts && !device_is_vregcache()))
			continue;
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, rows[i].index, &before));
		EXPECT_FALSE(vcpu_set_msr(&self->vcpu, rows[i].index, rows[i].value))
			TH_LOG("MSR %#x", rows[i].index);
		ASSERT_TRUE(vcpu_get_msr(&self->vcpu, rows[i].index, &after));
		EXPECT_EQ(before, after);
	}
}

TEST_F(errors, set_debugregs_refuses_high_bits_and_flags)
{
	static const struct kvm_debugregs rows[] = {
		{ .dr6 = 1UL << 32 | 0xffff0ff0, .dr7 = 0x400, .db[0] = 0x1000 },
		{ .dr6 = 0xffff0ff0, .dr7 = 1UL << 32 | 0x400, .db[0] = 0x1000 },
		{ .dr6 = 0xffff0ff0, .dr7 = 1UL << 63 | 0x400, .db[0] = 0x1000 },
		{ .dr6 = 0xffff0ff0, .dr7 = 0x400, .flags = 1, .db[0] = 0x1000 },
	};
	struct kvm_debugregs before, after;

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_DEBUGREGS, &before));
	for (size_t i = 0; i < COUNT(rows); i++) {
		kernel_log_skip(&self->log);
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_DEBUGREGS, &rows[i]))
			TH_LOG("row %zu", i);
		EXPECT_LOG("KVM_SET_DEBUGREGS refused: ");
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_DEBUGREGS, &after));
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
	}
}

TEST_F(errors, set_xcrs_refuses_values_that_xsetbv_refuses)
{
	static const struct {
		uint32_t count, flags;
		uint64_t value;
	} rows[] = {
		{ 1, 0, 0 }, { 1, 0, 2 }, { 1, 0, 4 }, { 1, 0, 5 }, { 1, 0, 1UL << 62 }, { 1, 0, 1UL << 63 | 1 },
		{ KVM_MAX_XCRS + 1, 0, 1 },
		{ 1, 1, 1 },
	};
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 3 };

	if (!vcpu_has_xsave(&self->vcpu))
		SKIP(return, "the CPU has no XSAVE");
	ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs));
	for (size_t i = 0; i < COUNT(rows); i++) {
		xcrs = (struct kvm_xcrs) {
			.nr_xcrs = rows[i].count, .flags = rows[i].flags, .xcrs[0].value = rows[i].value,
		};
		kernel_log_skip(&self->log);
		EXPECT_EQ(-EINVAL, ioctl_ptr(self->vcpu.fd, KVM_SET_XCRS, &xcrs))
			TH_LOG("row %zu", i);
		EXPECT_LOG("KVM_SET_XCRS refused: ");
		ASSERT_EQ(0, ioctl_ptr(self->vcpu.fd, KVM_GET_XCRS, &xcrs));
		EXPECT_EQ(1U, xcrs.nr_xcrs);
		EXPECT_EQ(3U, xcrs.xcrs[0].value);
	}
}

TEST_HARNESS_MAIN
