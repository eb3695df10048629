#!/usr/bin/env bash
# A root directory with a whole Debian in it, for a system container: without root,
# and without docker. Its packages are fetched once, and kept beside the lab's.
#
# shellcheck disable=SC2034 # lab-cache.sh reads and sets variables
set -euo pipefail
umask 022

usage() {
    cat <<'USAGE'
usage: scripts/debian-root.sh DIR [FILE]
       scripts/debian-root.sh --remove DIR
       scripts/debian-root.sh --tar FILE

Makes DIR/root: a Debian with systemd, D-Bus, logind, apt and podman. There are root and
an ordinary user, named user, without passwords. To boot it:

  10-system-container --rootfs DIR/root

Its files belong to whoever is root in your containers. So that root must be able to
pass through to DIR: put it below /var/tmp, or `chmod a+x` the way. What is changed
in a container goes with it, unless --upper keeps it.

  --remove DIR   takes it away again: its files are not yours outside a container
  --tar FILE     writes the files to an archive instead, for DIR FILE elsewhere

The files come from Debian packages, as those of the lab do (see lab.sh), once: a
minute, the network, and 190 MB in ~/.cache/container-workshop-lab.

Exit status: 0; 125 if that can't be done.
USAGE
}

suite=bookworm
root_packages=systemd-sysv,dbus,dbus-user-session,libpam-systemd,iproute2,procps,podman,crun,uidmap

# What a machine in a container has, and another one has not: podman's containers lie in
# memory, since the kernel puts no overlay over an overlay, and the ids of whoever makes
# one come out of the 65536 that there are. podman's services wait until they are asked.
# That perl is only for machines whose /usr is not merged yet.
furnish=$(
    cat <<'IN_THE_ROOT'
    set -e
    apt-get -qq -y --purge install usr-is-merged usrmerge- perl- perl-modules-5.36- libperl5.36-
    systemctl --quiet disable $(cd /usr/lib/systemd/system && ls podman*)
    systemctl --quiet --global disable $(cd /usr/lib/systemd/user && ls podman*)
    printf '%s\n' '[storage]' 'driver = "overlay"' 'runroot = "/run/containers/storage"' \
        'graphroot = "/run/containers/graph"' 'rootless_storage_path = "/run/user/$UID/graph"' \
        >/etc/containers/storage.conf
    sed -i -E 's/^(SUB_.ID_MIN).*/\1 2000/; s/^(SUB_.ID_MAX).*/\1 65535/; s/^(SUB_.ID_COUNT).*/\1 14000/' \
        /etc/login.defs
    echo root:2000:14000 | tee /etc/subuid >/etc/subgid
    useradd --create-home --shell /bin/bash user
    passwd --quiet --delete root
    passwd --quiet --delete user
    echo debian >/etc/hostname
    : >/etc/machine-id
IN_THE_ROOT
)

make_root() { # DIRECTORY
    require_space "$cache" 500
    require_space "${TMPDIR:-/tmp}" 500
    say 'gets its packages, once (about a minute) ...'
    export furnish
    # shellcheck disable=SC2016 # the hook's own shell fills this in
    from_debian 'the root directory' "$suite" --variant=minbase --format=tar --skip=output/dev \
        --include="$root_packages" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/lib/cni/[dimsv]*' \
        --customize-hook='chroot "$1" sh -c "$furnish" 2>&1' >"$1/root.tar"
}

# Sets archive to the files of the root directory.
get_archive() {
    local part
    cache=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/container-workshop-lab
    mkdir -p "$cache"
    trap clean_up EXIT
    run=$cache/run.$$
    mkdir "$run"
    part=$(in_the_cache debian "$(declare -p suite root_packages furnish && declare -f make_root)")
    exec {lock}>"$cache/lock"
    take_lock --shared
    [[ -d $part ]] || {
        take_lock --exclusive
        [[ -d $part ]] || keep debian "$part" make_root
    }
    archive=$part/root.tar
}

# A script for root inside, to whom DIRECTORY is open as /mnt meanwhile.
as_root_inside() { # DIRECTORY SCRIPT
    local target=${CARGO_TARGET_DIR:-$checkout/target} steps=${WORKSHOP_BIN-} status=0
    [[ $steps ]] || steps=$target/release
    [[ -x $steps/10-system-container ]] || steps=$target/debug
    [[ -x $steps/10-system-container ]] || fail 'the workshop is not built.' 'Try: cargo build --release'
    chmod 777 "$1"
    "$steps/10-system-container" --quiet --network none -v "$1:/mnt" sh -c "$2" || status=$?
    chmod 755 "$1"
    return "$status"
}

clean_up() {
    local helper
    end_moving
    for helper in "${helpers[@]}"; do end "$helper"; done
    [[ ! ${run:-} ]] || rm -rf "$run"
}

main() {
    local what=unpack archive=${2-} helpers=() run='' lock
    case ${1-} in
        -h | --help) usage && exit ;;
        --tar | --remove) what=${1#--} archive='' && shift ;;
    esac
    if [[ $# -ne 1 && ($what != unpack || $# -ne 2) || ${1:0:1} == - ]]; then
        usage >&2
        exit 125
    fi
    PATH=$PATH:/usr/sbin:/sbin
    if [[ $what == remove ]]; then
        [[ -d $1/root ]] || fail "$1/root is not there."
        as_root_inside "$(realpath "$1")" 'rm -rf /mnt/root' || fail "$1/root could not be taken away."
        rmdir "$1"
        exit
    fi
    [[ ! -e $1 ]] || fail "$1 is there already."
    [[ $archive ]] || get_archive
    if [[ $what == tar ]]; then
        cp "$archive" "$1"
        exit
    fi
    mkdir "$1" || exit 125
    as_root_inside "$(realpath "$1")" 'mkdir /mnt/root && exec tar -xp --numeric-owner -C /mnt/root' \
        <"$archive" || fail "$1/root can't be made. Above is why."
}

checkout=$(realpath "$(dirname "$0")/..")
# shellcheck source=scripts/lib/moving.sh
. "$checkout/scripts/lib/moving.sh"
# shellcheck source=scripts/lib/lab-cache.sh
. "$checkout/scripts/lib/lab-cache.sh"
main "$@"
