# shellcheck shell=bash
# Sourced by doctor.sh: what the files of this machine tell of the steps. `read_facts`
# reads them; `find_cause` names what keeps a step from working, as far as they tell.
#
# DOCTOR_ROOT is for the tests: a directory that stands for / in everything that is
# read: /proc (self/status says who you are), /sys, /etc, /run, /dev, /lib/modules,
# /.dockerenv, the programs on PATH. With it, nothing is tried, since that would say
# something about the real machine.
# shellcheck disable=SC2034 # used by whoever sources this
root=${DOCTOR_ROOT:-}
# The directory of doctor.sh.
declare scripts

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
        as_user=(env XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus"
            setpriv --reuid="$uid" --regid="${SUDO_GID:-$uid}" --clear-groups)
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
    v2_mount='' root_type='' masked_proc='' cgroup_read_only='' checkout_type=''
    declare -gA v1_mount=() mount_root=()
    local within mountpoint options rest type controller nearest=''
    while read -r _ _ _ within mountpoint options rest; do
        rest=${rest#*- }
        type=${rest%% *}
        if [[ $type == cgroup* ]]; then mount_root[$mountpoint]=${within%/}; fi
        # A later mount on the same place hides the earlier one.
        if [[ $scripts/ == "${mountpoint%/}"/* ]] && ((${#mountpoint} >= ${#nearest})); then
            nearest=$mountpoint checkout_type=$type
        fi
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
        notes+=('This is WSL. The steps were not tested on it.')
    fi
    if [[ -e $root/dev/.cros_milestone ]]; then
        notes+=('This is the Linux of ChromeOS, itself a container. The steps were not tested on it.')
    fi
    case $checkout_type in
        9p | virtiofs | fuse.sshfs | drvfs)
            notes+=("The workshop lies in another system's files ($checkout_type): building is slow there, and may fail. \
To copy it to this system's own: ./scripts/vm/begin.sh")
            ;;
    esac
    if [[ $arch != x86_64 && $arch != aarch64 ]]; then
        notes+=("The workshop was tested on x86_64 and aarch64, not on ${arch:-this architecture}.")
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

# Whether /etc/subuid or /etc/subgid lends a range to the user. One that has their own
# id in it does not count, since a map can't have an id twice.
lends() { # FILE OWN-ID
    local owner first count
    if [[ ! -r $root$1 ]]; then return 1; fi
    while IFS=: read -r owner first count; do
        if [[ $owner == "$user" || $owner == "$uid" ]] && [[ $first:$count =~ ^[0-9]+:[1-9][0-9]*$ ]] &&
            (($2 < first || $2 >= first + count)); then return; fi
    done <"$root$1"
    return 1
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
        seccomp) no_seccomp ;;
        init) no_init "$way" ;;
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
    elif ! lends /etc/subuid "$uid" || ! lends /etc/subgid "${SUDO_GID:-$gid}"; then
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
    if [[ ! -e $root/run/user/$uid/bus && -n $in_container && ! -d $root/run/systemd/system ]]; then
        because 'this container has no systemd, and nothing else here hands out cgroups' 'use sudo'
        return
    elif [[ ! -e $root/run/user/$uid/bus ]]; then
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

no_seccomp() {
    [[ " $(first_line /proc/sys/kernel/seccomp/actions_avail) " != *' errno '* ]] || return 1
    because 'this kernel has no filters for system calls (CONFIG_SECCOMP_FILTER)' \
        'go on without one: --security-opt seccomp=unconfined' partly
}

# A command needs neither: step 10 is then like 09.
no_init() {
    local busybox="only busybox's init boots"
    if [[ ! -x $root/usr/lib/systemd/systemd ]]; then
        because "$busybox, since this host has no systemd" './scripts/debian-root.sh makes a root directory that has one' partly
    elif no_cgroup "$1" && [[ $verdict == no ]]; then
        because "$busybox, since systemd needs a cgroup: $why" "$mend" partly
    else
        verdict=works why='' mend=''
        return 1
    fi
}
