#!/usr/bin/env bash
# Step 04 on stage: mounts of its own, and a root without a way back.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

demo 'Mounts of its own, and a root without a way back'

scene 'The attacks' 0:40
say 'Step 03 lets two attacks through. One: whatever the container mounts also appears on the host.'
run '03-pid-namespace -q attack leak-mount /mnt evil'
expect text WORKED
run 'grep -o "/mnt .*evil" /proc/self/mountinfo'
setup 'umount "$(awk "/tmpfs evil/ { print \$5 }" /proc/self/mountinfo)"'
say 'Two: it leaves its root.'
run '03-pid-namespace -q attack escape-chroot'
expect text WORKED

scene 'By hand: a table of its own' 0:50
say 'A mount namespace holds a table of mounts. It begins as a copy, and unshare(1) makes it private: what is mounted there does not spread back.'
run 'unshare --mount sh -c \
  "mount -t tmpfs mine /mnt; grep mine /proc/mounts"'
expect text mine
refuse 'grep mine /proc/mounts'
say 'systemd makes / shared. A copy that stayed shared would pass on every mount.'

scene 'By hand: pivot_root' 1:00
setup 'cp -a "$(01-chroot true 2>&1 | sed -n "s/.* ROOT=//p")" box'
say 'chroot hides the old root. pivot_root puts another mount in its place, and then we can take the old one away.'
setup 'cat >pivot <<"END"
mount --bind box box         # a root must be a mount
cd box
pivot_root . .               # the new one, and the old one on top
umount -l .                  # the old one goes
exec chroot . sh -c "ls /; grep -c . /proc/mounts || echo no /proc yet"
END'
run 'cat pivot'
expect text pivot_root
run 'unshare --mount sh -e pivot'
expect text bin

scene 'The step' 1:00
run '04-mount-namespace true'
expect text pivot_root
expect text 'MS_REC | MS_PRIVATE'
say 'The calls that fill /dev are only counted; --all shows them. And the attacks?'
refuse '04-mount-namespace -q attack leak-mount /mnt evil' STOPPED
refuse 'grep evil /proc/self/mountinfo'
refuse '04-mount-namespace -q attack escape-chroot' STOPPED

scene 'What the kernel shows' 0:40
background '04-mount-namespace -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); cut -d" " -f5 /proc/$box/mountinfo | sort | fmt'
expect text /proc
say 'The container has no more mounts than these. And how many do we have?'
run 'wc -l < /proc/$$/mountinfo'
run '04-mount-namespace -q ls /dev'
expect text urandom
run '04-mount-namespace -q ps -o pid,args'
expect text '1 ps'
setup 'kill -KILL $!'

scene 'The hole' 0:50
say 'A volume is a directory that we show inside on purpose. As which user does root inside write to it?'
run 'mkdir shared'
run '04-mount-namespace -q -v "$PWD/shared:/mnt" attack own-as-root'
expect text WORKED
run 'ls -l shared'
expect text 'root root'
run '04-mount-namespace -q cat /proc/self/uid_map'
run 'cat /proc/self/uid_map'
say 'Root inside is root outside: the two maps are the same. So the kernel lets it change the host'"'"'s settings, too. (The attack only opens the file.)'
run '04-mount-namespace -q attack write-sysctl net/ipv4/ip_forward'
expect text WORKED
say 'Next: a root that is root only inside.'

play "$@"
