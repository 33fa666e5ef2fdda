# SPDX-License-Identifier: GPL-2.0
# The front end: scripts/ implements the targets, Kbuild builds the modules.

# Variables: KDIR (kernel build tree), KERNEL (test kernel), MACHINE, CPUS, BOCHS, TESTS, VERIFY, BENCH; see `make help`.
KERNEL ?=
MACHINE ?= auto
CPUS ?=
BOCHS ?=
TESTS ?=
BENCH ?=
VERIFY ?=
MUTANTS ?=

# If not set: check uses all of them, other targets these.
ONE_KERNEL := $(or $(KERNEL),debian)
VM_RUN := scripts/vm-run --kernel '$(ONE_KERNEL)' --machine '$(MACHINE)' --cpus '$(or $(CPUS),1)' $(if $(filter-out 0,$(VERIFY)),--verify)

MODULE_DIRS := . $(patsubst %/Kbuild,%,$(wildcard selftests/*/Kbuild))

export BOCHS
# Kbuild and lib.mk read these too: ours are for the top level only.
unexport KERNEL MACHINE CPUS TESTS VERIFY MODULE_DIRS ONE_KERNEL VM_RUN

.DEFAULT_GOAL := module
# One target at a time; Kbuild and the others run their own jobs in parallel.
.NOTPARALLEL:
.PHONY: module modules selftests unit script-tests mutants lint compile_commands check check-full bench vm vmx-expected shell demo clean distclean help

module: ## vregcache.ko, for KDIR= or else the running kernel or else the test kernel
	@kdir='$(KDIR)'; [ -z "$$kdir" ] || echo "KDIR: $$kdir, as told" >&2; \
	[ -n "$$kdir" ] || kdir=$$(scripts/pick-kdir) || exit 1; \
	ko=$$(scripts/build-modules "$$kdir" .) || exit 1; \
	[ -n "$$ko" ] || { echo "no vregcache.ko came out of the build" >&2; exit 1; }; \
	cmp -s $$ko vregcache.ko || cp $$ko vregcache.ko; \
	echo "built: vregcache.ko (and $$ko)"

modules: ## all modules, the test-only ones too, for the test kernel (KERNEL=)
	@kdir=$$(scripts/test-kernel --kdir '$(ONE_KERNEL)') || exit 1; \
	echo "KDIR: $$kdir" >&2; \
	VRC_TEST_HOOKS=1 scripts/build-modules "$$kdir" $(MODULE_DIRS)

selftests: ## the programs that run in the guest
	@kdir=$$(scripts/test-kernel --kdir) || exit 1; \
	scripts/build-selftests "$${kdir##*/linux-headers-}" >/dev/null

unit: ## unit tests on this machine (GoogleTest, ASan, UBSan)
	@scripts/install-deps unit
	@$(MAKE) --no-print-directory -j$$(nproc) -C selftests/unit check

script-tests: ## tests of the virtual machine runner itself, and of what judges a build
	@scripts/install-deps run build
	@scripts/tests/run

mutants: ## breaks each rule in turn, and sees that a test notices: MUTANTS="--host | --guest | NAME..."
	@scripts/install-deps build tests unit run
	@scripts/mutants --machine '$(MACHINE)' $(MUTANTS)

lint: compile_commands ## static checks: format, clang-tidy, checkpatch, shellcheck, pyflakes, clangd
	@scripts/install-deps lint
	@scripts/lint

compile_commands: modules selftests ## compile_commands.json, for clangd and other tools of editors
	@scripts/install-deps unit
	@scripts/compile-commands "$$(scripts/test-kernel --kdir '$(ONE_KERNEL)')"

check: ## what to run after a change: all tests, each kernel in one virtual machine, mutants of what has changed
	@scripts/install-deps build tests unit run lint
	@scripts/check $(KERNEL:%=--kernel '%') --machine '$(MACHINE)' $(CPUS:%=--cpus '%')

check-full: ## everything, in full length: one and two CPUs, all mutants, and on Bochs with BOCHS=
	@scripts/install-deps build tests unit run lint $(if $(BOCHS),bochs)
	@scripts/check --full $(KERNEL:%=--kernel '%') --machine '$(MACHINE)' $(CPUS:%=--cpus '%')

bench: ## what an exit costs, in instructions, beside KVM, and other measurements; BENCH="--help" for options
	@scripts/quietly 'building the modules' $(MAKE) --no-print-directory modules KERNEL='$(ONE_KERNEL)'
	@scripts/quietly 'building the guest programs' $(MAKE) --no-print-directory selftests
	@scripts/benchmark --kernel '$(ONE_KERNEL)' --machine '$(MACHINE)' $(BENCH)

vm: modules selftests ## the tests in one virtual machine: TESTS="..." CPUS=1 VERIFY=1 MACHINE=auto|tcg|kvm|bochs
	@$(VM_RUN) $(TESTS)

vmx-expected: modules selftests ## records what the VMX client observes on a VMX-enabled Bochs (BOCHS=), for comparison with
	@scripts/record-vmx-expected --kernel '$(ONE_KERNEL)'

shell: modules selftests ## an interactive shell in the virtual machine (QEMU)
	@$(VM_RUN) --shell

demo: ## loads the modules in a virtual machine and shows what the cache saves
	@scripts/quietly 'building the modules' $(MAKE) --no-print-directory modules KERNEL='$(ONE_KERNEL)'
	@scripts/quietly 'building the guest programs' $(MAKE) --no-print-directory selftests
	@$(VM_RUN) --name demo --output brief --command ./demo

clean: ## removes what was built; downloads stay in the cache
	@rm -rf build vregcache.ko compile_commands.json

distclean: clean ## removes the downloads as well
	@cache=$$(scripts/cache-dir) && rm -rf "$$cache/kernels" "$$cache/kselftest" "$$cache/apt" "$$cache/kvm-probe.json" && \
	{ rmdir "$$cache" 2>/dev/null || :; }

help: ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z_-]*\):[^#]*## /\1\t/p' Makefile | expand -t 20 | sed 's/^/  /'
	@echo 'Variables: KDIR= KERNEL=debian|6.12 MACHINE=auto|tcg|kvm|bochs CPUS= BOCHS=/path/to/a/VMX-enabled/bochs TESTS= VERIFY=1 BENCH= MUTANTS='
	@echo 'Downloads: $(shell scripts/cache-dir) (VRC_CACHE=)'
