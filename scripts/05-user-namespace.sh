#!/usr/bin/env bash
# Step 05 on stage: a root that is root inside only.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

demo 'A root that is root only inside'

scene 'The attacks' 0:50
say 'In step 04, root in the container is the host'"'"'s root. What it makes in a volume belongs to the host'"'"'s root.'
run 'mkdir shared'
run '04-mount-namespace -q -v "$PWD/shared:/mnt" attack own-as-root'
expect text WORKED
run 'ls -l shared'
expect text 'root root'
say 'And it can change settings of the host'"'"'s kernel. (The attack only opens the file.)'
run '04-mount-namespace -q attack write-sysctl net/ipv4/ip_forward'
expect text WORKED

scene 'By hand' 1:00
say 'A user namespace has user ids of its own. A new one has no ids yet: everybody is nobody, number 65534.'
run 'unshare --user id'
expect text 65534
say 'A map says which ids inside are which ids outside. It has three numbers: first inside, first outside, how many.'
run 'unshare --user --map-root-user cat /proc/self/uid_map'
run 'unshare --user --map-root-user id -u'
expect text 0
say 'Root, with all capabilities. Over what? Over what belongs to the namespace. The hostname belongs to another namespace.'
refuse 'unshare --user --map-root-user hostname evil'
run 'unshare --user --map-root-user --uts sh -c "hostname box; hostname"'
expect text box

scene 'The step' 1:00
run '05-user-namespace id -u'
expect text CLONE_NEWUSER
expect text uid_map
say 'The attacks again:'
run 'rm -r shared; mkdir shared'
if [[ ${PLAYGROUND_IDS:-} == 1 ]]; then
  say 'This playground has one user id, so root inside must be that same id outside, and the volume still belongs to it. With a range in /etc/subuid it would not.'
else
  refuse '05-user-namespace -q -v "$PWD/shared:/mnt" attack own-as-root' STOPPED
fi
refuse '05-user-namespace -q attack write-sysctl net/ipv4/ip_forward' STOPPED

scene 'What the kernel shows' 1:00
background '05-user-namespace -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); cat /proc/$box/uid_map'
run 'ps -o uid,pid,args -p $box'
expect text 'sleep 1000'
# With one id, setgroups(2) is denied, and nsenter would call it.
if [[ ${PLAYGROUND_IDS:-} == 1 ]]; then keep=' --preserve-credentials'; fi
run "nsenter --target \$box --user${keep-} id -u"
expect text 0
say 'One process, two user ids, as with pids. And all capabilities, in a namespace where they open nothing on the host:'
run 'grep CapEff /proc/$box/status'
expect text 'CapEff:'
setup 'kill -KILL $box'

scene 'The hole' 1:00
say 'What can root inside still do to the host? It can use up what is there, and nothing forbids it: memory, processes, CPU time.'
run '05-user-namespace -q attack hog-memory 64'
expect text WORKED
run '05-user-namespace -q attack fork-bomb 200'
expect text WORKED
say 'It took 64 MiB and 200 processes because that is what we asked for. Nobody would have stopped it at a thousand times as much. Next: limits.'

play "$@"
