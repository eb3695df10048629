#!/usr/bin/env bash
# The worst that root of a playground can do. Only the test beside it runs it:
#
#   playground.sh bash -c "$(<worst.sh)" worst TOKEN SURVIVOR PLACE...
#
# It marks first, and asks whether a mark shows outside. Only when the answer
# is "go" it destroys. What it finds possible and must not be, it tells.
set -u
exec 2>/dev/null

token=$1 survivor=$2 places=("${@:3}")

breach() { echo "breach: $*"; }

# Opened for writing, and not written: a yes is enough.
may_write() { : >>"$1"; }

mark_places() {
    local place marked=
    for place in "${places[@]}"; do
        if echo "$token" >"$place/$token.mark"; then marked+=" $place"; fi
        find "$place/$token"* -type f -exec sh -c 'for f; do echo >>"$f"; done' - {} +
        chmod -R 0 "$place/$token"*/
    done
    echo "marked$marked "
}

ask_outside() {
    local answer kind
    for kind in ipc mnt net pid user uts; do
        readlink "/proc/self/ns/$kind"
    done
    echo 'go?'
    read -r answer
    [[ $answer == go ]] || exit 9
}

change_kernel() {
    local file
    hostname "$token" || busybox hostname "$token"
    # These belong to the IPC and the PID namespace.
    for file in kernel/{shmmni,msgmni,pid_max} fs/mqueue/msg_default; do
        echo 777 >"/proc/sys/$file"
    done
    for file in ip_forward icmp_echo_ignore_all tcp_fin_timeout; do
        echo 7 >"/proc/sys/net/ipv4/$file"
    done
    echo 7 >/proc/sys/net/ipv6/conf/all/hop_limit
    # And the rest to the one and only kernel.
    while read -r file; do
        case ${file#/proc/sys/} in
            fs/mqueue/* | kernel/msg* | kernel/sem* | kernel/shm* | kernel/auto_msgmni) ;;
            kernel/ns_last_pid | kernel/pid_max | kernel/hostname | kernel/domainname) ;;
            *) ! may_write "$file" || breach "may write $file" ;;
        esac
    done < <(find /proc/sys/{abi,debug,dev,fs,kernel,vm} -type f)
    ! may_write /proc/sysrq-trigger || breach 'may press SysRq'
    ! date --set 2001-01-01 >/dev/null || breach 'may set the clock'
}

change_devices() {
    local device
    for device in /dev/*; do
        [[ ! -b $device ]] || breach "there is a disk: $device"
    done
    for device in mem kmsg port kvm; do
        [[ ! -e /dev/$device ]] || breach "there is /dev/$device"
    done
    for device in 'b 8 0' 'b 254 0' 'c 1 1' 'c 1 3'; do
        # shellcheck disable=SC2086 # type, major, minor
        ! mknod "/tmp/$token" $device || breach "may make the device $device"
    done
}

change_network() {
    ip link add "${token:0:12}" type veth
    ip link delete eth0
    ip link set lo down
    ip route flush table main
    nft flush ruleset
    nft add table ip "$token"
}

change_mounts() {
    local place
    for place in "${places[@]}"; do
        # Where programs are, they would be out of sight for the rest.
        [[ $place == / || $place == /usr* ]] || { mount -t tmpfs "$token" "$place" && umount "$place"; }
    done
    # Is the host below one of them? In a copy of the mounts, as the rest goes on.
    # shellcheck disable=SC2016 # its own $1
    unshare --mount bash -c 'umount --all; umount --all --lazy
        for place in "${@:2}"; do echo "$1" >"$place/$1.mark"; done' - "$token" "${places[@]}"
}

fill_memory() {
    head -c 1G /dev/zero >/tmp/fill && breach '/tmp takes 1 GiB of the memory'
    rm /tmp/fill
}

# Our marks in each place, and then whatever comes in a second.
destroy_files() {
    local place marks=()
    for place in "${places[@]}"; do
        marks+=("$place/$token"*)
    done
    timeout 1 rm -rf --no-preserve-root "${marks[@]}" "${places[@]}" /
    for place in "${places[@]}"; do
        [[ ! -e $place/$token.mark ]] || echo "not destroyed: $place"
    done
}

mark_places
ask_outside
change_kernel
change_devices
change_network
change_mounts
fill_memory
destroy_files
# No program may be left, and none is needed.
kill -9 "$survivor"
echo destroyed
kill -9 -1
exit 42
