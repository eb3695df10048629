#!/usr/bin/env bash
# The lab: a virtual machine with a stock Debian kernel, systemd and an ordinary
# user, in which every step works.
#
# The image of its disk is made once and kept. It never changes: what a run writes
# is gone when the run ends. The workspace comes on a second disk, made anew for
# each run, so it is always the one you have now.
#
# shellcheck disable=SC2317 # functions are passed to trap
# shellcheck disable=SC2030,SC2031 # what try_image changes is its own
set -euo pipefail
umask 022

usage() {
    cat <<'USAGE'
usage: scripts/lab.sh [OPTION...] [--] [COMMAND [ARG...]]
       scripts/lab.sh [OPTION...] --image
       scripts/lab.sh [OPTION...] --cargo ARG...

Boots a virtual machine and runs COMMAND (default: a shell) in it, in your current
directory, with this workspace and its programs. The machine has a stock Debian
kernel, systemd, cgroup v2 and AppArmor, and shuts down when COMMAND ends.

  --debian 12|13|13-selinux|unstable
                         the version of Debian (default: 12). 13 has docker, podman,
                         ufw, firewalld and Rust's coreutils installed, asleep. On
                         13-selinux, SELinux enforces; to make it takes root.
                         unstable has the newest kernel and systemd, and is made
                         anew after a week; if it is broken that day, you get the
                         last one that booted, and are told
  --kernel 6.1|6.12      the version of Linux (default: the oldest one that this
                         Debian has; the others have only one)
  --arch amd64|arm64     the architecture (default: this machine's). For another
                         one, QEMU translates each instruction
  --user learner|root    who runs COMMAND (default: learner, an ordinary user
                         with subordinate ids, a login session, delegated
                         cgroups, and sudo). root,learner: each of them in turn
  --bring FILE           bring FILE, too, such as a test: it must be in the
                         directory of the programs
  --engines              bring docker, containerd and podman, too, as engines.sh has
                         unpacked them: inside, it starts them
  --cpus N               the number of processors (default: 2)
  --image                get whatever the lab still needs, and boot nothing:
                         afterwards, the lab works offline
  --cargo ARG...         run cargo ARG... here, so that it compiles for the
                         machine's architecture: --cargo build, --cargo test ...
  --help                 this text

Inside
  LAB=1         says where you are
  WORKSHOP_BIN  the directory of the workshop's programs, first in PATH: the
                release build if there is one, otherwise the debug build. Set
                it outside to choose. For another architecture than this
                machine's, the lab compiles them if there are none, as
                --cargo build would: then Rust needs its library for that one
                (rustup target add aarch64-unknown-linux-gnu).

If you are on a terminal, COMMAND gets one, too. Otherwise its input is empty.
The machine has no network card: no packet leaves it. Like the playground, it has
a pretend internet. While it boots, Ctrl-C ends it.

The image is made from Debian packages, from the mirror that apt uses here. If
that mirror is not Debian's, name one: LAB_MIRROR=http://MIRROR/debian. If no
QEMU is installed, the lab unpacks one for itself; it installs nothing. All this
happens once for each Debian and each architecture, and takes the network, three
minutes, and 1 GB in ~/.cache/container-workshop-lab. To start over, delete that
directory.

Exit status: COMMAND's own (root,learner: the first that is not 0); 125 when the
machine can't start, or goes down before COMMAND ends.
USAGE
}

# ── the workspace ───────────────────────────────────────────────────────────

# Hard links where possible, so that nothing is copied twice. Others may be at work
# in the checkout: a file that has vanished meanwhile is not missed.
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
    local target=${CARGO_TARGET_DIR:-$checkout/target} foreign=''
    if [[ ! ${WORKSHOP_BIN:-} ]]; then
        [[ $arch == "$host_arch" ]] || foreign=yes target+=/$arch/$machine_name-unknown-linux-gnu
        WORKSHOP_BIN=$target/debug
        [[ ! -x $target/release/01-chroot ]] || WORKSHOP_BIN=$target/release
        [[ ! $foreign || -x $WORKSHOP_BIN/01-chroot ]] || (cd "$checkout" && run_cargo build) ||
            fail "the workshop's programs can't be compiled for $arch. Above is why."
    fi
    WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
    [[ -d $WORKSHOP_BIN ]] || fail "the workshop's programs are not built: there is no $WORKSHOP_BIN." \
        'Try: cargo build --release'
}

# Cargo, for the lab's architecture, in a directory of its own: whoever compiles here
# meanwhile waits for no lock. The linker is Rust's own: a C compiler would
# tell it where the C library is, and which of its files begin and end a program.
# Programs are stripped at once, since the strip that is here may not know them.
run_cargo() { # ARG...
    local target=$machine_name-unknown-linux-gnu c gcc loader file flags
    if [[ $arch == "$host_arch" ]]; then
        cargo "$@"
        return
    fi
    [[ -d $(rustc --print target-libdir --target "$target") ]] ||
        fail "Rust can't compile for $arch: it has no library for $target." \
            "Do: rustup target add $target"
    find_sysroot
    c=$sysroot/usr/lib/$machine_name-linux-gnu
    gcc=$(compgen -G "$sysroot/usr/lib/gcc/$machine_name-linux-gnu/*")
    loader=$(compgen -G "$sysroot/lib/ld-linux-*")
    flags='--cfg=without_c_compiler -Clinker=rust-lld -Clinker-flavor=ld.lld -Cstrip=symbols'
    flags=${flags// /$'\x1f'}
    for file in "--sysroot=$sysroot" "-L$c" "-L$gcc" "-L$sysroot/lib/$machine_name-linux-gnu" \
        "--dynamic-linker=${loader#"$sysroot"}" \
        "$c/Scrt1.o" "$c/crti.o" "$gcc/crtbeginS.o" "$gcc/crtendS.o" "$c/crtn.o"; do
        flags+=$'\x1f'-Clink-arg=$file
    done
    CARGO_ENCODED_RUSTFLAGS=$flags CARGO_BUILD_TARGET=$target \
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$checkout/target}/$arch cargo "$@"
}

workspace_files() {
    local file
    { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
        find . -name target -prune -o -name node_modules -prune -o -type f -print0; } |
        while IFS= read -r -d '' file; do
            [[ ! -r $file ]] || printf '%s\0' "$file"
        done
}

# The second disk: the workspace, the programs, and what to run.
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
    if [[ $engines ]]; then
        mkdir "$tree/programs/engines"
        cd "$engines"
        stage "$tree/programs/engines" ./*
    fi
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

# Without KVM, QEMU translates the machine's code, and keeps each translation by
# its address: programs that are always at the same address start in a quarter of
# the time. The tests look for workshop.emulated.
for_tcg='norandmaps mitigations=off workshop.emulated=1'

# The machine's clock counts the ticks of the host's processor. The machine would
# measure how fast these are as it boots, and get it wrong on a busy host: all its
# seconds would be too short. What Linux calls bogomips is twice the frequency in MHz.
tell_frequency() {
    [[ $arch == amd64 ]] || return 0
    awk '$1 == "bogomips" { printf " tsc_early_khz=%d", $3 * 500; exit }' /proc/cpuinfo
}

start_machine() { # ACCELERATOR
    local how=(-accel kvm -cpu host)
    local words="console=$serial panic=-1 net.ifnames=0 systemd.getty_auto=no workshop.lab=1 $for_system"
    if [[ $1 != kvm ]]; then
        # shellcheck disable=SC2206 # words
        how=(-accel "tcg,thread=multi" $for_qemu)
        words+=" $for_tcg $for_kernel$(tell_frequency)"
    fi
    : >"$run/console"
    cat "$run/out" &
    readers=($!)
    cat "$run/err" >&2 &
    readers+=($!)
    # It dies with us, however we die.
    TMPDIR=$run setpriv --pdeathsig KILL "${qemu[@]}" \
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

machine_runs() { [[ -e /proc/$machine ]]; }

stop_machine() {
    end "$machine" KILL
    while machine_runs; do sleep 0.01; done
}

# A reader whose machine has never opened the other end would wait forever.
stop_readers() {
    local reader
    for reader in "${readers[@]}"; do end "$reader"; done
    readers=()
}

# /dev/kvm can exist, answer, and still run nothing. So a machine that says nothing
# for three seconds is not running, whatever the reason.
start_machine_somehow() {
    if [[ $arch == "$host_arch" && -r /dev/kvm && -w /dev/kvm ]]; then
        begin_moving "lab: boots Linux $kernel with KVM"
        start_machine kvm
        for _ in {1..30}; do
            sleep 0.1
            [[ ! -s $run/console ]] || return 0
            machine_runs || break
        done
        stop_machine
        stop_readers
        end_moving
        say 'KVM does not work here.'
    fi
    begin_moving "lab: boots Linux $kernel without KVM"
    start_machine tcg
}

# Sets heard to the next line that the machine writes to its control port, or
# cause to the reason why there will be none.
hear() { # SECONDS
    local limit=$((SECONDS + $1)) part=''
    heard='' cause=''
    # It may come in pieces; and a read that waits can lose one that arrives just as
    # its time is up.
    until read -r -t 0 -u "$from_machine" && read -r -t 1 -u "$from_machine" part; do
        heard+=$part part=''
        if grep -q 'Kernel panic - not syncing' "$run/console"; then
            cause='its kernel panicked'
        elif ! machine_runs; then
            cause='QEMU ended'
        elif ((SECONDS >= limit)); then
            cause="not within $1 s"
        fi
        [[ ! $cause ]] || return 1
        sleep 0.3
    done
    heard+=$part
}

show_console() {
    { cat "$run/qemu" && tail -n 15 "$run/console" | tr -d '\r'; } >&2
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
        end_moving
        show_console
        local hint=()
        [[ $cause != not* ]] || hint=('A slow machine may need more time: LAB_BOOT_SECONDS=600 ./scripts/lab.sh ...')
        fail "the machine did not come up: $cause. Above is the end of its console." "${hint[@]}"
    }
    end_moving
    flock --unlock "$lock"
    rm "$run/workspace" # held open, and gone with the machine
    [[ ! $terminal ]] || connect_terminal
    hear 1000000000 || {
        show_console
        fail "the machine went down before the command ended: $cause. Above is the end of its console."
    }
    status=$heard
    stop_machine
    # All that it wrote has arrived, but what waits in a pipe has yet to be shown.
    [[ $terminal ]] || wait "${readers[@]}"
}

is_fresh() { # IMAGE
    [[ -d $1 && ! ($days && $(find "$1" -maxdepth 0 -mtime "+$((days - 1))")) ]]
}

# A system that changes from day to day is broken on some: what it was on its last
# good day stays until a newer one has booted.
new_image() {
    local newest
    if [[ ! $days ]]; then
        keep "image-$debian-$arch" "$image" make_image
        return
    fi
    newest=$(find "$cache" -maxdepth 1 -name "image-$debian-$arch-*" -printf '%T@ %p\n' | sort -n | tail -n 1)
    ! try_image || return 0
    [[ $newest ]] ||
        fail "Debian $debian is broken today, or can't be fetched. Above is why." \
            'No image of an earlier day is here. The newest Debian that stays as it is: --debian 13'
    image=${newest#* }
    touch -d "$((days - 1)) days ago" "$image" # tomorrow again
    say "Debian $debian is broken today, or can't be fetched: goes on with the last good one, of $(date -r "$image/disk" +%F)"
}

# Makes an image that boots to both users' sessions, or none. In a run of its own:
# ours goes on.
try_image() (
    local helpers=() readers=() machine='' run=$run/try
    trap clean_up EXIT
    mkdir "$run"
    keep "image-$debian-$arch" "$image" make_image_that_boots
)

make_image_that_boots() { # DIRECTORY
    make_image "$1"
    image=$1 users=root,learner command=(true) bring=() terminal='' WORKSHOP_BIN=$run/programs
    mkdir "$WORKSHOP_BIN"
    exec {lock}>"$run/lock"
    make_workspace_disk
    run_command
    ((status == 0)) || fail "its users can't log in."
}

clean_up() {
    local helper
    end_moving
    [[ ! ${machine:-} ]] || stop_machine
    stop_readers
    for helper in "${helpers[@]}"; do end "$helper"; done
    [[ ! ${terminal_settings:-} ]] || stty "$terminal_settings"
    [[ ! ${run:-} ]] || rm -rf "$run"
}

# Left by runs that were killed and could not clean up.
remove_leftovers() {
    local left
    for left in "$cache"/run.*; do
        [[ ! -d $left || -e /proc/${left##*.} ]] || rm -rf "$left"
    done
}

# ── the story ───────────────────────────────────────────────────────────────

set_option() { # NAME VALUE
    case $1 in
        --debian) debian=$2 ;;
        --kernel) kernel=$2 ;;
        --arch) arch=$2 ;;
        --user) users=$2 ;;
        --cpus) cpus=$2 ;;
        --bring)
            [[ -f $2 ]] || fail "there is no file $2 to bring."
            bring+=("$(realpath "$2")")
            ;;
    esac
}

read_arguments() {
    debian=12 kernel='' arch='' users=learner cpus=2 bring=() command=() terminal='' engines='' only_image='' for_cargo=''
    while [[ $# -gt 0 ]]; do
        case $1 in
            --debian=* | --kernel=* | --arch=* | --user=* | --cpus=* | --bring=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
            --debian | --kernel | --arch | --user | --cpus | --bring)
                [[ $# -gt 1 ]] || fail "$1 needs a value. See: ./scripts/lab.sh --help"
                set_option "$1" "$2"
                shift
                ;;
            --engines)
                engines=$("$checkout/scripts/engines.sh" --check)
                [[ $engines != / ]] || fail 'engines are installed here, so that there are none to bring.'
                ;;
            --image) only_image=yes ;;
            --cargo) for_cargo=yes && shift && break ;;
            -h | --help) usage && exit ;;
            --) shift && break ;;
            -*) usage >&2 && exit 125 ;;
            *) break ;;
        esac
        shift
    done
    command=("$@")
    look_up
    [[ $users =~ ^(root|learner)(,(root|learner))*$ ]] || fail "there is no user $users here, only: root learner"
    [[ $cpus =~ ^[1-9]$ ]] || fail "--cpus $cpus: it takes a number from 1 to 9."
    if [[ -t 0 && -t 1 ]]; then
        terminal=yes
    elif [[ $# -eq 0 && ! $only_image$for_cargo ]]; then
        fail 'without a COMMAND, the lab needs a terminal.'
    fi
}

main() {
    local helpers=() readers=() machine='' run='' status=125
    read_arguments "$@"
    PATH=$PATH:/usr/sbin:/sbin
    need mke2fs setpriv flock
    came_from=$PWD TERM=${TERM:-linux}
    [[ ${HOME-} ]] || { unset HOME && export HOME=~; } # as /etc/passwd has it
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/container-workshop-lab
    mkdir -p "$cache"
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    remove_leftovers
    run=$cache/run.$$
    mkdir "$run"
    if [[ $for_cargo ]]; then
        run_cargo "${command[@]}"
        exit
    fi
    [[ $only_image ]] || choose_programs
    find_parts
    [[ ! $only_image ]] || exit 0
    make_workspace_disk
    run_command
    exit "$status"
}

checkout=$(realpath "$(dirname "$0")/..")
# shellcheck source=scripts/lib/moving.sh
. "$checkout/scripts/lib/moving.sh"
# shellcheck source=scripts/lib/lab-cache.sh
. "$checkout/scripts/lib/lab-cache.sh"
main "$@"
