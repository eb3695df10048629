#!/usr/bin/env bash
# Step 09 on stage: no more power, and no more of the kernel, than it needs.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

cleanup 'a bridge workshop0, its rules in nft, and forwarding for it'
cleanup 'a few cgroups'

# With one id, there is nobody but root.
one_id='' nest='-u 1000:1000 attack nest-as-user'
if [[ ${PLAYGROUND_IDS:-} == 1 ]]; then one_id=1 nest='attack nest-as-root'; fi

demo 'No more than it needs'

scene 'The attacks' 1:00
say 'Two containers of step 08, on one bridge. The first is a bank.'
setup 'get() { exec 3<>"/dev/tcp/$1/80" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3; }'
background '08-networking -q -v "$WORKSHOP_BIN/web-server:/bank" /bank 0.0.0.0:80 "I am the bank."'
await 'box=$(pgrep -P $!) && nsenter --target $box --net ss -Hltn | grep -q :80'
setup 'first=$!'
run 'read -r bank < <(nsenter --target $box --net hostname -I)'
run 'get $bank'
expect text 'I am the bank.'
say 'The second one takes the same address, and announces that it has it (ARP). It is root, over its own network.'
background '08-networking -q -v "$WORKSHOP_BIN/web-server:/thief" sh -c \
  "ip address add $bank/32 dev eth0; arping -A -c 2 -I eth0 $bank >/dev/null
   exec /thief 0.0.0.0:80 \"So am I. Your password?\""'
await 'get $bank | grep -q password'
run 'get $bank'
expect text password
setup 'kill -KILL $(pgrep -P $first,$!)'
await '[[ ! -e /sys/class/net/workshop0 ]]'
say 'And an ordinary user inside has no capability at all. Has it none?'
run "08-networking -q $nest"
expect text WORKED

scene 'By hand' 1:10
say 'Root'"'"'s power is some forty capabilities. They are bits, and a process can drop them. The bounding set is what no program can get back.'
run 'setpriv --bounding-set -all --inh-caps -all grep ^Cap /proc/self/status'
expect text 'CapBnd:	0000000000000000'
refuse 'setpriv --bounding-set -all --inh-caps -all chroot / true' 'not permitted'
say 'All gone? Not if somebody may make a user namespace. There, everybody has all of them.'
run 'setpriv --bounding-set -all --inh-caps -all unshare --user --keep-caps grep CapEff /proc/self/status'
expect text fffff
say 'Another way back: a program with the setuid bit. no_new_privs closes it, and can never be switched off again.'
if [[ $one_id ]]; then
  run 'setpriv --no-new-privs grep NoNewPrivs /proc/self/status'
else
  run 'cp "$(command -v id)" . && chmod u+s id'
  run 'setpriv --reuid 1000 --clear-groups ./id -u'
  expect text 0
  run 'setpriv --reuid 1000 --clear-groups --no-new-privs ./id -u'
  expect text 1000
fi

scene 'The step' 1:10
say 'All of it, and what no command of the shell can do: a filter that the kernel runs before each system call.'
run '09-least-privilege true'
expect text PR_CAPBSET_DROP
expect text PR_SET_NO_NEW_PRIVS
expect text seccomp
say 'The attacks again:'
refuse '09-least-privilege -q arping -A -c 2 -I eth0 $bank' 'not permitted'
refuse "09-least-privilege -q $nest" STOPPED

scene 'What the kernel shows' 0:50
background '09-least-privilege -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); grep -e ^Cap -e NoNewPrivs -e Seccomp: /proc/$box/status'
expect text 'NoNewPrivs:	1'
expect text 'Seccomp:	2'
if command -v capsh >/dev/null; then
  say 'Each bit is a capability. Eleven are left, for apt, for su, and for a server on port 80:'
  run 'capsh --decode=$(awk "/CapEff/ { print \$2 }" /proc/$box/status)'
  expect text cap_net_bind_service
fi
setup 'kill -KILL $box'

scene 'A filter of your own, and the hole' 0:50
say 'A filter does not only refuse. It decides what the kernel answers. Number 28 is "no space left on device".'
run 'cat >full.json <<END
{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
  { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 } ] }
END'
refuse '09-least-privilege -q --security-opt seccomp=full.json mkdir /tmp/new' 'No space left'
say 'What is left? About 300 system calls that programs do need, and the one kernel that answers all of us.'
run '[ "$(09-least-privilege -q uname -r)" = "$(uname -r)" ] && echo the same kernel'
expect text 'the same kernel'
say 'A mistake in that kernel is a mistake in all containers. What comes next is another kernel: a virtual machine.'

play "$@"
