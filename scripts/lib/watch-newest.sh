#!/usr/bin/env bash
# For demo.sh --split: shows the newest cgroup of the playground that runs below PID.
# After a jump that is another playground, which is joined in turn.
set -euo pipefail

scripts=$(realpath "${BASH_SOURCE[0]%/*}/..")

playground_below() { # PID
  local pid=$1
  until [[ $(<"/proc/$pid/comm") == playground ]]; do pid=$(pgrep --oldest --parent "$pid") || return; done
  echo "$pid"
}

until playground=$(playground_below "$1" 2>/dev/null) &&
  "$scripts/playground.sh" --join="$playground" "$scripts/watch-cgroup.sh" --newest --interval 0.5; do
  sleep 0.5
done
