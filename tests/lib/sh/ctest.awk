# Turns `ctest -V` output with cmocka's TAP lines into one line per case: ok|FAIL|skipped SUITE/TEST/CASE.
# A program without TAP lines counts as one case. A program that dies counts its death as one failure.
function flush_test(status,    full) {
	full = suite "/" names[id]
	if (status == "Passed" && cases[id] == 0)
		print (why[id] != "" ? "skipped " full ": " why[id] : "ok " full)
	else if (status != "Passed" && bad[id] == 0)
		print "FAIL " full ": " status
}
/^ *Start +[0-9]+: / { match($0, /[0-9]+: /); n = substr($0, RSTART, RLENGTH - 2); names[n] = $NF; sub("^" suite "/", "", names[n]); next }
/^[0-9]+: / {
	n = $1; sub(/:$/, "", n)
	line = substr($0, length(n) + 3)
	if (line ~ /^(not )?ok [0-9]+/) {
		skip = line ~ /# *SKIP/
		c = line; sub(/^(not )?ok [0-9]+ *(-|# *SKIP)? */, "", c)
		full = suite "/" names[n] "/" c
		cases[n]++
		if (skip) {
			print "skipped " full ": " (why[n] != "" ? why[n] : "no reason was printed")
		} else if (line ~ /^not/) {
			bad[n]++
			print "FAIL " full
		} else
			print "ok " full
		why[n] = ""
	} else if (line ~ /^skipped/) {
		why[n] = line
		sub(/^skipped[: ]*/, "", why[n])
		if (why[n] == "") why[n] = "no reason was printed"
	}
	next
}
/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
	match($0, /#[0-9]+/); id = substr($0, RSTART + 1, RLENGTH - 1)
	if ($0 ~ / Passed /) flush_test("Passed")
	else { s = $0; sub(/^.*\.\.+/, "", s); gsub(/^[ *]+|  +[0-9.]+ sec *$/, "", s); flush_test(s) }
}
