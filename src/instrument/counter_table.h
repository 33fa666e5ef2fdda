// SPDX-License-Identifier: GPL-2.0
// The counters of all vCPUs, added up for debugfs.
#pragma once

#include "instrument/counters.h"

namespace {

inline void register_counters(Counters& counters);

// Its counts stay in the sum.
inline void unregister_counters(Counters& counters);

}  // namespace
