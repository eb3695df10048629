#!/usr/bin/env bash
# Step 02 on stage: a hostname and System V IPC of its own.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

name_of_host=$(</proc/sys/kernel/hostname)
give_name_back="hostname '$name_of_host'"
cleanup 'the hostname, for a moment' "$give_name_back"
cleanup 'a segment of shared memory' 'for id in $(ipcs --shmems | awk "\$5 == 31415 && \$6 == 0 { print \$2 }"); do ipcrm --shmem-id "$id"; done'

demo 'A hostname of its own, and IPC of its own'

scene 'The attack' 0:40
say 'The container of step 01 has files of its own. Who owns the name of the machine? Look at the prompt.'
run '01-chroot -q attack rename-host evil'
expect text WORKED
run 'hostname'
expect text evil
say 'The host has a new name, and so has everything on it: logs, mail and certificates use that name.'
run "$give_name_back"

scene 'By hand' 0:50
say 'unshare(1) starts a program with a namespace of its own. A UTS namespace holds the hostname. It begins as a copy.'
run 'unshare --uts sh -c "hostname; hostname box; hostname"'
expect text box
run 'hostname'
expect absent box
say 'Two names at the same time, on one kernel.'

scene 'The step' 0:50
run '02-uts-namespace --hostname box hostname'
expect text CLONE_NEWUTS
expect text 'sethostname("box")'
say 'unshare(2) moves a running process. The step uses clone(2): the container'"'"'s first process is born in the new namespace. And the attack?'
refuse '02-uts-namespace -q attack rename-host evil' STOPPED
run 'hostname'
expect absent evil
say 'The call succeeds, and harms nobody: the attacker only renames the container.'

scene 'Its twin: IPC' 1:00
say 'Programs on the host share memory through System V IPC. A segment has a number, but no path, so no chroot hides it.'
run 'ipcmk --shmem 31415'
expect text 'Shared memory id'
run 'ipcs --shmems'
expect text 31415
setup 'id=$(ipcs --shmems | awk "\$5 == 31415 { print \$2 }")'
run '01-chroot -q attack find-shared-memory $id'
expect text WORKED
say 'An IPC namespace begins empty. It takes one more flag, by hand and in the step:'
run 'unshare --ipc ipcs --shmems'
expect absent 31415
refuse '02-uts-namespace -q attack find-shared-memory $id' STOPPED

scene 'What the kernel shows' 0:50
background '02-uts-namespace -q --hostname box sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); ps -o pid,utsns,comm -p 1,$box'
expect text sleep
run 'nsenter --target $box --uts hostname'
expect text box
run 'nsenter --target $box --ipc ipcs --shmems'
expect absent 31415

scene 'The hole' 0:50
say 'The container has its own name. What can it still reach on the host? Here is a process of the host:'
background 'sleep 1001'
await '[[ $(</proc/$!/cmdline) = sleep* ]]'
run 'victim=$!; ps -o pid,args -p $victim'
expect text 'sleep 1001'
run '02-uts-namespace -q attack kill-host $victim'
expect text WORKED
await '! kill -0 $victim'
refuse 'ps -o pid,args -p $victim'
say 'Killed from inside. A pid was enough. Next: pids of its own.'

play "$@"
