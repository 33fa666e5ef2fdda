# SPDX-License-Identifier: GPL-2.0
"""Does this host's /dev/kvm offer VMX to guests?"""

import fcntl
import os
import struct

_KVM_GET_SUPPORTED_CPUID = 0xC008AE05
_ENTRY = struct.Struct("10I")
_HEADER = struct.Struct("II")
_VMX_BIT = 5


def offers_vmx(device="/dev/kvm"):
    """Returns (yes or no, why)."""
    try:
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False, f"there is no {device}"
    except OSError as error:
        return False, f"{device} does not open: {error.strerror}"
    try:
        capacity = 256
        buffer = bytearray(_HEADER.pack(capacity, 0) + bytes(_ENTRY.size * capacity))
        fcntl.ioctl(fd, _KVM_GET_SUPPORTED_CPUID, buffer)
    except OSError as error:
        return False, f"{device} opens but does not answer KVM_GET_SUPPORTED_CPUID: {error.strerror}"
    finally:
        os.close(fd)
    count = _HEADER.unpack_from(buffer)[0]
    for i in range(count):
        function, _, _, _, _, ecx, *_ = _ENTRY.unpack_from(buffer, _HEADER.size + i * _ENTRY.size)
        if function == 1:
            if ecx >> _VMX_BIT & 1:
                return True, f"{device} offers VMX to guests"
            return False, f"{device} opens but offers no VMX to guests"
    return False, f"{device} opens but reports no CPUID leaf 1"
