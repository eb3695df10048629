#!/usr/bin/env bash
# Sets up, builds, and tests everything: format, lints, scripts, units, and every
# claim about the containers in every environment that this machine offers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: scripts/test.sh [OPTION...] [NAME...]

Without a NAME: all stages, a line each with its time. With: the claims of the
test binaries that have it in their name (chroot, attacks, lessons ...), in all
environments.

  --quick            only what is judged in the playground: for use while working
  --stage STAGE      only this stage (clippy, slides, host-root ...), or all that
                     begin so (playground, lab)
  --limit SECONDS    no program may take longer (default: 600)
  --write-readme     put the table of environments of this run, a whole one of
                     root's, into README.md
  --help             this text

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

The lab needs the network once (see lab.sh). Where it can't be had, the run goes
on without it and says so; what only the lab can judge is then judged nowhere,
and does not fail the run. With CI=true it does, and so does a missing lab.
Without KVM the lab is slow, and what takes longest is left to the other
environments.

All that a stage said is in target/test-logs. Exit status: 0; 1 where a stage or
a claim failed.
USAGE
}

# The two stages before there is a program for the others (testbed's test-suite).
stage() { # NAME COMMAND...
    local begin=$SECONDS
    if "${@:2}" >"$log" 2>&1; then
        printf '%-22s %-7s%5d s\n' "$1" ok $((SECONDS - begin))
    else
        printf '%-22s %-7s%5d s\n' "$1" FAILED $((SECONDS - begin))
        tail -n 60 "$log"
        printf '\n%d s in all; failed: %s\n0 passed, 1 failed, 0 skipped\n' "$SECONDS" "$1"
        exit 1
    fi
}

case " $* " in *' --help '* | *' -h '*) usage && exit ;; esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
stage setup ./scripts/setup.sh --test
stage build cargo test --workspace --test '*' --no-run
rm -f "$log"
# Not a release build that somebody made before: what is tested is what is here.
WORKSHOP_BIN=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
# An ordinary user's PATH lacks the directories where some tools live.
export WORKSHOP_BIN PATH=$PATH:/usr/sbin:/sbin
exec "${TEST_SUITE:-$WORKSHOP_BIN/test-suite}" suite "$@"
