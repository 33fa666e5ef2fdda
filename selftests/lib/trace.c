// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trace.h"
#include "vm.h"

#define TRACEFS		"/sys/kernel/tracing"
#define INSTANCE	TRACEFS "/instances/vregcache_selftest"
#define BUFFER_KB	"8192"

static int try_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		error = -errno;
	close(fd);
	return error;
}

static void write_file(const char *path, const char *text)
{
	errno = -try_write(path, text);
	if (errno)
		die("writing \"%s\" to %s", text, path);
}

static const char *event_file(const char *event, const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), INSTANCE "/events/vregcache/%s%s%s", event, *event ? "/" : "", name);
	return path;
}

const char *trace_open(struct trace *trace)
{
	memset(trace, 0, sizeof(*trace));
	if (access(TRACEFS "/events", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		return "the kernel has no tracefs";
	/* Left by a test that was killed. */
	if (rmdir(INSTANCE) && errno != ENOENT)
		die("removing %s", INSTANCE);
	if (mkdir(INSTANCE, 0700))
		die("making %s", INSTANCE);
	if (access(event_file("", "enable"), F_OK))
		return "the module has no trace events";
	write_file(INSTANCE "/buffer_size_kb", BUFFER_KB);
	return NULL;
}

void trace_close(struct trace *trace)
{
	free(trace->text);
	free(trace->event);
	memset(trace, 0, sizeof(*trace));
	try_write(event_file("", "enable"), "0");
	if (rmdir(INSTANCE) && errno != ENOENT)
		die("removing %s", INSTANCE);
}

void trace_enable(const char *event, int on)
{
	write_file(event_file(event, "enable"), on ? "1" : "0");
}

int trace_filter(const char *event, const char *filter)
{
	return try_write(event_file(event, "filter"), filter);
}

void trace_clear(void)
{
	write_file(INSTANCE "/trace", "");
}

static char *read_file(const char *path)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY);
	ssize_t got;

	if (fd < 0)
		die("opening %s", path);
	for (;;) {
		if (room - size < 4096) {
			room *= 2;
			text = realloc(text, room);
		}
		if (!text)
			die("no memory");
		got = read(fd, text + size, room - size - 1);
		if (got < 0)
			die("reading %s", path);
		if (!got)
			break;
		size += got;
	}
	close(fd);
	text[size] = 0;
	return text;
}

/* "  name-117     [000] d....     4.741016: vm_entry: vcpu=0 ..." */
static int parse(char *line, struct trace_event *event)
{
	char *at = strstr(line, " [");
	char *end;

	if (!at)
		return 0;
	event->cpu = strtoul(at + 2, &end, 10);
	if (*end != ']')
		return 0;
	at = strstr(end, ": ");
	if (!at)
		return 0;
	event->name = at + 2;
	end = strchr(at + 2, ':');
	if (!end)
		return 0;
	*end = 0;
	event->fields = end + 1;
	return 1;
}

void trace_read(struct trace *trace)
{
	unsigned long kept = 0, written = 0;
	unsigned int room = 0;
	char *line, *rest;

	free(trace->text);
	free(trace->event);
	trace->event = NULL;
	trace->count = 0;
	trace->text = read_file(INSTANCE "/trace");
	line = strstr(trace->text, "entries-in-buffer/entries-written: ");
	errno = 0;
	if (!line || sscanf(strchr(line, ':') + 1, "%lu/%lu", &kept, &written) != 2)
		die("%s has no such head: %.200s", INSTANCE "/trace", trace->text);
	if (kept != written)
		die("%lu of %lu events were lost", written - kept, written);
	for (line = strtok_r(trace->text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (*line == '#')
			continue;
		if (trace->count == room) {
			room = room ? 2 * room : 1024;
			trace->event = realloc(trace->event, room * sizeof(*trace->event));
			if (!trace->event)
				die("no memory");
		}
		if (!parse(line, &trace->event[trace->count++]))
			die("not a line of an event: %s", line);
	}
	if (trace->count != kept)
		die("there are %lu events, and %u lines", kept, trace->count);
}

unsigned int trace_count(const struct trace *trace, const char *name)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < trace->count; i++)
		count += event_is(&trace->event[i], name);
	return count;
}

int event_is(const struct trace_event *event, const char *name)
{
	return !strcmp(event->name, name);
}

static const char *find(const struct trace_event *event, const char *field)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), " %s=", field);
	at = strstr(event->fields, key);
	errno = 0;
	if (!at)
		die("%s has no %s:%s", event->name, field, event->fields);
	return at + strlen(key);
}

uint64_t event_number(const struct trace_event *event, const char *field)
{
	const char *text = find(event, field);
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	errno = 0;
	if (end == text || (*end && *end != ' '))
		die("%s of %s is not a number:%s", field, event->name, event->fields);
	return value;
}

int event_has(const struct trace_event *event, const char *field, const char *word)
{
	const char *text = find(event, field);
	size_t length = strlen(word);

	return !strncmp(text, word, length) && (!text[length] || text[length] == ' ');
}

/* The registers' names in events, by number. */
static const char *const names[] = {
	"rip", "rsp", "rflags", "interruptibility", "pending_debug", "activity", "cr0", "cr0_shadow", "cr3", "cr4",
	"cr4_shadow", "efer", "dr7", "pdpte0", "pdpte1", "pdpte2", "pdpte3", "gdtr.base", "gdtr.limit", "idtr.base",
	"idtr.limit", "exit_reason", "qualification", "interruption", "interruption_error", "vectoring",
	"vectoring_error", "instruction_length", "instruction_information", "guest_physical", "guest_linear", "debugctl",
};

static const char *const segments[] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };
static const char *const parts[] = { "selector", "base", "limit", "access_rights" };

static uint64_t bits_of(const char *name)
{
	char segment_part[32];

	for (unsigned int i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return 1ULL << i;
	}
	for (unsigned int s = 0; s < 8; s++) {
		if (!strcmp(name, segments[s]))
			return 0xfULL << (32 + 4 * s);
		for (unsigned int p = 0; p < 4; p++) {
			snprintf(segment_part, sizeof(segment_part), "%s.%s", segments[s], parts[p]);
			if (!strcmp(name, segment_part))
				return 1ULL << (32 + 4 * s + p);
		}
	}
	if (!strcmp(name, "segments"))
		return 0xffffffffULL << 32;
	if (!strcmp(name, "pdptes"))
		return 0xfULL << 13;
	if (!strcmp(name, "exit_information"))
		return 0x3ffULL << 21;
	return 0;
}

uint64_t register_bit(const char *name)
{
	uint64_t bit = bits_of(name);

	errno = 0;
	if (!bit)
		die("no register is named %s", name);
	return bit;
}

uint64_t event_registers(const struct trace_event *event, const char *field)
{
	const char *text = find(event, field);
	uint64_t set = 0;
	char name[64];

	while (*text && *text != ' ') {
		size_t length = strcspn(text, "| ");

		snprintf(name, sizeof(name), "%.*s", (int)length, text);
		set |= register_bit(name);
		text += length;
		if (*text == '|')
			text++;
	}
	return set;
}
