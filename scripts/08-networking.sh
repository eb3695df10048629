#!/usr/bin/env bash
# Step 08 on stage: a network of its own, and ways through the wall.
# shellcheck disable=SC2016 # commands are shown, and evaluated later
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib/demo.sh
source "${BASH_SOURCE[0]%/*}/lib/demo.sh"

cleanup 'a network device demo0, with 198.51.100.1, an address for examples' 'ip link delete demo0'
cleanup 'a bridge workshop0, its rules in nft, and forwarding for it'
cleanup 'two ports, on which a text is served'

private=$(free_port 8000)
public=$(free_port $((private + 1)))
published=$(free_port 8080)

demo 'A network of its own, and ways through the wall'

scene 'The attack' 0:40
background "web-server 127.0.0.1:$private 'for the host only'"
await "(: < /dev/tcp/127.0.0.1/$private)"
say 'The container of step 07 reaches a service that listens on the host'"'"'s 127.0.0.1.'
run "07-overlayfs -q attack host-loopback $private"
expect text WORKED

scene 'By hand' 1:20
say 'A network namespace begins with a loopback device that is switched off. No address, no route, no ports.'
run 'unshare --net ip -brief address'
expect text DOWN
say 'Lay a cable: a veth pair has two ends. One stays here, the other goes in.'
background 'unshare --net sleep 1000'
await 'box=$! && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$!; ip link add demo0 type veth peer name eth0 netns $box'
run 'ip address add 198.51.100.1/24 dev demo0; ip link set demo0 up'
run 'nsenter --target $box --net ip address add 198.51.100.2/24 dev eth0'
run 'nsenter --target $box --net ip link set eth0 up'
background 'web-server 198.51.100.1:8000 "hello through the cable"'
setup 'get() { exec 3<>"/dev/tcp/$1/$2" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && tail -n 1 <&3; }'
await '(: < /dev/tcp/198.51.100.1/8000)'
run 'nsenter --target $box --net bash -c "get 198.51.100.1 8000"'
expect text 'hello through the cable'
setup 'kill $box $!'
await '[[ ! -e /sys/class/net/demo0 ]]'

scene 'The step' 1:00
say 'The step plugs each cable into a bridge, which is a switch inside the kernel. It asks the kernel for both through netlink.'
run '08-networking true'
expect text bridge
expect text veth
say 'The attack again:'
refuse "08-networking -q attack host-loopback $private" STOPPED
say 'And a service that listens on all addresses of the host, the bridge'"'"'s among them?'
background "web-server 0.0.0.0:$public 'for everybody near'"
await "(: < /dev/tcp/127.0.0.1/$public)"
refuse "08-networking -q attack bridge-service $public" STOPPED

scene 'The way out, and the way in' 1:00
if [[ ${PLAYGROUND_INTERNET:-} ]]; then
  say "The way out: the host puts its own address on every packet that leaves (NAT). This is the internet's web server:"
  run "08-networking -q wget -qO- http://$PLAYGROUND_INTERNET"
  expect text 'Hello from the internet.'
else
  say 'The playground shows the way out: it has an internet of its own. Here, the internet is the real one, and no demo sends anything there.'
fi
say 'The way in: a published port.'
background "08-networking -q -p $published:80 \\
  attack bind-port 80 hello 30 >/dev/null"
await 'box=$(pgrep -P $!) && nsenter --target $box --net ss -Hltn | grep -q :80'
run "cat < /dev/tcp/127.0.0.1/$published"
expect text hello

scene 'What the kernel shows, and the hole' 1:00
background '08-networking -q sleep 1000'
await 'box=$(pgrep -P $!) && [[ $(</proc/$box/cmdline) = sleep* ]]'
run 'box=$(pgrep -P $!); nsenter --target $box --net ip -brief address'
expect text eth0
run 'ip -brief link show type bridge'
expect text UP
run 'nft list chain inet workshop leaving'
expect text masquerade
say 'All walls stand. What is left? More than 300 system calls, and all capabilities of root.'
run 'grep -e CapEff -e Seccomp: -e NoNewPrivs /proc/$box/status'
expect text 'Seccomp:'
say 'One bug in one of these calls is a way out. Docker takes dozens of the calls away, and most of the capabilities. So does the next step.'
setup 'kill -KILL $box'

play "$@"
