#!/usr/bin/env bash
# Finds what the workshop needs and this machine lacks, and installs it.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: ./scripts/setup.sh [--check] [--test] [--slides] [--lab]

Installs the packages that the workshop needs, and downloads its crates.
It first lists what is missing and why, and uses sudo if you are not root.
Afterwards, everything works offline. If nothing is missing, nothing changes.

  --check   list what is missing, but change nothing; exit status 1 if the
            workshop needs any of it (optional things are listed, but don't count)
  --test    also what ./scripts/test.sh needs, including what it needs for the
            lab, if that is available, and the engines of ./scripts/engines.sh
  --slides  also what ./scripts/present.sh needs
  --lab     also what ./scripts/lab.sh needs
  --help    this text
USAGE
}

# One row per need. A new need is a new row, and nothing else.
#   commands: all of them must be on PATH
#   needed:   always, test (with --test), slides (with --slides or --test), lab
#             (with --lab; with --test optional), or optional (setup goes on
#             without it)
#   the rest: the package that provides them, by package manager (apt, dnf, pacman,
#             zypper); - where none is needed: lab.sh unpacks a QEMU for itself
needs() {
    cat <<'TABLE'
unshare nsenter setpriv lsns | makes, enters and lists namespaces     | always   | util-linux     | util-linux   | util-linux | util-linux
mount                        | mounts, from step 04                   | always   | mount          | util-linux   | util-linux | util-linux
pivot_root                   | changes the root by hand, step 04      | always   | util-linux-extra | util-linux   | util-linux | util-linux
ip                           | shows and makes networks, step 08      | always   | iproute2       | iproute      | iproute2   | iproute2
ps                           | shows who sees which processes         | always   | procps         | procps-ng    | procps-ng  | procps
awk                          | reads tables, in demos and watchers    | always   | mawk           | gawk         | gawk       | gawk
cc                           | links what cargo compiles              | always   | gcc libc6-dev  | gcc          | gcc        | gcc
newuidmap newgidmap          | more than one id without root, step 05 | always   | uidmap         | shadow-utils | shadow     | shadow
nft                          | NAT and published ports, step 08       | always   | nftables       | nftables     | nftables   | nftables
busybox                      | a small root directory, from step 01   | optional | busybox-static | busybox      | busybox    | busybox-static
pasta                        | a network without root, step 08        | optional | passt          | passt        | passt      | passt
capsh                        | names capabilities, step 09            | optional | libcap2-bin    | libcap       | libcap     | libcap-progs
shellcheck                   | checks the scripts                     | test     | shellcheck     | ShellCheck   | shellcheck | ShellCheck
strace                       | shows which system calls are made      | test     | strace         | strace       | strace     | strace
tmux                         | tests terminals                        | test     | tmux           | tmux         | tmux       | tmux
codespell                    | finds words that are spelled wrong     | test     | codespell      | codespell    | codespell  | codespell
node npm                     | builds the slides                      | slides   | nodejs npm     | nodejs-npm   | nodejs npm | nodejs-default npm-default
chromium                     | prints and tests the slides            | slides   | chromium       | chromium     | chromium   | chromium
qemu-system-x86_64           | runs the lab's virtual machine         | lab      | -              | qemu-system-x86-core | qemu-system-x86 | qemu-x86
mmdebstrap                   | makes the lab's Debian                 | lab      | mmdebstrap     | mmdebstrap   | mmdebstrap | mmdebstrap
mke2fs                       | makes the lab's disks                  | lab      | e2fsprogs      | e2fsprogs    | e2fsprogs  | e2fsprogs
xz                           | unpacks the lab's kernel modules       | lab      | xz-utils       | xz           | xz         | xz
TABLE
}

# Only a static busybox runs alone in an empty root directory.
busybox_is_static() {
    local path
    path=$(command -v busybox) && [[ $(ldd "$path" 2>&1) != *'=>'* ]]
}

has() {
    case $1 in
        busybox) busybox_is_static ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        *) command -v "$1" ;;
    esac >/dev/null
}

say() { printf '%s\n' "$*"; }

trim() {
    local -n cell=$1
    cell=${cell#"${cell%%[![:space:]]*}"}
    cell=${cell%"${cell##*[![:space:]]}"}
}

find_package_manager() {
    for manager in apt-get dnf zypper pacman; do
        if command -v "$manager" >/dev/null; then return; fi
    done
    manager=none
}

# Sets required, optional (packages) and missing_tools (one line for each).
find_missing_tools() {
    required=() optional=() missing_tools=()
    local commands why needed apt dnf pacman zypper column command absent packages
    while IFS='|' read -r commands why needed apt dnf pacman zypper; do
        for column in why needed apt dnf pacman zypper; do trim "$column"; done
        case $needed in
            test) [[ $with_tests ]] || continue ;;
            slides) [[ $with_slides$with_tests ]] || continue ;;
            # Without QEMU, everything that does not need the lab can be tested.
            lab) [[ $with_lab ]] || { [[ $with_tests ]] && needed=optional; } || continue ;;
        esac
        absent=
        for command in $commands; do
            has "$command" || absent+=" $command"
        done
        if [[ -z $absent ]]; then continue; fi
        case $manager in
            apt-get) packages=$apt ;;
            dnf) packages=$dnf ;;
            pacman) packages=$pacman ;;
            zypper) packages=$zypper ;;
            none) packages=${absent# } ;;
        esac
        [[ $packages != - ]] || continue
        if [[ $needed == optional ]]; then
            optional+=("$packages")
            why+=' (optional)'
        elif [[ " ${required[*]} " != *" $packages "* ]]; then
            required+=("$packages")
        fi
        missing_tools+=("$(printf '  %-28s %-46s package %s' "${absent# }" "$why" "$packages")")
    done < <(needs)
}

is_at_least() { # VERSION NEEDED
    printf '%s\n' "$2" "$1" | sort --version-sort --check=silent
}

# The version of the package that apt would install.
rust_of_apt() {
    local version
    version=$(LC_ALL=C apt-cache policy rustc 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9][0-9.]*\).*/\1/p')
    [[ $version ]] && printf '%s\n' "$version"
}

# What only rustup can bring: the oldest Rust that has to do, for the tests; and
# Rust's library for arm64, for the lab. Sets rust_extras to the commands.
find_missing_rust_extras() {
    local needed arm64=aarch64-unknown-linux-gnu
    rust_extras=()
    [[ $with_tests$with_lab && -z $rust_lacks ]] && command -v rustup >/dev/null || return 0
    needed=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
    if [[ $with_tests ]] && ! rustup run "$needed" rustc --version >/dev/null 2>&1; then
        rust_extras+=("rustup toolchain install $needed --profile minimal")
    fi
    [[ -d $(rustc --print target-libdir --target "$arm64" 2>/dev/null) ]] ||
        rust_extras+=("rustup target add $arm64")
}

# Sets rust_lacks to what is wrong with Rust and how to fix it; empty if all is well.
find_missing_rust() {
    local needed have
    needed=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
    rust_lacks=
    if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
        if [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
            rust_lacks="Rust is installed, but not on your PATH. Type:
    export PATH=\"${CARGO_HOME:-$HOME/.cargo}/bin:\$PATH\""
        elif [[ $manager == apt-get ]] && have=$(rust_of_apt) && is_at_least "$have" "$needed"; then
            rust_lacks="The workshop needs cargo and rustc $needed or newer. Your distribution's are $have:
    $(how_to_install cargo)"
        else
            rust_lacks="The workshop needs cargo and rustc $needed or newer. Distributions often have an older
  version, so get them from the Rust project (https://www.rust-lang.org/tools/install):
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
            if [[ -n ${SUDO_USER:-} ]]; then
                rust_lacks+="
  If $SUDO_USER has Rust, run this script as $SUDO_USER, without sudo. It calls sudo itself."
            fi
        fi
        return
    fi
    if ! have=$(rustc --version 2>/dev/null); then
        rust_lacks="rustc is installed, but does not run; rustup may have no toolchain yet. Type:
    rustup default stable"
        return
    fi
    have=${have#rustc } have=${have%%[ -]*}
    if ! is_at_least "$have" "$needed"; then
        rust_lacks="rustc is $have; the workshop needs $needed or newer. "
        if command -v rustup >/dev/null; then
            rust_lacks+=$'Type:\n    rustup update stable'
        else
            rust_lacks+="Your distribution's version is too old.
  Get a newer one from the Rust project (https://www.rust-lang.org/tools/install):
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
        fi
    elif [[ -n $with_tests ]] && ! { rustfmt --version && cargo-clippy --version; } >/dev/null 2>&1; then
        rust_lacks="rustfmt or clippy is missing; they check the code. "
        if command -v rustup >/dev/null; then
            rust_lacks+=$'Type:\n    rustup component add rustfmt clippy'
        else
            rust_lacks+="Install your distribution's packages (rustfmt, and clippy or rust-clippy)."
        fi
    fi
}

# Cargo itself answers, from its own cache, in about 0.1 s. A stamp file of ours
# would still say yes after someone cleaned the cache.
crates_are_there() { cargo fetch --locked --offline --quiet 2>/dev/null; }

find_missing() {
    find_missing_tools
    find_missing_rust
    find_missing_rust_extras
    missing_crates=
    if [[ -z $rust_lacks ]] && ! crates_are_there; then missing_crates=yes; fi
}

report_missing() {
    if ((${#missing_tools[@]})); then
        say 'Missing:'
        printf '%s\n' "${missing_tools[@]}"
    fi
    if [[ -n $rust_lacks && -n $check ]]; then say "Rust: $rust_lacks"; fi
    if ((${#rust_extras[@]})); then
        say 'Missing of Rust, for the tests and the lab (optional):'
        printf '  %s\n' "${rust_extras[@]}"
    fi
    if [[ -n $missing_crates ]]; then say 'Missing: the crates that Cargo.lock names, needed to compile offline'; fi
}

how_to_install() {
    local sudo=
    if ((EUID != 0)) && command -v sudo >/dev/null; then sudo='sudo '; fi
    case $manager in
        # Arch does not support partial upgrades: with fresh lists, upgrade everything.
        pacman) say "${sudo}pacman -Syu --needed $*" ;;
        none) say "install, by your distribution's own means, what provides $*" ;;
        *) say "$sudo$manager install $*" ;;
    esac
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

apt_install() {
    # --no-remove: a package of yours stays, even if it stands in the way.
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends --no-remove "$@"
}

# Old or missing package lists are fetched once, and only when they are the problem.
lists_updated=
install_packages() {
    case $manager in
        apt-get)
            if apt-cache show "$@" >/dev/null 2>&1 && apt_install "$@"; then return; fi
            if [[ -n $lists_updated ]]; then return 1; fi
            lists_updated=yes
            as_root apt-get update && apt_install "$@"
            ;;
        dnf) as_root dnf install -y --setopt=install_weak_deps=False "$@" ;;
        zypper) as_root zypper --non-interactive install --no-recommends "$@" ;;
        pacman) as_root pacman -S --needed --noconfirm "$@" ;;
    esac
}

install_missing_tools() {
    # A cell may name two packages: split it at the spaces.
    read -ra required <<<"${required[*]}"
    if [[ $manager == none ]]; then
        say 'No apt-get, dnf, zypper or pacman here, and setup knows no other package manager.'
        return
    fi
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            say 'Installing needs root, and there is no sudo here: become root first.'
            return
        fi
        say "Installing needs root: sudo $manager comes next, and may ask for your password."
    fi
    # The exit status does not count: what counts is what is there afterwards.
    if ((${#required[@]})); then install_packages "${required[@]}" || true; fi
    local package
    for package in "${optional[@]}"; do
        install_packages "$package" || say "$package is not available here. It is optional, so setup goes on without it."
    done
}

main() {
    local check='' with_tests='' with_slides='' with_lab='' argument manager
    local required optional missing_tools rust_lacks rust_extras missing_crates
    for argument; do
        case $argument in
            --check) check=yes ;;
            --test) with_tests=yes ;;
            --slides) with_slides=yes ;;
            --lab) with_lab=yes ;;
            -h | --help) usage && exit ;;
            *) usage >&2 && exit 2 ;;
        esac
    done
    cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
    [[ ${HOME-} ]] || { unset HOME && export HOME=~; } # as /etc/passwd has it
    # Debian leaves these out of an ordinary user's PATH; nft lives there.
    PATH=$PATH:/usr/sbin:/sbin

    find_package_manager
    find_missing
    report_missing
    if [[ -z $check ]]; then
        if ((${#missing_tools[@]})); then install_missing_tools; fi
        local extra
        for extra in "${rust_extras[@]}"; do
            # shellcheck disable=SC2086 # a command and its arguments
            $extra || say 'It is optional, so setup goes on without it.'
        done
        if [[ -n $missing_crates ]]; then cargo fetch --locked || true; fi
        if ((${#missing_tools[@]})) || [[ -n $missing_crates ]]; then find_missing; fi
    fi

    if ((${#required[@]} == 0)) && [[ -z $rust_lacks$missing_crates ]]; then
        if [[ -z $check && -n $with_tests ]]; then
            ./scripts/engines.sh --get || say 'Without these engines, the claims about them are skipped.'
            ./scripts/lib/cloud-init.sh --version >/dev/null || say 'Without cloud-init, the claim about it is skipped.'
        fi
        say 'The workshop has what it needs. To see which steps work here: ./scripts/doctor.sh'
        exit 0
    fi
    if [[ -z $check ]]; then
        say ''
        say 'Setup is not complete.'
        if ((${#required[@]})); then say "Do: $(how_to_install "${required[@]}")"; fi
        if [[ -n $rust_lacks ]]; then say "Rust: $rust_lacks"; fi
        if [[ -n $missing_crates ]]; then say 'Do: cargo fetch --locked'; fi
        say 'Setup needs the internet once. If you are offline, run it again once you are online.'
    fi
    exit 1
}

main "$@"
