#!/usr/bin/env bash
# Sets up, and tests everything: format, lints, scripts, units, and every claim
# about the containers in every environment that this machine offers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: scripts/test.sh [--quick] [NAME...]

Without a NAME: all stages, a line each with its time. With: the claims of the
test binaries that have it in their name (chroot, attacks, lessons ...), in all
environments.

  --quick  only what is judged in the playground: for use while working
  --help   this text

Environments
  host-root, host-learner, host-one-id  on this machine: as root, as an ordinary
                                        user, as one without /etc/subuid
  playground-root, playground-learner   in a pretended host (playground.sh)
  playground-one-id
  lab-6.1-root, lab-6.1-learner         in a virtual machine with systemd and a
  lab-6.12-root, lab-6.12-learner       stock kernel (lab.sh)

An ordinary user has host-learner and playground-learner as themselves. What
can't be judged in one environment is skipped there, with its reason; what was
judged nowhere fails the run.

The lab needs QEMU, and once the network (see lab.sh). Where it can't be had,
the run goes on without it and says so; what only the lab can judge is then
judged nowhere, and does not fail the run. Without KVM it is slow, and what
takes longest is left to the other environments.
USAGE
}

logs=$(mktemp -d)
failed=$logs/failed
: >"$failed"
lanes=()
# What runs beside us is a process group of its own, which no Ctrl-C reaches:
# we end it with us.
begin_beside() { # COMMAND...
    set -m
    "$@" &
    lanes+=($!)
    set +m
}

leave() {
    local lane
    for lane in "${lanes[@]}"; do kill -- "-$lane" 2>/dev/null || true; done
    rm -rf "$logs"
}
trap leave EXIT
started=$SECONDS

# A line for a stage: its name, its time, what it skipped, and what it printed
# if it failed.
stage() {
    local name=$1 begin=$SECONDS verdict=ok
    shift
    "$@" >"$logs/$name" 2>&1 || verdict=FAILED
    printf '%-28s%-7s %4d s\n' "$name" "$verdict" $((SECONDS - begin))
    if [[ $verdict == FAILED ]]; then
        echo "$name" >>"$failed"
        grep -v -e '^#record' -e '^#environment' "$logs/$name" | tail -n 60
    else
        grep -E '^[^ ]+ +SKIP  ' "$logs/$name" || true
    fi
}

check_scripts() {
    git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -x
}

# Exercises and their solutions are no part of a crate.
check_format() {
    cargo fmt --all --check &&
        git ls-files -z 'exercises/*/start.rs' 'exercises/*/solution.rs' 'exercises/tests/hostile/*.rs' |
            xargs -0 rustfmt --check --edition 2024
}

# Without a warning: a link to something that is gone is one.
check_documentation() {
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet &&
        cargo test --workspace --quiet --doc
}

# Builds all programs and all tests. Tells where cargo put the test binaries that
# judge containers: those of tests/.
build_all() {
    cargo test --workspace --test '*' --no-run 2>&1 | tee /dev/stderr |
        sed -n 's/^ *Executable tests\/.* (\(.*\))$/\1/p' >"$logs/binaries"
    [[ -s $logs/binaries ]]
}

# Where claims are judged, for the README's table.
describe() { # ENVIRONMENT
    local system cgroups=none
    system=$(. /etc/os-release && echo "${NAME%% *} ${VERSION_ID-}")
    [[ ! -d /sys/fs/cgroup/memory ]] || cgroups=v1
    [[ ! -e /sys/fs/cgroup/cgroup.controllers ]] || cgroups=v2
    printf '#environment\t%s\t%s\t%s\t%s\n' "$1" "$system" \
        "$(uname -r | grep -oE '^[0-9]+\.[0-9]+')" "$cgroups"
}

# A claim that nobody tries is skipped, with its reason.
leave_out() { # ENVIRONMENT REASON BINARY
    local claim claims
    claims=$("$3" --list) || return
    while read -r claim; do
        printf '#record\t%s\t%s\t%s\tskip\t%s\n' "$1" "$(basename "${3%-*}")" "${claim%: test}" "$2"
    done <<<"$claims"
}

# Every chosen binary in one environment, but those that the caller is without,
# for a reason: `judge NAME COMMAND...`, where COMMAND runs its arguments there.
# One that dies before it has judged all its claims (101: it has, and one does
# not hold) says so in the record.
judge() {
    local environment=$1 binary status worst=0
    shift
    # shellcheck disable=SC2016 # for the shell there
    "$@" bash -c "$(declare -f describe)"'; describe "$1"' bash "$environment" || worst=1
    while read -r binary; do
        [[ ${binary##*/} =~ $names ]] || continue
        if [[ ${binary##*/} =~ ${without:-^$} ]]; then
            leave_out "$environment" "$reason" "$binary" || worst=1
            continue
        fi
        status=0
        TEST_ENVIRONMENT=$environment timeout --foreground --kill-after=5 600 \
            "$@" "$binary" </dev/null 2>&1 || status=$? worst=1
        ((status == 0 || status == 101)) ||
            printf '\n#record\t%s\t%s\t%s\tfail\t%s\n' "$environment" \
                "$(basename "${binary%-*}")" all_claims "exit status $status"
    done <"$logs/binaries"
    return "$worst"
}

# All that are chosen in one boot, by the same function: root, then the learner.
judge_in_lab() { # KERNEL
    local binary user
    for binary in "${left_out[@]}"; do
        for user in root learner; do
            leave_out "lab-$1-$user" 'asks little of a kernel, and much of a processor: not in the lab' "$binary" || return
        done
    done
    # shellcheck disable=SC2016 # for the shell inside
    nice ./scripts/lab.sh --kernel "$1" --user root,learner --cpus 1 "${chosen[@]/#/--bring=}" -- \
        bash -c "$(declare -f describe leave_out judge)"'
            logs=$(mktemp -d)
            printf "%s\n" "${@:2}" >"$logs/binaries"
            if grep -qw workshop.emulated=1 /proc/cmdline; then
                without="^terminal-"
                ((EUID == 0)) || without="^(attacks|terminal)-"
                reason="takes too long without KVM: judged elsewhere"
            fi
            names="^[^l]" judge "$1-$(id -un)" env || worst=1
            names=^lessons judge "$1-$(id -un)" ./scripts/playground.sh -- || worst=1
            exit "${worst:-0}"' bash "lab-$1" "${chosen[@]}"
}

# What asks little of a kernel and much of a processor is left out: without KVM,
# thousands of system calls that are traced one by one take too long.
not_in_lab='^(bad_input|default_root|enemy_root|faults|leaks|lab|setup)-'

# Once, and as early as can be: it mostly waits for the network.
make_lab_image() {
    timeout --foreground --kill-after=10 600 ./scripts/lab.sh --image && return
    sed 's/^/lab SKIP  /' "$logs/lab-image" >"$logs/without-lab"
    cat "$logs/without-lab"
}

# Both kernels at once, beside all else. They take what the others leave of the
# processors: whoever is judged here should not notice. Without debug
# information, programs are loaded faster.
begin_lab() {
    local binary kernel built=$WORKSHOP_BIN
    local -a chosen=() left_out=()
    local -x WORKSHOP_BIN=$logs/in-lab
    while read -r binary; do
        [[ ${binary##*/} =~ $names ]] || continue
        if [[ ${binary##*/} =~ $not_in_lab ]]; then
            left_out+=("$binary")
        else
            chosen+=("$WORKSHOP_BIN/deps/${binary##*/}")
        fi
    done <"$logs/binaries"
    [[ ${#chosen[@]} -gt 0 ]] || return 0
    mkdir -p "$WORKSHOP_BIN/deps"
    while read -r binary; do
        strip -o "$WORKSHOP_BIN/${binary#"$built"/}" "$binary"
    done < <(
        find "$built" -maxdepth 1 -type f -perm -u=x
        printf '%s\n' "${chosen[@]/#"$WORKSHOP_BIN"/"$built"}"
    )
    for kernel in 6.1 6.12; do
        begin_beside stage "lab-$kernel" judge_in_lab "$kernel"
    done
}

learner=(./scripts/as-learner.sh --)
one_id=(./scripts/as-learner.sh --no-subuid --)
playground=(./scripts/playground.sh --)
if ((EUID != 0)); then learner=(); fi

# Root can be everybody, and says the same only so often. How many ids there are
# makes no difference to these.
ids_are_the_same='^(bad_input|chroot|default_root|enemy_root|faults|lab|leaks|mount_namespace|pid_namespace|setup|terminal|uts_namespace)-'
one_id_alone() { # COMMAND...
    without=$ids_are_the_same reason='judged as others: how many ids there are makes no difference' "$@"
}

# And these were judged as root here, and are as the learner in the playground.
user_is_the_same='^(enemy_root|setup)-'

on_this_host() {
    local without='' reason='judged as the learner in the playground, and as root here'
    if ((EUID == 0)); then
        stage host-root judge host-root env
        one_id_alone stage host-one-id judge host-one-id "${one_id[@]}" env
        without=$user_is_the_same
    fi
    stage host-learner judge host-learner "${learner[@]}" env
}

in_the_playground() {
    if ((EUID == 0)); then
        stage playground-root judge playground-root "${playground[@]}"
        one_id_alone stage playground-one-id judge playground-one-id "${one_id[@]}" "${playground[@]}"
    fi
    stage playground-learner judge playground-learner "${learner[@]}" "${playground[@]}"
}

check_sources() {
    stage format check_format
    stage clippy cargo clippy --workspace --all-targets --quiet -- -D warnings
    stage shellcheck check_scripts
    stage units cargo test --workspace --quiet --lib --bins
    stage documentation check_documentation
}

demos_here() {
    stage demo-language ./scripts/lib/demo-test.sh
    stage slides npm --prefix slides --silent test
}

# Each demo is played twice: here, where each of its lines must show what the
# casts show, and as an ordinary user, as it is on most laptops.
demos_in_the_playground() {
    stage recordings ./scripts/record.sh --check
    ((EUID != 0)) || stage demos ./scripts/as-learner.sh -- ./scripts/demo.sh --auto
}

# A playground is a host of its own. So what happens on this host, and what
# happens in there, is judged at the same time: each mostly waits.
judge_here() {
    [[ -n $names ]] || check_sources
    [[ -n $quick ]] || on_this_host
    [[ -n $names ]] || demos_here
}

judge_in_the_playground() {
    in_the_playground
    [[ -n $names ]] || demos_in_the_playground
}

quick='' names=''
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --help) usage && exit ;;
    -*) usage >&2 && exit 2 ;;
    *) names+=${names:+|}$argument ;;
    esac
done

stage setup ./scripts/setup.sh --test
# An ordinary user's PATH lacks the directories where some tools live.
export PATH=$PATH:/usr/sbin:/sbin
[[ -n $quick ]] || begin_beside stage lab-image make_lab_image
stage build build_all
# All programs of all exercises, once for all environments.
target=${CARGO_TARGET_DIR:-$PWD/target}
[[ ! exercises =~ $names ]] ||
    stage build-exercises "$target/debug/exercise" compile "$target/exercises"
# Not a release build that somebody made before: what is tested is what is here.
WORKSHOP_BIN=$target/debug
export WORKSHOP_BIN
wait # for the image
lanes=()
[[ -n $quick || -s $logs/without-lab ]] || begin_lab
first=${#lanes[@]}
if [[ -s $logs/binaries ]]; then
    begin_beside judge_here
    begin_beside judge_in_the_playground
fi
wait "${lanes[@]:first}"
# Alone on this host but for the lab: it compares the host before and after.
[[ -n $names ]] || stage demos-real ./scripts/lib/demo-real-test.sh
wait
lanes=()

printf '\n'
# What stands beside the matrix: `test result: ok. N passed; N failed` of the
# units, `N passed, N failed` of the demo language, `# pass N` and `# fail N` of
# the slides.
others() {
    sed -En -e 's/^(test result: [a-zA-Z]+\. )?([0-9]+) passed[;,] ([0-9]+) failed.*/\2 \3/p' \
        -e 's/^# pass ([0-9]+)$/\1 0/p' -e 's/^# fail ([0-9]+)$/0 \1/p' \
        "$logs"/units "$logs"/documentation "$logs"/demo-language "$logs"/demos-real "$logs"/slides 2>/dev/null |
        awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }'
}
matrix=("$WORKSHOP_BIN/test-matrix")
[[ -z $quick ]] || matrix+=(--partial)
[[ ! -s $logs/without-lab ]] || matrix+=(--without-lab)
# The table of environments is of a run that saw them all.
[[ -n $quick || -n $names || $EUID != 0 ]] || matrix+=(--readme README.md)
grep -hs -d skip -e '^#record' -e '^#environment' "$logs"/* | "${matrix[@]}" >"$logs/matrix" || echo matrix >>"$failed"
sed '$d' "$logs/matrix"
if [[ -s $logs/without-lab ]]; then printf '\nNothing was judged in the lab:\n' && cat "$logs/without-lab"; fi
printf '\n%d s in all' $((SECONDS - started))
[[ ! -s $failed ]] || printf '; failed: %s' "$(paste -sd ' ' "$failed")"
read -r passed failed < <(others)
sed -n '$p' "$logs/matrix" | awk -v p="$passed" -v f="$failed" \
    '{ printf "\n%d passed, %d failed, %d skipped\n", $1 + p, $3 + f, $5 }'
[[ ! -s $failed ]]
