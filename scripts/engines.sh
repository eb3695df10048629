#!/usr/bin/env bash
# docker, containerd and podman, with step 11 as their runtime, for a demo: whatever
# is installed or runs here is left alone.
#
# Where they are not installed, they are unpacked. What starts them is what the steps
# teach: a mount, network, process and cgroup namespace, and overlays.
#
# shellcheck disable=SC2034,SC2317 # lab-cache.sh reads and sets variables, and calls functions
set -euo pipefail
umask 022

usage() {
    cat <<'USAGE'
usage: sudo scripts/engines.sh [--rootless] [--] [COMMAND [ARG...]]
       scripts/engines.sh --get | --check

Starts docker and containerd, and runs COMMAND (default: your shell) where docker, ctr
and podman use step 11's runtime. Everything else is as outside, in your directory.

  docker run --rm -it box                       box is an image: a busybox
  docker run --rm -it --runtime crun box        the same, with another runtime
  docker run --rm -p 8080:80 box httpd -f       a port of the machine of this shell
  podman run --rm -it --rootfs $BOX sh          BOX is its root directory
  ctr run --rm --runc-binary $RUNTIME --rootfs $BOX NAME /bin/sh

When COMMAND ends, or this script, however it ends, all of it is taken away: engines,
containers, images, networks, cgroups. Data is in memory meanwhile. docker's bridge
and rules are in a network of their own, from which nothing leads out.

  --rootless  COMMAND runs as an ordinary user, and so do docker and podman, in user
              namespaces of theirs (podman run --rm -it box; there is no ctr)
  --get       gets the engines from Debian's packages, once, and starts nothing: a
              minute, the network, and 400 MB in ~/.cache/container-workshop-lab. It
              needs no root, and installs nothing. Not where all are installed: then
              these are used
  --check     says whether they are there, and in which directory
  --help      this text

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
    iptables
    netavark
    podman
    rootlesskit
    runc
    skopeo
    slirp4netns
    tini
    umoci
)
engine_programs=(
    bin/busybox usr/sbin/{dockerd,docker-proxy,runc,xtables-nft-multi,iptables-nft,ip6tables-nft}
    usr/bin/{docker,docker-init,containerd,containerd-shim-runc-v2,ctr,podman,conmon}
    usr/bin/{crun,runc,fuse-overlayfs,slirp4netns,rootlesskit,tini,tini-static,catatonit}
    usr/bin/{docker-registry,skopeo,umoci}
    usr/share/docker.io/contrib/dockerd-rootless.sh
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
    mv "$1/bin/busybox" "$1/usr/share/docker.io/contrib/dockerd-rootless.sh" "$1/usr/bin"
    ln -s iptables-nft "$1/usr/sbin/iptables"
    ln -s ip6tables-nft "$1/usr/sbin/ip6tables"
    rm "$run/packages"
}

# Sets engines to their directory, or to none: where all of them are installed. lab.sh
# brings them beside the programs.
find_engines() {
    engines=''
    if [[ $(type -P dockerd docker containerd ctr podman conmon crun runc slirp4netns rootlesskit busybox | wc -l) == 11 ]]; then
        return
    fi
    engines=${WORKSHOP_BIN-}/engines
    [[ ! -d $engines ]] || return 0
    local recipe home
    recipe=$(declare -p suite engine_packages engine_programs && declare -f make_engines)
    # Whoever calls sudo may have got them before, into a home of their own.
    home=$(getent passwd "${SUDO_USER-}" | cut -d : -f 6) || true
    for cache in "$home/.cache" "${XDG_CACHE_HOME:-${HOME:-~}/.cache}"; do
        cache+=/container-workshop-lab
        engines=$(in_the_cache engines "$recipe")
        [[ ! -d $engines ]] || return 0
    done
}

get_engines() {
    [[ $engines && ! -d $engines ]] || return 0
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
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mkdir /sys/fs/cgroup/engines
        echo 0 >/sys/fs/cgroup/engines/cgroup.procs
        sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
    fi
    mount -t overlay -o "lowerdir=${engines:+$engines/etc:}/etc,upperdir=/run/engines/changed,workdir=/run/engines/work" \
        engines /etc
    if [[ $engines ]]; then
        mount -t overlay -o "lowerdir=$engines/usr/sbin:/usr/sbin" engines /usr/sbin
        mount -t overlay -o "lowerdir=$engines/usr/bin:/usr/bin" engines /usr/bin
        mount -t overlay -o "lowerdir=/usr/lib:$engines/usr/lib:$engines/lib" engines /usr/lib
    fi
    # docker would load modules, for all of the machine. What it needs, the kernel loads.
    [[ ! $(type -P modprobe) ]] || mount --bind /bin/true "$(type -P modprobe)"
    ip link set lo up
    show_devices
}

# As most machines have them: for everybody.
show_devices() {
    local device number
    while read -r device number; do
        [[ -c $device && ! $(find "$device" -perm -o=rw) ]] || continue
        mknod -m 666 "/run/engines/${device##*/}" c 10 "$number"
        mount --bind "/run/engines/${device##*/}" "$device"
    done <<<$'/dev/fuse 229\n/dev/net/tun 200'
}

# Where an ordinary user finds it, too, whatever directory it was built in.
show_runtime() {
    : >/run/engines/11-oci-runtime
    mount --bind "$RUNTIME" /run/engines/11-oci-runtime
    RUNTIME=/run/engines/11-oci-runtime
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

docker_settings() { # SETTING...
    cat <<JSON
{
$([[ $# -eq 0 ]] || printf '  %s,\n' "$@")
  "runtimes": { "workshop": { "path": "$RUNTIME" }, "crun": { "path": "/usr/bin/crun" } },
  "default-runtime": "workshop"
}
JSON
}

configure() {
    mkdir -p /etc/docker /etc/containers
    docker_settings '"exec-opts": ["native.cgroupdriver=cgroupfs"]' '"data-root": "/run/engines/docker"' \
        '"storage-driver": "overlay2"' '"live-restore": true' >/etc/docker/daemon.json
    cat >/etc/containers/containers.conf <<CONF
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "workshop"
runtime_supports_nocgroup = ["crun", "workshop"]
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

start_docker() { # PROGRAM LOG
    local docker=none tries=0
    mkdir -p "$DOCKER_CONFIG"
    echo '{}' >"$DOCKER_CONFIG/config.json"
    # Its containerd gets 15 s to start, which a slow machine may need twice.
    for _ in {1..600}; do
        ! docker version >/dev/null 2>&1 || break
        if [[ ! -e /proc/$docker ]]; then
            ((tries++ < 3)) || break
            "$1" >>"$2" 2>&1 &
            docker=$!
            disown # its end is no news
        fi
        sleep 0.05
    done
    docker version >/dev/null 2>&1 || {
        tail -n 5 "$2" >&2
        fail 'docker does not start. Above is the end of its log.'
    }
    tar -c -C "$BOX" . | docker import --change 'CMD ["sh"]' - box >/dev/null
}

# As an ordinary user, whose home is gone with the machine.
inside_rootless() { # COMMAND...
    export XDG_RUNTIME_DIR=$HOME/run DOCKER_HOST=unix://$HOME/run/docker.sock DOCKER_CONFIG=$HOME/.docker
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    mkdir -p ~/.config/docker ~/bin
    # docker wants one by this name, for ports outside of its own network.
    ln -s "$(type -P docker-proxy)" ~/bin/rootlesskit-docker-proxy
    PATH=$PATH:~/bin:/usr/share/docker.io/contrib
    docker_settings >~/.config/docker/daemon.json
    start_docker dockerd-rootless.sh ~/run/docker.log
    tar -c -C "$BOX" . | podman import --quiet --change 'CMD ["sh"]' - box >~/run/podman.log 2>&1 || {
        tail -n 5 ~/run/podman.log >&2
        fail 'podman does not take an image. Above is why.'
    }
    "$@"
}

# What a systemd of theirs would give them: a cgroup to divide. Whoever does that has no
# processes, so we go below it.
delegate_cgroup() { # USER
    local place=/sys/fs/cgroup/learner
    [[ -e /sys/fs/cgroup/cgroup.controllers ]] || return 0
    mkdir -p "$place/own"
    chown "$1" "$place"{,/own}{,/cgroup.procs,/cgroup.subtree_control}
    echo 0 >"$place/own/cgroup.procs"
}

inside() { # COMMAND...
    local status=0 learner=()
    pretend_a_machine
    show_runtime
    configure
    make_box
    exec {life}>&- # an engine that had it would be waited for
    if [[ $rootless ]]; then
        delegate_cgroup "$("$checkout/scripts/as-learner.sh" id -u)"
        learner=("$checkout/scripts/as-learner.sh" bash -ec "me=$me
            $(declare -f inside_rootless docker_settings start_docker fail say)
            inside_rootless \"\$@\"" "$me")
    else
        start_docker dockerd /run/engines/log
    fi
    "${learner[@]}" "$@" || status=$?
    exit "$status"
}

# On cgroup v2, whoever gives controllers away has no processes: neither the engines, nor
# the unshare that waits for their end. It has made their cgroup the root by now.
# shellcheck disable=SC2016 # a shell of its own fills this in
stand_aside='[ ! -e /sys/fs/cgroup/cgroup.controllers ] || {
    mkdir "/sys/fs/cgroup/$group/waits"
    echo 0 >"/sys/fs/cgroup/$group/waits/cgroup.procs"
}
exec "$@"'

start() { # COMMAND...
    local status=0 care
    need findmnt ip setpriv unshare
    choose_runtime
    remove_leftovers
    # The machine's own, if a script of an earlier run has set them.
    unset DOCKER_HOST DOCKER_CONTEXT CONTAINERS_CONF CONTAINERS_STORAGE_CONF XDG_RUNTIME_DIR
    export RUNTIME engines rootless BOX=/run/engines/box group=engines-$$
    export PATH=/usr/bin:/usr/sbin:$PATH DOCKER_CONFIG=/run/engines/client
    # The one that docker starts, and ctr asks.
    export CONTAINERD_ADDRESS=/run/docker/containerd/containerd.sock
    exec {life}> >(trap '' INT TERM HUP; take_care_of_cgroups)
    care=$!
    export life
    # It dies with us, however we die.
    (join_cgroups && exec setpriv --pdeathsig KILL unshare --cgroup sh -c "$stand_aside" sh \
        unshare --mount --net --ipc --pid --fork --mount-proc --kill-child \
        bash "$checkout/scripts/engines.sh" --inside "$@") || status=$?
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
    rootless=''
    find_engines
    case ${1-} in
        --check)
            [[ ! $engines || -d $engines ]] || fail 'the engines are not there.' 'To get them: ./scripts/engines.sh --get'
            echo "${engines:-/}" && exit
            ;;
        --get) get_engines && exit ;;
        --rootless) rootless=yes && shift ;;
    esac
    case ${1-} in
        --) shift ;;
        -*) usage >&2 && exit 125 ;;
    esac
    ((EUID == 0)) || fail 'docker and containerd need root.' 'Try: sudo ./scripts/engines.sh'
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
