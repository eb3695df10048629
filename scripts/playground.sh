#!/usr/bin/env bash
# The door to the playground: a pretend host, made of what the steps teach.
# Its program is steps/playground. Where that is not built yet, it is built here.
set -euo pipefail

fail() { # LINE...
  printf 'playground: %s\n' "$1" >&2
  shift
  [[ $# -eq 0 ]] || printf '            %s\n' "$@" >&2
  exit 125
}

# Those of the workshop that are built: what you ask for, then the fast ones.
find_program() { # sets program
  local directory
  for directory in "${WORKSHOP_BIN:-}" "$target/release" "$target/debug"; do
    program=$directory/playground
    [[ ! -x $program ]] || return 0
  done
  return 1
}

build() {
  command -v cargo >/dev/null || fail 'it is not built yet, and there is no cargo to build it.' \
    'As the user who has it: cargo build --workspace'
  echo 'playground: it is not built yet: cargo build --bin playground ...' >&2
  (cd "$checkout" && cargo build --bin playground) >&2 || fail 'cargo could not build it. See above.'
}

# By a link, too: what it leads to is in the workshop.
checkout=$(dirname "$(dirname "$(realpath "$0")")")
target=${CARGO_TARGET_DIR:-$checkout/target}
find_program || { build && find_program; }
if [[ ! ${WORKSHOP_BIN:-} ]]; then
  WORKSHOP_BIN=$target/debug
  [[ ! -x $target/release/01-chroot ]] || WORKSHOP_BIN=$target/release
fi
WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
# An ordinary user's PATH on Debian lacks the directories of ip and nft.
export WORKSHOP_BIN PLAYGROUND_CHECKOUT=$checkout PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
exec "$program" "$@"
