# shellcheck shell=bash
# What runs inside the lab's machine (see lab.sh, which puts it on the disk
# /lab): first as root, to prepare; then as the user who runs the command.
set -euo pipefail

# Written by lab.sh: users, command, terminal, TERM, and directories of the host.
declare -a command
declare users checkout came_from terminal
# shellcheck source=/dev/null
. /lab/settings

# Even if WHERE is below a directory that is closed to others, such as /root.
show() { # DIRECTORY WHERE
    local way=$2
    mkdir -p "$2"
    mount --bind "$1" "$2"
    until [[ $way == / ]]; do
        way=$(dirname "$way")
        chmod a+x "$way"
    done
}

# A session like that of a login, for the cgroups and the environment that it brings.
run_as() { # USER
    local streams=(--pipe)
    [[ ! $terminal ]] || streams=(--property=StandardInput=tty --property=StandardOutput=tty
        --property=StandardError=tty --property=TTYPath=/dev/hvc0)
    systemd-run --quiet --wait --collect "${streams[@]}" --uid="$1" \
        --property=PAMName=login --property=IgnoreSIGPIPE=no \
        --setenv=TERM="${TERM:-linux}" --setenv=LANG=C.UTF-8 -- bash --login /lab/inside.sh --as-user
}

as_user() {
    export LAB=1 WORKSHOP_BIN PATH=$WORKSHOP_BIN:$PATH
    cd "$came_from" 2>/dev/null || cd "$checkout"
    [[ ${#command[@]} -gt 0 ]] || command=(bash)
    trap : INT QUIT # Ctrl-C is for the command
    "${command[@]}"
}

# Held open, since a terminal that nobody has open forgets its size.
follow_window_size() {
    local rows columns
    exec 6<>/dev/hvc0
    while read -r rows columns; do
        stty rows "$rows" cols "$columns" <&6
    done
}

main() {
    local user before='' writers status=0
    # A foreign image's is made by its own program.
    [[ -e /etc/ld.so.cache ]] || ldconfig
    show /lab/checkout "$checkout"
    show /lab/programs "$WORKSHOP_BIN"
    chown -R learner:learner /lab/checkout /lab/programs
    [[ ! -x $WORKSHOP_BIN/playground ]] || "$WORKSHOP_BIN/playground" --internet
    udevadm wait --timeout=30 /dev/virtio-ports/{control,out,err} /dev/hvc0
    exec 3<>/dev/virtio-ports/control
    # A port can be opened only once. So the command gets a pipe, as anywhere else.
    exec 4> >(exec cat >/dev/virtio-ports/out)
    writers=$!
    exec 5> >(exec cat >/dev/virtio-ports/err 4>&-)
    writers+=" $!"
    follow_window_size <&3 4>&- 5>&- &
    echo up >&3
    for user in ${users//,/ }; do
        # systemd would do it ten seconds later, in the middle of the next turn.
        [[ ! $before ]] || systemctl stop user{,-runtime-dir}@"$(id -u "$before")".service
        before=$user
        run_as "$user" 3>&- >&4 2>&5 4>&- 5>&- || status=$((status ? status : $?))
    done
    exec 4>&- 5>&-
    # Whoever stays behind with a pipe in hand is given two seconds.
    for _ in {1..100}; do
        # shellcheck disable=SC2086 # two pids
        kill -0 $writers 2>/dev/null || break
        sleep 0.02
    done
    echo "$status" >&3
    sleep infinity
}

if [[ ${1-} == --as-user ]]; then as_user; else main; fi
