#!/usr/bin/env bash
# Every attack against every step, and without a container: what works, and what
# is stopped. In the playground, so that nothing of yours is attacked.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: scripts/attacks.sh [--step NN] [--attack NAME] [--json | --expected]
       scripts/attacks.sh --given-back [--attack NAME]

Tries each attack in each step and without a container, checks from outside
whether it worked, and prints the matrix.

  --step NN      this step only (0: without a container)
  --attack NAME  this attack only; `attack list` names them
  --json         print the matrix as data
  --expected     print what is expected, without trying anything
  --given-back   try step 09's attacks with the options that give up the wall
                 that stops each: there they have to work again

It runs in the playground, where a few attacks can't work: they need root of a
whole machine. In the lab they have it: scripts/lab.sh scripts/attacks.sh

Exit status: 0 if each cell is as expected or can't be measured here; 1 if one
differs, even if an attack is stopped too early; 3 if none could be measured; 2 if
the command line is wrong; 125 if there is no playground.
USAGE
}

# The programs that WORKSHOP_BIN names, or freshly built ones: what is tested is the
# code that is here now.
build_programs() {
    if [[ ! ${WORKSHOP_BIN:-} ]]; then
        local quiet=()
        [[ -t 2 ]] || quiet=(--quiet)
        cargo build --workspace --bins "${quiet[@]}"
        WORKSHOP_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug
    fi
    # A playground may lack the links that lead there.
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
    # We are already in a place where everything may be broken.
    [[ ! ${PLAYGROUND:-}${LAB:-} ]] || place=(env)
    exec "${place[@]}" "$WORKSHOP_BIN/attack-matrix" "$@"
}

main "$@"
