#!/usr/bin/env bash
# The lab: a virtual machine with a stock Debian kernel, systemd and an ordinary
# user, in which every step works.
#
# The image of its disk is made once and kept. It stays as it is: what a run
# writes is gone with the run. The workspace comes on a second disk, made anew
# for each run, so that it is always what you have now.
#
# shellcheck disable=SC2317 # functions are handed to mmdebstrap, and to trap
set -euo pipefail
umask 022

usage() {
    cat <<'USAGE'
usage: scripts/lab.sh [OPTION...] [--] [COMMAND [ARG...]]
       scripts/lab.sh --image

Boots a virtual machine, and runs COMMAND (default: a shell) in it, in the
directory where you are, with this workspace and its programs. The machine has
a stock Debian kernel, systemd, cgroup v2 and AppArmor, and ends with COMMAND.

  --kernel 6.1|6.12      Linux of this version (default: 6.1)
  --user learner|root    who runs COMMAND (default: learner, an ordinary user
                         with subordinate ids, a login session, delegated
                         cgroups, and sudo). root,learner: each of them in turn
  --bring FILE           FILE too, from the directory of the programs: a test
  --cpus N               with so many processors (default: 2)
  --image                make the image, if it is not there, and boot nothing:
                         afterwards the lab works offline
  --help                 this text

Inside
  LAB=1         says where you are
  WORKSHOP_BIN  the directory of the workshop's programs, first in PATH: the
                release build, or the debug build. Set it outside to choose.

On a terminal COMMAND has one. Elsewhere its input is empty. The machine has no
network card: no packet leaves it. Its internet is as pretended as that of the
playground. Ctrl-C while it boots ends it.

The image is made from Debian's packages, from the mirror that apt uses here.
Where that is not Debian, name one: LAB_MIRROR=http://MIRROR/debian. It needs
the network once, two minutes, and 1 GB in ~/.cache/container-workshop-lab. To
make it anew, delete that directory.

Exit status: COMMAND's own (root,learner: the first that is not 0); 125 when the
machine can't start, or goes down.
USAGE
}

fail() { # LINE...
    printf 'lab: %s\n' "$1" >&2
    shift
    [[ $# -eq 0 ]] || printf '     %s\n' "$@" >&2
    exit 125
}

need() { # PROGRAM...
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "the program $program is missing." \
            'This installs what the lab needs: ./scripts/setup.sh --lab'
    done
}

# ── the image ───────────────────────────────────────────────────────────────

suite=bookworm
declare -A kernel_package=(
    [6.1]=linux-image-cloud-amd64
    [6.12]=linux-image-6.12-cloud-amd64
)
packages=(
    systemd-sysv udev dbus libpam-systemd dbus-user-session apparmor sudo
    iproute2 iputils-ping nftables passt procps uidmap util-linux kmod mawk
    busybox-static strace less
)

# deb lines, with the mirrors that the host's apt uses for Debian.
apt_sources() {
    local label uri format archive='' security=''
    if [[ ${LAB_MIRROR:-} ]]; then
        archive=${LAB_MIRROR%/} security=${LAB_MIRROR%/}-security
    elif command -v apt-get >/dev/null; then
        # shellcheck disable=SC2016 # apt fills these in
        format='$(ORIGIN)/$(LABEL)|$(REPO_URI)'
        while IFS='|' read -r label uri; do
            case $label in
                Debian/Debian) archive=$uri ;;
                Debian/Debian-Security) security=$uri ;;
            esac
        done < <(apt-get indextargets --format "$format" 'Created-By: Packages')
    fi
    [[ $archive && $security ]] || fail "no mirror of Debian and of its security updates is known here." \
        'The lab is made from the packages of Debian, by mmdebstrap.' \
        'On Debian: sudo apt-get update' \
        'Elsewhere, name a mirror that has /debian and /debian-security, and install' \
        'debian-archive-keyring: LAB_MIRROR=http://MIRROR/debian ./scripts/lab.sh'
    printf 'deb %s main\n' "$archive $suite" "$archive $suite-updates" "$security $suite-security"
}

# The functions from here to make_disk run as root of the new system's own
# namespace, with its root directory as their argument.

# Unpacked, not installed: that would make an initramfs for all hardware there is.
add_kernel() { # ROOT NAME PACKAGE
    local root=$1 name=$2 package version
    package=$(chroot "$root" apt-cache depends "$3" | awk '/Depends: linux-image/ { print $2; exit }')
    chroot "$root" sh -c "cd /tmp && apt-get download -qq $package"
    dpkg-deb --fsys-tarfile "$root/tmp/$package"_*.deb |
        tar -x --keep-directory-symlink -C "$root" ./boot ./lib/modules
    rm "$root/tmp/$package"_*.deb
    version=${package#linux-image-}
    chroot "$root" depmod "$version"
    mv "$root/boot/vmlinuz-$version" "$root/boot/linux-$name"
    rm "$root/boot/"*-"$version"
    add_initramfs "$root" "$name" "$version"
}

# As small as can be, since it is unpacked at each boot: mounts the disk.
add_initramfs() { # ROOT NAME VERSION
    local root=$1 name=$2 version=$3 tree=$1/tmp/initramfs module number=10
    mkdir -p "$tree"/{bin,dev,disk,modules}
    cp "$root/bin/busybox" "$tree/bin"
    while read -r module; do
        cp "$root$module" "$tree/modules/$((number++))-${module##*/}"
    done < <(chroot "$root" modprobe --all --show-depends --set-version "$version" \
        crc32c virtio_pci virtio_blk virtio_console ext4 |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
    find "$tree" -name '*.xz' -exec xz -d {} +
    cat >"$tree/init" <<'INIT'
#!/bin/busybox sh
busybox mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
for module in /modules/*; do busybox insmod "$module"; done
until [ -b /dev/vda ]; do busybox usleep 10000; done
busybox mount -t ext4 /dev/vda /disk
exec busybox switch_root /disk /sbin/init
INIT
    chmod +x "$tree/init"
    chroot "$root" sh -c 'cd /tmp/initramfs && find . | busybox cpio -o -H newc 2>/dev/null' \
        >"$root/boot/initramfs-$name"
    rm -r "$tree"
}

add_learner() { # ROOT
    local root=$1
    chroot "$root" useradd --create-home --shell /bin/bash --uid 1000 learner
    grep -q '^learner:' "$root/etc/subuid" || echo learner:100000:65536 |
        tee -a "$root/etc/subuid" >>"$root/etc/subgid"
    mkdir -p "$root/var/lib/systemd/linger"
    : >"$root/var/lib/systemd/linger/learner"
    echo 'learner ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/learner"
}

add_lab_service() { # ROOT
    local root=$1
    mkdir "$root/lab"
    echo lab >"$root/etc/hostname"
    echo '127.0.0.1 localhost lab' >"$root/etc/hosts"
    cat >"$root/etc/systemd/system/lab.service" <<'UNIT'
[Unit]
Description=The command of the lab
After=systemd-logind.service systemd-user-sessions.service

[Service]
ExecStart=/bin/sh -c 'mount -t ext4 /dev/vdb /lab && exec bash /lab/inside.sh'
StandardOutput=tty
TTYPath=/dev/ttyS0

[Install]
WantedBy=multi-user.target
UNIT
    chroot "$root" systemctl --quiet enable lab.service
    chroot "$root" systemctl --quiet mask getty@tty1.service e2scrub_reap.service \
        {apt-daily,apt-daily-upgrade,dpkg-db-backup,e2scrub_all,fstrim}.timer
}

furnish() { # ROOT
    set -euo pipefail
    local kernel
    while read -r kernel; do
        # shellcheck disable=SC2086 # a name and a package
        add_kernel "$1" $kernel
    done <<<"$lab_kernels"
    add_learner "$1"
    add_lab_service "$1"
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
    # Else systemd takes the first boot for one after an update: 10 s more.
    tr -d - </proc/sys/kernel/random/uuid >"$1/etc/machine-id"
    touch -r "$1/usr" "$1/etc/.updated" "$1/var/.updated"
}

# A file descriptor, since in an ordinary user's namespace the path to the
# cache may be closed. No journal: nobody reads this disk after a crash.
make_disk() { # ROOT
    set -euo pipefail
    rm "$1"/boot/{linux,initramfs}-*
    mount --bind "$1" "$1/mnt" # without what is mounted on it
    mke2fs -q -F -t ext4 -O ^has_journal,^metadata_csum -d "$1/mnt" /proc/self/fd/9 900M
    umount "$1/mnt"
}

recipe() {
    declare -p suite packages kernel_package
    declare -f add_kernel add_initramfs add_learner add_lab_service furnish make_disk
}

require_space() { # DIRECTORY MB
    local free
    free=$(df --output=avail -m "$1" | tail -n 1)
    ((free >= $2)) || fail "the disk is full: $1 has $((free)) MB, and the lab needs $2 MB there."
}

make_image() { # DIRECTORY
    local new=$1 name log=$cache/log
    need mmdebstrap mke2fs xz
    apt_sources >"$new/sources"
    require_space "$cache" 1000
    require_space "${TMPDIR:-/tmp}" 700
    say 'makes its image, once (about two minutes) …'
    # mmdebstrap starts its hooks by a shell that can't inherit functions.
    export lab_functions lab_kernels
    lab_functions=$(declare -f add_kernel add_initramfs add_learner add_lab_service furnish make_disk)
    lab_kernels=$(for name in "${!kernel_package[@]}"; do echo "$name ${kernel_package[$name]}"; done)
    apt-config dump 2>/dev/null | grep -i '^Acquire::https\?::Proxy' >"$new/proxy" || true
    : >"$new/disk"
    chmod 666 "$new/disk"
    # shellcheck disable=SC2016 # the hooks' own shell fills these in
    mmdebstrap --variant=minbase --format=null --include="$(IFS=, && echo "${packages[*]}")" \
        --aptopt="$new/proxy" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='bash -c "$lab_functions; furnish \"\$1\"" bash "$1"' \
        --customize-hook="copy-out /boot $new" \
        --customize-hook='bash -c "$lab_functions; make_disk \"\$1\"" bash "$1"' \
        "$suite" - - <"$new/sources" >"$log" 2>&1 9<>"$new/disk" || {
        tail -n 20 "$log" >&2
        ! grep -q 'No space left on device' "$log" ||
            fail "the disk is full: the image can't be made in $cache and ${TMPDIR:-/tmp}."
        fail "the image can't be made. Above is the end of $log"
    }
    chmod 644 "$new/disk"
}

# Sets image. Whoever comes second waits, and finds it made. Shared, the lock
# keeps others from removing the image; it is held until the machine is up.
find_image() {
    local name
    name=$(recipe | sha256sum)
    image=$cache/${name:0:16}
    exec {lock}>"$cache/lock"
    flock --shared "$lock"
    if [[ ! -d $image ]]; then
        flock "$lock"
    fi
    if [[ ! -d $image ]]; then
        run=$cache/run.$$
        mkdir "$run" "$run/image"
        make_image "$run/image"
        find "$cache" -mindepth 1 -maxdepth 1 -type d ! -name 'run.*' -exec rm -r {} +
        mv "$run/image" "$image"
        rmdir "$run"
        flock --shared "$lock"
    fi
}

# ── the workspace ───────────────────────────────────────────────────────────

# Hard links where they can be had: nothing is copied twice. Others may be at
# work in the checkout: a file that went meanwhile is not missed.
stage() { # DIRECTORY FILE...: relative to the current directory
    local to=$1 file
    shift
    cp --archive --parents --link -t "$to" -- "$@" 2>/dev/null ||
        cp --recursive --no-dereference --preserve=mode,timestamps --parents \
            -t "$to" -- "$@" 2>"$run/cp" || true
    for file in "$@"; do
        [[ ! -e $file || -e $to/$file ]] ||
            fail "$PWD/$file can't be copied: $(tail -n 1 "$run/cp")"
    done
}

choose_programs() {
    local target=${CARGO_TARGET_DIR:-$checkout/target}
    if [[ ! ${WORKSHOP_BIN:-} ]]; then
        WORKSHOP_BIN=$target/debug
        [[ ! -x $target/release/01-chroot ]] || WORKSHOP_BIN=$target/release
    fi
    WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
    [[ -d $WORKSHOP_BIN ]] || fail "the workshop's programs are not built: $WORKSHOP_BIN is not there." \
        'Try: cargo build --release'
}

workspace_files() {
    local file
    { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
        find . -name target -prune -o -name node_modules -prune -o -type f -print0; } |
        while IFS= read -r -d '' file; do
            [[ ! -r $file ]] || printf '%s\0' "$file"
        done
}

# The second disk: the workspace, the programs, and what is to be done.
make_workspace_disk() {
    local tree=$run/tree files=() programs=() file size
    mkdir "$tree" "$tree/checkout" "$tree/programs"
    cd "$checkout"
    mapfile -d '' files < <(workspace_files)
    stage "$tree/checkout" "${files[@]}"
    cd "$WORKSHOP_BIN"
    mapfile -d '' programs < <(find . -maxdepth 1 -type f -perm -u=x -print0)
    for file in "${bring[@]}"; do
        [[ $file == "$PWD"/* ]] || fail "$file can't be brought: it is not in $PWD."
        programs+=("${file#"$PWD"/}")
    done
    [[ ${#programs[@]} -eq 0 ]] || stage "$tree/programs" "${programs[@]}"
    cd "$came_from"
    cp "$checkout/scripts/lib/lab-inside.sh" "$tree/inside.sh"
    declare -p users checkout WORKSHOP_BIN came_from terminal command TERM >"$tree/settings"
    size=$(du -sm "$tree" | cut -f 1)
    require_space "$cache" $((size + size / 8 + 32))
    mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -d "$tree" "$run/workspace" \
        $((size + size / 8 + 32))M >"$run/mke2fs"
    rm -r "$tree"
}

# ── the machine ─────────────────────────────────────────────────────────────

# Without KVM, QEMU translates the machine's code, and keeps the translation by
# its address: with programs always at the same one, they start in a quarter of
# the time. So does a clock that is read without asking a device. The tests look
# for workshop.emulated.
for_tcg='norandmaps mitigations=off tsc=reliable clocksource=tsc workshop.emulated=1'

# The machine's clock counts by the host's processor. How fast that is it would
# find out as it boots, and wrongly on a busy host: all its seconds would be too
# short. Twice the frequency in MHz is what Linux calls bogomips.
tell_frequency() {
    awk '$1 == "bogomips" { printf " tsc_early_khz=%d", $3 * 500; exit }' /proc/cpuinfo
}

start_machine() { # ACCELERATOR
    local how=(-accel kvm -cpu host)
    local words='console=ttyS0 panic=-1 net.ifnames=0 systemd.getty_auto=no workshop.lab=1'
    if [[ $1 != kvm ]]; then
        # What of a processor costs most to translate, and Linux can do without.
        how=(-accel "tcg,thread=multi" -cpu "max,-erms,-la57,-pku,-smap,-smep,-xsave")
        words+=" $for_tcg$(tell_frequency)"
    fi
    : >"$run/console"
    cat "$run/out" &
    readers=($!)
    cat "$run/err" >&2 &
    readers+=($!)
    # It dies with us, however we die.
    TMPDIR=$run setpriv --pdeathsig KILL qemu-system-x86_64 \
        "${how[@]}" -smp "$cpus" -m 2048 -nodefaults -no-user-config -no-reboot -display none \
        -kernel "$image/boot/linux-$kernel" -initrd "$image/boot/initramfs-$kernel" \
        -append "$words" \
        -drive "if=virtio,format=raw,cache=unsafe,snapshot=on,file=$image/disk" \
        -drive "if=virtio,format=raw,cache=unsafe,file=$run/workspace" \
        -nic none \
        -serial "file:$run/console" \
        -device virtio-serial-pci \
        -chardev "pipe,id=terminal,path=$run/terminal" -device virtconsole,chardev=terminal \
        -chardev "pipe,id=control,path=$run/control" -device virtserialport,chardev=control,name=control \
        -chardev "file,id=out,path=$run/out" -device virtserialport,chardev=out,name=out \
        -chardev "file,id=err,path=$run/err" -device virtserialport,chardev=err,name=err \
        </dev/null >"$run/qemu" 2>&1 {lock}>&- &
    machine=$!
    disown "$machine" # the shell would report its death
}

machine_runs() { kill -0 "$machine" 2>/dev/null; }

stop_machine() {
    kill -KILL "$machine" 2>/dev/null || true
    while machine_runs; do sleep 0.01; done
}

# One whose machine has never opened the other end would wait for ever.
stop_readers() {
    local reader
    for reader in "${readers[@]}"; do kill "$reader" 2>/dev/null || true; done
    readers=()
}

# /dev/kvm may be there, answer, and run nothing. So a machine that says nothing
# for three seconds does not run, whatever the reason.
start_machine_somehow() {
    if [[ -r /dev/kvm && -w /dev/kvm ]]; then
        say "boots Linux $kernel with KVM …"
        start_machine kvm
        for _ in {1..30}; do
            sleep 0.1
            [[ ! -s $run/console ]] || return 0
            machine_runs || break
        done
        stop_machine
        stop_readers
        say 'KVM does not work here.'
    fi
    say "boots Linux $kernel without KVM …"
    start_machine tcg
}

# Sets heard to the next line that the machine says on its control port.
hear() { # SECONDS
    local end=$((SECONDS + $1))
    until read -r -t 1 -u "$from_machine" heard; do
        machine_runs && ((SECONDS < end)) || return 1
    done
}

show_console() {
    { cat "$run/qemu" && tail -n 15 "$run/console" | tr -d '\r'; } >&2
}

say() {
    echo "lab: $*" >&2
}

tell_window_size() {
    stty size <&0 >&"$to_machine" 2>/dev/null || true
}

connect_terminal() {
    terminal_settings=$(stty --save)
    stty raw -echo
    trap tell_window_size WINCH
    tell_window_size
    cat <"$run/terminal.out" &
    helpers+=($!)
    cat <&"$terminal_input" >"$run/terminal.in" &
    helpers+=($!)
}

# Boots, and runs the command. Sets status.
run_command() {
    mkfifo "$run"/{out,err,{terminal,control}.{in,out}}
    exec {terminal_input}<&0 {to_machine}<>"$run/control.in" {from_machine}<>"$run/control.out"
    start_machine_somehow
    hear "${LAB_BOOT_SECONDS:-180}" || {
        show_console
        fail "the machine did not come up within ${LAB_BOOT_SECONDS:-180} s. Above is the end of its console." \
            'A slow machine may need more: LAB_BOOT_SECONDS=600 ./scripts/lab.sh …'
    }
    flock --unlock "$lock"
    rm "$run/workspace" # held open, and gone with the machine
    [[ ! $terminal ]] || connect_terminal
    hear 1000000000 || {
        show_console
        fail 'the machine went down before the command ended. Above is the end of its console.'
    }
    status=$heard
    stop_machine
    # All that it wrote has arrived, and what waits in a pipe is yet to be shown.
    [[ $terminal ]] || wait "${readers[@]}"
}

clean_up() {
    local helper
    [[ ! ${machine:-} ]] || stop_machine
    stop_readers
    for helper in "${helpers[@]}"; do kill "$helper" 2>/dev/null || true; done
    [[ ! ${terminal_settings:-} ]] || stty "$terminal_settings"
    [[ ! ${run:-} ]] || rm -rf "$run"
}

# Of runs that were killed, and could not clean up.
remove_leftovers() {
    local left
    for left in "$cache"/run.*; do
        [[ ! -d $left || -e /proc/${left##*.} ]] || rm -rf "$left"
    done
}

# ── the story ───────────────────────────────────────────────────────────────

set_option() { # NAME VALUE
    case $1 in
        --kernel) kernel=$2 ;;
        --user) users=$2 ;;
        --cpus) cpus=$2 ;;
        --bring)
            [[ -f $2 ]] || fail "there is no file $2 to bring."
            bring+=("$(realpath "$2")")
            ;;
    esac
}

read_arguments() {
    kernel=6.1 users=learner cpus=2 bring=() command=() terminal='' only_image=''
    while [[ $# -gt 0 ]]; do
        case $1 in
            --kernel=* | --user=* | --cpus=* | --bring=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
            --kernel | --user | --cpus | --bring)
                [[ $# -gt 1 ]] || fail "what $1? See: ./scripts/lab.sh --help"
                set_option "$1" "$2"
                shift
                ;;
            --image) only_image=yes ;;
            -h | --help) usage && exit ;;
            --) shift && break ;;
            -*) usage >&2 && exit 125 ;;
            *) break ;;
        esac
        shift
    done
    command=("$@")
    [[ ${kernel_package[$kernel]:-} ]] || fail "there is no kernel $kernel here, only: ${!kernel_package[*]}"
    [[ $users =~ ^(root|learner)(,(root|learner))*$ ]] || fail "there is no user $users here, only: root learner"
    [[ $cpus =~ ^[1-9]$ ]] || fail "--cpus $cpus: a number from 1 to 9."
    if [[ -t 0 && -t 1 ]]; then
        terminal=yes
    elif [[ $# -eq 0 && ! $only_image ]]; then
        fail 'without a COMMAND it needs a terminal.'
    fi
}

main() {
    local helpers=() readers=() machine='' run='' status=125
    read_arguments "$@"
    PATH=$PATH:/usr/sbin:/sbin
    [[ $(uname -m) == x86_64 ]] || fail "the lab is made for x86_64, and this is $(uname -m)."
    need qemu-system-x86_64 mke2fs setpriv flock
    checkout=$(realpath "$(dirname "$0")/..") came_from=$PWD TERM=${TERM:-linux}
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/container-workshop-lab
    mkdir -p "$cache"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    remove_leftovers
    [[ $only_image ]] || choose_programs
    find_image
    [[ ! $only_image ]] || exit 0
    run=$cache/run.$$
    mkdir "$run"
    make_workspace_disk
    run_command
    exit "$status"
}

main "$@"
