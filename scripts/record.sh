#!/usr/bin/env bash
# Records the demos, for the slides and for the day when all else fails.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/record.sh [--check] [STEP...]

Plays the demos without waiting, and makes a cast of each: slides/casts/NN-name.cast
(asciicast v2, 100 columns, 28 rows; asciinema plays it at a person's pace). A cast
that still shows the same is kept. The picture in the README is made from one of
the casts.

  STEP      the numbers of the demos to record; 0 is the first (default: all)
  --check   change nothing, but report which cast does not show what its demo
            shows today, and how they differ. Pids, inodes, times and the like
            don't count

Record as root: an ordinary user has other ids, and often no cgroup. If a cast was
recorded with another version of cgroups than this machine has, a difference is
reported, but is not a failure.

Exit status: 0; 1 if a demo does not show what it should, or a cast does not show
what its demo shows.
USAGE
}

limit=100000 # bytes

# The first thing a visitor sees: an attack, and its end.
picture=slides/casts/attack.svg
draw_picture() {
  demo-cast picture slides/casts/04-mount-namespace.cast 'The attacks' 'The step'
}

say() { printf '%-24s %s\n' "$name" "$*"; }

[[ ${HOME-} ]] || { unset HOME && export HOME=~; } # as /etc/passwd has it

# None of this machine's settings gets into the cast.
print_demo() { # SCRIPT
  env -i PATH="$PATH" HOME="$HOME" WORKSHOP_BIN="$WORKSHOP_BIN" \
    LC_ALL=C.UTF-8 TZ=UTC TERM=xterm-256color "$1" --record </dev/null
}

record() { # SCRIPT: to $fresh
  { print_demo "$1" >"$dir/printed" && demo-cast make <"$dir/printed" >"$fresh"; } ||
    { say 'FAIL  the demo fails, see above' && return 1; }
  if (($(wc -c <"$fresh") > limit)); then
    say "FAIL  the cast has more than $limit bytes: the demo must show less"
    return 1
  fi
  if grep -qF -e "$PWD/" -e "$(uname -r)" "$fresh"; then
    say "FAIL  it shows a path or the kernel of this machine:"
    grep -oF -e "$PWD/" -e "$(uname -r)" "$fresh" | sort | uniq -c
    return 1
  fi
}

shows_the_same() { # CAST
  [[ -e $1 ]] && demo-cast compare "$1" "$fresh" >"$dir/differences"
}

keep() { # CAST
  if shows_the_same "$1"; then
    say 'shows the same as before: kept'
  elif [[ $(demo-cast cgroup "$fresh") == none ]]; then
    say 'FAIL  you have no cgroup here, so step 06 can show none. Record as root.'
    return 1
  else
    cp "$fresh" "$1" && say "recorded: $(wc -c <"$1") bytes"
  fi
}

judge() { # CAST
  local here there
  if shows_the_same "$1"; then
    say ok
    return
  elif [[ ! -e $1 ]]; then
    say "FAIL  there is no $1. To record it: scripts/record.sh ${name%%-*}"
    return 1
  fi
  here=$(demo-cast cgroup "$fresh") there=$(demo-cast cgroup "$1")
  if [[ $here != "$there" ]]; then
    say "SKIP  it differs: it was recorded with cgroups $there, and this machine has: $here"
    return
  fi
  say "FAIL  - shown by the cast, + shown by the demo today. If the demo is right: scripts/record.sh ${name%%-*}"
  cat "$dir/differences"
  return 1
}

keep_picture() {
  draw_picture >"$dir/picture" || return
  cmp --silent "$dir/picture" "$picture" || cp "$dir/picture" "$picture"
}

judge_casts_of_no_demo() {
  local cast worst=0
  for cast in slides/casts/*.cast; do
    name=${cast##*/} name=${name%.cast}
    [[ -x scripts/$name.sh ]] || { say "FAIL  this demo no longer exists" && worst=1; }
  done
  return "$worst"
}

judge_picture() {
  name=${picture##*/}
  if draw_picture | cmp --silent - "$picture"; then
    say ok
  else
    say "FAIL  $picture was not made from the present cast. To make it: scripts/record.sh 4"
    return 1
  fi
}

main() {
  local check='' steps=() script worst=0 quiet=()
  [[ -t 2 ]] || quiet=(--quiet)
  while [[ $# -gt 0 ]]; do
    case $1 in
      --check) check=1 ;;
      [0-9] | [0-9][0-9]) steps+=("$(printf %02d "$((10#$1))")") ;;
      -h | --help) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
    shift
  done
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
  if [[ ! ${WORKSHOP_BIN:-} ]]; then
    cargo build --workspace --bins --locked "${quiet[@]}"
    WORKSHOP_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug
  fi
  PATH=$WORKSHOP_BIN:$PATH
  dir=$(mktemp -d) fresh=$dir/fresh.cast
  trap 'rm -rf "$dir"' EXIT
  [[ ${#steps[@]} -gt 0 ]] || steps=('[0-9][0-9]')
  mkdir -p slides/casts
  for script in $(printf 'scripts/%s-*.sh ' "${steps[@]}"); do
    [[ -x $script ]] || { echo "record: there is no demo $script" >&2 && exit 2; }
    name=${script##*/} name=${name%.sh}
    [[ ! -t 2 ]] || begin_moving "$name"
    record "$script" || { end_moving && worst=1 && continue; }
    end_moving
    if [[ $check ]]; then judge "slides/casts/$name.cast"; else keep "slides/casts/$name.cast"; fi || worst=1
  done
  if [[ $check ]]; then
    judge_casts_of_no_demo || worst=1
    judge_picture || worst=1
  else
    keep_picture || worst=1
  fi
  exit "$worst"
}

# shellcheck source-path=SCRIPTDIR source=lib/moving.sh
source "${BASH_SOURCE[0]%/*}/lib/moving.sh"
main "$@"
