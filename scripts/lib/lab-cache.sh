# shellcheck shell=bash
# What the lab makes once, from Debian packages, and keeps in its cache: the images
# of its machines' disks, and what it takes to run them and to compile for them, if
# that is not installed. Sourced by the scripts that make something of packages.
#
# shellcheck disable=SC2317 # functions are passed to mmdebstrap

# Whose words they are.
me=${0##*/} me=${me%.sh}

say() { echo "$me: $*" >&2; }

fail() { # LINE...
    say "$1"
    shift
    local line
    for line in "$@"; do printf "%${#me}s  %s\n" '' "$line" >&2; done
    exit 125
}

need() { # PROGRAM...
    local program
    for program in "$@"; do
        [[ $(type -P "$program") ]] || fail "the program $program is missing." \
            'To install it: ./scripts/setup.sh --lab'
    done
}

# First checks that the process exists: otherwise what kill says about one that has
# ended would go to /dev/null, and if that is broken, kill never runs.
end() { # PID [SIGNAL]
    [[ ! -e /proc/$1 ]] || kill "-${2:-TERM}" "$1" || true
}

# The directories of lab.sh: its cache, and that of this run in it. What it was
# asked for, by the names of the tables below.
declare cache run debian arch kernel

# A new Debian is a new row: its suite; if that changes from day to day, after how
# many of them its image is made anew; its kernels; more of its packages; words for
# its kernel. A kernel is a version and, without the architecture at its end, the
# package; the first one is what you get unless you ask. Those for clouds are small
# and boot sooner; another one has what a laptop has, such as the drivers of GPUs.
systems() {
    cat <<'TABLE'
12         | bookworm |   | 6.1 linux-image-cloud 6.12 linux-image-6.12 | |
13         | trixie   |   | 6.12 linux-image-cloud   | linux-sysctl-defaults docker.io podman ufw firewalld rust-coreutils |
13-selinux | trixie   |   | 6.12 linux-image-cloud   | linux-sysctl-defaults selinux-policy-default policycoreutils | security=selinux enforcing=1
unstable   | sid      | 7 | newest linux-image-cloud | linux-sysctl-defaults util-linux-extra |
TABLE
}

# What some machines have installed asleep, for the claims about hosts with company
# (steps/testbed/tests/doctor/odd_hosts.rs): these wake it, one at a time.
asleep=(
    docker.{service,socket} containerd.service ufw.service firewalld.service
    podman{,-auto-update,-clean-transient,-restart}.service podman{.socket,-auto-update.timer}
    netavark-{dhcp-proxy,firewalld-reload}.service netavark-dhcp-proxy.socket
)

# A new architecture is a new row: its name in Debian, and in Linux, Rust and QEMU;
# the package of its QEMU; its first serial port; what its QEMU needs where the code
# is translated, and the same for its kernel. x86-64 is without the features that
# cost most to translate, and that Linux can spare; without FSRM, with which it hangs
# if there is no ERMS; and without AVX, which can't be without XSAVE, and where Linux
# 7 panics. A clock that is read without asking a device helps as well; and on a busy
# host, a kernel that checks its timer finds none, and panics.
architectures() {
    cat <<'TABLE'
amd64 | x86_64  | qemu-system-x86 | ttyS0   | -cpu max,-erms,-fsrm,-la57,-pku,-smap,-smep,-xsave,-avx,-avx2,-fma,-f16c,-vaes,-vpclmulqdq | tsc=reliable clocksource=tsc no_timer_check
arm64 | aarch64 | qemu-system-arm | ttyAMA0 | -machine virt -cpu cortex-a72                |
TABLE
}

# The rows of a table whose COLUMN is VALUE, without the blanks around each cell.
row_of() { # TABLE COLUMN VALUE
    "$1" | sed 's/ *| */|/g' | awk -F'|' -v column="$2" -v value="$3" '$column == value'
}

column_of() { "$1" | sed 's/ *|.*//' | paste -s -d ' '; } # TABLE

packages=(
    systemd-sysv udev dbus libpam-systemd dbus-user-session apparmor sudo
    iproute2 iputils-ping nftables passt procps uidmap util-linux kmod mawk
    busybox-static strace less acl
)

# Sets what the tables say about what was asked for.
look_up() {
    local its_kernels more name package names=()
    IFS='|' read -r host_arch host_machine _ < <(row_of architectures 2 "$(uname -m)") ||
        fail "the lab needs x86_64 or aarch64, and this machine is $(uname -m)."
    arch=${arch:-$host_arch}
    # shellcheck disable=SC2034 # lab.sh uses them
    IFS='|' read -r _ machine_name qemu_package serial for_qemu for_kernel < <(row_of architectures 1 "$arch") ||
        fail "there is no architecture $arch here, only: $(column_of architectures)"
    # shellcheck disable=SC2034 # lab.sh uses them
    IFS='|' read -r _ suite days its_kernels more for_system < <(row_of systems 1 "$debian") ||
        fail "there is no Debian $debian here, only: $(column_of systems)"
    kernels=()
    while read -r -d ' ' name && read -r -d ' ' package; do
        names+=("$name")
        kernels+=("$name $package-$arch")
    done <<<"$its_kernels "
    kernel=${kernel:-${names[0]}}
    [[ " ${names[*]} " == *" $kernel "* ]] ||
        fail "there is no kernel $kernel in the lab's Debian $debian, only: ${names[*]}"
    # shellcheck disable=SC2206 # words
    packages+=($more)
    [[ $more ]] || asleep=()
    # The oldest of all: what is made for it runs on the others, too.
    IFS='|' read -r _ oldest _ < <(row_of systems 1 "$(column_of systems | cut -d ' ' -f 1)")
}

# Sets archive and security to the mirrors that apt uses for Debian.
ask_apt() { # OPTION...
    local label uri format
    # shellcheck disable=SC2016 # apt fills these in
    format='$(ORIGIN)/$(LABEL)|$(REPO_URI)'
    while IFS='|' read -r label uri; do
        case $label in
            Debian/Debian) archive=$uri ;;
            Debian/Debian-Security) security=$uri ;;
        esac
    done < <(apt-get "$@" indextargets --format "$format" 'Created-By: Packages')
}

# apt knows from its package lists whose mirror is whose. If it has no lists, it
# fetches some for us alone: that needs no root.
ask_apt_anew() {
    local ours=(-o "Dir::State::lists=$run/lists" -o "Dir::Cache=$run/apt" -o APT::Sandbox::User=root)
    [[ -d $run/apt ]] || {
        begin_moving 'lab: asks apt for its mirrors'
        mkdir -p "$run"/{apt,lists/partial}
        apt-get "${ours[@]}" -qq update >&2 || true
        end_moving
    }
    ask_apt "${ours[@]}"
}

# deb lines. What is mended in unstable comes as a new version there.
apt_sources() { # SUITE
    local suite=$1 archive='' security=''
    if [[ ${LAB_MIRROR:-} ]]; then
        archive=${LAB_MIRROR%/} security=${LAB_MIRROR%/}-security
    elif [[ $(type -P apt-get) ]]; then
        ask_apt
        [[ $archive && $security ]] || ask_apt_anew
    fi
    [[ $archive && $security ]] || fail "this machine knows no mirror of Debian and of its security updates." \
        'The lab is made from Debian packages, by mmdebstrap.' \
        'On Debian, apt has to reach its mirrors once, and needs the network for that.' \
        'Elsewhere, name a mirror that has /debian and /debian-security, and install' \
        'debian-archive-keyring: LAB_MIRROR=http://MIRROR/debian ./scripts/lab.sh'
    printf 'deb %s main\n' "$archive $suite"
    [[ $suite == sid ]] ||
        printf 'deb %s main\n' "$archive $suite-updates" "$security $suite-security"
}

# The functions from here to make_disk run as root in the new system's own
# namespace, with its root directory as their argument.

# The packages of a machine of another architecture. Its root directory is made as
# ours is, by programs that run here. At the end, everything that was compiled is
# replaced by the same for the other architecture: no program of that one has to
# run, so it takes no emulation, no binfmt_misc, and no root.
fetch_foreign() { # ROOT
    local root=$1 foreign=$1/tmp/foreign package
    mkdir -p "$foreign"/usr/{bin,sbin,lib} "$root/tmp/archives/partial"
    ln -s usr/{bin,sbin,lib} "$foreign"
    : >"$root/tmp/no-status"
    # shellcheck disable=SC2086 # several packages
    chroot "$root" apt-get -qq -y --download-only \
        -o APT::Architecture="$lab_arch" -o APT::Architectures::="$lab_arch" -o Dir::State::status=/tmp/no-status \
        -o Dir::Cache::archives=/tmp/archives -o APT::Install-Recommends=false \
        install '?essential' $lab_packages
    for package in "$root"/tmp/archives/*"_$lab_arch.deb"; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x --keep-directory-symlink --exclude='./usr/share/*' --exclude='./var/*' -C "$foreign"
    done
    rm -r "$root/tmp/archives"
}

become_foreign() { # ROOT
    local root=$1 native info
    rm -r "$root"/usr/lib/*-linux-gnu "$root"/usr/lib64
    rm "$root/lib64" "$root"/etc/ld.so.cache "$root"/etc/ld.so.conf.d/*-linux-gnu.conf
    cp -a "$root/tmp/foreign/usr/." "$root/usr/"
    cp -a "$root"/tmp/foreign/etc/ld.so.conf.d/*.conf "$root/etc/ld.so.conf.d/"
    rm -r "$root/tmp/foreign"
    # As dpkg has it now.
    native=$(head -n 1 "$root/var/lib/dpkg/arch")
    sed -i "s/^Architecture: $native\$/Architecture: $lab_arch/" "$root/var/lib/dpkg/status"
    for info in "$root/var/lib/dpkg/info/"*":$native."*; do
        mv "$info" "${info/:$native./:$lab_arch.}"
    done
    echo "$lab_arch" >"$root/var/lib/dpkg/arch"
}

# What a package depends on, as far as its name begins so.
dependencies() { # ROOT PACKAGE NAME
    chroot "$1" apt-cache depends "$2:$lab_arch" |
        awk -v name="$3" '$1 == "Depends:" && index($2, name) == 1 { sub(/:.*/, "", $2); print $2 }'
}

# Unpacked: to install it would make an initramfs for all hardware there is. Older
# kernels are one package, newer ones several of one version.
add_kernel() { # ROOT NAME PACKAGE
    local root=$1 name=$2 package version kernel
    package=$(dependencies "$root" "$3" linux-image)
    version=${package#linux-image-}
    mkdir "$root/tmp/kernel"
    # shellcheck disable=SC2046 # several packages
    chroot "$root" sh -c 'cd /tmp/kernel && apt-get download -qq "$@"' sh \
        $(printf "%s:$lab_arch\n" "$package" $(dependencies "$root" "$package" linux- | grep -F -- "-$version"))
    for package in "$root"/tmp/kernel/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x --keep-directory-symlink -C "$root" --exclude=./usr/share --exclude=./etc
    done
    rm -r "$root/tmp/kernel"
    chroot "$root" depmod "$version"
    kernel=$root/boot/vmlinuz-$version
    [[ -e $kernel ]] || kernel=$root/usr/lib/modules/$version/vmlinuz
    mv "$kernel" "$root/boot/linux-$name"
    rm -f "$root/boot/"*-"$version"
    add_initramfs "$root" "$name" "$version"
}

# Mounts the disk. As small as possible, since it is unpacked at each boot.
add_initramfs() { # ROOT NAME VERSION
    local root=$1 name=$2 version=$3 tree=$1/tmp/initramfs module number=10
    mkdir -p "$tree"/{bin,dev,disk,modules}
    cp "$root${lab_foreign:+/tmp/foreign}/usr/bin/busybox" "$tree/bin"
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
    chroot "$root" useradd --create-home --groups render --shell /bin/bash --uid 1000 learner
    grep -q '^learner:' "$root/etc/subuid" || echo learner:100000:65536 |
        tee -a "$root/etc/subuid" >>"$root/etc/subgid"
    mkdir -p "$root/var/lib/systemd/linger"
    : >"$root/var/lib/systemd/linger/learner"
    echo 'learner ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/learner"
}

# Newer systems confine a hundred programs that are not here: each boot would compile
# the profiles. One is no program's: it is for whoever makes a user namespace.
drop_profiles() { # ROOT
    local profile name
    for profile in "$1"/etc/apparmor.d/*; do
        name=${profile##*/}
        [[ -d $profile || $name == *.* || $name == unprivileged_userns ||
            -e $1/usr/bin/$name || -e $1/usr/sbin/$name ]] || rm "$profile"
    done
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
TTYPath=/dev/console

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
    [[ ! $lab_foreign ]] || fetch_foreign "$1"
    while read -r kernel; do
        # shellcheck disable=SC2086 # a name and a package
        add_kernel "$1" $kernel
    done <<<"$lab_kernels"
    add_learner "$1"
    drop_profiles "$1"
    add_lab_service "$1"
    rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
    # Otherwise systemd takes the first boot for one after an update: 10 s more.
    tr -d - </proc/sys/kernel/random/uuid >"$1/etc/machine-id"
    touch -r "$1/usr" "$1/etc/.updated" "$1/var/.updated"
}

# A file descriptor, since in an ordinary user's namespace the path to the
# cache may be closed. No journal: nobody reads this disk after a crash.
make_disk() { # ROOT
    set -euo pipefail
    rm "$1"/boot/{linux,initramfs}-*
    [[ ! $lab_foreign ]] || become_foreign "$1"
    mount --bind "$1" "$1/mnt" # without what is mounted on it
    mke2fs -q -F -t ext4 -O ^has_journal,^metadata_csum -d "$1/mnt" /proc/self/fd/9 900M
    umount "$1/mnt"
}

require_space() { # DIRECTORY MB
    local free
    free=$(df --output=avail -m "$1" | tail -n 1)
    ((free >= $2)) || fail "the disk is full: $1 has $((free)) MB free, and the lab needs $2 MB there."
}

# On a terminal, a line that changes: the seconds, and the last message in the log.
show_progress() {
    local begin=$SECONDS
    while sleep 1; do
        printf '\r\e[Klab: %3d s  %.60s' $((SECONDS - begin)) "$(sed -n 's/^I: //p' "$log" | tail -n 1)" >&2
    done
}

# Has mmdebstrap make WHAT, and write it to our standard output.
from_debian() { # WHAT SUITE OPTION...
    local what=$1 suite=$2 log=$cache/log made=yes
    need mmdebstrap
    apt_sources "$suite" >"$run/sources"
    apt-config dump 2>&1 | grep -i '^Acquire::https\?::Proxy' >"$run/proxy" || true
    : >"$log"
    if [[ -t 2 ]]; then
        show_progress &
        helpers+=($!)
    fi
    # A mirror of unstable that lags behind still has the newest that there is here.
    [[ $suite != sid ]] || set -- "$@" --aptopt='Acquire::Check-Valid-Until "false"'
    mmdebstrap --aptopt="$run/proxy" "${@:3}" "$suite" - - <"$run/sources" 2>"$log" || made=''
    if [[ -t 2 ]]; then
        end "${helpers[-1]}"
        unset 'helpers[-1]'
        printf '\r\e[K' >&2
    fi
    [[ ! $made ]] || return 0
    tail -n 20 "$log" >&2
    ! grep -q 'No space left on device' "$log" ||
        fail "the disk is full: $what can't be made in $cache and ${TMPDIR:-/tmp}."
    ! grep -q '^E: Failed to fetch' "$log" ||
        fail "$what can't be made: its packages can't be fetched. The reason is above, at the end of $log" \
            'It needs the network this once; afterwards the lab works offline.'
    fail "$what can't be made. Above is the end of $log"
}

make_image() { # DIRECTORY
    local new=$1
    need mke2fs xz
    require_space "$cache" 1000
    require_space "${TMPDIR:-/tmp}" 700
    say "makes its image of Debian $debian for $arch, once (about two minutes) ..."
    # mmdebstrap starts its hooks in a shell that can't inherit functions. SELinux would
    # label all files at the first boot, for minutes, and each boot is the first.
    export lab_functions lab_kernels lab_arch=$arch lab_foreign='' lab_packages="${packages[*]}" lab_asleep="${asleep[*]}"
    [[ $arch == "$host_arch" ]] || lab_foreign=yes
    lab_functions=$(declare -f "${of_the_image[@]}")
    lab_kernels=$(printf '%s\n' "${kernels[@]}")
    : >"$new/disk"
    chmod 666 "$new/disk"
    # shellcheck disable=SC2016 # the hooks' own shell fills these in
    from_debian 'the image' "$suite" --variant=minbase --format=null \
        --architectures="$host_arch${lab_foreign:+,$arch}" \
        --include="$(IFS=, && echo "${packages[*]}")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='bash -c "$lab_functions; furnish \"\$1\"" bash "$1"' \
        --customize-hook='chroot "$1" sh -c "systemctl --quiet disable $lab_asleep" 2>&1 | grep -v "does not exist" || true' \
        --customize-hook='[ ! -d "$1/etc/selinux/default" ] || chroot "$1" setfiles -F -e /proc -e /sys -e /dev \
            /etc/selinux/default/contexts/files/file_contexts /' \
        --customize-hook="copy-out /boot $new" \
        --customize-hook='bash -c "$lab_functions; make_disk \"\$1\"" bash "$1"' \
        9<>"$new/disk" >"$run/hooks"
    chmod 644 "$new/disk"
}

of_the_image=(fetch_foreign become_foreign dependencies add_kernel add_initramfs add_learner drop_profiles add_lab_service
    furnish make_disk)

# Unpacked, not installed: that needs no root, changes nothing on this machine,
# and nothing that is installed can stand in its way.
make_qemu() { # DIRECTORY
    require_space "$cache" 300
    require_space "${TMPDIR:-/tmp}" 300
    say "unpacks a QEMU for itself, since none is installed for $arch, once (about half a minute) ..."
    from_debian QEMU "$oldest" --variant=extract --format=tar --include="$qemu_package" >"$run/packages"
    tar -x -C "$1" -f "$run/packages" --exclude='./usr/share/[!qs]*' ./lib ./usr/{bin,lib,share} ||
        fail "QEMU can't be unpacked in $cache. Above is why."
    rm "$run/packages"
}

# What a linker needs of another architecture's C library. The linker itself comes
# with Rust, and links for all of them: no compiler of another architecture, which
# would have to be installed, and whose packages differ from system to system.
make_sysroot() { # DIRECTORY
    require_space "$cache" 150
    say "unpacks a C library for $arch, once (about ten seconds) ..."
    from_debian "a C library for $arch" "$oldest" --variant=extract --format=tar --architectures="$arch" \
        --include=libc6-dev,libgcc-12-dev >"$run/packages"
    tar -x -C "$1" -f "$run/packages" ./lib ./usr/lib ||
        fail "the C library can't be unpacked in $cache. Above is why."
    rm "$run/packages"
}

qemu_runs() {
    qemu_version=$("${qemu[@]}" --version 2>&1) && [[ $qemu_version == 'QEMU emulator'* ]]
}

# Sets qemu to the command that runs it: the one that is installed, or our copy
# with its own libraries, down to libc. Fails if neither runs.
choose_qemu() {
    local lib=$qemu_copy/lib/$host_machine-linux-gnu usr=$qemu_copy/usr program=qemu-system-$machine_name loader
    qemu=("$program")
    ! qemu_runs || return 0
    loader=$(compgen -G "$lib/ld-linux-*") || loader=$lib/missing
    qemu=(
        env "QEMU_MODULE_DIR=$usr/lib/$host_machine-linux-gnu/qemu"
        "$loader" --library-path "$lib:$usr/lib/$host_machine-linux-gnu"
        "$usr/bin/$program" -L "$usr/share/qemu" -L "$usr/share/seabios"
    )
    qemu_runs
}

take_lock() { # --shared or --exclusive
    flock --nonblock "$1" "$lock" || {
        begin_moving "$me: waits for another run of the lab"
        flock "$1" "$lock"
        end_moving
    }
}

# Puts a part into the cache, whole or not at all. One from an older recipe goes;
# those for other systems and architectures stay.
keep() { # KIND DIRECTORY FUNCTION
    mkdir "$run/$1"
    "$3" "$run/$1"
    find "$cache" -mindepth 1 -maxdepth 1 -name "$1-????????????????" -exec rm -r {} +
    mv "$run/$1" "$2"
}

in_the_cache() { # KIND RECIPE
    local recipe
    recipe=$(sha256sum <<<"$2")
    echo "$cache/$1-${recipe:0:16}"
}

# Sets image and qemu. Whoever comes second waits, and finds them made. Shared,
# the lock keeps others from removing them; it is held until the machine is up.
find_parts() {
    image=$(in_the_cache "image-$debian-$arch" "$(declare -p suite packages kernels host_arch ${asleep:+asleep} &&
        declare -f "${of_the_image[@]}")")
    qemu_copy=$(in_the_cache "qemu-$arch" "$(declare -p oldest qemu_package && declare -f make_qemu)")
    exec {lock}>"$cache/lock"
    take_lock --shared
    choose_qemu && is_fresh "$image" && return
    take_lock --exclusive
    choose_qemu || keep "qemu-$arch" "$qemu_copy" make_qemu
    choose_qemu || fail "QEMU does not run: $qemu_version"
    is_fresh "$image" || new_image
    take_lock --shared
}

find_sysroot() {
    sysroot=$(in_the_cache "sysroot-$arch" "$(declare -p oldest && declare -f make_sysroot)")
    find_part "sysroot-$arch" "$sysroot" make_sysroot
}

# Sees to it that a part is there that needs no machine, and so waits for none.
find_part() { # KIND DIRECTORY FUNCTION
    exec {lock}>"$cache/$1.lock"
    take_lock --shared
    [[ ! -d $2 ]] || return 0
    take_lock --exclusive
    [[ -d $2 ]] || keep "$@"
    take_lock --shared
}
