# shellcheck shell=bash
# A pretended internet, for the playground and for the lab: a network namespace
# that is router and server in one. It has no default route: an answer to a
# container's private address goes nowhere.

# this host ── eth0 ── internet
connect_internet() {
    ip -batch - <<'IP'
link set lo up
netns add internet
link add eth0 type veth peer name eth0 netns internet
address add 192.0.2.2/24 dev eth0
link set eth0 up
IP
    nsenter --net=/run/netns/internet ip -batch - <<'IP'
link set lo up
address add 203.0.113.10/32 dev lo
address add 192.0.2.1/24 dev eth0
link set eth0 up
IP
    ip route add default via 192.0.2.1
}

start_web_server() {
    setsid nsenter --net=/run/netns/internet "$WORKSHOP_BIN/web-server" \
        203.0.113.10:80 'Hello from the internet.' </dev/null &>/dev/null &
    for _ in {1..100}; do # until it listens
        : 2>/dev/null </dev/tcp/203.0.113.10/80 && return
        sleep 0.01
    done 2>/dev/null
}
