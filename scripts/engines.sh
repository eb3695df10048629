#!/usr/bin/env bash
# docker, containerd and podman, with step 11 as their runtime, for a demo: whatever
# is installed or runs here is left alone.
#
# They are unpacked, not installed, and what starts them is what the steps teach: a
# mount, network, process and cgroup namespace, and an overlay over /usr.
#
# shellcheck disable=SC2034,SC2317 # lab-cache.sh reads and sets variables, and calls functions
set -euo pipefail
umask 022

usage() {
    cat <<'USAGE'
usage: sudo scripts/engines.sh [--] [COMMAND [ARG...]]
       scripts/engines.sh --get | --check

Starts docker and containerd, and runs COMMAND (default: your shell) where docker, ctr
and podman use step 11's runtime. Everything else is as outside, in your directory.

  docker run --rm -it box                       box is an image: a busybox
  docker run --rm -it --runtime crun box        the same, with another runtime
  podman run --rm -it --rootfs $BOX sh          BOX is its root directory
  ctr run --rm --runc-binary $RUNTIME --rootfs $BOX NAME /bin/sh

When COMMAND ends, or this script, however it ends, all of it is taken away: engines,
containers, images, networks, cgroups. Data is in memory meanwhile. No network leads
out, and a bridge of docker's there is none: --network host, none or container:NAME.

  --get     gets the engines from Debian's packages, once, and starts nothing: half a
            minute, the network, and 350 MB in ~/.cache/container-workshop-lab. It
            needs no root, and installs nothing
  --check   says whether they are there, and in which directory
  --help    this text

Exit status: COMMAND's own; 125 if the engines can't be started.
USAGE
}

# ── the packages ────────────────────────────────────────────────────────────

suite=bookworm
engine_packages=(
    busybox-static
    catatonit
    conmon
    containerd
    crun
    docker-registry
    docker.io
    fuse-overlayfs
    podman
    runc
    skopeo
    slirp4netns
    tini
)
engine_programs=(
    bin/busybox usr/sbin/{dockerd,runc}
    usr/bin/{docker,docker-init,containerd,containerd-shim-runc-v2,ctr,podman,conmon}
    usr/bin/{crun,runc,fuse-overlayfs,slirp4netns,tini,tini-static,catatonit}
    usr/bin/{docker-registry,skopeo}
)

# apt checks their signatures. Of what they bring beside engines, only libraries are
# kept: for what this machine lacks.
make_engines() { # DIRECTORY
    require_space "$cache" 600
    require_space "${TMPDIR:-/tmp}" 400
    say 'unpacks docker, containerd and podman, once (about a minute) ...'
    from_debian 'the engines' "$suite" --variant=extract --format=tar \
        --include="$(IFS=, && echo "${engine_packages[*]}")" >"$run/packages"
    tar -x -C "$1" -f "$run/packages" --wildcards ./etc/containers ./usr/lib/podman \
        './lib/*-linux-gnu*' './usr/lib/*-linux-gnu*' "${engine_programs[@]/#/./}" ||
        fail "the engines can't be unpacked in $cache. Above is why."
    mv "$1/bin/busybox" "$1/usr/bin"
    rm "$run/packages"
}

# Sets engines to their directory.
find_engines() {
    cache=${XDG_CACHE_HOME:-${HOME:-~}/.cache}/container-workshop-lab
    engines=$(in_the_cache engines "$(declare -p suite engine_packages engine_programs && declare -f make_engines)")
}

get_engines() {
    [[ ! -d $engines ]] || return 0
    mkdir -p "$cache"
    trap clean_up EXIT
    run=$cache/run.$$
    mkdir "$run"
    exec {lock}>"$cache/engines.lock"
    flock "$lock"
    [[ -d $engines ]] || keep engines "$engines" make_engines
    rm -r "$run"
    exec {lock}>&-
}

clean_up() {
    local helper
    end_moving
    for helper in "${helpers[@]}"; do end "$helper"; done
    [[ ! ${run:-} ]] || rm -rf "$run"
}

# ── the start ───────────────────────────────────────────────────────────────

choose_runtime() {
    local target=${CARGO_TARGET_DIR:-$checkout/target} steps=${WORKSHOP_BIN-}
    [[ $steps ]] || steps=$target/release
    [[ -x $steps/11-oci-runtime ]] || steps=$target/debug
    [[ -x $steps/11-oci-runtime ]] || fail 'the workshop is not built.' 'Try: cargo build --release'
    RUNTIME=$(realpath "$steps/11-oci-runtime")
}

# A cgroup in each hierarchy, for all that follows; it becomes the root of what is
# seen there. On cgroup v1, a new cpuset has no processors yet.
join_cgroups() {
    local place file
    while read -r place; do
        mkdir "$place/$group"
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -e $place/$group/$file || -s $place/cgroup.controllers ]] ||
                cat "$place/$file" >"$place/$group/$file"
        done
        echo "$BASHPID" >"$place/$group/cgroup.procs"
    done < <(hierarchies)
}

hierarchies() { findmnt --noheadings --raw --output TARGET --types cgroup,cgroup2 || true; }

# Waits until nobody of us is left, whatever ended them: each has the other end of its
# standard input. A cgroup is all that outlives its processes.
take_care_of_cgroups() {
    local place
    cat >/dev/null
    for _ in {1..200}; do
        while read -r place; do
            [[ ! -d $place/$group ]] || find "$place/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done < <(hierarchies)
        [[ $(find_groups) ]] || return 0
        sleep 0.05
    done
}

# Of runs that were killed together with whoever takes care of theirs.
remove_leftovers() {
    local place left
    while read -r place; do
        for left in "$place"/engines-*; do
            [[ ! -d $left || -e /proc/${left##*-} ]] ||
                find "$left" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done < <(hierarchies)
}

find_groups() {
    local place
    while read -r place; do [[ ! -d $place/$group ]] || echo "$place/$group"; done < <(hierarchies)
}

# From here on, we are process 1 of a namespace, and nothing that we mount is seen by
# others.
pretend_a_machine() {
    local place places
    mapfile -t places < <(hierarchies)
    mount -t tmpfs -o mode=755 engines /run
    mkdir -p /run/{engines/{changed,client,work},lock,cgroup}
    # Not over the whole hierarchy: who looks for it would find that first.
    for place in "${places[@]}"; do
        mount --bind "$place/$group" /run/cgroup
        umount "$place"
        mount --move /run/cgroup "$place"
    done
    # On cgroup v2, whoever gives controllers away has no processes.
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mkdir /sys/fs/cgroup/engines
        echo 0 >/sys/fs/cgroup/engines/cgroup.procs
        sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    fi
    mount -t overlay -o "lowerdir=$engines/etc:/etc,upperdir=/run/engines/changed,workdir=/run/engines/work" \
        engines /etc
    mount -t overlay -o "lowerdir=$engines/usr/sbin:/usr/sbin" engines /usr/sbin
    mount -t overlay -o "lowerdir=$engines/usr/bin:/usr/bin" engines /usr/bin
    mount -t overlay -o "lowerdir=/usr/lib:$engines/usr/lib:$engines/lib" engines /usr/lib
    ip link set lo up
}

# A busybox and its names: an image made by hand.
make_box() {
    local name
    mkdir -p "$BOX"/{bin,dev,etc,proc,root,sys,tmp,run}
    cp -L /usr/bin/busybox "$BOX/bin"
    for name in $("$BOX/bin/busybox" --list); do
        [[ $name == busybox ]] || ln -s busybox "$BOX/bin/$name"
    done
    chmod 1777 "$BOX/tmp"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh joe:x:1000:1000:joe:/tmp:/bin/sh >"$BOX/etc/passwd"
    printf '%s\n' root:x:0: joe:x:1000: >"$BOX/etc/group"
}

configure() {
    mkdir -p /etc/docker /etc/containers
    cat >/etc/docker/daemon.json <<JSON
{
  "runtimes": { "workshop": { "path": "$RUNTIME" }, "crun": { "path": "/usr/bin/crun" } },
  "default-runtime": "workshop",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "data-root": "/run/engines/docker",
  "storage-driver": "overlay2",
  "live-restore": true,
  "bridge": "none",
  "iptables": false
}
JSON
    cat >/etc/containers/containers.conf <<CONF
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "workshop"
[engine.runtimes]
workshop = ["$RUNTIME"]
crun = ["/usr/bin/crun"]
CONF
    cat >/etc/containers/storage.conf <<CONF
[storage]
driver = "overlay"
graphroot = "/run/engines/podman"
runroot = "/run/containers/storage"
CONF
}

start_engines() {
    local docker
    dockerd >>/run/engines/log 2>&1 {life}>&- &
    docker=$!
    disown # its end is no news
    for _ in {1..600}; do
        ! docker version >/dev/null 2>&1 || break
        [[ -e /proc/$docker ]] || break
        sleep 0.05
    done
    docker version >/dev/null 2>&1 || {
        tail -n 5 /run/engines/log >&2
        fail 'docker does not start. Above is the end of its log.'
    }
    echo '{}' >"$DOCKER_CONFIG/config.json"
    tar -c -C "$BOX" . | docker import - box >/dev/null
}

inside() { # COMMAND...
    pretend_a_machine
    configure
    make_box
    start_engines
    exec {life}>&-
    local status=0
    "$@" || status=$?
    exit "$status"
}

start() { # COMMAND...
    local status=0 care
    ((EUID == 0)) || fail 'docker and containerd need root.' 'Try: sudo ./scripts/engines.sh'
    need findmnt ip setpriv unshare
    choose_runtime
    remove_leftovers
    # The machine's own, if a script of an earlier run has set them.
    unset DOCKER_HOST DOCKER_CONTEXT CONTAINERS_CONF CONTAINERS_STORAGE_CONF XDG_RUNTIME_DIR
    export RUNTIME engines BOX=/run/engines/box group=engines-$$
    export PATH=/usr/bin:/usr/sbin:$PATH DOCKER_CONFIG=/run/engines/client
    # The one that docker starts, and ctr asks.
    export CONTAINERD_ADDRESS=/run/docker/containerd/containerd.sock
    exec {life}> >(trap '' INT TERM HUP; take_care_of_cgroups)
    care=$!
    export life
    # It dies with us, however we die.
    (join_cgroups && exec setpriv --pdeathsig KILL unshare --mount --net --ipc --pid --cgroup --fork \
        --mount-proc --kill-child bash "$checkout/scripts/engines.sh" --inside "$@") || status=$?
    exec {life}>&-
    wait "$care" || true
    exit "$status"
}

main() {
    local helpers=() run='' lock
    PATH=$PATH:/usr/sbin:/sbin
    case ${1-} in
        -h | --help) usage && exit ;;
        --inside) shift && inside "$@" ;;
    esac
    find_engines
    case ${1-} in
        --check)
            [[ -d $engines ]] || fail 'the engines are not there.' 'To get them: ./scripts/engines.sh --get'
            echo "$engines" && exit
            ;;
        --get) get_engines && exit ;;
        --) shift ;;
        -*) usage >&2 && exit 125 ;;
    esac
    get_engines
    [[ $# -gt 0 ]] || set -- "${SHELL:-/bin/bash}"
    start "$@"
}

checkout=$(realpath "$(dirname "$0")/..")
# shellcheck source=scripts/lib/moving.sh
. "$checkout/scripts/lib/moving.sh"
# shellcheck source=scripts/lib/lab-cache.sh
. "$checkout/scripts/lib/lab-cache.sh"
main "$@"
