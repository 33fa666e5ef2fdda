// SPDX-License-Identifier: GPL-2.0
// All C++ of the module, as it is.
#include "privileged_instructions.h"

#include <module.cc>  // NOLINT(bugprone-suspicious-include)
