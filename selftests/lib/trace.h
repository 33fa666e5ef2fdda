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

/* Why there are no events of the module, or NULL. Mounts tracefs if necessary. */
const char *trace_open(struct trace *trace);
void trace_close(struct trace *trace);

/* An event, or "" for all. */
void trace_enable(const char *event, int on);
/* "0" for none. 0, or -errno if the kernel refuses it. */
int trace_filter(const char *event, const char *filter);
/* Discards all events so far. */
void trace_clear(void);
/* Everything since trace_clear(), into trace->event. Dies if events were lost. */
void trace_read(struct trace *trace);

/* The number of events of this name. */
unsigned int trace_count(const struct trace *trace, const char *name);

int event_is(const struct trace_event *event, const char *name);
/* A field as a number. Dies if there is none. */
uint64_t event_number(const struct trace_event *event, const char *field);
/* 1 if the field is this word. */
int event_has(const struct trace_event *event, const char *field, const char *word);
/* A field that is a set of registers, or one: a bit for each. */
uint64_t event_registers(const struct trace_event *event, const char *field);

/* The bit of a register by its name. Dies if there is none of that name. */
uint64_t register_bit(const char *name);

#endif /* SELFTESTS_LIB_TRACE_H */
