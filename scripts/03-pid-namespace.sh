#!/usr/bin/env bash
# Step 03 on stage: process ids of its own, and the duties of PID 1.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

demo 'Process ids of its own, and the duties of PID 1'

scene 'The attack' 0:30
background 'sleep 1001'
run 'victim=$!'
run '02-uts-namespace -q attack kill-host $victim'
expect text WORKED
await '! kill -0 $victim'
say 'The container of step 02 kills a process of the host. All it needs is a number. Can we give it other numbers?'

scene 'By hand' 1:00
say 'A process keeps its pid for life. So unshare --pid moves only our children, and --fork makes one.'
run 'unshare --pid --fork sh -c "echo I am $$, and my child is \$\$"'
expect text 'my child is 1'
say 'PID 1. And what does ps say?'
run 'unshare --pid --fork sh -c "ls -d /proc/[0-9]* | wc -l"'
say 'It still counts all processes of the host: ps reads /proc, and /proc is still the host'"'"'s. We must mount a new one.'
run 'unshare --pid --fork --mount-proc ps -o pid,args'
expect text '1 ps'

scene 'The step' 0:50
run "03-pid-namespace sh -c 'echo I am PID \$\$'"
expect text CLONE_NEWPID
expect text 'I am PID 1'
say 'The attack again:'
background 'sleep 1001'
run 'victim=$!'
refuse '03-pid-namespace -q attack kill-host $victim' STOPPED
run 'ps -o pid,args -p $victim'
expect text 'sleep 1001'
say 'Nothing forbids it: inside, there is no such pid.'
setup 'kill $victim'

scene 'What the kernel shows' 0:40
background '03-pid-namespace -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); grep NSpid /proc/$box/status'
expect text $'\t1'
say 'One process, two pids: ours, and its own. We see it, but it does not see us.'
run 'kill -KILL $box'
await '! kill -0 $box'
say 'From outside, we may kill its PID 1. When PID 1 ends, the kernel kills every other process in the namespace.'

scene 'The duties of PID 1' 1:00
say 'Who waits for processes whose parent has ended? PID 1. Here, PID 1 is a program that never waits:'
background '03-pid-namespace -q attack zombies 3 1000'
await '[[ $(ps --ppid $(pgrep -P $!) -o stat= | grep -c Z) = 3 ]]'
run 'ps --ppid $(pgrep -P $!) -o pid,stat,args'
expect text defunct
say 'Zombies: dead, but still in the process table. With --init, the step keeps a PID 1 of its own that reaps them.'
setup 'kill -KILL $!'
refuse '03-pid-namespace -q --init attack zombies' STOPPED

scene 'The hole' 1:00
say 'Inside, ps needs a /proc. The container can mount one. Where does that mount appear?'
run '03-pid-namespace -q sh -c "mount -t proc proc /proc && ps"'
expect text '1 root'
run 'grep container-workshop /proc/self/mountinfo'
expect text '/proc'
say 'On the host. The container is gone, and its mount is still there. And the old escape?'
run '03-pid-namespace -q attack escape-chroot'
expect text WORKED
say 'It still works. Next: mounts of its own, and a root without a way back.'
setup 'umount -l "$(awk "/container-workshop/ { print \$5; exit }" /proc/self/mountinfo)"'

play "$@"
