#!/usr/bin/env bash
# A host with company: what else runs on a laptop beside the workshop, for tests.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/lib/company.sh COMMAND [ARG...]
       scripts/lib/company.sh --arrive | --leave

Runs COMMAND as root of a host that has a wired and a wireless uplink, that forwards
packets, and on which docker seems to run: with its bridge, its rules, and a laptop's
/etc/resolv.conf. Network and mounts are in namespaces of their own; the host that
you are on does not change.

  --arrive   add docker and the second uplink to the network that you are in
  --leave    remove them again

Exit status: COMMAND's own.
USAGE
}

# The settings that docker makes in the first network, and systemd in each.
first_network() {
  echo 1 >/proc/sys/net/ipv4/ip_forward
  for file in /proc/sys/net/ipv4/conf/{all,default}; do
    echo 2 >"$file/rp_filter"
    echo 1 >"$file/promote_secondaries"
    echo 0 >"$file/accept_source_route"
    echo 0 >"$file/send_redirects"
  done
}

arrive() {
  ip -batch - <<'IP'
link add wlan0 type veth peer name radio
address add 192.168.178.20/24 dev wlan0
link set wlan0 up
link set radio up
route add default via 192.168.178.1 dev wlan0 metric 600
link add docker0 type bridge
address add 172.17.0.1/16 dev docker0
link set docker0 up
IP
  nft -f - <<'NFT'
table ip nat {
  chain DOCKER { iifname "docker0" return; }
  chain PREROUTING { type nat hook prerouting priority dstnat; fib daddr type local jump DOCKER; }
  chain OUTPUT { type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
  chain POSTROUTING {
    type nat hook postrouting priority srcnat
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
}
table ip filter {
  chain DOCKER { iifname != "docker0" oifname "docker0" drop; }
  chain DOCKER-USER { }
  chain FORWARD {
    type filter hook forward priority filter; policy drop
    jump DOCKER-USER
    oifname "docker0" ct state established,related accept
    oifname "docker0" jump DOCKER
    iifname "docker0" accept
  }
}
NFT
}

leave() {
  nft 'delete table ip nat; delete table ip filter'
  ip link delete docker0
  ip link delete wlan0
}

inside() { # COMMAND...
  ip -batch - <<'IP'
link set lo up
link add eth0 type veth peer name cable
address add 192.0.2.2/24 dev eth0
link set eth0 up
link set cable up
route add default via 192.0.2.1
IP
  first_network
  arrive
  mount -t tmpfs company /mnt
  # As systemd-resolved leaves it.
  printf 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n' >/mnt/resolv.conf
  [[ ! -e /etc/resolv.conf ]] || mount --bind /mnt/resolv.conf /etc/resolv.conf
  exec "$@"
}

case ${1--h} in
  -h | --help) usage ;;
  --arrive | --leave) "${1#--}" ;;
  --inside) inside "${@:2}" ;;
  *) exec unshare --net --mount -- "$0" --inside "$@" ;;
esac
