/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The library's version, by semantic versioning: a greater minor number only adds. */
#define VREGCACHE_VERSION_MAJOR 0
#define VREGCACHE_VERSION_MINOR 9
#define VREGCACHE_VERSION_PATCH 0
