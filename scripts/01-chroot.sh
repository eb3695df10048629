#!/usr/bin/env bash
# Step 01 on stage: a root directory of its own.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

demo 'A root directory of its own'

scene 'The question' 0:30
say 'You run a program that somebody else wrote. Which of your files can it read? Every file that it can name.'
run 'cat /etc/hostname'
say 'Here is a program that reads a file of the host:'
run 'attack read-host-file'
expect text WORKED
say 'Can we take the names away?'

scene 'By hand' 1:00
say 'chroot(8) starts a program for which / is another directory. What must be in it? At least the program.'
setup 'mkdir empty'
run 'ls -A empty'
refuse 'chroot empty sh' 'No such file or directory'
say 'It is not the directory that is missing, but sh: /bin/sh is looked up below the new root. Step 01 fills such a directory on its first run. We copy it.'
setup 'cp -a "$(01-chroot true 2>&1 | sed -n "s/.* ROOT=//p")" box'
run 'ls box'
expect text bin
run 'chroot box ls /'
expect text bin
refuse 'chroot box cat /etc/hostname' 'No such file'
say 'The file is where it was. Inside, it no longer has a name.'

scene 'The step' 1:00
say 'Step 01 does the same with two system calls, and shows them on stderr.'
run '01-chroot ls /'
expect text 'chroot('
expect text 'chdir("/")'
say 'And the attack again, this time by a program:'
refuse '01-chroot -q attack read-host-file' STOPPED
say 'A runtime passes on the exit status: scripts, CI and init systems rely on it.'
run "01-chroot -q sh -c 'exit 7'"
expect status 7

scene 'What the kernel shows' 0:50
background '01-chroot -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); readlink /proc/$$/root /proc/$box/root'
expect text 'container-workshop/root'
say 'One pointer in the kernel'"'"'s record of the process. And the namespaces?'
run 'echo $(readlink /proc/{$$,$box}/ns/uts)'
run '[ /proc/$$/ns/uts -ef /proc/$box/ns/uts ]'
say 'The same as ours. Only file names have changed.'
setup 'kill $!'

scene 'The hole' 1:10
say 'chroot moves the root, but not the working directory of the process. Root may call it again:'
say '    mkdir x; chroot x; cd ../../../..; chroot .'
say 'After the second chroot, the working directory is outside the root, where nothing stops "..". The process climbs up to the real root.'
run '01-chroot -q attack escape-chroot'
expect text WORKED
say 'And it does not even need to escape. The hostname, the processes, the mounts and the network are still the host'"'"'s. Next: a hostname of its own.'
run '01-chroot -q hostname'

play "$@"
