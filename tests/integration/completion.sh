#!/bin/bash
# Completion as a shell does it: commands, options, values, and ids that the broker knows.
. "$(dirname "$0")/../lib/sh/common.sh"
. "$MAYFLY_TOP/tests/lib/sh/dev.sh"
scratch completion
# completes NAME PATTERN WORD...: what bash offers for these words, the last one being typed, as one line
offers() {
	COMP_WORDS=(mayfly "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_mayfly
	echo "${COMPREPLY[*]}"
}
completes() {
	local name=$1 pat=$2 out
	shift 2
	out=$(offers "$@")
	if grep -qE -- "$pat" <<<"$out"; then ok "$name"; else fail "$name" "wanted /$pat/: $out"; fi
}
eval "$(mayfly completion bash)"
completes first '^.*\bjob\b.*\bstatus\b' ''
completes prefix '^node$' nod
completes group '\bls\b.*\btoken\b' node ''
completes group_prefix '^evict$' node ev
completes option '^--timeout$' node ls --ti
completes options '--all.*--broker' node ls --
completes value '^table json$' job ls -o ''
completes value_json '^json$' job ls --output j
completes shell '^bash$' completion b
: >a-file
completes files '^a-file$' node token --offline-request a-f
completes files_of_run '^a-file$' run a-f
completes nobody '^$' job end j-	# no broker: nothing, and no noise
completes unknown '^$' nonsense ''
completes help '--help' status --h
refuses no_such_shell mayfly completion fish

dev_start
(run_job dev sleep 600 >job.out 2>&1 </dev/null) &
on_exit kill $!
job_id() { mayfly job ls -o json | json 'd["items"][0]["id"]' >job.id; }
poll 60 job_id
completes job "^$(cat job.id)$" job end j-
completes job_option "^$(cat job.id)$" revoke --job ''
completes node "^$(mayfly node ls -o json | json 'd["items"][0]["id"]')$" node show ''
if command -v zsh >/dev/null; then
	mayfly completion zsh >_mayfly
	# The parts of zsh's completion system that it calls, so that what it would offer is printed.
	cat >try.zsh <<-'E'
	compdef() { : }
	_describe() { print -l -- "${(@P)2}" }
	_files() { print files }
	source ./_mayfly
	words=(mayfly "$@") CURRENT=$(( $# + 1 ))
	_mayfly
	E
	says zsh_first '^node:' zsh -f try.zsh no
	says zsh_option '^--timeout:how long' zsh -f try.zsh node ls --ti
	says zsh_job "^$(cat job.id):" zsh -f try.zsh job end j-
	says zsh_files '^files$' zsh -f try.zsh node token --sign ''
else
	skip zsh 'zsh is not installed (deploy/deps.sh)'
fi
finish
