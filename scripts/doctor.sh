#!/usr/bin/env bash
# Says which steps work on this machine, for whom, and how to fix the rest.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: ./scripts/doctor.sh [--json]

Says which steps work here, in three ways: in the playground (without sudo), on
the host as root, and rootless (from step 05). Once the steps are built, it runs
each of them, in a network namespace of its own, and asks /proc and /sys why one
fails. Before that, it can only read. It names the engines that are installed, and
how each of them gets to know step 11.

  --json   the same, for programs (verdict: works, partly, no or needs-root;
           how: tried or read)
  --help   this text

Exit status: 0 when every step works in at least one way, 1 otherwise.
USAGE
}

scripts=$(realpath "$(dirname -- "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/lib/causes.sh
. "$scripts/lib/causes.sh"
# shellcheck source=scripts/lib/engines-here.sh
. "$scripts/lib/engines-here.sh"

ways=(playground host rootless)
names=([1]=chroot uts-namespace pid-namespace mount-namespace user-namespace cgroups overlayfs networking least-privilege system-container)
# What each step needs beyond the step before it.
needs=([1]=chroot 'uts ipc' pid 'mount pivot_root proc' 'user ids' cgroup overlay 'net bridge veth nft' seccomp init)
# The same for an ordinary user on the host: the user namespace comes first, and
# pasta provides the network.
rootless_needs=([5]='user chroot uts ipc pid mount pivot_root proc ids' cgroup overlay 'net pasta' seccomp init)

# The name of its program.
label() { printf '%02d-%s' "$1" "${names[$1]}"; } # STEP

# --- Try ----------------------------------------------------------------------

# For default root directories: an ordinary user of their own must reach them, and
# execute what is in them. Some hosts forbid that in /tmp.
make_place_for_roots() {
    local parent
    for parent in "${TMPDIR:-/tmp}" /var/tmp ~; do
        XDG_CACHE_HOME=$(mktemp --directory --tmpdir="$parent") || continue
        export XDG_CACHE_HOME
        chmod 755 "$XDG_CACHE_HOME"
        cp /bin/true "$XDG_CACHE_HOME"
        if "$XDG_CACHE_HOME/true" 2>/dev/null; then return; fi
        rm -r "$XDG_CACHE_HOME"
    done
    echo "no program can be executed in ${TMPDIR:-/tmp}, /var/tmp or $HOME: they are mounted noexec" >&2
    exit 1
}

# Runs these steps, here and as whoever we are. Prints a line for each: "5 works",
# "5 one-id", or "5" and the step's last words.
try_steps() { # STEP...
    local step said program flags status
    make_place_for_roots
    trap 'rm -rf "$XDG_CACHE_HOME"' EXIT
    for step; do
        program=$WORKSHOP_BIN/$(label "$step") flags=()
        if ((step == 6)); then flags=(--memory 64M --pids-limit 20 --cpus 0.5); fi
        status=0
        said=$(timeout 30 "$program" -q "${flags[@]}" -- sh -c 'cat /proc/self/uid_map 2>&- || :' 2>&1 </dev/null) || status=$?
        if ((status == 124)); then
            echo "$step ${program##*/} does not end within 30 s"
        elif ((status)); then
            said=${said##*$'\n'}
            echo "$step ${said:-${program##*/} ends without a word}"
        elif ((step == 5)) && [[ $said =~ ^\ *0\ +[0-9]+\ +1$ ]]; then
            echo "$step one-id"
        else
            echo "$step works"
        fi
    done
}

# Sets tried[WAY STEP] from such lines. What does not even begin says why, in its
# first line that is no note, and that is true of all its steps.
hear() { # WAY STEP...
    local way=$1 step said first=''
    while read -r step said; do
        case $step in
            [0-9]*) tried[$way $step]=$said ;;
            *) [[ $said == note:* ]] || first=${first:-$step $said} ;;
        esac
    done
    for step in "${@:2}"; do tried[$way $step]=${tried[$way $step]:-$first}; done
}

try_everything() {
    local all=("${!names[@]}") own=("${!rootless_needs[@]}") programs
    for programs in "${WORKSHOP_BIN:-}" "${CARGO_TARGET_DIR:-$scripts/../target}"/{release,debug}; do
        if [[ -x $programs/playground && -x $programs/01-chroot ]]; then break; fi
    done
    if [[ ! -x $programs/playground ]]; then
        notes+=('The steps are not built, so all this is read, and not tried. To build them: cargo build --workspace')
        return
    fi
    WORKSHOP_BIN=$(realpath "$programs")
    export WORKSHOP_BIN
    hear playground "${all[@]}" < <("$scripts/playground.sh" -- "$scripts/doctor.sh" --try "${all[@]}" 2>&1)
    if ((euid == 0)); then
        hear host "${all[@]}" < <(unshare --net -- "$scripts/doctor.sh" --try "${all[@]}" 2>&1)
    fi
    # Who may not even read the workshop can try nothing.
    if "${as_user[@]}" test -x "$WORKSHOP_BIN/01-chroot" -a -r "$scripts/doctor.sh" 2>/dev/null; then
        hear rootless "${own[@]}" < <("${as_user[@]}" "$scripts/doctor.sh" --try "${own[@]}" 2>&1)
    fi
}

# --- Judge --------------------------------------------------------------------

# Sets verdict, why and mend for one step in one way: what was tried counts more than
# what was read, and what was read explains it.
judge_step() { # WAY STEP KEY...
    local way=$1 step=$2 outcome=${tried[$1 $2]:-} key
    verdict=works why='' mend=''
    for key in "${@:3}"; do
        find_cause "$key" "$way" || continue
        case $outcome-$verdict-$key in
            # It runs, and does less.
            works-partly-nft | works-partly-pasta | works-partly-init | one-id-partly-*) ;;
            # What runs all the same was read wrong.
            works-* | one-id-*) verdict=works why='' mend='' ;;
            # Only flags ask for cgroups: the steps after 06 do without.
            *-no-cgroup) return ;;
            *-no-*) blocked_by[$way]=${blocked_by[$way]:-$key} && return ;;
        esac
    done
    case $outcome in
        '' | works) ;;
        one-id)
            if [[ $verdict == works ]]; then
                because "$one_id (newuidmap gives it none)" "sudo chmod u+s $(type -P newuidmap newgidmap | paste -sd ' ')" partly
            fi ;;
        *'user namespaces are off'*) because 'something refuses the steps a user namespace: AppArmor, SELinux or a sandbox' \
            'sudo journalctl --dmesg --grep=denied (names it), or start the step with sudo' ;;
        *'No space left on device'*) because "$outcome" 'raise the limit that was reached: grep . /proc/sys/user/max_*_namespaces' ;;
        # Of the limits for which it was asked, systemd delegates some: that has been read.
        *) if [[ $step != 6 || $verdict != partly ]]; then because "$outcome" "do what this says, or use $lab"; fi ;;
    esac
}

# Fills in the tables of verdicts.
judge_everything() {
    local way step keys cell verdict why mend
    for way in "${ways[@]}"; do
        for step in "${!names[@]}"; do
            cell="$way $step" keys=${needs[step]} how=read
            if [[ $way == rootless ]]; then keys=${rootless_needs[step]:-}; fi
            if [[ -n ${tried[$cell]:-} ]]; then how=tried; fi
            if [[ -z $keys ]]; then
                verdicts[$cell]=needs-root hows[$cell]='' whys[$cell]='' mends[$cell]=''
                continue
            fi
            # A step needs all that the steps before it need.
            # shellcheck disable=SC2086 # words
            judge_step "$way" "$step" ${blocked_by[$way]:-} $keys
            verdicts[$cell]=$verdict hows[$cell]=$how whys[$cell]=$why mends[$cell]=$mend
        done
    done
    unworkable=()
    for step in "${!names[@]}"; do
        if [[ ${verdicts[playground $step]} != works && ${verdicts[host $step]} != works && ${verdicts[rootless $step]} != works ]]; then
            unworkable+=("$(printf %02d "$step")")
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
        printf '%-20s ' "$(label "$step")"
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
            steps_by_reason[$reason]+=" $(printf %02d "$step")"
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
    printf '],\n'
    say_engines_as_json
    printf '"steps":[\n'
    for step in "${!names[@]}"; do
        printf '{"step":"%02d","name":"%s"' "$step" "${names[$step]}"
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
    local json=''
    export LC_ALL=C # errors are matched, and shown, in one language
    # Debian leaves these out of an ordinary user's PATH; nft lives there.
    PATH=$PATH:/usr/sbin:/sbin
    [[ ${HOME-} ]] || { unset HOME && export HOME=~; } # as /etc/passwd has it
    case ${1-} in
        --try) try_steps "${@:2}" && exit ;;
        --json) json=yes ;;
        -h | --help) usage && exit ;;
        ?*) usage >&2 && exit 2 ;;
    esac
    declare -gA tried=() verdicts=() hows=() whys=() mends=() blocked_by=()
    read_facts
    if [[ -z $root ]]; then try_everything; fi
    judge_everything
    find_engines_here
    if [[ -n $json ]]; then
        say_json
    else
        say_table
        say_engines
        say_reasons
    fi
    ((${#unworkable[@]} == 0))
}

main "$@"
