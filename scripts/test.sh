#!/usr/bin/env bash
# Sets up, builds, and tests everything: format, lints, scripts, units, and every
# claim about the containers in every environment that this machine offers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'USAGE'
usage: scripts/test.sh [OPTION...] [NAME...]

Without a NAME: runs all stages, and prints a line for each, with its time. With a
NAME: runs the claims of the test binaries whose names contain it (chroot, attacks,
lessons ...), in all environments.

  --quick            only what is judged in the playground: for use while working
  --everything       in the lab, also what takes long: Debian 13, there also with
                     docker, podman, a firewall or SELinux at work; Debian
                     unstable; and all claims on arm64, of which a run usually
                     judges those about system calls. It takes hours without KVM
  --stage STAGE      only this stage (clippy, slides, host-root ...), or all whose
                     names begin with it (playground, lab)
  --limit SECONDS    end any program that is silent for longer (default: 600)
  --write-readme     put this run's table of environments into README.md; it takes
                     a full run, as root
  --help             this text

Environments
  host-root, host-learner, host-one-id  on this machine: as root, as an ordinary
                                        user, as one without a range in /etc/subuid
  playground-root, playground-learner   in a pretend host (playground.sh)
  playground-one-id
  lab-6.1-root, lab-6.1-learner         in a virtual machine with systemd and a
  lab-6.12-root, lab-6.12-learner       stock kernel (lab.sh)
  lab-arm64-root, lab-arm64-learner     the same, with another architecture (the
                                        learner: --everything)
  lab-13-root, lab-13-learner           the same, with Debian 13 (--everything)
  lab-selinux-root, lab-selinux-learner the same, where SELinux enforces
                                        (--everything)
  lab-unstable-root, -learner           the same, with Debian's newest kernel and
                                        systemd (--everything)

For an ordinary user, host-learner and playground-learner run as that user. A claim
that can't be judged in one environment is skipped there, and the reason is shown;
a claim that was judged nowhere fails the run, unless it needs --everything.

The lab needs the network once (see lab.sh). If the lab can't be made, the run goes
on without it and says so. Claims that only the lab can judge are then judged
nowhere, without failing the run. So it does if Rust can't compile for arm64
(rustup target add aarch64-unknown-linux-gnu). With CI=true, a missing lab fails
the run.
Without KVM the lab is slow, and the slowest claims are left to the other
environments.

The full output of each stage is in target/test-logs. Exit status: 0; 1 if a stage
or a claim failed.
USAGE
}

# For the two stages that come before the program for the others (testbed's
# test-suite) exists.
stage() { # NAME COMMAND...
    local begin=$SECONDS verdict=ok
    [[ ! -t 2 ]] || begin_moving "$1"
    "${@:2}" >"$log" 2>&1 || verdict=FAILED
    end_moving
    printf '%-22s %-7s%5d s\n' "$1" "$verdict" $((SECONDS - begin))
    if [[ $verdict == FAILED ]]; then
        tail -n 60 "$log"
        printf '\n%d s in all; failed: %s\n0 passed, 1 failed, 0 skipped\n' "$SECONDS" "$1"
        exit 1
    fi
}

# shellcheck source=scripts/lib/moving.sh
. scripts/lib/moving.sh

case " $* " in *' --help '* | *' -h '*) usage && exit ;; esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
stage setup ./scripts/setup.sh --test
stage build cargo test --workspace --test '*' --no-run
rm -f "$log"
# Never an earlier release build: what is tested is the code that is here now.
WORKSHOP_BIN=$(realpath "${CARGO_TARGET_DIR:-target}")/debug
# An ordinary user's PATH lacks directories in which some tools live.
export WORKSHOP_BIN PATH=$PATH:/usr/sbin:/sbin
exec "${TEST_SUITE:-$WORKSHOP_BIN/test-suite}" suite "$@"
