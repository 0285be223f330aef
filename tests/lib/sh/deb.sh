# shellcheck shell=bash disable=SC2034,SC2154
# Sourced after machine.sh: the packages, and a job that shows what becomes of it.
#
#   deb_build       share/v1: packages of the programs in build/
#   deb_next        share/v2: the same as a next revision ($deb_v2), with another default agent.yaml
#   deb_job         start a job on the machine; it writes its identity to share/id again and again
#   deb_same_job    the job still gets the same identity
deb_v1=0.1.0-1 deb_v2=0.1.0-2
deb_build() {
	mkdir -p share/v1
	# Neither debug symbols nor compression: the packages are looked at and installed, not kept.
	if ! DEB_BUILD_OPTIONS=noautodbgsym DPKG_DEB_COMPRESSOR_TYPE=none "$MAYFLY_TOP/deploy/deb/build.sh" --from "$MAYFLY_BUILD" \
		--out share/v1 >build.log 2>&1; then
		fail build "$(tail -5 build.log)"
		finish
	fi
	ok build
}
deb_next() {
	local f name
	mkdir -p share/v2 tree
	for f in share/v1/*.deb; do
		name=$(basename "$f" "_${deb_v1}_$(dpkg --print-architecture).deb")
		dpkg-deb -R "$f" "tree/$name"
		sed -i "s/\b$deb_v1\b/$deb_v2/" "tree/$name/DEBIAN/control"
		[ ! -f "tree/$name/etc/mayfly/agent.yaml" ] || echo '# of the next revision' >>"tree/$name/etc/mayfly/agent.yaml"
		dpkg-deb -Znone --root-owner-group -b "tree/$name" share/v2 >/dev/null || fail next "$name"
	done
	rm -rf tree
}
deb_job() {
	machine_sh 'setsid mayfly run --profile long -- sh -c "
		sleep 86400 &
		while kill -0 \$!; do
			mayfly svid fetch -o json >/tmp/svid.json && /usr/bin/python3 -c \"import json; print(json.load(open(\\\"/tmp/svid.json\\\"))[\\\"items\\\"][0][\\\"spiffe_id\\\"])\" >/mnt/share/id.new &&
				mv /mnt/share/id.new /mnt/share/id
			sleep 0.2
		done" </dev/null >/mnt/share/job.log 2>&1 &'
}
deb_same_job() {
	local was
	was=$(cat share/id)
	rm -f share/id
	poll 60 test -s share/id && [ "$(cat share/id)" = "$was" ]
}
