# shellcheck shell=bash
# A pretended internet, for the playground and for the lab: a network namespace
# that is router and server in one. It has no default route: an answer to a
# container's private address goes nowhere.

# A new network namespace takes over what the machine's first one was told: to
# forward, say, as docker tells it. Back to the kernel's defaults, in the one
# that we are in. What has no name here is 0.
begin_as_known_network() {
    local conf=/proc/sys/net/ipv4/conf file value
    echo 0 >$conf/all/forwarding # first, since it changes others
    for file in "$conf"/*/*; do
        value=0
        case ${file#"$conf/"} in
        lo/disable_*) continue ;;
        all/accept_source_route) ;;
        */accept_source_route | */*_redirects | */shared_media | */arp_evict_nocarrier) value=1 ;;
        */igmpv2_unsolicited_report_interval) value=10000 ;;
        */igmpv3_unsolicited_report_interval) value=1000 ;;
        esac
        [[ ! -w $file ]] || echo "$value" >"$file"
    done
    # And a bridge is a switch: whether what it passes on must please the rules
    # for what is routed depends on who has loaded br_netfilter.
    for file in /proc/sys/net/ipv6/conf/*/{forwarding,disable_ipv6,addr_gen_mode} \
        /proc/sys/net/bridge/bridge-nf-call-*; do
        [[ ! -e $file ]] || echo 0 >"$file"
    done
    for file in /proc/sys/net/ipv6/conf/*/{accept_ra,autoconf}; do
        [[ ! -e $file ]] || echo 1 >"$file"
    done
}

# this host ── eth0 ── internet
connect_internet() {
    ip -batch - <<'IP'
link set lo up
netns add internet
link add eth0 type veth peer name eth0 netns internet
address add 192.0.2.2/24 dev eth0
link set eth0 up
IP
    nsenter --net=/run/netns/internet bash -c "$(declare -f begin_as_known_network)"'
        begin_as_known_network'
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
