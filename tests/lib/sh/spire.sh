# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after common.sh, in a scratch directory: server and agent of SPIRE, trust domain spire.example, below $PWD/spire.
# Nothing fetches its programs: they are taken from $MAYFLY_SPIRE_BIN or from PATH.
#
#   spire_here                     are they here? Skips the whole script otherwise
#   spire_up                       start both, joined; stopped at the end of the script
#   spire_agent_up, spire_agent_down
#   srv VERB...                    spire-server VERB
#   entry ID SELECTOR [ARG...]     a registration entry for spiffe://spire.example/ID; prints its id
#   in_spire CMD...                with SPIRE's socket as SPIFFE_ENDPOINT_SOCKET
spire_here() {
	[ -z "${MAYFLY_SPIRE_BIN:-}" ] || PATH=$MAYFLY_SPIRE_BIN:$PATH
	local p
	for p in spire-server spire-agent; do
		command -v $p >/dev/null || { skip all "$p is not here: put SPIRE's programs on PATH or name their directory in MAYFLY_SPIRE_BIN"; exit 0; }
	done
}
srv() { spire-server "$@" -socketPath "$PWD/spire/server.sock"; }
in_spire() { SPIFFE_ENDPOINT_SOCKET=unix://$PWD/spire/agent.sock "$@"; }
entry() {
	local id=$1 selector=$2
	shift 2
	srv entry create -parentID spiffe://spire.example/node -spiffeID "spiffe://spire.example/$id" -selector "$selector" "$@" >spire/entry.out 2>&1 ||
		{ fail "entry-$id" "$(cat spire/entry.out)"; return 1; }
	sed -n 's/^Entry ID *: //p' spire/entry.out
}
spire_up() {
	local port
	port=$(free_port)
	mkdir -p spire/server spire/agent
	cat >spire/server.conf <<-E
	server {
		bind_address = "127.0.0.1"
		bind_port = "$port"
		socket_path = "$PWD/spire/server.sock"
		trust_domain = "spire.example"
		data_dir = "$PWD/spire/server"
		log_level = "INFO"
		ca_ttl = "24h"
		default_x509_svid_ttl = "1h"
	}
	plugins {
		DataStore "sql" {
			plugin_data { database_type = "sqlite3", connection_string = "$PWD/spire/server/db" }
		}
		NodeAttestor "join_token" { plugin_data {} }
		KeyManager "memory" { plugin_data {} }
	}
	E
	spire-server run -config spire/server.conf >spire/server.log 2>&1 </dev/null &
	on_exit stop $!
	spire_server_pid=$!
	poll 60 srv healthcheck || { fail spire-server "$(tail -5 spire/server.log)"; finish; }
	srv bundle show >spire/bundle.pem
	cat >spire/agent.conf <<-E
	agent {
		data_dir = "$PWD/spire/agent"
		log_level = "INFO"
		server_address = "127.0.0.1"
		server_port = "$port"
		socket_path = "$PWD/spire/agent.sock"
		trust_bundle_path = "$PWD/spire/bundle.pem"
		trust_domain = "spire.example"
		join_token = "$(srv token generate -spiffeID spiffe://spire.example/node | sed -n 's/^Token: //p')"
	}
	plugins {
		NodeAttestor "join_token" { plugin_data {} }
		KeyManager "disk" { plugin_data { directory = "$PWD/spire/agent" } }
		WorkloadAttestor "unix" { plugin_data { discover_workload_path = true } }
	}
	E
	spire_agent_up
}
spire_agent_up() {
	spire-agent run -config spire/agent.conf >>spire/agent.log 2>&1 </dev/null &
	spire_agent_pid=$!
	on_exit stop $!
	poll 60 test -S spire/agent.sock || { fail spire-agent "$(tail -5 spire/agent.log)"; finish; }
}
spire_agent_down() { stop "$spire_agent_pid"; }
