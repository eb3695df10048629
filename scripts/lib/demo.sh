# shellcheck shell=bash
# A demo is data with expectations: what is typed, what must appear, and with which
# exit status. These words describe one, and `play "$@"` at its end performs it.
#
#   demo TITLE               what it shows, in a few words
#   scene TITLE M:SS         a new scene, and the minutes that it should take
#   say TEXT                 tells the audience
#   run COMMAND              types it, and Enter runs it; it must succeed, unless
#                            an `expect status` follows
#   expect text TEXT         the last output contains TEXT
#   expect absent TEXT       … does not contain TEXT
#   expect status N          the last command ended with this exit status
#   refuse COMMAND [TEXT]    must fail, and say TEXT
#   background COMMAND       starts it and goes on; $! is its pid
#   setup COMMAND            the same as run, but invisible
#   await CONDITION          invisible, too: waits until CONDITION succeeds
#   cleanup WHAT [COMMAND]   on a real host the demo changes WHAT; COMMAND undoes it
#
# A COMMAND is one string. It is shown as it is, and evaluated by one bash that
# lives as long as the demo: `cd` and variables last. It has no input. Its
# directory is the demo's own, and is removed when the demo ends.
#
# The program that plays it is in scripts/demo. It asks the script for its words.

words=() # three for each: KIND TEXT DETAIL

demo() { words+=(demo "$1" ''); }
scene() { words+=(scene "$1" "$2"); }
say() { words+=(say "$1" ''); }
run() { words+=(run "$1" ''); }
refuse() { words+=(refuse "$1" "${2-}"); }
background() { words+=(background "$1" ''); }
setup() { words+=(setup "$1" ''); }
await() { words+=(await "$1" ''); }
cleanup() { words+=(cleanup "$1" "${2-}"); }

expect() {
  case $1 in
    text | absent | status) words+=(expect "$1" "$2") ;;
    *) die "expect what? text, absent or status, not: $1" ;;
  esac
}

die() { # LINE...
  printf '%s\n' "${0##*/}: $1" "${@:2}" >&2
  exit 2
}

# In the playground, this is the port you ask for. On a real host, it may be in use.
free_port() { # PORT
  local port=$1
  while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

# ── what is there before anything is built ──────────────────────────────────

list() {
  local name=${0##*/} at sum=0 number=0 title='' scenes='' plan
  for ((at = 0; at < ${#words[@]}; at += 3)); do
    case ${words[at]} in
      demo) title=${words[at + 1]} ;;
      scene)
        plan=${words[at + 2]}
        sum=$((sum + ${plan%:*} * 60 + 10#${plan#*:})) number=$((number + 1))
        printf -v plan '%4d  %-54s %5s' "$number" "${words[at + 1]}" "$plan"
        scenes+=$'\n'$plan ;;
    esac
  done
  printf '%-60s %2d:%02d%s\n' "${name%.sh}: $title" $((sum / 60)) $((sum % 60)) "$scenes"
}

# Those of the workshop that are built: what you ask for, then the fast ones.
find_programs() {
  scripts=$(realpath "${BASH_SOURCE[0]%/*}/..")
  local target=${CARGO_TARGET_DIR:-$scripts/../target}
  if [[ ! ${WORKSHOP_BIN:-} ]]; then
    WORKSHOP_BIN=$target/debug
    [[ ! -x $target/release/demo-player ]] || WORKSHOP_BIN=$target/release
  fi
  WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
  [[ -x $WORKSHOP_BIN/demo-player ]] ||
    die "the steps are not built: there is no $WORKSHOP_BIN/demo-player." '  Try: cargo build --workspace'
  # An ordinary user's PATH on Debian lacks the directories of ip and nft.
  export WORKSHOP_BIN PATH=$WORKSHOP_BIN:$PATH:/usr/sbin:/sbin
}

play() { # OPTIONS...
  case ${1-} in
    --words) printf '%s\0' "${words[@]}" ;;
    --list) list ;;
    *) find_programs && exec "$WORKSHOP_BIN/demo-player" "$scripts/playground.sh" "$(realpath "$0")" "$@" ;;
  esac
}
