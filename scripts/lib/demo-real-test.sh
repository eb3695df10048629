#!/usr/bin/env bash
# Tests that the demos leave a real host as it was: after a full run, and when they
# are interrupted at the point of most change. The playground stands in for the host.
# One line per check, and a count at the end. Exit status: 1 if a check failed.
# shellcheck disable=SC2016 # conditions are evaluated later
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/lib/demo-real-test.sh

Plays each demo with --real on a pretend host, and compares that host before and
after: hostname, mounts, network, nft, forwarding, cgroups, processes, shared memory,
files. The steps must be built. Changes nothing on the host that you are on, and what
happens there meanwhile makes no difference.
USAGE
}

scripts=$(realpath "${BASH_SOURCE[0]%/*}/..")
passed=0 failed=0

host() {
  hostname
  cat /proc/self/mountinfo /proc/sys/net/ipv4/ip_forward
  ip -brief link
  ip -brief -4 address
  ip route
  nft list ruleset
  grep . /proc/sys/net/ipv4/conf/*/{forwarding,route_localnet}
  find /sys/fs/cgroup -type d
  ipcs --shmems
  find /tmp /run /dev/shm /var/cache/container-workshop -xdev 2>/dev/null | grep -vxF "$dir/after"
  pgrep -af '^(sleep|script|web-server|attack)|/[01][0-9]-|^[01][0-9]-' || true
}

is_as_before() {
  for _ in {1..30}; do
    host >"$dir/after"
    ! cmp -s "$dir/before" "$dir/after" || return 0
    sleep 0.1
  done
  diff "$dir/before" "$dir/after" >"$dir/why"
}

verdict() { # STATUS CLAIM
  if ((!$1)); then
    passed=$((passed + 1))
    echo "ok    $2"
  else
    failed=$((failed + 1))
    echo "FAIL  $2"
    sed 's/^/      | /' "$dir/why"
  fi
}

# As on a real host: no variable says that it is a pretend one. In a session of its
# own, as in a terminal, so that a signal reaches what a terminal's signal would reach.
start_demo() { # NAME OPTION...
  (trap - INT && exec env -u PLAYGROUND -u PLAYGROUND_INTERNET -u XDG_CACHE_HOME \
    setsid "$scripts/$1.sh" --real --auto "${@:2}" </dev/null >"$dir/why" 2>&1) &
  demo=$!
}

leaves_nothing() { # NAME
  local result=0
  start_demo "$1"
  wait "$demo" && is_as_before || result=1
  verdict "$result" "$1 --real leaves the host as it was"
}

leaves_nothing_when_stopped() { # NAME SCENE SIGNAL CONDITION
  local result=1
  # On a busy machine the moment may pass unseen: then it is played again.
  for _ in {1..3}; do
    start_demo "$1" --speed 15 --from "$2"
    until (eval "$4") >/dev/null 2>&1; do
      kill -0 "$demo" 2>/dev/null || continue 2
      sleep 0.02
    done
    kill -"$3" "$demo" || true
    # It must not succeed.
    ! wait "$demo" && is_as_before && result=0
    break
  done
  verdict "$result" "$1 --real leaves the host as it was after SIG$3, when $4"
}

inside() {
  local demo script
  # Everything that is compared belongs to this host, except for a cache that shows
  # through from the real one, where others may be at work.
  mount -t tmpfs none /var/cache
  mkdir /var/cache/container-workshop
  dir=$(mktemp -d)
  touch "$dir/why" "$dir/before"
  sleep 2 # until the network's addresses are no longer tentative
  host >"$dir/before"
  for script in "$scripts"/[0-9][0-9]-*.sh; do
    script=${script##*/}
    leaves_nothing "${script%.sh}"
  done
  leaves_nothing_when_stopped 02-uts-namespace 1 INT '[[ $(hostname) == evil ]]'
  leaves_nothing_when_stopped 03-pid-namespace 6 HUP 'grep container-workshop /proc/self/mountinfo'
  [[ $PLAYGROUND_CGROUP == none ]] || leaves_nothing_when_stopped 06-cgroups 2 TERM '[[ $(find /sys/fs/cgroup -name container-demo) ]]'
  leaves_nothing_when_stopped 08-networking 5 INT 'pgrep -x -P "$(pgrep -fo "^08-networking -q sleep")" sleep'
  leaves_nothing_when_stopped 10-system-container 4 TERM 'pgrep -x -P "$(pgrep -fo "^10-system-container -q (-e|--rootfs)")" "systemd|init"'
  leaves_nothing_when_stopped 11-oci-runtime 4 TERM '[[ -e /run/workshop-oci/demo-box/state.json && ! -e /run/workshop-oci/demo-box/door ]]'
  echo "$passed passed, $failed failed"
  ((!failed))
}

main() {
  case ${1-} in
    -h | --help) usage ;;
    --inside) inside ;;
    # As nohup does, or a script for what it starts with `&`. The demos that are
    # interrupted must end all the same.
    *) trap '' HUP INT QUIT && exec "$scripts/playground.sh" -- "$scripts/lib/demo-real-test.sh" --inside ;;
  esac
}

main "$@"
