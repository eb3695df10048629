#!/usr/bin/env bash
# Step 06 on stage: a limit to memory, processors and processes.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

cleanup 'a cgroup named container-demo' 'rmdir /sys/fs/cgroup/container-demo /sys/fs/cgroup/pids/container-demo'

# An ordinary user gets a cgroup from systemd, or none.
has_cgroup() { [[ ${PLAYGROUND_CGROUP:-} != none ]]; }
no_cgroup='On this machine, nobody gives an ordinary user a cgroup. (systemd gives one to whoever is logged in.) So what follows needs root here, or the lab: scripts/lab.sh'

demo 'A limit to memory, processors and processes'

scene 'The attacks' 0:40
say 'The container of step 05 takes as much as it wants.'
run '05-user-namespace -q attack hog-memory 64'
expect text WORKED
run '05-user-namespace -q attack fork-bomb 200'
expect text WORKED

scene 'By hand' 1:10
say 'A cgroup is a directory. mkdir makes it, and the kernel fills it with files.'
if has_cgroup; then
  setup 'cgroup=/sys/fs/cgroup/container-demo; [ ! -d /sys/fs/cgroup/pids ] || cgroup=/sys/fs/cgroup/pids/container-demo'
  run 'echo $cgroup; mkdir $cgroup'
  run 'ls $cgroup'
  expect text pids.max
  run 'echo 20 > $cgroup/pids.max'
  say 'Write a pid to cgroup.procs, and that process is in the cgroup, with all its future children.'
  refuse 'sh -c "echo \$\$ > $cgroup/cgroup.procs; exec attack fork-bomb 200"' STOPPED
  setup 'rmdir $cgroup'
else
  say "$no_cgroup"
fi

scene 'The step' 1:20
if has_cgroup; then
  say 'One flag for each limit, with docker'"'"'s names.'
  run '06-cgroups --pids-limit 20 true'
  expect text mkdir
  refuse '06-cgroups -q --pids-limit 20 attack fork-bomb 200' STOPPED
  say 'Too many processes: fork fails. Too much memory: the kernel kills the container, and the runtime says why.'
  refuse '06-cgroups -q --memory 32m attack hog-memory 64' 'memory limit'
  expect status 137
  say 'Too much CPU time: the kernel makes it wait.'
  refuse '06-cgroups -q --cpus 0.5 attack hog-cpu' STOPPED
else
  say "$no_cgroup"
fi

scene 'What the kernel shows' 0:50
if has_cgroup; then
  background '06-cgroups -q --memory 64m --pids-limit 20 sleep 1000'
  await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
  setup 'PATH=$PATH:'"'$(realpath "${BASH_SOURCE[0]%/*}")'"
  run 'box=$(pgrep -P $!); watch-cgroup.sh --once $box'
  expect text '64.0MiB'
  expect text 'of 20'
  setup 'kill -KILL $box'
  say 'And from inside? There, the cgroup namespace makes this cgroup the root of the tree.'
  run '06-cgroups -q cat /proc/self/cgroup'
  refuse '06-cgroups -q attack see-cgroup' STOPPED
else
  say "$no_cgroup"
fi

scene 'The hole' 0:50
say 'Two containers, one after the other. The first one leaves something behind:'
run '06-cgroups -q attack replace-shell'
run '06-cgroups -q attack replace-shell check'
expect text WORKED
run '06-cgroups -q sh -c "echo hello"'
expect text pwned
say 'All containers write to the same root directory. Next: layers.'

play "$@"
