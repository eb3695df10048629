#!/usr/bin/env bash
# Says which steps work on this machine, for whom, and how to fix the rest.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: ./scripts/doctor.sh [--json]

Says which steps work here, in three ways: in the playground (without sudo), on
the host as root, and rootless (from step 05). It tries whatever is harmless, in
namespaces of its own, and reads the rest from /proc and /sys.

  --json   the same, for programs (verdict: works, partly, no or needs-root;
           how: tried or read)
  --help   this text

Exit status: 0 when every step works in at least one way, 1 otherwise.
USAGE
}

# DOCTOR_ROOT is for the tests of this script: a directory that stands for / in
# everything that is read: /proc (self/status says who you are), /sys, /etc, /run,
# /dev, /lib/modules, /.dockerenv, the programs on PATH. With it, nothing is
# tried, since that would say something about the real machine.
root=${DOCTOR_ROOT:-}

scripts=$(dirname -- "${BASH_SOURCE[0]}")
# shellcheck source=scripts/lib/subordinate.sh
. "$scripts/lib/subordinate.sh"

ways=(playground host rootless)
names=([1]=chroot uts-namespace pid-namespace mount-namespace user-namespace cgroups overlayfs networking)
# What each step needs beyond the step before it.
needs=([1]=chroot 'uts ipc' pid 'mount pivot_root proc' 'user ids' cgroup overlay 'net bridge veth nft')
# The same for an ordinary user on the host: the user namespace comes first, and
# pasta provides the network.
rootless_needs=([5]='user chroot uts ipc pid mount pivot_root proc ids' cgroup overlay 'net pasta')

privileged='start this container with --privileged, or use the host itself'
lab='./scripts/lab.sh (a virtual machine where every step works)'

# --- Read ---------------------------------------------------------------------

# The file's first line, or the second argument if there is no such file.
first_line() {
    local line=
    if [[ -r $root$1 ]]; then IFS= read -r line <"$root$1" || true; fi
    printf '%s' "${line:-${2:-}}"
}

read_facts() {
    notes=() as_user=()
    kernel=$(first_line /proc/sys/kernel/osrelease)
    arch=$(first_line /proc/sys/kernel/arch)
    [[ -n $arch || -n $root ]] || arch=$(uname -m) # the file exists from 6.1 on
    read_status
    # For root, "rootless" is about the user who called sudo, or else about nobody.
    uid=$euid
    if ((euid == 0)); then
        uid=${SUDO_UID:-65534}
        as_user=(setpriv --reuid="$uid" --regid="${SUDO_GID:-$uid}" --clear-groups)
    fi
    user=$uid
    if [[ -z $root ]]; then user=$(id -un "$uid" 2>/dev/null) || user=$uid; fi
    read_id_map
    read_mounts
    read_surroundings
}

read_status() {
    euid=0 gid=0 bounding=1ffffffffff seccomp=0 no_new_privileges=0
    local key value effective
    while read -r key value effective _; do
        case $key in
            Uid:) euid=$effective ;;
            Gid:) gid=$effective ;;
            CapBnd:) bounding=$value ;;
            Seccomp:) seccomp=$value ;;
            NoNewPrivs:) no_new_privileges=$value ;;
        esac
    done <"$root/proc/self/status"
}

# How many ids this user namespace has (the host's has all), and whether UID is one of them.
read_id_map() {
    ids_here=0 uid_is_here=
    local first count
    while read -r first _ count; do
        ids_here=$((ids_here + count))
        if ((uid >= first && uid < first + count)); then uid_is_here=yes; fi
    done <"$root/proc/self/uid_map"
}

# mountinfo: id parent dev ROOT MOUNTPOINT options [tags] - TYPE source OPTIONS
read_mounts() {
    v2_mount='' root_type='' masked_proc='' cgroup_read_only=''
    declare -gA v1_mount=() mount_root=()
    local within mountpoint options rest type controller
    while read -r _ _ _ within mountpoint options rest; do
        rest=${rest#*- }
        type=${rest%% *}
        if [[ $type == cgroup* ]]; then mount_root[$mountpoint]=${within%/}; fi
        case $type:$mountpoint in
            cgroup2:*) v2_mount=${v2_mount:-$mountpoint} ;;
            cgroup:*)
                for controller in memory cpu pids; do
                    if [[ ,${rest##* }, == *,$controller,* ]]; then v1_mount[$controller]=$mountpoint; fi
                done
                ;;
            # The kernel allows these four on top of /proc: see proc_create_mount_point.
            *:/proc/sys/fs/binfmt_misc | *:/proc/fs/nfsd | *:/proc/xen | *:/proc/openprom) ;;
            *:/proc/*) masked_proc=$mountpoint ;;
            *:/) root_type=$type ;;
        esac
        if [[ $type == cgroup* && ,$options, == *,ro,* ]]; then cgroup_read_only=$mountpoint; fi
    done <"$root/proc/self/mountinfo"
    if ((${#v1_mount[@]})); then
        cgroups=${v2_mount:+hybrid}
        cgroups=${cgroups:-v1}
    else
        cgroups=${v2_mount:+v2}
        cgroups=${cgroups:-none}
    fi
}

read_surroundings() {
    in_container='' wsl=''
    if [[ -e $root/run/.containerenv || -e $root/run/systemd/container || -e $root/.dockerenv ]]; then
        in_container=yes
        notes+=('This looks like the inside of a container (/.dockerenv, /run/.containerenv or /run/systemd/container).')
    fi
    if [[ ${PLAYGROUND:-} == 1 ]]; then
        notes+=('You are in the playground: "host" means its pretend host.')
    fi
    if [[ $kernel == *[Mm]icrosoft* ]]; then
        wsl=yes
        notes+=('This is WSL. Steps 01 to 08 were not tested on it.')
    fi
    if [[ $arch != x86_64 ]]; then
        notes+=("The workshop was tested on x86_64, not on ${arch:-this architecture}.")
    fi
    if ! kernel_is_at_least 5 11; then
        notes+=("Kernel $kernel is older than 5.11, the oldest that the workshop supports.")
    fi
    if [[ $root_type == overlay ]]; then
        notes+=('/ is an overlay: step 07 needs --upper on another filesystem, such as a volume or a tmpfs.')
    fi
}

kernel_is_at_least() {
    local major=${kernel%%.*} minor=${kernel#*.}
    minor=${minor%%[!0-9]*}
    ((major > $1 || (major == $1 && minor >= $2)))
}

# For modules that have no file under /proc: one is missing only if that is proven.
kernel_lacks() {
    local modules=$root/lib/modules/$kernel
    [[ -r $modules/modules.dep && -r $modules/modules.builtin ]] || return 1
    [[ $(<"$modules/modules.dep") != *"/$1.ko"* && $(<"$modules/modules.builtin") != *"/$1.ko"* ]]
}

# After a kernel upgrade, the running kernel can load no more modules until a reboot.
modules_are_gone() {
    # A container or WSL never has its kernel's modules, and does not need them.
    if [[ -n $in_container$wsl || ! -r $root/proc/modules || -d $root/lib/modules/$kernel ]]; then return 1; fi
    [[ -n $(ls -A "$root/lib/modules" 2>/dev/null) ]] && ! module_is_loaded "$1"
}

module_is_loaded() {
    [[ -d $root/sys/module/$1 || $'\n'$(<"$root/proc/modules") == *$'\n'"$1 "* ]]
}

is_installed() {
    local directory directories
    IFS=: read -ra directories <<<"$PATH"
    for directory in "${directories[@]}"; do
        if [[ -x $root$directory/$1 ]]; then return; fi
    done
    return 1
}

# What /etc/subuid or /etc/subgid lends to the user, one range per line.
lent() { # /etc/subuid|/etc/subgid
    local own=$uid
    if [[ $1 == */subgid ]]; then own=${SUDO_GID:-$gid}; fi
    subordinate_ranges "$root$1" "$user" "$uid" "$own"
}

# Which of memory, cpu and pids the file ($1) does not name as controllers.
absent_controllers() {
    local controller absent='' there
    there=" $(first_line "$1") "
    for controller in memory cpu pids; do
        if [[ $there != *" $controller "* ]]; then absent+=" $controller"; fi
    done
    printf '%s' "${absent# }"
}

# --- Explain ------------------------------------------------------------------

# because WHY MEND [VERDICT]: the reason that the caller found.
because() {
    why=$1 mend=$2 verdict=${3:-no}
}

# Looks for what makes KEY fail in WAY. Fails itself if it finds nothing:
# then KEY works, as far as reading can tell.
find_cause() {
    local key=$1 way=$2
    if [[ $way != host ]]; then
        # Inside a user namespace, all capabilities are there.
        if [[ $key != user ]] && no_user_namespace "$way"; then return; fi
    elif no_root || no_capability "$key"; then
        return
    fi
    case $key in
        user) no_user_namespace "$way" ;;
        ids) no_range_of_ids "$way" ;;
        proc) [[ $way != host ]] && no_fresh_proc ;;
        cgroup) no_cgroup "$way" ;;
        overlay) no_overlay "$way" ;;
        bridge | veth) no_module "$key" ;;
        nft) no_nft ;;
        pasta) no_pasta ;;
        *) return 1 ;;
    esac
}

no_root() {
    if ((euid == 0)); then
        return 1
    elif ! is_installed sudo; then
        because 'you are not root, and there is no sudo' 'su -c "./scripts/doctor.sh"'
    elif [[ $no_new_privileges == 1 ]]; then
        because 'no_new_privs is set for this shell: sudo has no effect in it' 'use another terminal'
    else
        return 1
    fi
}

no_capability() {
    local bit=21 name=CAP_SYS_ADMIN
    case $1 in
        chroot) bit=18 name=CAP_SYS_CHROOT ;;
        bridge | veth | nft) bit=12 name=CAP_NET_ADMIN ;;
    esac
    (((16#$bounding >> bit & 1) == 0)) || return 1
    because "$name is taken away from every process here, even root's" "$privileged"
}

# Both other ways begin with a user namespace. If root starts the playground, its
# namespace is root's, and no limit for ordinary users applies.
is_unprivileged() { [[ $1 == rootless ]] || [[ $1 == playground && $euid != 0 ]]; }

apparmor_restricts() {
    [[ $(first_line /proc/sys/kernel/apparmor_restrict_unprivileged_userns 0) == 1 ]]
}

no_user_namespace() {
    if [[ $kernel == *-Microsoft ]]; then
        because 'WSL 1 has no Linux kernel, hence no namespaces' 'wsl --set-version <distribution> 2 (in PowerShell)'
    elif [[ ! -e $root/proc/self/ns/user && ! -L $root/proc/self/ns/user ]]; then
        because 'this kernel was built without user namespaces' "$lab"
    elif [[ $(first_line /proc/sys/user/max_user_namespaces 1) == 0 ]]; then
        because 'user.max_user_namespaces is 0: no user namespace for anyone' \
            'sudo sysctl -w user.max_user_namespaces=15000 (until reboot)'
    elif [[ -z $root_type ]]; then
        because 'this is a chroot: a process whose / is not the root of its mounts gets no user namespace' 'leave the chroot'
    elif [[ $1 != host && -n $in_container && $seccomp == 2 ]] && (((16#$bounding >> 21 & 1) == 0)); then
        because "this container's seccomp filter refuses new namespaces, as docker's does" "$privileged"
    elif ! is_unprivileged "$1"; then
        return 1
    elif [[ -z $uid_is_here ]]; then
        because "this user namespace has $ids_here id(s), and $user is not among them" 'leave it, and become an ordinary user outside'
    elif [[ $(first_line /proc/sys/kernel/unprivileged_userns_clone 1) == 0 ]]; then
        because 'kernel.unprivileged_userns_clone is 0: only root may create user namespaces' \
            'sudo sysctl -w kernel.unprivileged_userns_clone=1 (until reboot)'
    elif apparmor_restricts; then
        because "AppArmor takes all rights away in an ordinary user's user namespace (Ubuntu's default since 23.10)" \
            'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (until reboot)'
    else
        return 1
    fi
}

one_id="works with one id only: every file seems to belong to root or to nobody"

no_range_of_ids() {
    local range='--add-subuids 100000-165535 --add-subgids 100000-165535'
    if ! is_unprivileged "$1"; then
        # Root needs no helper: it can write any map of the ids that it has.
        ((ids_here == 1)) || return 1
        because "$one_id (this root has no more to give)" 'leave this user namespace' partly
    elif ! is_installed newuidmap; then
        because "$one_id (newuidmap is missing)" './scripts/setup.sh' partly
    elif [[ -z $(lent /etc/subuid) || -z $(lent /etc/subgid) ]]; then
        because "$one_id (no range for $user in /etc/subuid and /etc/subgid)" "sudo usermod $range $user" partly
    elif [[ $no_new_privileges == 1 ]]; then
        because "$one_id (no_new_privs is set for this shell: newuidmap gets no rights)" 'use another terminal' partly
    else
        return 1
    fi
}

no_fresh_proc() {
    [[ -n $masked_proc ]] || return 1
    because "a mount hides $masked_proc, and a user namespace can't mount a /proc that shows more" "$privileged"
}

no_cgroup() {
    if [[ $cgroups == none ]]; then
        because 'no cgroup filesystem is mounted' 'sudo mount -t cgroup2 none /sys/fs/cgroup'
    elif [[ -n $cgroup_read_only ]]; then
        because "$cgroup_read_only is mounted read-only, as in a docker container" "$privileged"
    elif ! is_unprivileged "$1"; then
        no_controller
    elif [[ $cgroups != v2 ]]; then
        if own_v1_cgroups_are_writable; then return 1; fi
        local how_to_boot='boot with systemd.unified_cgroup_hierarchy=1'
        if [[ -n $wsl ]]; then how_to_boot='kernelCommandLine=cgroup_no_v1=all under [wsl2] in .wslconfig'; fi
        because "cgroups are $cgroups here: version 1 can't be delegated safely to an ordinary user" "$how_to_boot, or use sudo"
    else
        no_delegation
    fi
}

no_controller() {
    local controller absent=
    for controller in memory cpu pids; do
        if [[ -n ${v1_mount[$controller]:-} ]]; then continue; fi
        if [[ -n $v2_mount && " $(first_line "$v2_mount/cgroup.controllers") " == *" $controller "* ]]; then continue; fi
        absent+=" $controller"
    done
    [[ -n $absent ]] || return 1
    because "no cgroup hierarchy here has the controller$absent" \
        "boot without cgroup_disable=, and with cgroup_enable=memory if your distribution needs it"
}

own_v1_cgroups_are_writable() {
    local controller own
    for controller in memory cpu pids; do
        own=$(own_cgroup "$controller")
        if [[ ! -w $root$own/cgroup.procs ]]; then return 1; fi
    done
    ((euid == uid))
}

# The directory of this process's own cgroup: in the hierarchy of CONTROLLER or,
# without one, in that of version 2.
own_cgroup() {
    local controller=${1:-} controllers path mount=$v2_mount
    if [[ -n $controller ]]; then mount=${v1_mount[$controller]:-/nowhere}; fi
    while IFS=: read -r _ controllers path; do
        if [[ ,$controllers, == *",$controller,"* ]]; then
            path=${path#"${mount_root[$mount]:-}"}
            printf '%s' "$mount${path%/}"
            return
        fi
    done <"$root/proc/self/cgroup"
}

# For an ordinary user: your own cgroup may already be yours; otherwise your
# systemd gives you one.
no_delegation() {
    local absent service=/sys/fs/cgroup/user.slice/user-$uid.slice/user@$uid.service
    if own_v2_cgroup_is_delegated; then return 1; fi
    if [[ ! -e $root/run/user/$uid/bus ]]; then
        because "$user has no systemd user session, and nothing else here hands out cgroups" \
            "log in as $user at a terminal or by ssh (not su), or: sudo loginctl enable-linger $user"
        return
    fi
    absent=$(absent_controllers "$service/cgroup.controllers")
    [[ -n $absent ]] || return 1
    because "your systemd does not delegate $absent" "sudo mkdir -p /etc/systemd/system/user@.service.d && \
printf '[Service]\nDelegate=cpu memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && \
sudo systemctl daemon-reload; then log in again" partly
    if [[ $absent == 'memory cpu pids' ]]; then verdict=no; fi
}

own_v2_cgroup_is_delegated() {
    local own
    own=$(own_cgroup)
    ((euid == uid)) && [[ -w $root$own/cgroup.procs && -z $(absent_controllers "$own/cgroup.controllers") ]]
}

no_overlay() {
    if [[ $1 != host ]] && ! kernel_is_at_least 5 11; then
        because "kernel $kernel lets only the host's root mount an overlay; 5.11 and newer let you, too" \
            "work on the host as root, or use a newer kernel, or $lab"
    elif [[ $(<"$root/proc/filesystems") == *overlay* ]]; then
        return 1
    else
        no_module overlay
    fi
}

no_module() {
    if kernel_lacks "$1"; then
        because "this kernel has no $1 module" "install your distribution's full kernel, or $lab"
    elif modules_are_gone "$1"; then
        because "the running kernel $kernel can't load $1 any more: it has been upgraded on disk" 'reboot'
    else
        return 1
    fi
}

no_nft() {
    if no_module nf_tables || no_module nft_masq; then return; fi
    if is_installed nft; then return 1; fi
    because 'nft is missing: no NAT, so no way out and no published ports' './scripts/setup.sh' partly
}

no_pasta() {
    local without='without pasta, an ordinary user has only --network none and host'
    if ! is_installed pasta; then
        because "$without (it is missing)" './scripts/setup.sh (package passt)' partly
    elif [[ ! -e $root/dev/net/tun ]]; then
        because "$without (it needs /dev/net/tun)" 'sudo modprobe tun' partly
    elif [[ -z $root ]] && ! "${as_user[@]}" test -w /dev/net/tun; then
        because "$without (/dev/net/tun is closed to you)" 'sudo chmod 666 /dev/net/tun' partly
    else
        return 1
    fi
}

# --- Try ----------------------------------------------------------------------

# Runs with the rights that are to be judged. Everything happens in namespaces that
# end with it. Prints a line for each trial: "KEY ok", or "KEY" and the error's last line.
try_features() {
    PATH=$PATH:/usr/sbin:/sbin
    try() {
        local key=$1 error
        shift
        if error=$("$@" 2>&1); then echo "$key ok"; else echo "$key ${error##*$'\n'}"; fi
    }
    local on_tmpfs='set -e; mount -t tmpfs doctor /tmp; cd /tmp;'
    try chroot chroot / true
    try uts unshare --uts true
    try ipc unshare --ipc true
    try pid unshare --pid --fork true
    try mount unshare --mount true
    # The steps make the system call: even without the program, the kernel may have it.
    local pivot_root=pivot_root
    command -v pivot_root >/dev/null || pivot_root='busybox pivot_root'
    if $pivot_root --help >/dev/null 2>&1; then
        try pivot_root unshare --mount bash -c "$on_tmpfs $pivot_root . .; [[ ! -e /usr ]]"
    fi
    try proc unshare --pid --fork --mount-proc true
    try user unshare --user --map-root-user true
    try overlay unshare --mount bash -c "$on_tmpfs mkdir lower upper work merged
        mount -t overlay -o ${1}lowerdir=lower,upperdir=upper,workdir=work doctor merged
        : >merged/written"
    try net unshare --net true
    if command -v ip >/dev/null; then
        try bridge unshare --net ip link add name doctor0 type bridge
        try veth unshare --net ip link add name doctor0 type veth peer name doctor1
    fi
    if command -v nft >/dev/null; then
        try nft unshare --net nft 'add table ip doctor;
            add chain ip doctor out { type nat hook postrouting priority 100; };
            add rule ip doctor out masquerade'
    fi
}

# Sets result[WAY KEY] for everything that was tried: ok, or the error.
try_way() {
    local way=$1 key='' message='' last='' option='' before=()
    if [[ $way != host ]]; then option=userxattr,; fi
    case $way in
        playground) before=(unshare --user --map-root-user --mount --uts --ipc --net --pid --fork --mount-proc) ;;
        rootless) before=("${as_user[@]}" unshare --user --map-root-user) ;;
    esac
    while read -r key message; do
        result[$way $key]=$message
        last="$key $message"
    done < <(cd / && "${before[@]}" bash -c "$(declare -f try_features); try_features '$option'" 2>&1)
    # No trial began: the last line says why the namespaces around them failed.
    if [[ -z ${result[$way net]:-} ]]; then result[$way all]=${last:-nothing could be tried}; fi
}

# Hands the whole range to a waiting process, as the step does.
try_ids() {
    local uids gids
    read -ra uids <<<"$(map_of_ranges "$(lent /etc/subuid)")"
    read -ra gids <<<"$(map_of_ranges "$(lent /etc/subgid)")"
    coproc WAITING { exec "${as_user[@]}" unshare --user bash -c 'echo; read -r _' 2>/dev/null; }
    local process=$WAITING_PID input=${WAITING[1]} outcome=0
    { read -r _ <&"${WAITING[0]}" &&
        "${as_user[@]}" newuidmap "$process" 0 "$uid" 1 "${uids[@]}" &&
        "${as_user[@]}" newgidmap "$process" 0 "${SUDO_GID:-$gid}" 1 "${gids[@]}"; } 2>&1 || outcome=1
    echo >&"$input"
    wait "$process" || true
    return "$outcome"
}

# Makes a cgroup below its own in each hierarchy, and removes it.
try_cgroup_as_root() {
    local controller made
    for controller in "${!v1_mount[@]}" ${v2_mount:+''}; do
        made=$(mktemp --directory "$(own_cgroup "$controller")/doctor.XXXXXX" 2>&1) || { echo "$made" && return 1; }
        rmdir "$made"
    done
}

# Asks the user's systemd for a cgroup, and checks which controllers it has.
try_cgroup_as_user() {
    local absent scope=(--scope --quiet --property=Delegate=yes)
    # From systemd 262 on, systemd-run reads variables in the command, and puts
    # its own values in their place. Before 254 it has no switch for that.
    [[ $(systemd-run --help 2>/dev/null) != *--expand-environment* ]] || scope+=(--expand-environment=no)
    absent=$("${as_user[@]}" env XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" \
        timeout 2 systemd-run --user "${scope[@]}" -- \
        bash -c "$(declare -f first_line absent_controllers own_cgroup; declare -p root v2_mount mount_root); \
            absent_controllers \$(own_cgroup)/cgroup.controllers" 2>&1) || { echo "$absent"; return 1; }
    [[ -z $absent ]] || { echo "your systemd does not delegate $absent"; return 1; }
}

try_everything() {
    local way outcome
    for way in "${ways[@]}"; do
        if [[ $way == host ]] && ((euid != 0)); then continue; fi
        try_way "$way"
    done
    for way in "${ways[@]}"; do
        if is_unprivileged "$way" && ! find_cause ids "$way"; then
            outcome=$(try_ids) && outcome=ok
            result[$way ids]=$outcome
        fi
        if find_cause cgroup "$way"; then continue; fi
        if is_unprivileged "$way" && ! own_v2_cgroup_is_delegated && [[ $cgroups == v2 ]]; then
            outcome=$(try_cgroup_as_user) && outcome=ok
            result[$way cgroup]=$outcome
        elif ((euid == 0)) && ! is_unprivileged "$way"; then
            outcome=$(try_cgroup_as_root) && outcome=ok
            result[$way cgroup]=$outcome
        fi
    done
}

# --- Judge --------------------------------------------------------------------

# Sets verdict, how, why and mend for one KEY. What was tried counts more than
# what was read; what was read explains a trial that failed.
judge_key() {
    local key=$1 way=$2 outcome=${result[$2 all]:-${result[$2 $1]:-}}
    verdict=works how=tried why='' mend=''
    # Tried with unshare, which may have an AppArmor profile that the steps lack.
    if [[ $way == rootless && $outcome == ok ]] && apparmor_restricts; then outcome=; fi
    if [[ $outcome == ok ]]; then return; fi
    if [[ -z $outcome ]]; then how='read'; fi
    if find_cause "$key" "$way"; then return; fi
    if [[ -n ${result[$way all]:-} ]] && find_cause proc "$way"; then return; fi
    if [[ -z $outcome ]]; then return; fi
    because "$key: $outcome" "$lab"
    if [[ $outcome == *'command not found' || $outcome == *'No such file or directory' ]]; then mend=./scripts/setup.sh; fi
    if [[ $outcome == *'No space left on device' ]]; then mend='raise the limit that was reached: grep . /proc/sys/user/max_*_namespaces'; fi
    if [[ $key == ids ]]; then explain_newuidmap "$outcome"; fi
}

# Its rights come from the setuid bit or (on Fedora) from a file capability.
explain_newuidmap() {
    local program way_out=$lab
    program=$(type -P newuidmap)
    if [[ ! -u $program ]]; then way_out="sudo chmod u+s $program ${program%uidmap}gidmap"; fi
    because "$one_id ($1)" "$way_out" partly
}

# Fills in the tables of verdicts for one step in one way.
judge_step() {
    local way=$1 step=$2 key keys=${needs[$2]} cell="$1 $2"
    local verdict how why mend
    verdicts[$cell]=works hows[$cell]=tried whys[$cell]='' mends[$cell]=''
    if [[ $way == rootless ]]; then
        keys=${rootless_needs[$step]:-}
        if [[ -z $keys ]]; then
            verdicts[$cell]=needs-root hows[$cell]=''
            return
        fi
    fi
    # A step needs all that the steps before it need, except cgroups: only flags ask for those.
    if ((step > 1)) && [[ ${verdicts[$way $((step - 1))]} == no ]]; then keys="${blocked_by[$way]:-} $keys"; fi
    for key in $keys; do
        judge_key "$key" "$way"
        if [[ $how == read ]]; then hows[$cell]='read'; fi
        if [[ $verdict == works ]]; then continue; fi
        verdicts[$cell]=$verdict hows[$cell]=$how whys[$cell]=$why mends[$cell]=$mend
        if [[ $verdict == no ]]; then
            if [[ $key != cgroup ]]; then blocked_by[$way]=${blocked_by[$way]:-$key}; fi
            return
        fi
    done
}

judge_everything() {
    local way step
    for way in "${ways[@]}"; do
        for step in "${!names[@]}"; do judge_step "$way" "$step"; done
    done
    unworkable=()
    for step in "${!names[@]}"; do
        if [[ ${verdicts[playground $step]} != works && ${verdicts[host $step]} != works && ${verdicts[rootless $step]} != works ]]; then
            unworkable+=("0$step")
        fi
    done
}

# --- Say ----------------------------------------------------------------------

cell() {
    local text="$verdict${how:+ ($how)}" colour='' sign
    case $verdict in
        works) sign=✔ colour=32 ;;
        partly) sign='~' colour=33 ;;
        no) sign=✘ colour=31 ;;
        *) sign=- text='needs root' ;;
    esac
    if [[ -n $in_colour && -n $colour ]]; then
        printf '\e[%sm%s %-20s\e[0m' "$colour" "$sign" "$text"
    else
        printf '%s %-20s' "$sign" "$text"
    fi
}

say_table() {
    local step way verdict how in_colour=
    if [[ -t 1 && -z ${NO_COLOR:-} ]]; then in_colour=yes; fi
    printf 'Linux %s, %s, cgroups %s\n\n' "$kernel" "$arch" "$cgroups"
    printf '%-20s %-22s%-22s%s\n' step playground 'host as root' rootless '' '(no sudo)' '(sudo)' "(as $user)"
    for step in "${!names[@]}"; do
        printf '%-20s ' "0$step-${names[$step]}"
        for way in "${ways[@]}"; do
            verdict=${verdicts[$way $step]} how=${hows[$way $step]}
            cell
        done
        echo
    done
}

# Steps that fail for the same reason are named together.
say_reasons() {
    local way step reason steps
    for way in "${ways[@]}"; do
        local -A steps_by_reason=()
        local order=()
        for step in "${!names[@]}"; do
            reason=${whys[$way $step]}$'\n'"  fix: "${mends[$way $step]}
            if [[ -z ${whys[$way $step]} ]]; then continue; fi
            if [[ -z ${steps_by_reason[$reason]:-} ]]; then order+=("$reason"); fi
            steps_by_reason[$reason]+=" 0$step"
        done
        for reason in "${order[@]}"; do
            steps=${steps_by_reason[$reason]# }
            printf '\n%s %s: %s\n' "$way" "${steps// /, }" "$reason"
        done
    done
    if ((${#notes[@]})); then printf '\nnote: %s' "${notes[@]}" && echo; fi
    if ((${#unworkable[@]})); then
        printf '\nSteps that do not work here in any way: %s. A way out: %s\n' "${unworkable[*]}" "$lab"
    else
        printf '\nEvery step works in at least one way.\n'
    fi
}

json_string() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//$'\n'/\\n}"
}

say_json() {
    local way step cell separator note
    printf '{"kernel":%s,"arch":%s,"cgroups":"%s","user":%s,"every_step_works":%s,\n"notes":[' \
        "$(json_string "$kernel")" "$(json_string "$arch")" "$cgroups" "$(json_string "$user")" \
        "$( ((${#unworkable[@]})) && echo false || echo true)"
    separator=
    for note in "${notes[@]}"; do
        printf '%s%s' "$separator" "$(json_string "$note")"
        separator=,
    done
    printf '],\n"steps":[\n'
    for step in "${!names[@]}"; do
        printf '{"step":"0%s","name":"%s"' "$step" "${names[$step]}"
        for way in "${ways[@]}"; do
            cell="$way $step"
            printf ',\n "%s":{"verdict":"%s","how":"%s","why":%s,"mend":%s}' "$way" "${verdicts[$cell]}" \
                "${hows[$cell]}" "$(json_string "${whys[$cell]}")" "$(json_string "${mends[$cell]}")"
        done
        if ((step < ${#names[@]})); then echo '},'; else echo '}'; fi
    done
    echo ']}'
}

main() {
    local json='' argument
    for argument; do
        case $argument in
            --json) json=yes ;;
            -h | --help) usage && exit ;;
            *) usage >&2 && exit 2 ;;
        esac
    done
    export LC_ALL=C # errors are matched, and shown, in one language
    # Debian leaves these out of an ordinary user's PATH; nft lives there.
    PATH=$PATH:/usr/sbin:/sbin
    declare -gA result=() verdicts=() hows=() whys=() mends=() blocked_by=()
    read_facts
    if [[ -z $root ]]; then try_everything; fi
    judge_everything
    if [[ -n $json ]]; then
        say_json
    else
        say_table
        say_reasons
    fi
    ((${#unworkable[@]} == 0))
}

main "$@"
