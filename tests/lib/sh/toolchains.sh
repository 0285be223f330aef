# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by tests that need programs in other languages. Toolchains and libraries are pinned, fetched by their
# own clients and verified by hash (go.sum, requirements.txt, artifacts.sha256, and the sum below), into a cache outside the tree:
# ${MAYFLY_TEST_CACHE:-~/.cache/mayfly-tests}. Each function prints a path; when it cannot, it returns 1 and
# leaves the reason in the file that toolchain_why prints.
#
#   go_program DIR NAME      a program built from the Go module in DIR
#   node_modules DIR         the node_modules of DIR's package-lock.json, for Node 18 or later
#   python_with REQUIREMENTS an interpreter of a virtual environment with these packages
#   java_classes DIR         the class path of DIR's *.java with what its pom.xml needs; by Maven, for Java 17 or later
t_cache=${MAYFLY_TEST_CACHE:-${HOME:-/tmp}/.cache/mayfly-tests}
t_go=1.25.5
t_go_sum_amd64=h1:IkknVKy/4hLMR+ZwWfP4Oqhjz2sKqNtEXz1meP8P3Nc=
t_maven_dependency=2.8
mkdir -p "$t_cache" || exit 1

toolchain_why() { tail -1 "$t_cache/why" 2>/dev/null; }
t_because() { echo "$1" >"$t_cache/why"; return 1; }

# A Go that is new enough: one of the machine, or the pinned one, which any older Go can fetch as a module.
t_find_go() {
	local g v any='' dir="$t_cache/go-$t_go" arch
	for g in "$(command -v go || true)" /usr/local/go/bin/go "$dir/bin/go"; do
		[ -n "$g" ] && [ -x "$g" ] || continue
		v=$(GOTOOLCHAIN=local "$g" env GOVERSION 2>/dev/null) && [ -n "$v" ] || continue
		if [ "$(printf '%s\n' "go$t_go" "$v" | sort -V | head -1)" = "go$t_go" ]; then
			echo "$g"
			return 0
		fi
		any=${any:-$g}
	done
	[ -n "$any" ] || t_because "no Go on this machine (deploy/deps.sh test)" || return 1
	arch=$("$any" env GOARCH)
	[ "$arch" = amd64 ] || t_because "Go is older than $t_go, and none is pinned for $arch" || return 1
	local work out mod
	work=$(mktemp -d) || return 1
	(cd "$work" && "$any" mod init x) >/dev/null 2>&1
	out=$(cd "$work" && "$any" mod download -json "golang.org/toolchain@v0.0.1-go$t_go.linux-$arch" 2>&1)
	rm -rf "$work"
	grep -qF "\"Sum\": \"$t_go_sum_amd64\"" <<<"$out" ||
		t_because "Go $t_go cannot be fetched: $(sed -n 's/.*"Error": //p' <<<"$out" | cut -c1-160)" || return 1
	mod=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$out")
	rm -rf "$dir.tmp"
	# Modules are read-only and not executable: copy, and make the programs so.
	cp -r "$mod" "$dir.tmp" && chmod -R u+w "$dir.tmp" && chmod -R +x "$dir.tmp/bin" "$dir.tmp/pkg/tool" &&
		mv -T "$dir.tmp" "$dir" && echo "$dir/bin/go"
}

go_program() {
	local go key out
	go=$(t_find_go) || return 1
	key=$(cd "$1" && cat ./*.go go.mod go.sum | sha256sum | cut -c1-16)
	out=$t_cache/bin/$2-$key
	if [ ! -x "$out" ]; then
		mkdir -p "$t_cache/bin"
		(cd "$1" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly "$go" build -trimpath -buildvcs=false -o "$out.tmp" .) \
		    >"$t_cache/build.log" 2>&1 ||
			t_because "Go modules of $2 cannot be fetched or built: $(tail -1 "$t_cache/build.log" | cut -c1-160)" ||
			return 1
		mv "$out.tmp" "$out"
	fi
	echo "$out"
}

python_with() {
	local py=/usr/bin/python3 dir key
	[ -x $py ] || py=$(command -v python3) || t_because "no python3 (deploy/deps.sh test)" || return 1
	key=$({ cat "$1"; $py --version; } | sha256sum | cut -c1-16)
	dir=$t_cache/venv-$key
	if [ ! -e "$dir/complete" ]; then
		rm -rf "$dir"
		{ $py -m venv "$dir" && "$dir/bin/pip" -q install --require-hashes --only-binary :all: -r "$1"; } \
		    >"$t_cache/pip.log" 2>&1 ||
			t_because "Python packages cannot be fetched: $(grep -v '^\[notice' "$t_cache/pip.log" | tail -1 | cut -c1-160)" ||
			return 1
		touch "$dir/complete"
	fi
	echo "$dir/bin/python"
}

node_modules() {
	local major key out
	command -v node >/dev/null && command -v npm >/dev/null || t_because "no node or npm on this machine" || return 1
	major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
	[ "$major" -ge 18 ] || t_because "Node $major is older than 18" || return 1
	key=$(cat "$1/package.json" "$1/package-lock.json" | sha256sum | cut -c1-16)
	out=$t_cache/npm-$key
	if [ ! -d "$out/node_modules" ]; then
		rm -rf "$out.tmp"
		mkdir -p "$out.tmp" && cp "$1/package.json" "$1/package-lock.json" "$out.tmp" &&
			(cd "$out.tmp" && npm ci --ignore-scripts --no-audit --no-fund) >"$t_cache/npm.log" 2>&1 ||
			t_because "packages of $(basename "$1") cannot be fetched: $(tail -1 "$t_cache/npm.log" | cut -c1-160)" ||
			return 1
		mv -T "$out.tmp" "$out"
	fi
	echo "$out/node_modules"
}

java_classes() {
	local major key out p
	for p in java javac mvn; do
		command -v $p >/dev/null || t_because "no $p on this machine (deploy/deps.sh sdks)" || return 1
	done
	major=$(javac -version 2>&1 | sed 's/^javac \([0-9]*\).*/\1/')
	[ "$major" -ge 17 ] || t_because "Java $major is older than 17" || return 1
	key=$({ cat "$1"/pom.xml "$1"/artifacts.sha256 "$1"/*.java; echo "$major"; } | sha256sum | cut -c1-16)
	out=$t_cache/java-$key
	if [ ! -e "$out/classes" ]; then
		rm -rf "$out.tmp"
		mkdir -p "$out.tmp/lib"
		mvn -B -q -f "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:$t_maven_dependency:copy-dependencies \
		    -DincludeScope=runtime -DoutputDirectory="$out.tmp/lib" >"$t_cache/mvn.log" 2>&1 ||
			t_because "Java packages of $(basename "$1") cannot be fetched: $(grep -m1 ERROR "$t_cache/mvn.log" | cut -c1-160)" ||
			return 1
		(cd "$out.tmp/lib" && sha256sum --quiet -c -) <"$1/artifacts.sha256" >"$t_cache/mvn.log" 2>&1 &&
			[ "$(ls "$out.tmp/lib" | wc -l)" = "$(wc -l <"$1/artifacts.sha256")" ] ||
			t_because "Java packages of $(basename "$1") are not those of artifacts.sha256: $(head -1 "$t_cache/mvn.log")" || return 1
		javac -d "$out.tmp/classes" -cp "$out.tmp/lib/*" "$1"/*.java >"$t_cache/build.log" 2>&1 ||
			t_because "$(basename "$1") does not compile: $(head -1 "$t_cache/build.log" | cut -c1-160)" || return 1
		rm -rf "$out"
		mv -T "$out.tmp" "$out"
	fi
	echo "$out/classes:$out/lib/*"
}
