/* SPDX-License-Identifier: GPL-2.0 */
/* The module's trace events, in a buffer of their own (an instance of tracefs). */
#ifndef SELFTESTS_LIB_TRACE_H
#define SELFTESTS_LIB_TRACE_H

#include <stdint.h>

struct trace_event {
	unsigned int cpu;
	const char *name;
	/* " vcpu=0 reg=rip value=0x10000" */
	const char *fields;
};

struct trace {
	char *text;
	unsigned int count;
	struct trace_event *event;
};

/* Why there are no events of the module, or NULL. Mounts tracefs where it is not. */
const char *trace_open(struct trace *trace);
void trace_close(struct trace *trace);

/* An event, or "" for all. */
void trace_enable(const char *event, int on);
/* "0" for none. 0, or -errno when the kernel refuses it. */
int trace_filter(const char *event, const char *filter);
/* Forgets what there is. */
void trace_clear(void);
/* Everything since trace_clear(), into trace->event. Dies when something was lost. */
void trace_read(struct trace *trace);

/* How many events of this name there are. */
unsigned int trace_count(const struct trace *trace, const char *name);

int event_is(const struct trace_event *event, const char *name);
/* A field as a number. Dies when there is none. */
uint64_t event_number(const struct trace_event *event, const char *field);
/* 1 when the field is this word. */
int event_has(const struct trace_event *event, const char *field, const char *word);
/* A field that is a set of registers, or one: a bit for each. */
uint64_t event_registers(const struct trace_event *event, const char *field);

/* The bit of a register by its name. Dies when there is none of that name. */
uint64_t register_bit(const char *name);

#endif /* SELFTESTS_LIB_TRACE_H */
