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
# The script starts itself again for each stage:
#
#   outside       starts a playground, and another one for each jump: only a new
#                 host is in the right state
#   --on-stage    runs in it, and leaves nothing behind, however it ends
#   --perform     has a terminal of its own (script(1)); the expectations are
#                 checked against its recording

# shellcheck source-path=SCRIPTDIR source=signals.sh
source "${BASH_SOURCE[0]%/*}/signals.sh"

demo_usage() {
  cat <<USAGE
usage: scripts/$name.sh [OPTIONS]

$demo_title: a demo in ${#titles[@]} scenes. It plays in the playground, without sudo.

  --real        play on this host, as root
  --auto        play without a person; fail if something is not as expected.
                The default if stdin is not a terminal
  --speed N     how fast --auto plays: 1 can be followed, 2 is twice as fast,
                0 does not wait (default: 1 on a terminal, 0 elsewhere)
  --from N      begin with scene N
  --rehearse    show how long each scene took, against the plan
  --record      for scripts/record.sh: don't wait, and write to stdout what a
                terminal of 100 columns shows, and how long each wait would be
  --list        list the scenes and their minutes

Keys  Enter continue · s shell · b back one scene · g N go to scene N · r repeat
      this scene · q quit
      To open a second terminal on the same host: scripts/playground.sh --join

Exit status: 0; 1 if an expectation does not hold; 130 after Ctrl-C.
USAGE
}

# ── the words ───────────────────────────────────────────────────────────────

demo_title='' kinds=() texts=() details=() # one of each per line of the demo
titles=() plans=() beginnings=()           # one of each per scene
changes=() cleanups=()

line() { # KIND TEXT [DETAIL]
  kinds+=("$1") texts+=("$2") details+=("${3-}")
}

demo() { demo_title=$1; }
cleanup() { changes+=("$1") cleanups+=("${2:-true}"); }
say() { line say "$1"; }
run() { line run "$1"; }
refuse() { line refuse "$1" "${2-}"; }
background() { line background "$1"; }
setup() { line setup "$1"; }
await() { line await "$1"; }

scene() {
  titles+=("$1") plans+=("$((${2%:*} * 60 + 10#${2#*:}))") beginnings+=("${#kinds[@]}")
  line scene "$1"
}

# In the playground, this is the port you ask for. On a real host, it may be in use.
free_port() { # PORT
  local port=$1
  while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

expect() {
  case $1 in
    text | absent | status) line "expect_$1" "$2" ;;
    *) die "expect what? text, absent or status, not: $1" ;;
  esac
}

# ── what it looks like ──────────────────────────────────────────────────────

choose_colours() {
  bold='' dim='' green='' red='' cyan='' plain=''
  [[ ! ${NO_COLOR:-} && -t 1 ]] || return 0
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' plain=$'\e[0m'
}

minutes() { # SECONDS
  printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

planned_before() { # SCENE
  local i sum=0
  for ((i = 1; i < $1; i++)); do sum=$((sum + plans[i - 1])); done
  echo "$sum"
}

list() {
  local i
  printf '%-60s %5s\n' "$name: $demo_title" "$(minutes "$(planned_before $((${#titles[@]} + 1)))")"
  for i in "${!titles[@]}"; do
    printf '%4d  %-54s %5s\n' $((i + 1)) "${titles[i]}" "$(minutes "${plans[i]}")"
  done
}

columns() {
  local columns
  read -r _ columns < <(stty size </dev/tty)
  echo "$columns"
}

heading() { # SCENE TITLE
  local text=" $name · $1/${#titles[@]} · $2 " rule
  [[ ! $recorded ]] || note scene "$2"
  [[ $auto && ! $recorded ]] || printf '\e[H\e[2J'
  printf -v rule '%*s' "$(($(columns) - ${#text} - 4))" ''
  printf '\n%s━━%s%s%s\n\n' "$bold$cyan" "$text" "${rule// /━}" "$plain"
}

# For the recording, as an escape sequence that no terminal shows.
note() { # KEY VALUE
  printf '\e]7777;%s;%s\a' "$1" "$2"
}

# With --auto, the time that a person needs to read. A presenter takes their own time.
wait_ms() { # MILLISECONDS
  if [[ $recorded ]]; then note wait "$1"; fi
  [[ $auto ]] && ((speed)) || return 0
  sleep "$(printf '%d.%03d' $(($1 / speed / 1000)) $(($1 / speed % 1000)))"
}

# Pressing Enter meanwhile shows the rest at once, and runs the command.
type_command() { # COMMAND
  local i pause=''
  printf '%s%s#%s %s' "$green" "$(</proc/sys/kernel/hostname)" "$plain" "$bold"
  ((!speed)) || printf -v pause '0.%03d' $((20 / speed))
  for ((i = 0; i < ${#1}; i++)); do
    printf '%s' "${1:i:1}"
    [[ ! $recorded ]] || note wait 30
    [[ ! $pause ]] || ! read -rt 0 || pause=''
    [[ ! $pause ]] || read -rt "$pause" -u "$never" || true # a sleep without a process
  done
  printf '%s' "$plain"
}

# ── the presenter ───────────────────────────────────────────────────────────

# A new playground at scene N: see `outside`.
jump_to() { # SCENE
  ! is_a_scene "$1" || exit $((jump + $1))
}

is_a_scene() {
  [[ $1 =~ ^[0-9]+$ ]] && ((10#$1 >= 1 && 10#$1 <= ${#titles[@]}))
}

wait_for_presenter() {
  local key number
  if [[ $auto ]]; then
    wait_ms 800
    return
  fi
  while IFS= read -rsn1 key || exit 0; do
    case $key in
      '' | ' ') return ;;
      s)
        printf '\n%sYour shell. To leave it: exit%s\n' "$dim" "$plain"
        stty echo
        in_session "PS1='\\h:\\w# ' bash --norc </dev/tty"
        stty -echo ;;
      b) jump_to $((scene > 1 ? scene - 1 : 1)) ;;
      r) jump_to "$scene" ;;
      g)
        printf '\n%sgo to scene (1 to %d): %s' "$dim" "${#titles[@]}" "$plain"
        stty echo
        read -r number && jump_to "$number"
        stty -echo ;;
      q) echo && exit 0 ;;
      *) continue ;;
    esac
    printf '%sEnter continues%s' "$dim" "$plain"
  done
}

# ── the bash that the demo's commands run in ────────────────────────────────

# No job control, so that Ctrl-C reaches all of us.
session() {
  local command
  while IFS= read -r -d '' -u 3 command; do
    eval "$command" 3<&- 4>&-
    echo "$?" >&4
  done
}

open_session() {
  coproc session {
    exec 3<&0 4>&1 </dev/null >&2
    exec bash --norc --noprofile -c "$(declare -f session); set -a; session" bash
  }
  exec {to_session}>&"${session[1]}" {from_session}<&"${session[0]}"
}

in_session() { # COMMAND: sets status
  printf '%s\0' "$1" >&"$to_session"
  read -r status <&"$from_session" || {
    echo "The demo's shell has ended." >&2
    exit 1
  }
}

quietly() { # COMMAND
  in_session "{ $1"$'\n'"} >/dev/null 2>&1"
}

# Colours that nobody sees mark where the output begins and ends in the recording.
begins=$'\e[1;0;0m' ends=$'\e[2;0;0m'

in_session_recorded() { # COMMAND: sets status and output
  : >"$record"
  printf '%s' "$begins"
  in_session "$1"
  printf '%s' "$ends"
  until output=$(tr -d '\0\r' <"$record") && [[ $output == *"$ends"* ]]; do sleep 0.01; done
  output=${output#*"$begins"}
  output=${output%"$ends"*}
  [[ ! $output || $output == *$'\n' ]] || echo
  output=$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\x1b[^[]//g' <<<"$output")
}

# ── performing ──────────────────────────────────────────────────────────────

perform_say() {
  printf '%s\n' "$1" | fold -s -w "$(($(columns) - 2))" | sed 's/ *$//'
  wait_ms $((60 * ${#1}))
  echo
}

perform_run() {
  perform_command "$1"
  check_status_is_expected
}

perform_refuse() {
  perform_command "$1"
  ((status)) || failed 'a refusal (any exit status but 0)'
  [[ ! $2 || $output == *"$2"* ]] || failed "a refusal with: $2"
  printf '%s✔ refused%s (exit status %d)\n' "$green" "$plain" "$status"
  ! last_in_block || echo
}

perform_command() {
  command=$1
  type_command "$command"
  wait_for_presenter
  echo
  in_session_recorded "$command"
  wait_ms $((600 + 8 * ${#output}))
}

perform_background() {
  command="$1 &"
  type_command "$command"
  wait_for_presenter
  echo
  # Disowned, so that bash says nothing when it ends.
  in_session "$command disown"
}

# The next lines may expect another status. If they don't, 0 is expected.
check_status_is_expected() {
  local i
  for ((i = at + 1; i < ${#kinds[@]}; i++)); do
    case ${kinds[i]} in
      expect_status) return ;;
      expect_*) ;;
      *) break ;;
    esac
  done
  perform_expect_status 0
  ! last_in_block || echo
}

# An empty line comes after the output and its expectations.
last_in_block() { [[ ${kinds[at + 1]-} != expect_* ]]; }

perform_expect_status() {
  ((status == $1)) || failed "exit status $1"
}

perform_expect_text() {
  [[ $output == *"$1"* ]] || failed "text: $1"
}

perform_expect_absent() {
  [[ $output != *"$1"* ]] || failed "no such text: $1"
}

perform_setup() {
  command=$1
  in_session_recorded "$1"
  ((status == 0)) || failed 'exit status 0'
}

perform_await() {
  local attempt
  for attempt in {1..200}; do
    quietly "$1"
    ((status)) || return 0
    ((attempt == 200)) || sleep 0.05
  done
  command="waiting for: $1" output=
  failed 'success within 10 seconds'
}

perform_scene() { # TITLE
  ((!scene)) || end_scene
  ((scene)) && scene=$((scene + 1)) || scene=$from
  scene_began=$EPOCHSECONDS
  heading "$scene" "$1"
}

end_scene() {
  local took=$((EPOCHSECONDS - scene_began)) gone planned late word=behind
  if [[ $rehearse ]]; then
    gone=$((EPOCHSECONDS - DEMO_STARTED))
    planned=$((DEMO_PLANNED + $(planned_before $((scene + 1)))))
    late=$((gone - planned))
    ((late > 0)) || { late=$((-late)) word=ahead; }
    printf -v took 'scene %d took %s, plan %s · %s gone, plan %s: %s %s' "$scene" "$(minutes "$took")" \
      "$(minutes "${plans[scene - 1]}")" "$(minutes "$gone")" "$(minutes "$planned")" "$(minutes "$late")" "$word"
    printf '%s%s%s\n' "$cyan" "$took" "$plain"
    told+=("$took")
  fi
  [[ $auto ]] || printf '%s⏎ %s%s' "$dim" "${titles[scene]-end}" "$plain"
  wait_for_presenter
  [[ $auto ]] || echo
}

# A person sees that something is wrong, and goes on. A test ends here.
failed() { # EXPECTED
  [[ ! $auto ]] || exec >"$failure"
  printf '\n%s✘ %s, scene %d: %s%s\n' "$red" "$name" "$scene" "${titles[scene - 1]}" "$plain"
  printf '  %-9s %s\n' command "$command" expected "$1" seen "exit status $status, and this output:"
  tail -n 20 <<<"$output" | sed 's/^/    /'
  [[ ! $auto ]] || exit 1
}

# The scenes before the first one: only what changes the state, and invisibly.
catch_up() {
  for ((at = 0; at < beginnings[from - 1]; at++)); do
    case ${kinds[at]} in
      run | refuse | setup) quietly "${texts[at]}" ;;
      background) quietly "${texts[at]} & disown" ;;
      await) perform_await "${texts[at]}" ;;
    esac
  done
}

perform() {
  trap 'exit 130' INT
  choose_colours
  [[ $(stty size) != '0 0' ]] || stty columns 80 rows 24
  if [[ $recorded ]]; then
    stty columns 100 rows 28
    note title "$demo_title"
    note cgroup "${PLAYGROUND_CGROUP:-}"
  fi
  stty -echo # keys that are pressed while something runs
  status=0 output='' command='' scene=0 told=()
  exec {never}<> <(:) # nothing ever comes from there
  open_session
  catch_up
  for ((at = beginnings[from - 1]; at < ${#kinds[@]}; at++)); do
    "perform_${kinds[at]}" "${texts[at]}" "${details[at]}"
    [[ ${kinds[at]} != expect_* ]] || ! last_in_block || echo
  done
  end_scene
  [[ ! $rehearse ]] || printf '%s\n' '' "${told[@]}"
}

# ── on stage ────────────────────────────────────────────────────────────────

# Everything that we start carries DEMO_STAGE in its environment, except what runs in
# a container. As PID 1, that may ignore the signals that its runtime forwards: then
# it is killed, and not the runtime, which has to clean up. Only if all this does not
# help is the runtime killed, too, and the container dies with it.
end_stragglers() {
  local attempt stragglers
  export -n DEMO_STAGE
  for attempt in {1..100}; do
    mapfile -t stragglers < <(grep -lsFxz "DEMO_STAGE=$stage" /proc/[0-9]*/environ | tr -dc '0-9\n')
    [[ ${#stragglers[@]} -gt 0 ]] || return 0
    if ((attempt < 20)); then
      kill -TERM "${stragglers[@]}" || true
    elif ((attempt == 20)); then
      kill_containers "${stragglers[@]}" || true
    elif ((attempt > 90)); then
      kill -KILL "${stragglers[@]}" || true
    fi 2>/dev/null
    sleep 0.05
  done
}

# Among the children of a runtime, its helpers carry DEMO_STAGE, too.
kill_containers() { # STRAGGLER...
  pgrep --parent "$(IFS=, && echo "$*")" | grep -vxF "$(printf '%s\n' "$@")" | xargs -r kill -KILL
}

leave_stage() {
  local command point
  trap '' INT TERM HUP
  end_stragglers
  for command in "${cleanups[@]}"; do
    bash -c "$command" >/dev/null 2>&1 || true
  done
  while read -r _ _ _ _ point _; do
    [[ $point/ != "$stage"/* ]] || umount --lazy "$point"
  done </proc/self/mountinfo
  rm -rf --one-file-system "$stage"
}

on_stage() { # OPTIONS...
  local status=0 filter=''
  stage=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXX")
  trap leave_stage EXIT
  chmod 755 "$stage"
  [[ -t 0 ]] || exec </dev/null
  if [[ ! -t 1 && ! $recorded ]]; then
    export NO_COLOR=1 TERM=dumb # neither reaches a container
    exec > >(exec sed -u 's/\x1b\[[0-9;]*m//g; s/\r*$//')
    filter=$!
  fi
  export DEMO_STAGE=$stage SHELL=/bin/bash HISTFILE=/dev/null
  # Default root directories go away with the stage, too.
  [[ ${PLAYGROUND:-} ]] || export XDG_CACHE_HOME=$stage/.cache
  cd "$stage" || exit
  : >.failure
  accompany script --quiet --flush --return --append --command \
    "$(printf '%q ' "$self" --perform "$@")" .record || status=$?
  exec >&2
  [[ ! $filter ]] || wait "$filter"
  [[ ! $auto || ! -s .failure ]] || cat .failure
  exit "$status"
}

# ── outside ─────────────────────────────────────────────────────────────────

die() { # LINE...
  printf '%s: %s\n' "$name" "$1" >&2
  [[ $# -eq 1 ]] || printf '  %s\n' "${@:2}" >&2
  exit 2
}

# A signal to us is passed to what we run, and at once: for a command in the
# foreground, bash would wait first. What we run does not ignore what we may ignore.
accompany() { # COMMAND...
  local status stopped='' companion settings=''
  [[ ! -t 0 ]] || settings=$(stty -g)
  (trap - INT QUIT && exec env "${default_signals[@]}" -- "$@") <&0 &
  companion=$!
  trap 'stopped=1; kill -TERM "$companion" 2>/dev/null' INT TERM HUP
  while
    status=0
    wait "$companion" || status=$?
    kill -0 "$companion" 2>/dev/null
  do :; done
  trap - INT TERM HUP
  [[ ! $settings ]] || stty "$settings"
  [[ ! $stopped ]] || status=130
  return "$status"
}

# The exit status 200 + N asks for scene N.
jump=200

outside() {
  local status options=(--speed "$speed" ${auto:+--auto} ${rehearse:+--rehearse}
    ${recorded:+--record})
  export DEMO_STARTED=${DEMO_STARTED:-$EPOCHSECONDS} DEMO_PLANNED=${DEMO_PLANNED:-0}
  while :; do
    status=0
    accompany "${place[@]}" "$self" --on-stage "${options[@]}" --from "$from" || status=$?
    ((status > jump && status <= jump + ${#titles[@]})) || exit "$status"
    from=$((status - jump))
  done
}

choose_place() {
  place=()
  if [[ ! $real && ! ${PLAYGROUND:-} ]]; then
    place=("$scripts/playground.sh" --)
  elif ((EUID)); then
    die '--real needs root.' "Try: sudo $self --real" 'Or leave it out: the playground needs no sudo.'
  elif [[ ! ${PLAYGROUND:-} ]]; then
    echo "$name: plays on this very host, as root. At its end, or after Ctrl-C, it puts back what it changes:" >&2
    printf '  %s\n' 'a directory below /tmp, with mounts and processes in it' "${changes[@]}" >&2
  fi
  local target=${CARGO_TARGET_DIR:-$scripts/../target}
  if [[ ! ${WORKSHOP_BIN:-} ]]; then
    WORKSHOP_BIN=$target/debug
    [[ ! -x $target/release/01-chroot ]] || WORKSHOP_BIN=$target/release
  fi
  WORKSHOP_BIN=$(realpath -m "$WORKSHOP_BIN")
  [[ -x $WORKSHOP_BIN/01-chroot ]] || die "the steps are not built: there is no $WORKSHOP_BIN/01-chroot." \
    'Try: cargo build --workspace'
  export WORKSHOP_BIN PATH=$WORKSHOP_BIN:$PATH:/usr/sbin:/sbin
  command -v script >/dev/null || die 'the program "script" is missing.' \
    'It is in the package bsdutils (Debian, Ubuntu), util-linux-script (Fedora) or util-linux (others).'
}

play() { # OPTIONS...
  self=$(realpath "$0")
  scripts=$(realpath "${BASH_SOURCE[0]%/*}/..") name=${self##*/} name=${name%.sh}
  auto='' speed='' from=1 rehearse='' real='' recorded='' level=outside
  while [[ $# -gt 0 ]]; do
    case $1 in
      --auto) auto=1 ;;
      --speed) speed=${2-} && shift ;;
      --from) from=${2-} && shift ;;
      --rehearse) rehearse=1 ;;
      --record) recorded=1 auto=1 speed=0 ;;
      --real) real=1 ;;
      --list) level=list ;;
      --on-stage | --perform) level=$1 && options=("${@:2}") ;;
      -h | --help) level=demo_usage ;;
      *) demo_usage >&2 && exit 2 ;;
    esac
    shift
  done
  [[ -t 0 || $level == --perform ]] || auto=1
  [[ $speed ]] || { [[ $auto && ! -t 1 ]] && speed=0 || speed=1; }
  [[ $speed =~ ^[0-9]+$ ]] || die "--speed takes a whole number, not: $speed"
  is_a_scene "$from" || die "--from takes a scene, 1 to ${#titles[@]}, not: $from"
  case $level in
    outside) choose_place && outside ;;
    --on-stage) on_stage "${options[@]}" ;;
    --perform) record=.record failure=.failure && perform ;;
    *) "$level" ;;
  esac
}
