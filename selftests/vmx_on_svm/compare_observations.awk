# SPDX-License-Identifier: GPL-2.0
# Compares what vmx_client observed with what it observed on an independent VMX CPU, value by value.
#
#   awk -v machine=NAME -f compare_observations.awk differences expected observations
#
# `differences` declares, a line each: MACHINE | LINE | FIELD | REASON.  MACHINE is NAME or "any"; LINE is the text before
# the value or the fields, with " (2)" behind it for the second one of its kind; FIELD is one of an exit's, or * for the
# whole line.  Prints what differs without being declared, and what is declared and does not differ; then fails.

function trim(text) {
	gsub(/^[ \t]+|[ \t]+$/, "", text)
	return text
}

# Splits a line into `key` and the fields of field[1..count] with value[1..count].
function parse(line, set, at, rest, words, i) {
	count = 0
	if (match(line, /: exit [0-9]+: reason=/)) {
		at = RSTART + RLENGTH - length(": reason=")
		rest = substr(line, at + 2)
		key = substr(line, 1, at - 1)
		count = split(rest, words, " ")
		for (i = 1; i <= count; i++) {
			at = index(words[i], "=")
			field[i] = substr(words[i], 1, at - 1)
			value[i] = substr(words[i], at + 1)
		}
	} else {
		# The value holds no colon.
		match(line, /: [^:]*$/)
		key = substr(line, 1, RSTART - 1)
		count = 1
		field[1] = "value"
		value[1] = substr(line, RSTART + 2)
	}
	if (++seen[set, key] > 1)
		key = key " (" seen[set, key] ")"
}

function declared(line, name) {
	if ((line, name) in reason) {
		occurred[line, name] = 1
		return 1
	}
	if ((line, "*") in reason) {
		occurred[line, "*"] = 1
		return 1
	}
	return 0
}

function report(text) {
	print "# " text
	failures++
}

/^#/ || /^[ \t]*$/ { next }

FILENAME == ARGV[1] {
	split($0, part, "|")
	if (trim(part[1]) != machine && trim(part[1]) != "any")
		next
	if (trim(part[4]) == "")
		report("a difference is declared without a reason: " $0)
	reason[trim(part[2]), trim(part[3])] = trim(part[4])
	next
}

FILENAME == ARGV[2] {
	parse($0, "expected")
	order[++lines] = key
	for (i = 1; i <= count; i++) {
		names[key] = names[key] " " field[i]
		want[key, field[i]] = value[i]
	}
	next
}

{
	parse($0, "got")
	observed++
	present[key] = 1
	if (!(key in names)) {
		if (!declared(key, "*"))
			report("not expected: " $0)
		next
	}
	for (i = 1; i <= count; i++) {
		have[key, field[i]] = value[i]
		if (!((key, field[i]) in want) && !declared(key, field[i]))
			report(key ": " field[i] ": observed " value[i] ", expected none")
	}
}

END {
	if (!lines || !observed)
		report("nothing to compare: " lines + 0 " lines are expected, " observed + 0 " were observed")
	for (i = 1; i <= lines; i++) {
		key = order[i]
		if (!present[key]) {
			if (!declared(key, "*"))
				report("expected and not observed: " key)
			continue
		}
		count = split(names[key], list, " ")
		for (j = 1; j <= count; j++) {
			wanted = want[key, list[j]]
			got = (key, list[j]) in have ? have[key, list[j]] : "none"
			if (got != wanted && !declared(key, list[j]))
				report(key ": " list[j] ": observed " got ", expected " wanted)
		}
	}
	for (pair in reason) {
		if (!(pair in occurred)) {
			split(pair, part, SUBSEP)
			report("declared, and no difference: " part[1] ": " part[2])
		}
	}
	exit failures > 0
}
