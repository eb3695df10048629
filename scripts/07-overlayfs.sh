#!/usr/bin/env bash
# Step 07 on stage: layers, and writes that are thrown away.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

port=$(free_port 8000)

demo 'Layers, and writes that are thrown away'

scene 'The attack' 0:40
say 'Two containers of step 06 share one root directory. The first one replaces /bin/sh:'
run '06-cgroups -q attack replace-shell'
run '06-cgroups -q sh -c "echo hello"'
expect text pwned
setup 'rm -r "$XDG_CACHE_HOME/container-workshop"'
say 'A copy of the directory for each container would help. But docker images can be gigabytes. Is there something cheaper?'

scene 'By hand' 1:20
say 'An overlay shows several directories as one. The lower one is never written to.'
run 'mkdir lower upper work merged; echo old > lower/file'
run 'mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work \
  none merged'
run 'ls merged upper'
expect text file
run 'echo new > merged/file; head */file'
expect text '==> lower/file <=='
expect text old
say 'The file was copied up when it changed. But how do you remove a file that must not be touched?'
run 'rm merged/file; ls -l lower upper'
expect text 'c---'
say 'With a mark above it: a whiteout, device 0, 0.'
setup 'umount merged'

scene 'The step' 1:00
run '07-overlayfs true'
expect text overlay
say 'The attack again:'
run '07-overlayfs -q attack replace-shell'
refuse '07-overlayfs -q attack replace-shell check' STOPPED
run '07-overlayfs -q sh -c "echo hello"'
expect absent pwned
say 'It was written, and it is gone with the container.'

scene 'An image is a stack of layers' 1:00
run 'mkdir -p one/etc two/etc'
run 'echo first > one/etc/one; echo first > one/etc/both'
run 'echo second > two/etc/both'
run '07-overlayfs -q --layer one --layer two cat /etc/one /etc/both'
expect text $'first\nsecond'
say 'The layer on top wins. Each line of a Dockerfile makes one layer.'
background '07-overlayfs -q --layer one --layer two sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); grep -o "lowerdir=[^,]*" /proc/$box/mountinfo'
expect text lowerdir
setup 'kill -KILL $box'

scene 'The hole' 1:00
say 'On the host a service listens on 127.0.0.1: a database, a debugger. Nobody from outside can reach it.'
background "web-server 127.0.0.1:$port 'for the host only'"
await "(: < /dev/tcp/127.0.0.1/$port)"
run "07-overlayfs -q attack host-loopback $port"
expect text WORKED
run "07-overlayfs -q wget -qO- http://127.0.0.1:$port"
expect text 'for the host only'
say 'The container can: it shares the host'"'"'s network. Next: a network of its own.'

play "$@"
