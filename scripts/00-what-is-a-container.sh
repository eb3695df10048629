#!/usr/bin/env bash
# Before the first step: what does the kernel know of a container?
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

# The pid of a container that docker or podman runs on this machine, if any.
running_container() {
  local engine id
  for engine in docker podman; do
    id=$("$engine" ps --quiet --latest 2>/dev/null) || continue
    [[ $id ]] || continue
    "$engine" inspect --format '{{.State.Pid}}' "$id" && return
  done
  return 1
}

demo 'What is a container?'

scene 'The question' 0:40
say 'What is a container? Ask the kernel. It knows no such thing. It knows processes, and for each of them a list of what it sees.'
run 'ls -l /proc/self/ns'
expect text 'pid:['
say 'Every process has this list: your shell, your browser, and PID 1. Each number is a namespace. Processes with the same number see the same.'

scene 'The same number, the same view' 0:30
run 'readlink /proc/1/ns/uts /proc/$$/ns/uts'
expect text 'uts:['
say 'uts is the hostname. PID 1 and this shell share one: both are called'
run 'hostname'
say 'lsns(8) reads all of /proc and counts.'
run 'lsns --output NS,TYPE,NPROCS'
expect text uts

scene 'What it may use: the cgroup' 0:30
say 'A namespace limits what a process sees. A cgroup limits how much it uses: memory, CPU, processes.'
run 'cat /proc/self/cgroup'
expect text ':/'

scene 'Start one' 0:40
say 'Now start a container: the one that we build in steps 01 to 04. It runs nothing but sleep.'
background '04-mount-namespace -q --hostname box sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); ps -o pid,ppid,user,args -p $!,$box'
expect text 'sleep 1000'
say 'A process of the host, with a pid of the host. Nobody keeps a list that says it is a container. So what makes it one?'

scene 'What makes it one' 0:50
say 'Put the two lists beside each other: our shell on the left, the container on the right.'
run 'for n in uts ipc pid mnt net user; do
  echo $(readlink /proc/{$$,$box}/ns/$n)
done'
expect text 'uts:['
say 'The first four numbers differ, the last two are the same. Each number is one view that can be its own. What it may do, and how much it gets, can be chosen as well. Each step of this workshop changes one more thing.'
setup 'for n in uts ipc pid mnt; do ! [ /proc/$$/ns/$n -ef /proc/$box/ns/$n ] || exit; done'
setup 'for n in net user; do [ /proc/$$/ns/$n -ef /proc/$box/ns/$n ] || exit; done'

scene 'Go in, without a runtime' 0:40
say 'You don'"'"'t need docker to enter a container. The list is enough.'
run 'nsenter --target $box --mount --uts --pid ps'
expect text 'sleep 1000'
run 'nsenter --target $box --uts hostname'
expect text box
say 'docker exec does this, and more: what it starts is also in the container'"'"'s cgroup, and has its capabilities, its seccomp filter and its security label. nsenter brought ours.'

scene 'Docker and podman' 0:30
if pid=$(running_container); then
  say 'Docker or podman runs a container on this machine. The same commands show it.'
  run "lsns --task $pid --output NS,TYPE,PID,COMMAND"
  expect text pid
  run "cat /proc/$pid/cgroup"
else
  say 'A container of docker or podman shows the same numbers. None runs here. To try it at home, start this demo with --real, or type: scripts/watch-namespaces.sh PID'
fi
run 'kill -KILL $box'
say 'The process ends. No other process was in its namespaces, so they end with it. There is nothing to clean up, because there never was a container.'
await '! kill -0 $box'

play "$@"
