# SPDX-License-Identifier: GPL-2.0
# C++20 translation units in a Kbuild external module.  Include it from a Kbuild file:
#
#     cxx-units := src/module.o        the objects that are built from .cc files
#     cxxflags-y := -I$(src)/include      include paths and defines of the C++ units alone
#     cxx-prefix := vrc_                  the prefix of function and variable names in the object
#     include $(src)/scripts/Kbuild.cxx
#
# The compiler is the one that Kbuild picked, invoked for C++: it needs only the g++ package of the same
# version.  Code generation follows the kernel's own flags, so that retpolines, return thunks, IBT,
# stack protection and ftrace apply to C++ as they do to C, and objtool runs on the result.

cxx-scripts := $(dir $(lastword $(MAKEFILE_LIST)))

# C-only options: the C++ compiler warns about them, or they change the language.
cxx-c-only := $(CC_FLAGS_DIALECT) -std=% -fms-extensions -fms-anonymous-structs \
	-Wno-gnu -Wno-microsoft-anon-tag \
	-Wimplicit-function-declaration -Werror=implicit-function-declaration \
	-Wimplicit-int -Werror=implicit-int \
	-Wstrict-prototypes -Werror=strict-prototypes \
	-Wincompatible-pointer-types -Werror=incompatible-pointer-types \
	-Wdesignated-init -Werror=designated-init \
	-Wmissing-prototypes -Wold-style-definition -Wdeclaration-after-statement \
	-Wno-pointer-sign -Wno-override-init -Wno-initializer-overrides \
	-Wbad-function-cast -Wnested-externs -Wno-discarded-qualifiers \
	-fplugin-arg-randomize_layout_plugin-% %/randomize_layout_plugin.so

cxx-dialect := -x c++ -std=gnu++20 -ffreestanding -fno-exceptions -fno-rtti \
	-fno-unwind-tables -fno-threadsafe-statics -fno-use-cxa-atexit \
	-fno-sized-deallocation -fno-operator-names -fvisibility=hidden -Wno-volatile \
	-Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wnon-virtual-dtor -Wsuggest-override
cxx-dialect += $(if $(CONFIG_CC_IS_GCC),-fno-gnu-unique)
# pahole aborts on C++ DWARF, and Kbuild then deletes the module.
cxx-dialect += $(if $(CONFIG_DEBUG_INFO_BTF_MODULES),-g0)

# libstdc++'s freestanding headers, by path: -nostdinc keeps the build machine's C library out; cxx-include/ provides
# what they need of it.
cxx-stdinc := -isystem $(cxx-scripts)cxx-include $(shell echo | $(CC) -x c++ -E -v - 2>&1 | \
	sed -n '/^ .*\/c++\/[0-9]*$$/p;/^ .*\/c++\/[0-9]*\/backward$$/d;/^ .*\/[^/]*-linux-gnu\/c++\/[0-9]*$$/p;/^ .*\/lib\/gcc\/.*\/include$$/p' | \
	sed 's/^ */-isystem /')

# The only kernel header is kconfig.h, which is macros; compiler_types.h redefines `inline`.
cxx-flags = -Wp,-MMD,$(depfile) -nostdinc $(cxxflags-y) $(cxx-stdinc) \
	-include $(srctree)/include/linux/kconfig.h -I$(objtree)/include \
	$(filter-out $(cxx-c-only) $(ccflags-y),$(_c_flags) $(modkern_cflags)) \
	$(cxx-dialect) $(CXXFLAGS_$(target-stem).o) \
	$(basename_flags) $(modname_flags)

# Mangled names cannot be typed into a tracer's filter, and are hard to read in a back trace.  Runs before objtool,
# which looks for functions and their cold parts by name.
cxx-names = ; $(NM) -p $@ >$@.mangled; $(NM) -pC $@ >$@.demangled; \
	$(AWK) -v prefix=$(or $(cxx-prefix),$(error cxx-prefix is not set)) -v own=vregcache \
		-f $(cxx-scripts)cxx-names.awk $@.mangled $@.demangled >$@.names; \
	$(OBJCOPY) --redefine-syms=$@.names $@; rm -f $@.mangled $@.demangled $@.names

quiet_cmd_cxx_o_cc = CXX $(quiet_modtag) $@
      cmd_cxx_o_cc = $(CC) $(cxx-flags) -c -o $@ $< \
		$(cmd_ld_single_m)$(cmd_ld_single) ; $(NM) $@ | $(AWK) -f $(cxx-scripts)cxx-lint.awk \
		$(cxx-names) $(cmd_objtool)

define rule_cxx_o_cc
	$(call cmd_and_fixdep,cxx_o_cc)
	$(call cmd,gen_objtooldep)
	$(call cmd,record_mcount)
endef

$(addprefix $(obj)/,$(cxx-units)): $(obj)/%.o: $(src)/%.cc $(cxx-scripts)cxx-lint.awk $(cxx-scripts)cxx-names.awk FORCE
	$(call if_changed_rule,cxx_o_cc)

quiet_cmd_cxx_s_cc = CXX $(quiet_modtag) $@
      cmd_cxx_s_cc = $(CC) $(filter-out $(DEBUG_CFLAGS),$(cxx-flags)) -fverbose-asm -S -o $@ $<
$(obj)/%.s: $(src)/%.cc FORCE
	$(call if_changed_dep,cxx_s_cc)
