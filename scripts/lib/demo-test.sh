#!/usr/bin/env bash
# Tests what the demo language and the live views promise.
# One line per check, and a count at the end. Exit status: 1 if a check failed.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/lib/demo-test.sh

Tests scripts/demo, scripts/lib/demo.sh and the live views, with small demos of its own. Runs as an
ordinary user or as root, in the playground, too. Changes nothing on the host.
USAGE
}

lib=$(realpath "${BASH_SOURCE[0]%/*}")
scripts=${lib%/*}
# shellcheck source-path=SCRIPTDIR source=signals.sh
source "$lib/signals.sh"
passed=0 failed=0
# No other process sleeps exactly that long, so we can tell whether ours is left.
sleeps=9$((RANDOM + 10000)).$$

# ── checking ────────────────────────────────────────────────────────────────

check() { # CLAIM COMMAND...
  local claim=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok    $claim"
  else
    failed=$((failed + 1))
    echo "FAIL  $claim"
    [[ ! -s $dir/out ]] || sed 's/^/      | /' "$dir/out"
    [[ ! -s $dir/err ]] || sed 's/^/      ! /' "$dir/err"
  fi
}

skip() { # CLAIM REASON
  echo "SKIP  $1: $2"
}

# Writes a demo to the file NAME: its lines come from stdin.
write_demo() { # NAME
  { echo '#!/usr/bin/env bash'
    echo 'set -euo pipefail'
    echo "source $(printf %q "$lib/demo.sh")"
    echo 'demo "A test"'
    cat
    echo 'play "$@"'
  } >"$dir/$1.sh"
  chmod +x "$dir/$1.sh"
}

# Plays it to the end. Sets status; the output is in $dir/out and $dir/err.
play() { # NAME OPTIONS...
  status=0
  timeout 60 "$dir/$1.sh" "${@:2}" </dev/null >"$dir/out" 2>"$dir/err" || status=$?
}

tells() { # FILE TEXT...
  local text
  for text in "${@:2}"; do
    grep -qF -- "$text" "$dir/$1" || return 1
  done
}

tells_nothing_of() { # TEXT
  ! grep -qF -- "$1" "$dir/out"
}

fails_telling() { # NAME TEXT...
  play "$1"
  ((status == 1)) && tells err "${@:2}"
}

succeeds() { # NAME OPTIONS...
  play "$@"
  ((status == 0)) && [[ ! -s $dir/err ]]
}

# A minute is for a busy machine.
eventually() { # COMMAND...: within as many tries, ten a second
  local try
  for ((try = 0; try < ${tries:-600}; try++)); do
    ! "$@" || return 0
    sleep 0.1
  done
  return 1
}

nothing_is_left() {
  eventually no_process_is_left && [[ ! $(find /tmp -maxdepth 1 -name 'demo.*' -newer "$dir/01-chroot") ]]
}

no_process_is_left() {
  ! grep -qsF -f "$dir/sleeps" /proc/[0-9]*/cmdline
}

process_runs() { ! no_process_is_left; }

# ── expectations ────────────────────────────────────────────────────────────

test_expectations() {
  write_demo good <<'DEMO'
scene 'Only scene' 0:10
say 'Hello.'
run 'echo one; echo two >&2'
expect text one
expect text two
expect absent three
run 'exit_with() { return "$1"; }; exit_with 3'
expect status 3
refuse 'cat /does/not/exist' 'No such file'
DEMO
  check 'a demo whose expectations hold succeeds' succeeds good
  check 'what is said, typed and shown is on stdout' \
    tells out 'Hello.' '# cat /does/not/exist' 'cat: /does/not/exist: No such file'
  check '--record notes the scene, and how long a person would take' records good

  local name line
  while read -r name line; do
    write_demo "$name" <<DEMO
scene 'First scene' 0:10
run 'true'
scene 'Second scene' 0:10
$line
DEMO
  done <<'LINES'
text run 'echo apple'; expect text pear
absent run 'echo apple'; expect absent apple
status run 'echo apple; (exit 4)'; expect status 5
fails run 'echo apple; (exit 4)'
refuse refuse 'echo apple'
message refuse 'echo apple; false' pear
LINES
  check 'a missing text fails, and is reported with scene, expected and seen' \
    fails_telling text 'scene 2: Second scene' 'expected  text: pear' 'seen      exit status 0' '    apple'
  check 'a text that must not appear fails' fails_telling absent 'expected  no such text: apple' '    apple'
  check 'another exit status fails' fails_telling status 'expected  exit status 5' 'seen      exit status 4'
  check 'a command that fails unexpectedly fails' fails_telling fails 'expected  exit status 0' 'seen      exit status 4'
  check 'a refusal that does not happen fails' fails_telling refuse 'refusal (any exit status but 0)' 'exit status 0'
  check 'a refusal with another message fails' fails_telling message 'refusal with: pear' '    apple'
}

records() { # NAME
  succeeds "$1" --record && tells out $'\e]7777;scene;Only scene\a' $'\e]7777;wait;800\a'
}

test_commands() {
  write_demo quoting <<'DEMO'
scene 'Quotes' 0:10
run 'x="a  b"; printf "[%s]\n" "$x" '"'"'$HOME'"'"' "\\" "*"'
expect text '[a  b]'
expect text '[$HOME]'
expect text '[\]'
expect text '[*]'
run 'for i in 1 2; do
  echo "line $i"
done'
expect text 'line 2'
DEMO
  check 'quotes survive' succeeds quoting
  check 'the command is shown exactly' tells out '# x="a  b"; printf "[%s]\n" "$x" '"'"'$HOME'"'"' "\\" "*"' '  echo "line $i"'

  write_demo lasting <<DEMO
scene 'One' 0:10
setup 'cd /usr'
run 'x=5'
background 'sleep $sleeps'
await '[[ \$(</proc/\$!/cmdline) = sleep* ]]'
scene 'Two' 0:10
run 'echo "\$PWD \$x \$(ps -o args= -p \$!)"'
expect text '/usr 5 sleep $sleeps'
run 'read -r line || echo no input'
expect text 'no input'
DEMO
  check 'directories, variables and background processes last' succeeds lasting
  check 'a demo that ends leaves nothing' nothing_is_left
  check '--from has the state of the scenes before' succeeds lasting --from 2
  check '… and does not show them' tells_nothing_of 'lasting · 1/2'
  check '--list shows scenes and minutes' list_has_minutes
}

list_has_minutes() {
  play lasting --list
  ((status == 0)) && tells out 'lasting: A test' '0:20' '   1  One' '0:10'
}

# ── signals ─────────────────────────────────────────────────────────────────

# To the whole process group, as a terminal or a CI server does; or to the script
# alone, as a person who knows its pid does.
is_stopped_by() { # SIGNAL group|alone
  local demo target
  # What bash starts in the background ignores SIGINT, and could not trap it.
  (trap - INT && exec env "${default_signals[@]}" -- setsid "$dir/long.sh" </dev/null >"$dir/out" 2>"$dir/err") &
  demo=$! target=$demo
  [[ $2 == alone ]] || target=-$demo
  eventually process_runs || return 1
  kill "-$1" -- "$target"
  status=0
  wait "$demo" || status=$?
  # A terminal's signal may end a part of it first.
  ((status == 130 || status && target < 0)) && nothing_is_left
}

test_signals() {
  write_demo long <<DEMO
scene 'Long' 0:10
background 'sleep $sleeps'
run 'sleep 60'
DEMO
  local signal
  for signal in INT TERM HUP; do
    check "SIG$signal to the process group leaves nothing" is_stopped_by "$signal" group
    check "SIG$signal to the script leaves nothing" is_stopped_by "$signal" alone
  done
}

# ── a person at a terminal ──────────────────────────────────────────────────

# A new server each time: one that is ending still takes connections for a moment.
server=0
terminal() { tmux -S "$dir/tmux$server" "$@"; }

type_keys() { terminal send-keys -t 0 "$@"; }

screen_has() { terminal capture-pane -p -t 0 | grep -qF -- "$1"; }

screen_is_like() { [[ $(terminal capture-pane -p -t 0) =~ $1 ]]; }

screen_ends_with() { [[ $(terminal capture-pane -p -t 0) == *"$1" ]]; }

# Where it does not, a failure shows the screen as it is.
comes_to() { # CHECK OF THE SCREEN
  eventually "$@" || { terminal capture-pane -p -t 0 >"$dir/out" && return 1; }
}

shows() { comes_to screen_has "$1"; } # TEXT
shows_like() { comes_to screen_is_like "$1"; } # REGULAR EXPRESSION
shows_last() { comes_to screen_ends_with "$1"; } # LINES

start_in_terminal() { # NAME
  server=$((server + 1))
  terminal -u -f /dev/null new-session -d -x 80 -y 24 \
    "export LC_ALL=${locale-C.UTF-8}; bash -c 'stty -g >$dir/before; $dir/$1.sh; echo status=\$?; stty -g >$dir/after; sleep 60'"
}

test_keys() {
  if ! command -v tmux >/dev/null; then
    skip 'keys' 'needs tmux (./scripts/setup.sh --test installs it)'
    return
  fi
  write_demo keys <<DEMO
scene 'One' 0:10
run 'hostname; hostname changed; fruit=apple'
scene 'Two' 0:10
run 'echo fruit is \$fruit; hostname'
expect text changed
scene 'Three' 0:10
background 'sleep $sleeps'
run 'fruit=pear'
DEMO
  start_in_terminal keys
  check 'the keys are shown first' shows 'Enter continue · s shell · b back'
  check 'a command waits for Enter' shows_last '# hostname; hostname changed; fruit=apple'
  terminal send-keys -t 0 -R && type_keys '?'
  check '? shows the keys' shows 'Enter continue · s shell · b back'
  check '… and what waits again' shows_last '# hostname; hostname changed; fruit=apple'
  type_keys Enter
  check 'Enter runs it' shows '⏎ Two'
  type_keys g 3 Enter
  check 'g N goes to scene N' shows 'keys · 3/3'
  type_keys s
  check 's opens a shell' shows 'Your shell'
  type_keys 'echo "in shell: $fruit $(hostname)"' Enter
  check '… with the state of all scenes before' shows 'in shell: apple changed'
  type_keys C-d
  check '… and comes back to what waits' shows_last "changed# sleep $sleeps &"
  type_keys Up
  check 'a key that does nothing says so' shows 'This key does nothing. ? shows'
  check '… and what waits is shown again' shows_last "changed# sleep $sleeps &"
  type_keys b
  check 'b goes back a scene' shows 'keys · 2/3'
  type_keys Enter
  check '… to the right state' shows 'fruit is apple'
  type_keys g 1 Enter
  check 'g 1 begins again' shows 'keys · 1/3'
  # Inside a playground, we get no other host.
  if [[ ${PLAYGROUND:-} ]]; then
    skip '… on a host that is as it was' 'needs to be outside the playground'
  else
    check '… on a host that is as it was' shows 'playground# hostname; hostname changed'
  fi
  type_keys g 3 Enter
  check 'g 3 continues from there' shows "# sleep $sleeps"
  type_keys Enter
  check 'a process runs in the background' eventually process_runs
  type_keys C-c
  check 'Ctrl-C ends the demo with status 130' shows 'status=130'
  check '… and leaves nothing' nothing_is_left
  check '… and the terminal as it was' eventually cmp -s "$dir/before" "$dir/after"
  terminal kill-server

  start_in_terminal keys
  shows '# hostname; hostname changed' && type_keys q
  check 'q leaves with status 0, and without a word' shows_last $'# hostname; hostname changed; fruit=apple\nstatus=0'
  check '… and leaves nothing' nothing_is_left
  terminal kill-server

  start_in_terminal keys
  shows '# hostname; hostname changed' && rm "$dir/after" && kill -TERM "$(pgrep -of "demo-player .*$dir/keys.sh")"
  check 'SIGTERM ends it with status 130, too' shows 'status=130'
  check '… and leaves the terminal as it was' eventually cmp -s "$dir/before" "$dir/after"
  terminal kill-server

  write_demo wide <<DEMO
scene 'One' 0:10
run 'echo some words, and then a file in a-directory-of-a-long/name-that-does-not-fit'
DEMO
  start_in_terminal wide
  check 'no command is broken inside a word' shows_last $'file in\na-directory-of-a-long/name-that-does-not-fit'
  type_keys '?'
  check '… nor when it is shown again' shows_last $'quit · ? keys\n\nplayground# echo some words, and then a file in\na-directory-of-a-long/name-that-does-not-fit'
  terminal kill-server

  locale=C start_in_terminal keys
  check 'without UTF-8, a demo is ASCII' shows '-- keys - 1/3 - One ---'
  terminal kill-server
}

# ── on a real host ──────────────────────────────────────────────────────────

# The playground stands in for the real host, so that no real one is in danger.
leaves_a_real_host_as_it_was() {
  # Started as by nohup, or by & in a script: what it plays has the defaults again.
  local run='trap "" HUP INT QUIT; before=$(cat /proc/self/mountinfo; ls /tmp); PLAYGROUND= "$0" --real --auto </dev/null >/tmp/out 2>&1 ||
    exit 1; rm /tmp/out; [[ $before == "$(cat /proc/self/mountinfo; ls /tmp)" ]] || exit 2
    [[ $(hostname) == playground ]] || exit 3; ! grep -qsF -f "${0%/*}/sleeps" /proc/[0-9]*/cmdline || exit 4'
  "$scripts/playground.sh" bash -c "$run" "$dir/real.sh" >"$dir/out" 2>"$dir/err"
}

ends_at_once_on_a_real_host() {
  local run='PLAYGROUND= "$0" --real --auto </dev/null >/dev/null 2>&1 & demo=$! status=0
    until grep -qsF -f "${0%/*}/sleeps" /proc/[0-9]*/cmdline; do sleep 0.1; done
    kill -TERM "$demo"; wait "$demo" || status=$?; ((status == 130 && SECONDS < 30))'
  timeout 60 "$scripts/playground.sh" bash -c "$run" "$dir/long.sh" >"$dir/out" 2>"$dir/err"
}

test_real() {
  if [[ ${PLAYGROUND:-} ]]; then
    skip '--real leaves nothing' 'needs to be outside the playground'
    return
  fi
  write_demo real <<DEMO
cleanup 'the hostname' 'hostname playground'
scene 'Real' 0:10
background 'setsid sleep $sleeps'
run 'bash -c "trap -p"'
expect absent trap
run 'mkdir mount; mount -t tmpfs none mount; touch mount/file; hostname changed'
DEMO
  check '--real leaves no mount, file, hostname or process, and no signal ignored' leaves_a_real_host_as_it_was
  check '--real ends at once when it is told to' ends_at_once_on_a_real_host
}

# ── live views ──────────────────────────────────────────────────────────────

fits() { # COLUMNS ROWS COMMAND...: in a terminal of this size
  server=$((server + 1))
  terminal -f /dev/null new-session -d -x "$1" -y "$2" "${*:3}"
  local result=0
  shows 'parent' || result=1
  # A low window has no room for that line.
  terminal resize-window -x "$1" -y 15
  eventually shows_no 'parent' || result=1
  shows 'host' || result=1
  type_keys q
  eventually has_ended || result=1
  return "$result"
}

shows_no() { ! screen_has "$1"; }

has_ended() { ! terminal has-session 2>/dev/null; }

# It has another hostname, and everything else in common with the host.
sees_another_hostname() {
  "$scripts/playground.sh" bash -c 'unshare --uts sh -c "hostname elsewhere; exec sleep 60" & sleep 0.5
    "$0" --once' "$scripts/watch-namespaces.sh" >"$dir/out" 2>"$dir/err" &&
    grep -qE '^hostname +playground +elsewhere *$' "$dir/out" &&
    grep -qE '^uts +[0-9]+ +[0-9]+ *$' "$dir/out" && grep -qE '^mnt +[0-9]+ += *$' "$dir/out" &&
    tells out 'HOST' && ! grep -q $'\e' "$dir/out"
}

counts_memory() {
  "$scripts/watch-cgroup.sh" --once >"$dir/out" 2>"$dir/err" && tells out memory cpu pids && ! grep -q $'\e' "$dir/out"
}

follows_the_newest_cgroup() {
  "$scripts/playground.sh" bash -c 'cd /sys/fs/cgroup && { [[ ! -d pids ]] || cd pids; }
    mkdir first && sleep 0.1 && mkdir second && "$0" --newest --once; rmdir first second' "$scripts/watch-cgroup.sh" >"$dir/out" 2>"$dir/err" &&
    tells out '/second' && tells_nothing_of '/first'
}

# What beside it shows, while it plays a scene whose first command ends within a moment. Before that
# scene, too, it may have shown something: the earlier ones are played in the dark.
# Where much else runs, a view may miss what is there for some milliseconds: the next command is one
# more chance.
splits() { # STEP SCENE COMMAND VIEW RESULT: Enter, once COMMAND and VIEW are there, brings RESULT
  server=$((server + 1))
  terminal -u -f /dev/null new-session -d -x 200 -y 40 \
    "LC_ALL=C.UTF-8 WORKSHOP_BIN=$programs $scripts/demo.sh --split $1 --from $2"
  local result=0
  shows "# $3" && shows_like "$4" || result=1
  for _ in 1 2; do
    type_keys Enter
    ! tries=50 eventually screen_is_like "$5" || break
  done
  shows_like "$5" || result=1
  type_keys q
  eventually screen_has 'Press Enter to leave' && type_keys Enter
  eventually has_ended || result=1
  return "$result"
}

# Its terminal is drawn anew only every three seconds.
sees_what_was_there_for_a_moment() {
  server=$((server + 1))
  terminal -u -f /dev/null new-session -d -x 120 -y 40 "$scripts/playground.sh" bash -c \
    '(sleep 1; unshare --uts sleep 0.1; :) & LC_ALL=C.UTF-8 exec "$0" --interval 3' "$scripts/watch-namespaces.sh"
  local result=0
  shows 'gone again: sleep: uts' || result=1
  terminal kill-server
  return "$result"
}

test_views() {
  check 'watch-namespaces shows a hostname beside the host' sees_another_hostname
  check 'watch-cgroup shows memory, cpu and pids' counts_memory
  if "$scripts/playground.sh" bash -c '[[ $PLAYGROUND_CGROUP == none ]]'; then
    skip 'watch-cgroup --newest' 'needs a cgroup: root has one here'
  else
    check 'watch-cgroup --newest shows the one that was made last' follows_the_newest_cgroup
  fi
  if ! command -v tmux >/dev/null; then
    skip 'live views in a terminal' 'needs tmux (./scripts/setup.sh --test installs it)'
    return
  fi
  local size
  for size in '80 24' '200 60'; do
    # shellcheck disable=SC2086 # two words
    check "watch-namespaces runs at $size, can be resized, and ends with q" fits $size "$scripts/watch-namespaces.sh"
  done
  check 'watch-namespaces names what came and went between two pictures' sees_what_was_there_for_a_moment
  if [[ ${PLAYGROUND:-} ]]; then
    skip '--split' 'needs to be outside the playground'
    return
  fi
  check '--split shows namespaces beside step 3' splits 3 3 '03-pid-namespace' \
    ' of namespaces' ' of namespaces'
  if "$scripts/playground.sh" bash -c '[[ $PLAYGROUND_CGROUP == none ]]'; then
    skip '--split 6' 'needs a cgroup: root has one here'
  else
    check '--split shows the newest cgroup beside step 6, also of a command that has ended at once' splits 6 3 \
      '06-cgroups --pids-limit 20 true' 'waiting for a cgroup|version [12]' '/container-[0-9].* of 20'
  fi
}

main() {
  case ${1-} in -h | --help) usage && exit ;; esac
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  # The playground shows this directory inside, as that of the steps' programs.
  chmod 755 "$dir"
  programs=$(realpath "${WORKSHOP_BIN:-$scripts/../target/debug}")
  ln -s "$programs/demo-player" "$dir/demo-player"
  ln -s "$(type -P true)" "$dir/01-chroot"
  export WORKSHOP_BIN=$dir
  echo "$sleeps" >"$dir/sleeps"
  test_expectations
  test_commands
  test_signals
  test_keys
  test_real
  test_views
  echo "$passed passed, $failed failed"
  ((!failed))
}

main "$@"
