#!/usr/bin/env bash
# cloud-init, and the Python that runs it, for whoever changes scripts/vm/cloud-init.yaml:
#     scripts/lib/cloud-init.sh schema --config-file scripts/vm/cloud-init.yaml
# It is unpacked from Debian's packages, once, and not installed: half a minute, the
# network, and 70 MB in ~/.cache/container-workshop-lab. Exit status: its own; 125 if
# it can't be had.
#
# shellcheck disable=SC2034,SC2317 # lab-cache.sh reads variables, and calls functions
set -euo pipefail
umask 022

make_cloud_init() { # DIRECTORY
    require_space "$cache" 200
    require_space "${TMPDIR:-/tmp}" 200
    say 'unpacks it, once (about half a minute) ...'
    from_debian cloud-init "$suite" --variant=extract --format=tar --include=cloud-init >"$run/packages"
    tar -x -C "$1" -f "$run/packages" --wildcards './usr/bin/python3*' './usr/lib/python3*' \
        './usr/lib/*-linux-gnu*' || fail "cloud-init can't be unpacked in $cache. Above is why."
    rm "$run/packages"
}

clean_up() {
    local helper
    end_moving
    for helper in "${helpers[@]}"; do end "$helper"; done
    rm -rf "$run"
}

here=$(realpath "$(dirname "$0")")
# shellcheck source=scripts/lib/moving.sh
. "$here/moving.sh"
# shellcheck source=scripts/lib/lab-cache.sh
. "$here/lab-cache.sh"
PATH=$PATH:/usr/sbin:/sbin
helpers=()
cache=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/container-workshop-lab
run=$cache/run.$$
mkdir -p "$run"
trap clean_up EXIT
# The newest that stays as it is.
IFS='|' read -r _ suite _ < <(row_of systems 1 13)
tree=$(in_the_cache cloud-init "$(declare -p suite && declare -f make_cloud_init)")
find_part cloud-init "$tree" make_cloud_init
lib=$(compgen -G "$tree/usr/lib/*-linux-gnu")
PYTHONHOME=$tree/usr "$(compgen -G "$lib/ld-linux-*")" --library-path "$lib" \
    "$tree/usr/bin/python3" -m cloudinit.cmd.main "$@"
