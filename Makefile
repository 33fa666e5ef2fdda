# SPDX-License-Identifier: GPL-2.0
# The front end: scripts/ implements the targets, Kbuild builds the modules.

# Variables: KDIR (kernel build tree), KERNEL (test kernel), MACHINE, CPUS, BOCHS, KVM_UNIT_TESTS, TESTS, VERIFY, BENCH; see `make help`.
KERNEL ?=
MACHINE ?= auto
CPUS ?=
BOCHS ?=
KVM_UNIT_TESTS ?=
TESTS ?=
BENCH ?=
VERIFY ?=
BESIDE_KVM ?=
MUTANTS ?=

# Defaults.  If not set, check runs all of them, and other targets use these.
ONE_KERNEL := $(or $(KERNEL),debian)
VM_RUN := scripts/vm-run --kernel '$(ONE_KERNEL)' --machine '$(MACHINE)' --cpus '$(or $(CPUS),1)' $(if $(filter-out 0,$(VERIFY)),--verify) $(if $(filter-out 0,$(BESIDE_KVM)),--beside-kvm)

MODULE_DIRS := . $(patsubst %/Kbuild,%,$(wildcard selftests/*/Kbuild))

export BOCHS KVM_UNIT_TESTS
# Kbuild and lib.mk read these too: ours are for the top level only.
unexport KERNEL MACHINE CPUS TESTS VERIFY BESIDE_KVM MODULE_DIRS ONE_KERNEL VM_RUN

.DEFAULT_GOAL := module
# One target at a time; Kbuild and the others run their own jobs in parallel.
.NOTPARALLEL:
.PHONY: vmx-rom module modules selftests unit script-tests mutants lint compile_commands check check-full bench vm vmx-expected shell demo clean distclean help

module: ## builds vregcache.ko for KDIR=; without it, for the running kernel or else for the test kernel
	@kdir='$(KDIR)'; [ -z "$$kdir" ] || echo "KDIR: $$kdir (from KDIR=)" >&2; \
	[ -n "$$kdir" ] || kdir=$$(scripts/pick-kdir) || exit 1; \
	ko=$$(scripts/build-modules "$$kdir" .) || exit 1; \
	[ -n "$$ko" ] || { echo "error: the build did not produce vregcache.ko" >&2; exit 1; }; \
	cmp -s $$ko vregcache.ko || cp $$ko vregcache.ko; \
	echo "built: vregcache.ko (and $$ko)"

modules: ## builds all modules, including the test-only ones, for the test kernel (KERNEL=)
	@kdir=$$(scripts/test-kernel --kdir '$(ONE_KERNEL)') || exit 1; \
	echo "KDIR: $$kdir" >&2; \
	VRC_TEST_HOOKS=1 scripts/build-modules "$$kdir" $(MODULE_DIRS)

selftests: ## builds the programs that run in the guest
	@kdir=$$(scripts/test-kernel --kdir) || exit 1; \
	scripts/build-selftests "$${kdir##*/linux-headers-}" >/dev/null

unit: ## runs the unit tests on this machine (GoogleTest, ASan, UBSan)
	@scripts/install-deps unit
	@$(MAKE) --no-print-directory -j$$(nproc) -C selftests/unit check

script-tests: ## runs the tests of scripts/: the virtual machine runner and the checks of a build
	@scripts/install-deps run build
	@scripts/tests/run

mutants: ## breaks each rule in turn and checks that a test fails: MUTANTS="--host | --guest | NAME..."
	@scripts/install-deps build tests unit run
	@scripts/mutants --machine '$(MACHINE)' $(MUTANTS)

lint: compile_commands ## runs the static checks: format, clang-tidy, checkpatch, shellcheck, pyflakes, clangd
	@scripts/install-deps lint
	@scripts/lint

compile_commands: modules selftests ## writes compile_commands.json for clangd and editors
	@scripts/install-deps unit
	@scripts/compile-commands "$$(scripts/test-kernel --kdir '$(ONE_KERNEL)')"

check: ## run this after a change: all tests, one virtual machine per kernel, mutants of changed files
	@scripts/install-deps build tests unit run lint
	@scripts/check $(KERNEL:%=--kernel '%') --machine '$(MACHINE)' $(CPUS:%=--cpus '%')

check-full: ## runs everything at full length: one and two CPUs, all mutants, and Bochs if BOCHS= is set
	@scripts/install-deps build tests unit run lint $(if $(BOCHS),bochs)
	@scripts/check --full $(KERNEL:%=--kernel '%') --machine '$(MACHINE)' $(CPUS:%=--cpus '%')

bench: ## measures what an exit costs in instructions, compared with KVM, and more; BENCH="--help" lists options
	@scripts/quietly 'building the modules' $(MAKE) --no-print-directory modules KERNEL='$(ONE_KERNEL)'
	@scripts/quietly 'building the guest programs' $(MAKE) --no-print-directory selftests
	@scripts/benchmark --kernel '$(ONE_KERNEL)' --machine '$(MACHINE)' $(BENCH)

vmx-rom: ## builds build/vmx.rom, which gives QEMU's software CPU VMX; scripts/qemu-vmx runs QEMU with it
	@rom=$$(scripts/build-rom) && echo "built: $$rom; use: scripts/qemu-vmx, or qemu-system-x86_64 -accel tcg -cpu max -option-rom $$rom"

vm: modules selftests ## runs the tests in one virtual machine: TESTS="..." CPUS=1 VERIFY=1 BESIDE_KVM=1 MACHINE=auto|tcg|kvm|bochs
	@$(VM_RUN) $(TESTS)

vmx-expected: modules selftests ## records what the VMX client observes on a VMX-enabled Bochs (BOCHS=), as the reference for other machines
	@scripts/record-vmx-expected --kernel '$(ONE_KERNEL)'

shell: modules selftests ## starts an interactive shell in the virtual machine (QEMU)
	@$(VM_RUN) --shell

demo: ## loads the modules in a virtual machine and shows what the cache saves
	@scripts/quietly 'building the modules' $(MAKE) --no-print-directory modules KERNEL='$(ONE_KERNEL)'
	@scripts/quietly 'building the guest programs' $(MAKE) --no-print-directory selftests
	@$(VM_RUN) --name demo --output brief --command ./demo

clean: ## removes build products; downloads stay in the cache
	@rm -rf build vregcache.ko compile_commands.json

distclean: clean ## also removes the downloads
	@cache=$$(scripts/cache-dir) && rm -rf "$$cache/kernels" "$$cache/kselftest" "$$cache/apt" "$$cache/kvm-probe.json" && \
	{ rmdir "$$cache" 2>/dev/null || :; }

help: ## prints this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z_-]*\):[^#]*## /\1\t/p' Makefile | expand -t 20 | sed 's/^/  /'
	@echo 'Variables: KDIR= KERNEL=debian|6.12|7.3 MACHINE=auto|tcg|kvm|bochs CPUS= BESIDE_KVM=1 BOCHS=/path/to/a/VMX-enabled/bochs KVM_UNIT_TESTS=/path/to/its/built/tree TESTS= VERIFY=1 BENCH= MUTANTS='
	@echo 'Downloads: $(shell scripts/cache-dir) (VRC_CACHE=)'
