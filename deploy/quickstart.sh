#!/bin/bash
# From a bare Debian to a shown result: packages, build, demo.
#
#   deploy/quickstart.sh [build|demo|clean] [--minimal | --cloud | --no-cloud]
#
#   (nothing)   packages, build, demo          demo        the demo again, with what is built
#   build       stop after the build           clean       remove what this script made
#   --minimal   the demo without nginx, PostgreSQL and training: fewer packages
#   --cloud     the demo with cloud tokens, too, at a real object store on loopback: installs Ceph. Where a terminal
#               is there and none of these is said, it asks, and says what that costs
#
# Safe to run again: what is there is kept. No service is left running or enabled. Programs go to build/bin/,
# roles to build/libexec/mayfly/; nothing is installed outside this directory but Debian packages.
set -eu
cd "$(dirname "$0")/.."
what=all minimal='' cloud=''
for a in "$@"; do
	case $a in
	build | demo | clean) what=$a ;;
	--minimal) minimal=--minimal ;;
	--cloud | --no-cloud) cloud=$a ;;
	-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "quickstart: unknown argument '$a': deploy/quickstart.sh [build|demo|clean] [--minimal | --cloud | --no-cloud]" >&2; exit 2 ;;
	esac
done
if [ -n "$minimal" ] && [ "$cloud" = --cloud ]; then
	echo "quickstart: --minimal has no training job, which --cloud is about: give one of them" >&2
	exit 2
fi
start=$SECONDS
head() { printf '\n[%3d s] %s\n' $((SECONDS - start)) "$*"; }

if [ $what = clean ]; then
	for d in build build-dev build-clang build-asan build-tsan build-fuzz build-cov; do
		if [ -e $d/CMakeCache.txt ] || [ -d $d/test-logs ] || [ -d $d/demo-venv ] || [ -e $d/configure.log ]; then
			rm -rf $d
			echo "removed $d/"
		fi
	done
	echo "Debian packages stay. To see them: deploy/deps.sh --list build demo"
	exit 0
fi

if [ $what != build ] && [ -z "$minimal$cloud" ] && [ -t 0 ] && [ -t 1 ]; then
	echo "The demo can show cloud tokens, too: the job reads its data from a real object store, and what it held is refused"
	echo "there after its end. For that it starts Ceph's radosgw on loopback, in memory, and stops it. What it needs:"
	deploy/deps.sh --plan cloud | sed 's/^deps: /  /'
	echo "  and boto3 with the AWS command line, for Python, in build/: 20 MB to fetch, 220 MB on disk"
	printf 'With cloud tokens? [y/N] '
	read -r answer || answer=''
	case $answer in [yY]*) cloud=--cloud ;; esac
fi
[ "$cloud" = --cloud ] || cloud=''

groups="build demo${cloud:+ cloud}"
[ -z "$minimal" ] || groups=build
[ $what != build ] || groups=build
echo "Mayfly quickstart: Debian packages, build into build/$([ $what = build ] || echo ", demo on loopback")"
if [ $what != demo ]; then
	head "packages"
	# shellcheck disable=SC2086 # a word list
	deploy/deps.sh $groups
	head "build (the first takes a minute or two)"
	mkdir -p build
	cmake --preset release -DMF_TESTS=OFF >build/configure.log 2>&1 || { cat build/configure.log >&2; exit 1; }
	if [ -t 1 ]; then
		cmake --build --preset release
	else
		cmake --build --preset release | awk '/^FAILED|error|warning/ { print; next } { n = $1 } END { print n " built" }'
		[ "${PIPESTATUS[0]}" = 0 ] || exit 1
	fi
	echo "programs in build/bin/: $(ls build/bin | tr '\n' ' ')"
fi
if [ $what = build ]; then
	cat <<-EOF

	Next:
	  deploy/quickstart.sh demo         the demo
	  build/bin/mayfly dev              broker and agent in the foreground; it prints what to type next
	EOF
	exit 0
fi
head "demo"
# shellcheck disable=SC2086 # nothing or one word
deploy/demo/run.sh $minimal$cloud
head "done"
own=''
[ -z "$cloud" ] || own=$'\n  docs/how-to/cloud-s3.md, cloud-aws.md          # cloud tokens of your own store, of AWS'
cat <<EOF

Next:
  export PATH=$PWD/build/bin:\$PATH
  mayfly dev                                     # in one terminal; it prints three exports
  mayfly run --profile dev -- mayfly whoami      # in another, after these exports
  docs/tutorial/first-job.md                     # the same, explained$own
  tests/run.sh                                   # all tests
  deploy/quickstart.sh clean                     # remove what was built
EOF
