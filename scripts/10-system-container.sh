#!/usr/bin/env bash
# Step 10 on stage: a whole machine boots, without an image.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

cleanup 'a bridge workshop0, its rules in nft, and forwarding for it'
cleanup 'a few cgroups'

# Without systemd on the host, or without a cgroup of ours, the machine is a small one.
# What is made for this look at it is none of the host's business.
is_small() {
  local cache said
  cache=$(mktemp -d) && chmod a+x "$cache"
  said=$(XDG_CACHE_HOME=$cache 10-system-container -q -- /usr/lib/systemd/systemd --version 2>&1) || true
  rm -r "$cache"
  [[ $said == *'may not divide'* || $said == *'not found in the container'* ]]
}

small=''
! is_small || small=1

demo 'A whole machine'

scene 'One program, or a system' 0:40
say 'An init mounts /run, and makes a cgroup for each service. In a container for one program, it may do neither:'
refuse '09-least-privilege -q mount -t tmpfs none /run' denied
refuse '09-least-privilege -q mkdir /sys/fs/cgroup/service' 'Read-only'
say 'So step 10 gives some of that back. Who would? Whoever has a user namespace: root has these powers over what is its own.'

scene 'By hand' 1:00
say 'What is an init? The first process of a PID namespace. It hears only what it listens to: the kernel drops the rest.'
run 'unshare --user --map-root-user --pid --fork bash -c '"'"'kill -TERM $$; echo PID $$ lives'"'"''
expect text 'PID 1 lives'
say 'To systemd, SIGTERM would mean "start anew". It halts at SIGRTMIN+3. A shell can do that, too:'
run 'unshare --user --map-root-user --pid --fork bash -c '"'"'trap "echo halting; exit" RTMIN+3; kill -RTMIN+3 $$; echo never'"'"''
expect text halting
expect absent never
say 'And nobody inside has to ask for the powers that an init needs:'
run 'unshare --user --map-root-user --mount sh -c "mount -t tmpfs none /mnt && grep CapEff /proc/self/status"'
expect text fffff

scene 'The step' 1:20
run '10-system-container true'
expect text 'empty at boot'
expect text programs
if [[ $small ]]; then
  say 'Here is no cgroup that systemd could divide. busybox has an init as well, which needs none:'
  run 'mkdir -p machine/{bin,etc} && cp "$(command -v busybox)" machine/bin/busybox && ln -s bin machine/sbin'
  run 'for name in init sh echo sleep poweroff; do ln -s busybox machine/bin/$name; done'
  run 'echo "::once:/bin/echo the machine is up" >machine/etc/inittab'
  setup 'touch machine/etc/{hosts,resolv.conf,machine-id}; chmod a+x . && chmod -R a+rwX machine'
  background '10-system-container -q --rootfs machine >console'
  setup 'machine=$!'
  await 'grep -q "is up" console'
  run 'cat console'
  expect text 'the machine is up'
else
  say 'Without a command, it boots. There is no image: it is made of the host'"'"'s /usr and a handful of files. Its console goes into a file.'
  setup 'mkdir w && cp "$WORKSHOP_BIN/09-least-privilege" w && chmod a+x . && chmod -R a+rX w'
  background '10-system-container -q -e TERM=dumb -v "$PWD/w:/w" >console'
  setup 'machine=$!'
  await 'grep -q root@ console'
  run 'grep login: console'
  expect text automatic
fi

scene 'What the kernel shows' 1:00
run 'box=$(pgrep -P $machine); cat /proc/$box/comm'
expect text "$([[ $small ]] && echo init || echo systemd)"
if [[ ! $small ]]; then
  say 'A machine, with services. Its shell is one nsenter away:'
  run 'enter="nsenter --target $box --user --mount --pid --cgroup"'
  await '$enter systemctl is-active multi-user.target dbus systemd-logind'
  run '$enter systemctl is-active multi-user.target dbus systemd-logind'
  expect text active
fi
say 'No filter, all but eleven capabilities, and programs may gain more. What step 09 takes away, it has.'
run 'grep -e ^Uid -e CapEff -e NoNewPrivs -e Seccomp: /proc/$box/status'
expect text 'NoNewPrivs:	0'
expect text 'Seccomp:	0'
say 'Its wall stands in one of these lines: out here, its root is an ordinary user.'

scene 'Containers in it, and the hole' 1:00
if [[ ! $small ]]; then
  say 'systemd divides its cgroup. So a container of step 09 can live in it, with a limit of its own, and with a part of its ids:'
  run '$enter systemd-run -q --pipe --wait -p Delegate=yes /w/09-least-privilege -q --pids-limit 20 cat /proc/self/uid_map'
  expect text ' 14000'
  say 'Can it get more than it was given? The limits lie one level higher.'
  refuse '10-system-container -q --pids-limit 20 attack raise-limit' STOPPED
  refuse '10-system-container -q --pids-limit 20 attack outgrow-limit' STOPPED
  say 'What step 09 stopped works again. That is the price: one wall, where an application container has many.'
  run '10-system-container -q attack nest-as-root'
  expect text WORKED
fi
say 'Ask it to stop, and the machine goes down in good order:'
if [[ $small ]]; then
  run 'kill $machine; until grep poweroff console; do sleep 0.1; done'
else
  run 'kill $machine; until grep Halting console; do sleep 0.1; done'
fi

play "$@"
