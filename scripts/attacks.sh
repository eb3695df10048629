#!/usr/bin/env bash
# Every attack against every step, and without a container: what works, what is
# stopped. In the playground, so that nothing of yours is attacked.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/attacks.sh [--step NN] [--attack NAME] [--json | --expected]

Tries each attack in each step and without a container, looks from outside
whether it worked, and prints the matrix.

  --step NN      this step only (0: without a container)
  --attack NAME  this attack only; `attack list` names them
  --json         as data
  --expected     what is expected; nothing is tried

It runs in the playground, where a few attacks can't work: they need the root of
a whole machine. In the lab they have one: scripts/lab.sh scripts/attacks.sh

Exit status: 0 when each cell is as expected or not possible here; 1 when one
differs, also when an attack is stopped too early; 3 when none could be
measured; 2 when the command line is wrong; 125 when there is no playground.
USAGE
}

# Those that are named, else freshly built ones: what is tested is what is here.
build_programs() {
    if [[ ! ${WORKSHOP_BIN:-} ]]; then
        cargo build --workspace --bins --quiet
        WORKSHOP_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug
    fi
    # A playground need not have the links that lead there.
    WORKSHOP_BIN=$(realpath "$WORKSHOP_BIN")
    export WORKSHOP_BIN
}

main() {
    case ${1-} in
        -h | --help) usage && exit ;;
    esac
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    build_programs
    local place=(./scripts/playground.sh --)
    # Already where everything may be broken.
    [[ ! ${PLAYGROUND:-}${LAB:-} ]] || place=(env)
    exec "${place[@]}" "$WORKSHOP_BIN/attack-matrix" "$@"
}

main "$@"
