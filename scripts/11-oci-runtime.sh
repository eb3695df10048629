#!/usr/bin/env bash
# Step 11 on stage: a bundle, and a container that is made in two halves.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

cleanup 'a container named demo-box, and its cgroups' '11-oci-runtime delete --force demo-box; rmdir /run/workshop-oci'

demo 'And docker?'

scene 'A bundle' 0:40
say 'Docker makes no container. It unpacks an image, writes a config.json, and calls a program that turns the two into a process. Here is that pair:'
setup 'export XDG_RUNTIME_DIR=$PWD'
run 'cp -a "$(01-chroot true 2>&1 | sed -n "s/.* ROOT=//p")" rootfs'
run '11-oci-runtime spec --rootless; ls'
expect text 'config.json'
expect text 'rootfs'
say 'Each word of it is one of our flags:'
run 'grep -e hostname -e readonly\" -e noNew config.json'
expect text '"hostname": "workshop"'
expect text 'noNewPrivileges'

scene 'By hand' 0:40
say 'The root directory comes out of an image: somebody else chose its names. This one has a link.'
run 'mkdir host; ln -s $PWD/host rootfs/data'
say 'A volume for /data. Where is it now?'
run 'unshare --user --map-root-user --mount sh -c "mount -t tmpfs volume rootfs/data; grep -o host.*volume /proc/self/mountinfo"'
expect text host
say 'On the host. A runtime looks each name up as if the root directory were / already:'
run 'sed -i '"'"'s|"mounts": \[|&{"destination": "/data", "type": "tmpfs", "source": "volume"},|'"'"' config.json'
refuse '11-oci-runtime run demo-box' 'leads nowhere inside'
setup 'rm rootfs/data'

scene 'The step' 1:00
say 'A start has two halves. The first makes all but the program, and ends. In between, an engine plugs the network in.'
run 'sed -i '"'"'s/"sh"/"sleep", "1000"/; s/"readonly": true/"readonly": false/'"'"' config.json'
run '11-oci-runtime create demo-box </dev/null >log 2>&1'
run '11-oci-runtime state demo-box | grep status'
expect text created
run 'pid=$(11-oci-runtime state demo-box | sed -n '"'"'s/.*"pid": \(.*\),/\1/p'"'"'); cat /proc/$pid/comm'
expect text '11-oci-runtime'
say 'The runtime has ended, and its last child waits at a door. Somebody else opens it:'
run '11-oci-runtime start demo-box; cat /proc/$pid/comm'
expect text sleep
refuse '11-oci-runtime start demo-box' 'Running'

scene 'What the kernel shows' 0:40
say 'Who is its parent? Whoever takes orphans: here PID 1, and with docker the shim. So the engine may go, and come back.'
run 'grep -e ^PPid -e ^NoNew /proc/$pid/status'
expect text 'NoNewPrivs:	1'
say 'One more process: docker exec.'
run '11-oci-runtime exec demo-box ps -o pid,args'
expect text '1 sleep 1000'
run '11-oci-runtime exec demo-box sh -c "exit 7"'
expect status 7

scene 'Who calls whom' 0:50
say 'This is all that docker run asks for: create, start, kill, delete.'
refuse '11-oci-runtime delete demo-box' 'not stopped'
run '11-oci-runtime kill demo-box KILL; until 11-oci-runtime state demo-box | grep stopped; do sleep 0.1; done'
expect text stopped
run '11-oci-runtime delete demo-box'
refuse '11-oci-runtime state demo-box' 'does not exist'
say 'And what did it do? The same calls as ten steps before, told to a file, because engines read stderr.'
run 'sed -i '"'"'s/"sleep", "1000"/"true"/'"'"' config.json; WORKSHOP_NARRATE=story 11-oci-runtime run demo-box'
run 'grep -o -e "clone(CLONE_NEWNS" -e "sethostname(.*)" -e "pivot_root(.*)" -e "capset(" -e "execve(" story'
expect text 'clone(CLONE_NEWNS'
expect text 'execve('
say 'With a docker of yours: docker run --runtime workshop. Now you can read runc.'

play "$@"
