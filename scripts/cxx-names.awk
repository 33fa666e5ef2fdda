# SPDX-License-Identifier: GPL-2.0
# Gives the functions and variables of a C++ object names that are easy to type and valid in a tracer's filter: [a-z0-9_]
# after a prefix.  A class's member gets the class and the member; overloads get numbers.
#
#   nm -p OBJECT >MANGLED; nm -pC OBJECT >DEMANGLED; awk -v prefix=vrc_ -v own=NAMESPACE -f cxx-names.awk MANGLED DEMANGLED
#
# NAMESPACE is omitted, as is an anonymous one.
#
# Prints lines for objcopy --redefine-syms.  A suffix that the compiler adds to a name, from a dot on (.cold, .isra.0),
# does not change: objtool finds a function's cold part by it.

# Puts an underscore between the words of a name.
function snake(word,    out, i, c, before, after) {
	out = ""
	for (i = 1; i <= length(word); i++) {
		c = substr(word, i, 1)
		before = substr(word, i - 1, 1)
		after = substr(word, i + 1, 1)
		if (i > 1 && c ~ /[A-Z]/ && (before ~ /[a-z0-9]/ || (before ~ /[A-Z]/ && after ~ /[a-z]/)))
			out = out "_"
		out = out tolower(c)
	}
	return out
}

function plain_name(name,    parts, count, i, out, part) {
	gsub(/\(anonymous namespace\)::/, "", name)
	gsub(/\{unnamed type#/, "{unnamed#", name)
	gsub(/operator\(\)/, "call", name)
	gsub(/operator==/, "operator_eq", name)
	gsub(/operator!=/, "operator_ne", name)
	gsub(/operator[<>=-]+/, "operator_sign", name)
	gsub(/operator /, "operator_", name)
	sub(/( \[clone [^]]*\])+$/, "", name)
	# Removes arguments of functions and of templates, from the inside out.
	while (gsub(/\([^()]*\)/, "", name) || gsub(/<[^<>]*>/, "", name))
		;
	gsub(/( const| volatile| &+)+::/, "::", name)
	sub(/( const| volatile| &+)+$/, "", name)
	# A template function's name comes after its return type.
	sub(/^.* /, "", name)
	count = split(name, parts, "::")
	out = ""
	for (i = 1; i <= count; i++) {
		part = parts[i]
		if (part == own && i < count)
			continue
		if (part == parts[i - 1])
			part = "construct"
		else if (part ~ /^~/)
			part = "destroy"
		else if (part == "call" && parts[i - 1] ~ /^\{lambda/)
			continue
		if (part ~ /^k[A-Z]/)
			part = substr(part, 2)
		part = snake(part)
		gsub(/[^a-z0-9_]+/, "_", part)
		gsub(/^_+|_+$/, "", part)
		out = out (out == "" ? "" : "_") part
	}
	return out
}

{ sub(/^[0-9a-f]* *[A-Za-z?] /, "") }

# The mangled names.
NR == FNR {
	symbol[FNR] = $0
	taken[$0] = 1
	count = FNR
	next
}

# The same symbols in the same order, demangled.
symbol[FNR] ~ /^_Z/ {
	base = symbol[FNR]
	sub(/\..*/, "", base)
	if (!(base in plain)) {
		plain[base] = prefix plain_name($0)
		# Sorted, so that an overload's number does not depend on where the compiler placed it.
		for (i = ++bases; i > 1 && sorted[i - 1] > base; i--)
			sorted[i] = sorted[i - 1]
		sorted[i] = base
	}
}

END {
	if (FNR != count) {
		print "cxx-names: the two symbol lists are not from the same object" > "/dev/stderr"
		exit 1
	}
	for (i = 1; i <= bases; i++) {
		name = plain[sorted[i]]
		for (number = 2; name in taken; number++)
			name = plain[sorted[i]] "_" number
		taken[name] = 1
		if (name !~ /^[a-z][a-z0-9_]*$/) {
			print "cxx-names: " sorted[i] " would become \"" name "\", which is not a valid name" > "/dev/stderr"
			exit 1
		}
		renamed[sorted[i]] = name
	}
	for (i = 1; i <= count; i++) {
		if (symbol[i] !~ /^_Z/)
			continue
		base = suffix = symbol[i]
		sub(/\..*/, "", base)
		print symbol[i], renamed[base] substr(suffix, length(base) + 1)
	}
}
