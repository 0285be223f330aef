# shellcheck shell=bash disable=SC2034,SC2154
# Sourced: two real servers, unprivileged, on loopback, in a directory of their own. They trust the bundle in
# BUNDLE (PEM) and let in the identity whose subject CN is demo-train.
#
#   demo_server_certs DIR            a throw-away CA and one server certificate: server-ca.pem, server.pem, server.key
#   demo_nginx DIR BUNDLE            serves DIR/www; sets DEMO_NGINX=127.0.0.1:PORT and DEMO_NGINX_PID
#   demo_postgres DIR BUNDLE         database `metrics`; sets DEMO_POSTGRES=127.0.0.1:PORT and DEMO_POSTGRES_PID
#   demo_servers_stop                stops both by pid and waits
# Each returns 1 after saying why on stderr.

# Root starts them as another user: PostgreSQL refuses root, and neither needs it.
demo_user() {
	[ "$(id -u)" = 0 ] || return 0
	local u
	for u in postgres nobody; do
		if id "$u" >/dev/null 2>&1; then
			echo "$u"
			return 0
		fi
	done
}
demo_as() {	# run as the servers' user
	local u
	u=$(demo_user)
	if [ -n "$u" ]; then
		setpriv --reuid "$u" --regid "$(id -g "$u")" --clear-groups -- "$@"
	else
		"$@"
	fi
}
demo_spawn() {	# as demo_as, but takes the place of this (sub)shell, so that $! is the server's own pid
	local u
	u=$(demo_user)
	if [ -n "$u" ]; then
		exec setpriv --reuid "$u" --regid "$(id -g "$u")" --clear-groups -- "$@"
	else
		exec "$@"
	fi
}
demo_own() {	# give files to the servers' user
	local u
	u=$(demo_user)
	[ -z "$u" ] || chown -R "$u" "$@"
}
demo_poll() {	# SECONDS CMD...: a hang limit, not an expectation
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
demo_listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
demo_free_port() {
	local p _
	for _ in $(seq 200); do
		p=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		demo_listens "$p" || { echo "$p"; return 0; }
	done
	return 1
}
demo_pg_bin() {	# the newest installed PostgreSQL
	local d
	d=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
	[ -x "$d/initdb" ] && echo "$d"
}

demo_server_certs() {
	local d=$1
	mkdir -p "$d"
	chmod 755 "$d"
	{
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=demo servers" \
		    -keyout "$d/server-ca.key" -out "$d/server-ca.pem" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
		    -keyout "$d/server.key" -out "$d/server.csr" &&
		printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n' >"$d/server.ext" &&
		openssl x509 -req -in "$d/server.csr" -CA "$d/server-ca.pem" -CAkey "$d/server-ca.key" -CAcreateserial \
		    -days 2 -extfile "$d/server.ext" -out "$d/server.pem"
	} >"$d/openssl.log" 2>&1 || { echo "demo: openssl: $(tail -1 "$d/openssl.log")" >&2; return 1; }
	rm -f "$d/server-ca.key" "$d/server.csr"
	chmod 644 "$d/server-ca.pem" "$d/server.pem"
}

demo_nginx() {
	local d=$1/nginx port
	mkdir -p "$d/tmp"
	cp "$1/server.pem" "$1/server.key" "$d/"
	cp "$2" "$d/bundle.pem"
	port=$(demo_free_port) || return 1
	cat >"$d/nginx.conf" <<EOF
worker_processes 1;
daemon off;
pid $d/nginx.pid;
error_log $d/error.log;
events { worker_connections 64; }
http {
	access_log $d/access.log;
	client_body_temp_path $d/tmp/body;
	proxy_temp_path $d/tmp/proxy;
	fastcgi_temp_path $d/tmp/fastcgi;
	uwsgi_temp_path $d/tmp/uwsgi;
	scgi_temp_path $d/tmp/scgi;
	# The chain to the bundle says that the certificate is genuine; the subject says whose it is.
	map \$ssl_client_s_dn \$allowed {
		default 0;
		"~(^|,)CN=demo-train(,|\$)" 1;
	}
	server {
		listen 127.0.0.1:$port ssl;
		ssl_certificate $d/server.pem;
		ssl_certificate_key $d/server.key;
		ssl_protocols TLSv1.3;
		ssl_client_certificate $d/bundle.pem;
		ssl_verify_client on;
		ssl_verify_depth 3;
		ssl_session_cache off;
		ssl_session_tickets off;
		root $1/www;
		if (\$allowed = 0) { return 403 "not for this identity\n"; }
	}
}
EOF
	demo_own "$d"
	demo_spawn nginx -p "$d" -c "$d/nginx.conf" -e "$d/error.log" >"$d/out" 2>&1 &
	DEMO_NGINX_PID=$! DEMO_NGINX=127.0.0.1:$port
	demo_poll 60 demo_listens "$port" || { echo "demo: nginx: $(tail -3 "$d/out" "$d/error.log")" >&2; return 1; }
}

demo_postgres() {
	local d=$1/postgres bin port
	bin=$(demo_pg_bin) || { echo "demo: PostgreSQL is not installed (deploy/deps.sh demo)" >&2; return 1; }
	demo_as id -un >/dev/null 2>&1 || {
		echo "demo: PostgreSQL runs only as a user that has a name: uid $(id -u) has none in /etc/passwd" >&2
		return 1
	}
	mkdir -p "$d"
	cp "$1/server.pem" "$1/server.key" "$d/"
	cp "$2" "$d/bundle.pem"
	chmod 600 "$d/server.key"
	port=$(demo_free_port) || return 1
	demo_own "$d"
	demo_as "$bin/initdb" -D "$d/data" -A peer -U demo-admin -E UTF8 --no-locale --no-sync >"$d/initdb.log" 2>&1 || {
		echo "demo: initdb: $(tail -3 "$d/initdb.log")" >&2
		return 1
	}
	cat >>"$d/data/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$d'
max_connections = 20
fsync = off                     # throw-away data
ssl = on
ssl_cert_file = '$d/server.pem'
ssl_key_file = '$d/server.key'
ssl_ca_file = '$d/bundle.pem'
EOF
	# Over TCP nobody comes in without a certificate that chains to the bundle and whose CN is the role's name.
	cat >"$d/data/pg_hba.conf" <<EOF
local   all     demo-admin                      peer map=admin
hostssl metrics demo-train      127.0.0.1/32    cert
EOF
	echo "admin $(demo_as id -un) demo-admin" >"$d/data/pg_ident.conf"
	demo_spawn "$bin/postgres" -D "$d/data" >"$d/log" 2>&1 &
	DEMO_POSTGRES_PID=$! DEMO_POSTGRES=127.0.0.1:$port
	demo_poll 120 demo_sql "$d" "$port" postgres -c 'SELECT 1' || {
		echo "demo: postgres: $(tail -3 "$d/log")" >&2
		return 1
	}
	demo_sql "$d" "$port" postgres -c 'CREATE ROLE "demo-train" LOGIN' -c 'CREATE DATABASE metrics' &&
	demo_sql "$d" "$port" metrics -c 'CREATE TABLE metrics (job text, epoch int, loss float8, accuracy float8,
	    seconds float8, at timestamptz DEFAULT now())' -c 'GRANT SELECT, INSERT ON metrics TO "demo-train"' || {
		echo "demo: postgres: cannot make the database: $(tail -3 "$d/log")" >&2
		return 1
	}
}
demo_sql() {	# DIR PORT DATABASE ARG...: as the administrator, over the socket
	local d=$1 port=$2 db=$3
	shift 3
	demo_as psql -qAt -v ON_ERROR_STOP=1 -h "$d" -p "$port" -U demo-admin -d "$db" "$@" >/dev/null
}

demo_servers_stop() {
	local p
	for p in "${DEMO_NGINX_PID:-}" "${DEMO_POSTGRES_PID:-}"; do
		[ -n "$p" ] || continue
		kill -INT "$p" 2>/dev/null || true	# nginx: fast; PostgreSQL: fast shutdown
		demo_poll 60 eval "! kill -0 $p" || kill -KILL "$p" 2>/dev/null || true
		wait "$p" 2>/dev/null || true
	done
	DEMO_NGINX_PID='' DEMO_POSTGRES_PID=''
}
