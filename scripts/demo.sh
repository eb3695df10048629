#!/usr/bin/env bash
# Sets up, builds, and plays the demos of all steps.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/demo.sh [OPTIONS] [STEP...]

Plays the demos, in the playground: it needs no sudo, and nothing on your machine
changes. Sets up and builds first, if that has not been done yet.

  STEP          the numbers of the demos to play; 0 is the first (default: a
                menu; with --auto, all)
  --from SCENE  begin with this scene of the (first) step
  --auto        don't wait for Enter; fail if a demo does not show what it
                should. The default without a terminal
  --speed N     how fast --auto plays: 1 can be followed, 0 does not wait
  --real        play on this host, as root, instead of in the playground
  --rehearse    show how long each scene took, and where you are in the talk
  --split       play in tmux, with a live view beside it: of all namespaces, or,
                for step 6 alone, of the newest cgroup
  --list        list the demos and their minutes

Enter continues; ? shows the other keys. To look at the same host
from a second terminal: scripts/playground.sh --join. A talk with the slides plays
selected scenes of each demo: the speaker view says which (present.sh).

Exit status: 0; 1 if a demo does not show what it should; 130 after Ctrl-C.
USAGE
}

talk=$((45 * 60))

say() { printf '%s\n' "$*"; }

fail() { # LINE...
  printf 'demo: %s\n' "$@" >&2
  exit 1
}

minutes() { # SECONDS
  printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# ── what there is ───────────────────────────────────────────────────────────

# Sets scripts, titles and plans (in seconds), one of each per demo.
find_demos() {
  local script title plan
  scripts=() titles=() plans=()
  for script in scripts/[0-9][0-9]-*.sh; do
    read -r title < <("$script" --list)
    plan=${title##* } title=${title#*: }
    scripts+=("$script") titles+=("${title% *}")
    plans+=($((${plan%:*} * 60 + 10#${plan#*:})))
  done
}

list() {
  local i sum=0
  for i in "${!scripts[@]}"; do
    printf '%3d  %-54s %5s\n' "$i" "${titles[i]%"${titles[i]##*[! ]}"}" "$(minutes "${plans[i]}")"
    sum=$((sum + plans[i]))
  done
  printf '     %-54s %5s\n' "all, in a talk of $(minutes "$talk") without slides" "$(minutes "$sum")"
}

# ── before it begins ────────────────────────────────────────────────────────

prepare() {
  # Somebody built elsewhere; or root has no Rust, but the user has built.
  if [[ ${WORKSHOP_BIN:-} ]]; then return; fi
  if [[ $real && -x target/debug/01-chroot ]] && ! command -v cargo >/dev/null; then return; fi
  ./scripts/setup.sh
  build
}

# What the demos need, and no more: so the first one begins sooner. Prints nothing if
# all goes well, except for a line that shows how far it is.
build() {
  local line lines=() status='' step needed
  needed=(--bin demo-player --bin playground --bin attack --bin web-server)
  for step in steps/[0-9][0-9]-*; do needed+=(--bin "${step##*/}"); done
  [[ -t 1 ]] || say 'building …'
  while IFS= read -r line; do
    lines+=("$line")
    status=${line#exit }
    [[ ! -t 1 ]] || printf '\r\e[Kbuilding · %s' "${line:0:60}"
  done < <(
    status=0
    cargo build --workspace "${needed[@]}" --locked --offline 2>&1 || status=$?
    echo "exit $status"
  )
  [[ ! -t 1 ]] || printf '\r\e[K'
  [[ $status == 0 ]] || fail "${lines[@]}" 'The build failed. See above.'
}

# ── playing ─────────────────────────────────────────────────────────────────

# Each demo's plan counts from where this run began.
play() { # STEP
  local status=0
  DEMO_STARTED=$began DEMO_PLANNED=$planned \
    "${scripts[$1]}" "${options[@]}" ${from:+--from "$from"} || status=$?
  from=
  planned=$((planned + plans[$1]))
  ((status != 130)) || exit 130
  ((!status)) || not_as_expected+=("${scripts[$1]}")
}

menu() {
  local next=0 answer
  while :; do
    say '' "The demos" ''
    list
    printf '\nEnter plays %d, a number plays that demo, q quits: ' "$next"
    read -r answer || return 0
    [[ $answer != q ]] || return 0
    answer=${answer:-$next}
    if [[ $answer =~ ^[0-9]+$ ]] && ((10#$answer < ${#scripts[@]})); then
      play $((10#$answer))
      next=$(((10#$answer + 1) % ${#scripts[@]}))
    fi
  done
}

# Not to a room: a presenter who has quit is talking.
tell_total() { # HOW MANY
  local took=$((EPOCHSECONDS - began))
  [[ ! $auto && ! $rehearse ]] ||
    say "Demos played: $1. That took $(minutes "$took"); the plan is $(minutes "$planned"), and the talk has $(minutes "$talk")."
  ((!${#not_as_expected[@]})) || fail 'not as expected:' "${not_as_expected[@]}"
}

# A tmux server of its own, which ends with the demo. Side by side if there is
# room.
split() {
  command -v tmux >/dev/null || fail '--split needs tmux, from the package tmux'
  [[ -t 0 && -t 1 ]] || fail '--split needs a terminal'
  local rows columns demo pid view below=-v
  # The trap needs it after this function has returned.
  socket=$(mktemp -d)/tmux
  trap 'tmux -S "$socket" kill-server 2>/dev/null || true; rm -rf "${socket%/*}"' EXIT
  read -r rows columns < <(stty size)
  ((columns < 160)) || below=-h
  printf -v demo '%q ' ./scripts/demo.sh "${options[@]}" ${auto:+--auto} ${from:+--from "$from"} "${steps[@]}"
  unset TMUX
  tmux -S "$socket" -f /dev/null new-session -d -x "$columns" -y "$rows" \
    "bash -c '$demo; echo; read -rp \"Press Enter to leave \"'; tmux -S $socket kill-server"
  pid=$(tmux -S "$socket" list-panes -F '#{pane_pid}')
  view="./scripts/watch-namespaces.sh --playground $pid"
  [[ ${steps[*]} != 6 ]] || view="./scripts/lib/watch-newest.sh $pid"
  tmux -S "$socket" set-option status off \; split-window "$below" -d "$view" \; attach-session || true
}

main() {
  local steps=() options=() from='' auto='' real='' rehearse='' split='' not_as_expected=() planned=0 step
  cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
  [[ -t 0 ]] || auto=1
  while [[ $# -gt 0 ]]; do
    case $1 in
      --auto) auto=1 ;;
      --real) real=1 && options+=("$1") ;;
      --rehearse) rehearse=1 && options+=("$1") ;;
      --speed) options+=("$1" "${2-}") && shift ;;
      --from) from=${2-} && shift ;;
      --list) find_demos && list && exit ;;
      --split) split=1 ;;
      --prepare) prepare && exit ;; # for present.sh --live
      [0-9] | [0-9][0-9]) steps+=($((10#$1))) ;;
      -h | --help) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
    shift
  done
  [[ ! $real || $EUID -eq 0 ]] || fail '--real needs root. Try: sudo scripts/demo.sh --real'
  find_demos
  for step in "${steps[@]}"; do
    [[ ${scripts[step]-} ]] || fail "there is no demo $step: see --list"
  done
  prepare
  [[ ! $split ]] || { split && exit; }
  [[ ! $auto ]] || options+=(--auto)
  began=$EPOCHSECONDS
  if [[ ! $auto && ${#steps[@]} -eq 0 ]]; then
    menu
    return
  fi
  [[ ${#steps[@]} -gt 0 ]] || steps=("${!scripts[@]}")
  for step in "${steps[@]}"; do play "$step"; done
  tell_total "${#steps[@]}"
}

main "$@"
