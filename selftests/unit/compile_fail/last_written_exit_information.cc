// SPDX-License-Identifier: GPL-2.0
// VM-exits change exit information without updating the last-written value.
// expect-error: VM-exits write it
#include <vregcache/last_written.h>

#include "common.h"

namespace vregcache {

#ifdef VRC_MUST_NOT_COMPILE
LastWritten<kVmInstructionError> field;
#else
LastWritten<kExceptionBitmap> field;
#endif

}  // namespace vregcache
