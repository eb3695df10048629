#![forbid(unsafe_code)]
//! Claims of step 08, judged from outside: by what the kernel shows of the
//! network, and by who reaches whom. A test enters a network namespace with one
//! of its threads, and does there what a program of the container could do.
//!
//! All of it happens in the playground, or in the lab, whose "internet" is a
//! network namespace. No packet leaves the machine.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener,
    TcpStream, UdpSocket,
};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net as unix;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, socket,
};
use nix::unistd::Pid;
use testbed::host::Host;
use testbed::{Running, Step, eventually, needs, proc, skip, token};

const STEP: &str = "08-networking";
const BELOW: &str = "04-mount-namespace";
const BRIDGE: &str = "workshop0";
const HOST: &str = "/proc/self/ns/net";
const INTERNET: &str = "/run/netns/internet";
/// The pretend host's own address, as the internet sees it.
const HOST_ADDRESS: &str = "192.0.2.2";
const INTERNET_ADDRESS: &str = "203.0.113.10";
/// An address in a network for which this host would have to be the router.
const NEIGHBOUR: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 80);
/// How long to wait for what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to knock where nobody may open. That it was long enough is seen by
/// what has arrived.
const SHORT: Duration = Duration::from_millis(300);

testbed::main!(
    its_network_namespace_is_new,
    with_host_it_has_the_hosts_and_with_none_a_loopback,
    its_devices_are_up_and_its_way_out_is_the_bridge,
    the_internet_sees_the_hosts_address,
    forged_addresses_do_not_get_out,
    containers_reach_each_other,
    a_published_port_answers_at_every_address_of_the_host,
    containers_reach_a_published_port_by_the_hosts_address,
    a_published_udp_port_answers_too,
    a_port_published_at_one_address_is_closed_at_the_others,
    a_port_that_is_not_published_is_closed_to_the_outside,
    a_host_that_forwards_for_others_goes_on_and_opens_no_port,
    a_host_that_begins_to_forward_meanwhile_goes_on_after_us,
    the_hosts_services_are_closed_to_containers,
    the_hosts_loopback_is_closed_to_packets_for_127_0_0_1,
    there_is_no_way_in_by_ipv6,
    the_host_answers_a_containers_ping_and_no_other_question,
    no_device_is_on_before_the_rules_are_in_force,
    it_all_holds_on_a_host_with_company,
    attacks_that_work_below_fail_here,
    names_are_known_inside,
    the_hosts_resolv_conf_may_be_of_any_kind,
    sixty_four_at_once_have_sixty_four_addresses,
    two_hundred_one_after_the_other_leave_nothing,
    the_last_one_out_takes_everything_away,
    a_runtime_killed_at_any_call_leaves_nothing_after_the_next_run,
    the_port_of_a_killed_container_is_closed_by_the_next_one,
    a_network_of_the_hosts_is_avoided,
    a_host_that_knows_every_private_network_is_told,
    a_port_that_is_taken_is_told_before_the_start,
    a_port_that_is_free_in_a_moment_is_waited_for,
    a_client_that_comes_too_early_is_sent_away,
    more_ports_than_can_be_noted_are_refused,
    bad_input_is_told_in_one_line,
    a_host_that_drops_what_it_forwards_is_noted,
    a_host_that_drops_by_iptables_legacy_is_noted,
    rules_that_others_flush_are_there_for_the_next_one,
    every_way_out_of_the_host_is_one_for_containers,
    a_way_out_that_is_gone_or_comes_later_is_found_out,
    a_way_out_that_can_not_be_noted_stays_closed_and_is_told,
    a_network_in_any_table_is_avoided,
    a_rule_that_leads_elsewhere_is_told,
    the_networks_lock_is_not_everybodys,
    a_lock_that_is_not_given_back_is_waited_for_with_a_word_and_a_bound,
    a_name_that_somebody_took_keeps_nobody_out,
    a_file_that_is_named_wins_over_one_that_is_made,
    an_image_whose_resolv_conf_leads_nowhere_works,
    an_ordinary_user_has_pasta_or_is_told_why_not,
    pasta_leads_to_the_internet,
    pasta_publishes_a_port,
    a_udp_port_of_pasta_answers_or_it_is_told,
);

fn its_network_namespace_is_new() {
    needs_a_pretended_internet();
    let container = start(&[]);
    assert_ne!(
        proc::namespace(container.pid(), "net"),
        proc::own_namespace("net")
    );
}

fn with_host_it_has_the_hosts_and_with_none_a_loopback() {
    needs_a_pretended_internet();
    let host = start(&["--network", "host"]);
    assert_eq!(proc::namespace(host.pid(), "net"), proc::own_namespace("net"));
    let none = start(&["--network", "none"]);
    assert_eq!(devices(&network(&none)), devices_of_a_new_namespace());
    assert!(
        ip(&network(&none), &["-br", "link", "show", "up"]).contains("lo ")
    );
    assert_eq!(ip(HOST, &["-br", "link", "show", "type", "bridge"]), "");
}

fn its_devices_are_up_and_its_way_out_is_the_bridge() {
    needs_a_pretended_internet();
    let container = start(&[]);
    let inside = network(&container);
    let mut expected = devices_of_a_new_namespace();
    expected.insert("eth0".into());
    assert_eq!(devices(&inside), expected);
    let up = ip(&inside, &["-br", "link", "show", "up"]);
    assert!(up.contains("lo ") && up.contains("eth0@"), "{up}");
    let address = address(&container);
    let bridge = bridge_address();
    assert_eq!(
        address.octets()[..3],
        bridge.octets()[..3],
        "one network for both"
    );
    let route = ip(&inside, &["route", "show", "default"]);
    assert_eq!(route.trim(), format!("default via {bridge} dev eth0"));
}

fn the_internet_sees_the_hosts_address() {
    needs_a_pretended_internet();
    let container = start(&[]);
    let server = serve(INTERNET, INTERNET_ADDRESS);
    let seen = ask_from(&network(&container), server.address).unwrap();
    assert_eq!(seen, HOST_ADDRESS);
    assert_ne!(seen, address(&container).to_string());
}

/// Answers would go to somebody else. An honest packet takes the same way, and
/// was sent later: when it is there, the forged one would be.
fn forged_addresses_do_not_get_out() {
    needs_a_pretended_internet();
    let container = start(&[]);
    let inside = network(&container);
    let forged = "203.0.113.77";
    ip(&inside, &["address", "add", &format!("{forged}/32"), "dev", "eth0"]);
    let on_port_9 = "udp dport 9";
    let sees = [
        Counter::new(
            INTERNET,
            "prerouting",
            &format!("ip saddr {forged} {on_port_9}"),
        ),
        Counter::new(
            INTERNET,
            "prerouting",
            &format!("ip saddr {HOST_ADDRESS} {on_port_9}"),
        ),
    ];
    let host_sees = Counter::new(
        HOST,
        "prerouting",
        &format!("ip saddr {forged} {on_port_9}"),
    );
    let from = |source: &str| {
        let socket = in_network(&inside, || UdpSocket::bind((source, 0)));
        let _ = socket.unwrap().send_to(b"hello", (INTERNET_ADDRESS, 9));
    };
    let own = address(&container).to_string();
    eventually("a packet with a true address comes out", || {
        from(forged);
        from(&own);
        (host_sees.packets() > 0 && sees[1].packets() > 0).then_some(())
    });
    assert_eq!(sees[0].packets(), 0, "forged packets come out");
}

fn containers_reach_each_other() {
    needs_a_pretended_internet();
    let (one, other) = (start(&[]), start(&[]));
    let server = serve(&network(&other), "0.0.0.0");
    let at = SocketAddr::new(address(&other).into(), server.port());
    let seen = ask_from(&network(&one), at).unwrap();
    assert_eq!(seen, address(&one).to_string());
}

fn a_published_port_answers_at_every_address_of_the_host() {
    needs_a_pretended_internet();
    let port = free_port();
    let container = start(&["-p", &format!("{port}:80")]);
    let _server = serve_at(&network(&container), "0.0.0.0:80");
    let at = |address: IpAddr| SocketAddr::new(address, port);
    let addresses: [IpAddr; 3] = [
        Ipv4Addr::LOCALHOST.into(),
        HOST_ADDRESS.parse().unwrap(),
        bridge_address().into(),
    ];
    for address in addresses {
        ask_from(HOST, at(address)).expect("from the host");
    }
    let outer = at(HOST_ADDRESS.parse().unwrap());
    // A visitor's address stays what it is: the container knows who comes.
    let seen = ask_from(INTERNET, outer).expect("from the internet");
    assert_eq!(seen, "192.0.2.1");
}

/// The container sees a neighbour, and would answer it directly: with its own
/// address, while the neighbour waits for the host's. Where docker has loaded
/// br_netfilter, the bridge translates, too, and hides it. What a container sends
/// to itself that way must go back to where it came from, which no switch does
/// unasked.
fn containers_reach_a_published_port_by_the_hosts_address() {
    needs_a_pretended_internet();
    let switch = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    let before = fs::read_to_string(switch).ok();
    let port = free_port();
    let container = start(&["-p", &format!("{port}:80")]);
    let neighbour = start(&[]);
    let _server = serve_at(&network(&container), "0.0.0.0:80");
    let outer = SocketAddr::new(HOST_ADDRESS.parse().unwrap(), port);
    for value in before.iter().flat_map(|_| ["1", "0"]) {
        fs::write(switch, value).unwrap();
        let answers = [&neighbour, &container]
            .map(|asking| ask_from(&network(asking), outer));
        fs::write(switch, before.as_deref().unwrap()).unwrap();
        for answer in answers {
            answer.unwrap_or_else(|e| panic!("br_netfilter {value}: {e}"));
        }
    }
    ask_from(&network(&neighbour), outer).expect("from a neighbour");
    ask_from(&network(&container), outer).expect("from itself");
}

fn a_published_udp_port_answers_too() {
    needs_a_pretended_internet();
    let port = free_port();
    let container = start(&["-p", &format!("{port}:5353/udp")]);
    let word = token();
    let echo = in_network(&network(&container), || {
        UdpSocket::bind("0.0.0.0:5353").unwrap()
    });
    let answer = word.clone();
    echo.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, from)) = echo.recv_from(&mut room) {
            let _ = echo.send_to(answer.as_bytes(), from);
        }
    });
    for address in ["127.0.0.1", HOST_ADDRESS] {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect((address, port)).unwrap();
        socket.send(b"hello").unwrap();
        let mut room = [0; 64];
        let length = socket.recv(&mut room).expect(address);
        assert_eq!(room[..length], *word.as_bytes());
    }
    let tcp = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    refused(HOST, tcp); // udp was asked for
}

fn a_port_published_at_one_address_is_closed_at_the_others() {
    needs_a_pretended_internet();
    let port = free_port();
    let container = start(&["-p", &format!("127.0.0.1:{port}:80")]);
    let _server = serve_at(&network(&container), "0.0.0.0:80");
    let at = |address: &str| SocketAddr::new(address.parse().unwrap(), port);
    ask_from(HOST, at("127.0.0.1")).unwrap();
    refused(HOST, at(HOST_ADDRESS));
    refused(INTERNET, at(HOST_ADDRESS));
}

/// The internet knows the way to the containers, and to another network behind
/// this host.
fn a_port_that_is_not_published_is_closed_to_the_outside() {
    needs_a_pretended_internet();
    let container = start(&["-p", &format!("{}:81", free_port())]);
    let server = serve(&network(&container), "0.0.0.0");
    let direct = SocketAddr::new(address(&container).into(), server.port());
    ask_from(HOST, direct).expect("the host itself is let through");
    let ways = [NEIGHBOUR, direct].map(|it| format!("{}/32", it.ip()));
    for way in &ways {
        ip(INTERNET, &["route", "replace", way, "via", HOST_ADDRESS]);
    }
    turned_away(INTERNET, direct);
    // The host is no router for its neighbours, unless it was one before.
    match forwards_for_all() {
        true => passed_on(INTERNET, NEIGHBOUR),
        false => turned_away(INTERNET, NEIGHBOUR),
    }
    for way in &ways {
        ip(INTERNET, &["route", "del", way]);
    }
}

fn a_host_that_forwards_for_others_goes_on_and_opens_no_port() {
    needs_a_pretended_internet();
    let _back = Setting::change(FORWARD_ALL, "1");
    a_port_that_is_not_published_is_closed_to_the_outside();
    needs_a_pretended_internet(); // until it is gone
    assert!(forwards_for_all(), "switched off");
}

/// Docker is started while a container runs: the switches are no longer ours.
fn a_host_that_begins_to_forward_meanwhile_goes_on_after_us() {
    needs_a_pretended_internet();
    let first = start(&[]);
    let _back = Setting::change(FORWARD_ALL, "1");
    let second = start(&[]);
    let way = format!("{}/32", NEIGHBOUR.ip());
    ip(INTERNET, &["route", "replace", &way, "via", HOST_ADDRESS]);
    passed_on(INTERNET, NEIGHBOUR);
    ip(INTERNET, &["route", "del", &way]);
    drop([first, second].map(Running::finish));
    needs_a_pretended_internet(); // until the bridge is gone
    let eth0 = fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/forwarding");
    assert!(forwards_for_all() && eth0.unwrap() == "1\n", "switched off");
}

fn the_hosts_services_are_closed_to_containers() {
    needs_a_pretended_internet();
    let container = start(&[]);
    let service = serve(HOST, "0.0.0.0");
    let addresses = [
        "127.0.0.1".to_owned(),
        HOST_ADDRESS.to_owned(),
        bridge_address().to_string(),
    ];
    for address in addresses {
        let at = SocketAddr::new(address.parse().unwrap(), service.port());
        ask_from(HOST, at).expect("the service is there");
        match at.ip().is_loopback() {
            true => refused(&network(&container), at),
            false => turned_away(&network(&container), at),
        }
    }
}

/// For published ports at 127.0.0.1 the bridge takes packets with that address.
/// A container that sends them on the wire must not find the host's loopback
/// (CVE-2020-8558 was just that).
fn the_hosts_loopback_is_closed_to_packets_for_127_0_0_1() {
    needs_a_pretended_internet();
    let container = start(&["-p", &format!("{}:80", free_port())]);
    let inside = network(&container);
    let service = serve(HOST, "127.0.0.1");
    let bridge = bridge_address().to_string();
    // As root of the container can: /proc/sys/net is that of who looks.
    let switch = "/proc/sys/net/ipv4/conf/eth0/route_localnet";
    in_network(&inside, || fs::write(switch, "1")).expect(switch);
    ip(&inside, &["address", "del", "127.0.0.1/8", "dev", "lo"]);
    ip(&inside, &["route", "add", "127.0.0.1", "via", &bridge, "dev", "eth0"]);
    turned_away(&inside, service.address);
}

fn there_is_no_way_in_by_ipv6() {
    needs_a_pretended_internet();
    let container = start(&[]);
    let service = TcpListener::bind("[::]:0").expect("IPv6 on the host");
    let port = service.local_addr().unwrap().port();
    // The address that the bridge would have, made from its hardware address.
    let mac = ip(HOST, &["-br", "link", "show", BRIDGE]);
    let mac = mac.split_whitespace().nth(2).expect("a hardware address");
    let mac: Vec<_> = mac
        .split(':')
        .map(|byte| u16::from_str_radix(byte, 16).unwrap())
        .collect();
    let would_be = Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        (mac[0] ^ 2) << 8 | mac[1],
        mac[2] << 8 | 0xff,
        0xfe00 | mac[3],
        mac[4] << 8 | mac[5],
    );
    let inside = network(&container);
    let device = ip(&inside, &["-o", "link", "show", "eth0"]);
    let device = device.split(':').next().unwrap().parse().unwrap();
    eventually("a link-local address inside", || {
        let own = ip(&inside, &["-6", "address", "show", "dev", "eth0"]);
        (own.contains("fe80") && !own.contains("tentative")).then_some(())
    });
    // The devices are on, and the kernel has done what it does for one.
    eventually("devices that are on", || {
        let on = |link: String| link.matches(" UP ").count() == 2;
        let workshop = ip(HOST, &["-br", "link"]);
        let workshop = workshop.lines().filter(|it| it.contains("workshop"));
        on(workshop.collect::<Vec<_>>().join("\n")).then_some(())
    });
    let known = fs::read_to_string("/proc/net/if_inet6").unwrap();
    assert!(known.contains("eth0"), "the host has IPv6 elsewhere: {known}");
    assert!(!known.contains("workshop"), "{known}");
    // Three times the kernel asks who has this address, and nobody answers.
    let at = SocketAddrV6::new(would_be, port, 0, device);
    eventually("the kernel's verdict that nobody has this address", || {
        let reached = in_network(&inside, || {
            TcpStream::connect_timeout(&at.into(), SHORT).is_ok()
        });
        assert!(!reached, "{at} answers");
        let who = ["-6", "neigh", "show", "to", &would_be.to_string()];
        ip(&inside, &who).contains("FAILED").then_some(())
    });
}

/// What is no question is asked first: if it had an answer, that came first.
fn the_host_answers_a_containers_ping_and_no_other_question() {
    const TIMESTAMP: u8 = 13;
    const ECHO: u8 = 8;
    needs_a_pretended_internet();
    let container = start(&[]);
    let bridge = bridge_address();
    let socket: UdpSocket = in_network(&network(&container), || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::Icmp;
        let raw = socket(AddressFamily::Inet, SockType::Raw, flags, protocol);
        raw.expect("a raw socket").into()
    });
    socket.connect((bridge, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    for kind in [TIMESTAMP, ECHO] {
        let mut question = [0; 20];
        question[0] = kind;
        // Its sum of 16-bit words is all ones (RFC 1071).
        question[2] = !kind;
        question[3] = 0xff;
        socket.send(&question).unwrap();
    }
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).expect("an answer to a ping");
    // After the header of IP: 0 is the answer to an echo request.
    assert_eq!(answer[..length].get(20), Some(&0), "{answer:?}");
}

fn no_device_is_on_before_the_rules_are_in_force() {
    needs_a_pretended_internet();
    let step = Step::telling_all(STEP).args(["--pause", "--", "true"]);
    let mut terminal = step.on_terminal();
    let mut calls = (0, 0);
    while terminal.shows_or_ends("⏎").is_some() {
        let up = ip(HOST, &["-br", "link", "show", "up"]);
        let forwarding = [BRIDGE, "eth0"].map(|device| {
            let switch = format!("/proc/sys/net/ipv4/conf/{device}/forwarding");
            fs::read_to_string(switch).is_ok_and(|it| it.trim() == "1")
        });
        let is_open = up.contains("workshop") || forwarding.contains(&true);
        match rules().contains("hook forward") {
            true => calls.1 += usize::from(is_open),
            false => {
                calls.0 += 1;
                assert!(!is_open, "{forwarding:?} {up}");
            }
        }
        terminal.types("\n");
    }
    assert_eq!(terminal.finish().0, 0);
    assert!(calls.0 > 5 && calls.1 > 2, "{calls:?}");
}

/// Docker with its rules, a second uplink, and a host that forwards. It is told
/// what the note advises: without, docker's rules drop all that is forwarded.
fn it_all_holds_on_a_host_with_company() {
    needs::real_processor();
    needs_a_pretended_internet();
    let company = Company::arrives();
    for direction in ["iifname", "oifname"] {
        let rule = ["add", "rule", "ip", "filter", "DOCKER-USER"];
        nft(HOST, &[&rule[..], &[direction, BRIDGE, "accept"]].concat());
    }
    let before = nft(HOST, &["list", "ruleset"]);
    let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    let is_there = fs::exists(switch).unwrap_or(false);
    let _back = is_there.then(|| Setting::change(switch, "1"));
    for claim in [
        its_devices_are_up_and_its_way_out_is_the_bridge,
        the_internet_sees_the_hosts_address,
        forged_addresses_do_not_get_out,
        containers_reach_each_other,
        a_published_port_answers_at_every_address_of_the_host,
        a_published_udp_port_answers_too,
        a_port_published_at_one_address_is_closed_at_the_others,
        the_hosts_services_are_closed_to_containers,
        the_hosts_loopback_is_closed_to_packets_for_127_0_0_1,
        the_last_one_out_takes_everything_away,
    ] {
        claim();
    }
    needs_a_pretended_internet(); // until it is gone
    assert_eq!(nft(HOST, &["list", "ruleset"]), before);
    assert!(forwards_for_all(), "switched off");
    drop(company);
}

/// An attack counts if it works below. 0: it worked; 1: it was stopped.
fn attacks_that_work_below_fail_here() {
    needs::real_processor();
    needs_a_pretended_internet();
    let server = serve(HOST, "0.0.0.0");
    let service = server.port().to_string();
    let name = token();
    let address = unix::SocketAddr::from_abstract_name(&name).unwrap();
    let listener = unix::UnixListener::bind_addr(&address).unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let _ = (&connection).write_all(b"hello\n");
        }
    });
    let own = HOST_ADDRESS.to_owned();
    let attacks = [
        vec!["host-loopback".to_owned(), service.clone()],
        vec!["abstract-socket".into(), name],
        vec!["bridge-service".into(), service, own],
    ];
    for attack in attacks {
        let status = |step: &str, options: &[&str]| {
            let step = Step::new(step).args(options);
            let step = step.args(["--", "attack"]).args(&attack);
            step.output().status.code()
        };
        assert_eq!(status(BELOW, &[]), Some(0), "{attack:?} works below");
        assert_eq!(status(STEP, &[]), Some(1), "{attack:?} is stopped");
        let host = ["--network", "host"];
        assert_eq!(status(STEP, &host), Some(0), "{attack:?} with host");
    }
    for (step, works) in [(BELOW, true), (STEP, false)] {
        let (port, word) = (free_port(), token());
        let attack =
            ["--", "attack", "bind-port", &port.to_string(), &word, "1"];
        let running = Step::new(step).args(attack).start();
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let answer = (0..50).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            ask_from(HOST, at).ok()
        });
        assert_eq!(answer.is_some_and(|a| a == word), works, "bind in {step}");
        drop(running);
    }
}

fn names_are_known_inside() {
    needs_a_pretended_internet();
    let name = token();
    let step = Step::new(STEP).args(["--hostname", &name]);
    let script = "while read l; do echo \"$l\"; done </etc/hosts; \
                  while read l; do echo \"$l\"; done </etc/resolv.conf";
    let files = step.sh(script).stdout();
    assert!(files.contains("127.0.0.1 localhost"), "{files}");
    let own = files.lines().find_map(|line| line.strip_suffix(&name));
    let own: Ipv4Addr = own.expect("our name").trim().parse().unwrap();
    assert!(own.is_private(), "{own}");
    for line in files.lines() {
        assert!(!line.starts_with("nameserver 127."), "{line}");
    }
    let host = fs::read_to_string("/etc/hosts").unwrap();
    assert!(!host.contains(&name), "the host's file is its own");
}

fn the_hosts_resolv_conf_may_be_of_any_kind() {
    needs::playground(); // elsewhere these files are in use
    needs_a_pretended_internet();
    let (place, systemds) = ("/etc/resolv.conf", "/run/systemd/resolve");
    let _back = Setting::change(place, "");
    let inside = || {
        let script = "while read l; do echo \"$l\"; done </etc/resolv.conf";
        Step::new(STEP).sh(script).output()
    };
    let kinds: [(&[u8], &str); 9] = [
        (b"", ""),
        (b"nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", ""),
        (b"nameserver ::1\n", ""),
        (
            b"nameserver fe80::1%eth0\nnameserver 192.0.2.53\n",
            "nameserver 192.0.2.53\n",
        ),
        (b"nameserver\t192.0.2.53   # eth0:v4\n", "nameserver 192.0.2.53\n"),
        (b"# Stra\xdfe\nnameserver 192.0.2.53\n", "nameserver 192.0.2.53\n"),
        (
            b"search a.example b.example\r\nnameserver 192.0.2.53\r\n",
            "search a.example b.example\nnameserver 192.0.2.53\n",
        ),
        (
            b"nameserver 0.0.0.0\nnameserver 192.0.2.53",
            "nameserver 192.0.2.53\n",
        ),
        (
            b"domain example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n",
            "domain example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n",
        ),
    ];
    for (kind, expected) in kinds {
        fs::write(place, kind).unwrap();
        let told = String::from_utf8_lossy(&inside().stdout).into_owned();
        match expected {
            "" => assert!(
                told.starts_with('#') && told.lines().count() == 1,
                "{told}"
            ),
            _ => assert_eq!(told, expected),
        }
    }
    // Nothing, a link that leads nowhere, and one to systemd-resolved's.
    let stub = format!("{systemds}/stub-resolv.conf");
    fs::remove_file(place).unwrap();
    let nothing = inside();
    symlink(&stub, place).unwrap();
    let nowhere = inside();
    fs::create_dir_all(systemds).unwrap();
    fs::write(&stub, kinds[1].0).unwrap();
    let its_own = format!("{systemds}/resolv.conf");
    fs::write(its_own, "nameserver 192.0.2.55\n").unwrap();
    let systemd = inside();
    fs::remove_dir_all(systemds).unwrap();
    fs::remove_file(place).unwrap(); // else its target would be written
    assert!(nothing.status.success(), "{nothing:?}");
    assert!(nowhere.status.success(), "{nowhere:?}");
    assert_eq!(systemd.stdout, b"nameserver 192.0.2.55\n");
}

fn sixty_four_at_once_have_sixty_four_addresses() {
    needs::real_processor();
    needs_a_pretended_internet();
    let before = host();
    let starting: Vec<_> = (0..64)
        .map(|_| Step::new(STEP).sh("echo ready; read line").start())
        .collect();
    let running: Vec<_> = starting
        .into_iter()
        .map(|mut container| {
            assert_eq!(container.line(), "ready");
            container
        })
        .collect();
    let addresses: BTreeSet<_> = running.iter().map(address).collect();
    assert_eq!(addresses.len(), 64, "{addresses:?}");
    for container in running {
        assert_eq!(container.finish().0, 1, "read met the end of its input");
    }
    becomes(&before);
}

fn two_hundred_one_after_the_other_leave_nothing() {
    needs::real_processor();
    needs_a_pretended_internet();
    let before = host();
    // The first one makes a root directory, which is to stay.
    let first = Step::new(STEP).sh("true").output();
    assert!(first.status.success(), "{first:?}");
    becomes(&before);
    let all = Host::now();
    for number in 0..200 {
        let container = Step::new(STEP).sh("exit 7").output();
        assert_eq!(container.status.code(), Some(7), "{number}: {container:?}");
    }
    becomes(&before);
    all.assert_nothing_new();
}

fn the_last_one_out_takes_everything_away() {
    needs_a_pretended_internet();
    let before = host();
    let port = free_port();
    let (one, other) = (start(&["-p", &format!("{port}:80")]), start(&[]));
    assert!(rules().contains(&format!("dport {port} ")));
    assert_eq!(one.finish().0, 1);
    eventually("its rule is gone", || {
        (!rules().contains(&format!("dport {port} "))).then_some(())
    });
    thread::sleep(SHORT);
    assert!(ip(HOST, &["-br", "link"]).contains(BRIDGE), "one is still in");
    assert_eq!(other.finish().0, 1);
    becomes(&before);
}

/// A line is told before its call is made. We kill when we have read it. Where
/// the processor is emulated, only after some of them.
fn a_runtime_killed_at_any_call_leaves_nothing_after_the_next_run() {
    needs_a_pretended_internet();
    let before = host();
    let port = format!("{}:80", free_port());
    let begin = |calls: usize| {
        let mut step =
            Step::telling_all(STEP).args(["-p", &port, "--", "/bin/sh"]);
        let command = step.command().stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let runtime = command.spawn().expect("start the step");
        let Limit { child: runtime, .. } = &mut Limit::over(runtime);
        let told = BufReader::new(runtime.stderr.take().unwrap()).lines();
        let told = told.map_while(Result::ok);
        // What goes on below belongs to the same call.
        let begun = told.filter(|line| !line.starts_with("        "));
        let lines: Vec<_> = begun.take(calls).collect();
        runtime.kill().unwrap();
        runtime.wait().unwrap();
        lines
    };
    let mut calls = 1;
    loop {
        let lines = begin(calls);
        let last = lines.last().expect("a line").clone();
        let is_begun =
            |line: &String| line.contains("execve(") && !line.contains("nft");
        // The port is free again at once, for the next run.
        let next = Step::new(STEP).args(["-p", &port]).sh("exit 7").output();
        assert_eq!(next.status.code(), Some(7), "after {last}: {next:?}");
        if lines.iter().any(is_begun) {
            break;
        }
        if calls % 8 == 7 {
            becomes(&before);
        }
        calls += needs::stride();
    }
    assert!(calls > 20, "{calls}");
    becomes(&before);
}

fn the_port_of_a_killed_container_is_closed_by_the_next_one() {
    needs_a_pretended_internet();
    let before = host();
    let port = free_port();
    let killed = start(&["-p", &format!("{port}:80")]);
    let first = killed.pid();
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.finish().0, 137);
    testbed::host::assert_gone(first);
    let next = start(&[]);
    eventually("the killed one's cable is gone", || {
        let cables = ip(HOST, &["-br", "link", "show", "type", "veth"]);
        (cables.matches("workshop-").count() == 1).then_some(())
    });
    drop(start(&[]));
    eventually("the stale rule is gone", || {
        (!rules().contains(&format!("dport {port} "))).then_some(())
    });
    drop(next);
    drop(start(&[]).finish());
    becomes(&before);
}

fn a_network_of_the_hosts_is_avoided() {
    needs_a_pretended_internet();
    ip(HOST, &["route", "add", "10.0.0.0/8", "via", "192.0.2.1"]);
    let container = start(&[]);
    let own = address(&container);
    drop(container.finish());
    ip(HOST, &["route", "del", "10.0.0.0/8"]);
    assert_eq!(own.octets()[..3], [172, 29, 0]);
}

fn a_host_that_knows_every_private_network_is_told() {
    needs_a_pretended_internet();
    let before = host();
    let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    for network in all {
        ip(HOST, &["route", "add", network, "via", "192.0.2.1"]);
    }
    let output = Step::new(STEP).sh("echo started").output();
    for network in all {
        ip(HOST, &["route", "del", network]);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("no private /24 network is free"), "{told}");
    assert!(output.stdout.is_empty());
    becomes(&before);
}

/// Whoever is killed holds a port until the last of its processes is gone.
fn a_port_that_is_free_in_a_moment_is_waited_for() {
    needs_a_pretended_internet();
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let udp = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let held: [(&str, OwnedFd); 2] = [("tcp", tcp.into()), ("udp", udp.into())];
    for (protocol, socket) in held {
        let option = format!("{port}:80/{protocol}");
        let mut step =
            Step::telling_all(STEP).args(["-p", &option]).sh("exit 7");
        step.command().stderr(Stdio::piped());
        let runtime = step.command().spawn().expect("start the step");
        let Limit { child: runtime, .. } = &mut Limit::over(runtime);
        let told = BufReader::new(runtime.stderr.take().unwrap()).lines();
        let mut told = told.map_while(Result::ok);
        // A call is told before it is made.
        let call = format!("bind(0.0.0.0:{port}");
        assert!(told.any(|line| line.contains(&call)), "{call}");
        thread::sleep(SHORT / 3);
        drop(socket);
        let rest: Vec<_> = told.collect();
        assert_eq!(runtime.wait().unwrap().code(), Some(7), "{rest:#?}");
    }
}

fn a_port_that_is_taken_is_told_before_the_start() {
    needs_a_pretended_internet();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = (tcp.local_addr().unwrap().port(), "tcp", tcp);
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let udp = (udp.local_addr().unwrap().port(), "udp", udp);
    for (port, protocol) in [(tcp.0, tcp.1), (udp.0, udp.1)] {
        let option = format!("{port}:80/{protocol}");
        let step = Step::new(STEP).args(["-p", &option]);
        let output = step.sh("echo started").output();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert!(told.contains(&format!("port {port} is taken")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(output.stdout.is_empty());
    }
    let port = free_port();
    let option = format!("{port}:80");
    let first = start(&["-p", &option]);
    let second = Step::new(STEP).args(["-p", &option]).sh("exit").output();
    assert_eq!(second.status.code(), Some(125), "{second:?}");
    drop(first);
}

/// Inside nobody listens. So who is let in came before the rules, to the socket
/// that keeps the port: some milliseconds, which not every client meets.
fn a_client_that_comes_too_early_is_sent_away() {
    needs_a_pretended_internet();
    for _ in 0..20 {
        let port = free_port();
        let is_up = AtomicBool::new(false);
        let early = thread::scope(|scope| {
            let client = scope.spawn(|| {
                while !is_up.load(Relaxed) {
                    let connected = TcpStream::connect(("127.0.0.1", port));
                    if connected.is_ok() {
                        return connected.ok();
                    }
                }
                None
            });
            let container = start(&["-p", &format!("{port}:80")]);
            is_up.store(true, Relaxed);
            client.join().unwrap().map(|client| (client, container))
        });
        let Some((mut client, _container)) = early else { continue };
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        match client.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("it is left waiting: {other:?}"),
        }
        return;
    }
    panic!("no client came too early");
}

fn more_ports_than_can_be_noted_are_refused() {
    needs_a_pretended_internet();
    let before = host();
    let ports = (20000..20040)
        .flat_map(|port| ["-p".to_owned(), format!("127.0.0.1:{port}:80/udp")]);
    let output = Step::new(STEP).args(ports).sh("echo started").output();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("too many published ports"), "{told}");
    becomes(&before);
}

fn a_host_that_drops_what_it_forwards_is_noted() {
    needs_a_pretended_internet();
    let table = "table ip other { chain FORWARD { type filter hook forward \
                 priority filter; policy drop; }; }";
    nft(HOST, &[table]);
    let output = Step::telling_all(STEP).sh("exit").output();
    nft(HOST, &["delete table ip other"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("chain FORWARD of table ip other drops"), "{told}");
}

/// The kernel keeps its rules apart. Here they are written as iptables(8) does.
fn a_host_that_drops_by_iptables_legacy_is_noted() {
    needs_a_pretended_internet();
    needs::command("perl");
    let is_told = || {
        let output = Step::telling_all(STEP).sh("exit").output();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        told.contains("chain FORWARD of iptables-legacy drops")
    };
    assert!(!is_told(), "nobody drops");
    let set = |policy: i32| {
        let set = Command::new("perl")
            .args(["-e", LEGACY_POLICY, "--", &policy.to_string()])
            .output()
            .expect("run perl");
        match set.status.code() {
            Some(0) => {}
            Some(77) => skip("needs a kernel with iptables-legacy"),
            _ => panic!("{set:?}"),
        }
    };
    let (drop, accept) = (-1, -2);
    set(drop);
    let dropping = is_told();
    set(accept);
    assert!(dropping, "it drops");
    assert!(!is_told(), "it accepts again");
}

/// IPT_SO_SET_REPLACE (64 of level 0): three chains of a policy each, FORWARD's
/// as asked for.
const LEGACY_POLICY: &str = r#"
    socket(S, 2, 3, 255) or exit 77;
    my $rule = sub { pack("x88 S S x20", 112, $_[0]) };
    my $policy = sub { $rule->(152) . pack("S x29 C l x4", 40, 0, $_[0]) };
    my $error = $rule->(176) . pack("S a29 C a30 x2", 64, "ERROR", 0, "ERROR");
    my $rules = $policy->(-2) . $policy->($ARGV[0]) . $policy->(-2) . $error;
    my $room = "\0" x 4096;
    my $chains = pack("L5 L5", 0, 0, 152, 304, 0, 0, 0, 152, 304, 0);
    my $head = pack("a32 L L L", "filter", 14, 4, length $rules) . $chains;
    my $old = pack("L P", 4, $room);
    setsockopt(S, 0, 64, $head . $old . $rules) and exit 0;
    print STDERR $!; exit($!{ENOPROTOOPT} || $!{ENOENT} ? 77 : 1);
"#;

/// A firewall's reload flushes all rules, whoever made them.
fn rules_that_others_flush_are_there_for_the_next_one() {
    needs_a_pretended_internet();
    let port = free_port();
    let first = start(&["-p", &format!("{port}:80")]);
    let _server = serve_at(&network(&first), "0.0.0.0:80");
    nft(HOST, &["flush", "ruleset"]);
    let second = start(&[]);
    let service = serve(HOST, "0.0.0.0");
    let at = SocketAddr::new(bridge_address().into(), service.port());
    for container in [&first, &second] {
        turned_away(&network(container), at);
    }
    let outer = SocketAddr::new(HOST_ADDRESS.parse().unwrap(), port);
    ask_from(INTERNET, outer).expect("the published port is there again");
}

/// Another network beside the internet, with a way to it.
struct Beside {
    end: Running,
}

impl Beside {
    const HOSTS: &str = "198.51.100.2";
    const THEIRS: &str = "198.51.100.1";

    /// A second card, in a network of its own.
    fn comes() -> Beside {
        let end = start(&["--network", "none"]);
        let pid = end.pid().to_string();
        let peer = ["peer", "name", "eth9", "netns", &pid];
        ip(
            HOST,
            &[&["link", "add", "up0", "type", "veth"], &peer[..]].concat(),
        );
        let own = format!("{}/24", Beside::THEIRS);
        let beside = Beside { end };
        ip(&beside.network(), &["address", "add", &own, "dev", "eth9"]);
        ip(&beside.network(), &["link", "set", "eth9", "up"]);
        ip(HOST, &["link", "set", "up0", "up"]);
        beside
    }

    fn with_an_address() -> Beside {
        let beside = Beside::comes();
        let own = format!("{}/24", Beside::HOSTS);
        ip(HOST, &["address", "add", &own, "dev", "up0"]);
        beside
    }

    fn network(&self) -> String {
        network(&self.end)
    }

    fn forwards(&self) -> bool {
        let switch = "/proc/sys/net/ipv4/conf/up0/forwarding";
        fs::read_to_string(switch).unwrap().trim() == "1"
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", "up0"]).status();
    }
}

/// Not the default route's alone: a second card, a VPN's half routes, a table
/// that a rule looks up.
fn every_way_out_of_the_host_is_one_for_containers() {
    needs_a_pretended_internet();
    let beside = Beside::with_an_address();
    let server = serve(&beside.network(), Beside::THEIRS);
    let port = free_port();
    for route in [&[][..], &["0.0.0.0/1"], &["0.0.0.0/0", "table", "52"]] {
        if let [to, table @ ..] = route {
            let way = ["route", "add", to, "via", Beside::THEIRS];
            ip(HOST, &[&way[..], &["dev", "up0"], table].concat());
        }
        let container = start(&["-p", &format!("{port}:80")]);
        let _server = serve_at(&network(&container), "0.0.0.0:80");
        let seen = ask_from(&network(&container), server.address);
        assert_eq!(seen.expect("out"), Beside::HOSTS, "{route:?}");
        let outer = SocketAddr::new(Beside::HOSTS.parse().unwrap(), port);
        ask_from(&beside.network(), outer).expect("in");
        // The host is no router between the two.
        let mut neighbour = NEIGHBOUR;
        neighbour.set_ip(INTERNET_ADDRESS.parse().unwrap());
        let way = ["route", "replace", INTERNET_ADDRESS, "via", Beside::HOSTS];
        ip(&beside.network(), &way);
        turned_away(&beside.network(), neighbour);
        assert!(beside.forwards(), "for containers");
        drop(container.finish());
        needs_a_pretended_internet(); // until the bridge is gone
        assert!(!beside.forwards(), "it was not so before");
    }
    ip(HOST, &["route", "flush", "table", "52"]);
}

/// A VPN is started, restarted, or ends, while a container runs.
fn a_way_out_that_is_gone_or_comes_later_is_found_out() {
    needs_a_pretended_internet();
    let old = Beside::with_an_address();
    let first = start(&[]);
    drop(old);
    let new = Beside::with_an_address();
    assert!(!new.forwards(), "a new device under the same name");
    let second = start(&[]);
    let server = serve(&new.network(), Beside::THEIRS);
    for container in [&first, &second] {
        ask_from(&network(container), server.address).expect("out");
    }
    drop([first, second].map(Running::finish));
    needs_a_pretended_internet(); // until the bridge is gone
    assert!(!new.forwards(), "it was not so before");
}

/// The note of what is to be switched off again has 255 bytes.
fn a_way_out_that_can_not_be_noted_stays_closed_and_is_told() {
    needs::real_processor();
    needs_a_pretended_internet();
    let pairs = (0..50).map(|number| {
        let (one, two) = (format!("up{number}"), format!("down{number}"));
        ip(HOST, &["link", "add", &one, "type", "veth", "peer", "name", &two]);
        for (device, at) in [(&one, 1), (&two, 2)] {
            let address = format!("198.51.100.{}/32", number * 4 + at);
            ip(HOST, &["address", "add", &address, "dev", device]);
        }
        one
    });
    let pairs: Vec<_> = pairs.collect();
    let output = Step::telling_all(STEP).sh("exit 7").output();
    needs_a_pretended_internet(); // until the bridge is gone
    let forward = pairs.iter().filter(|device| {
        let file = format!("/proc/sys/net/ipv4/conf/{device}/forwarding");
        fs::read_to_string(file).unwrap().trim() == "1"
    });
    let forward: Vec<_> = forward.cloned().collect();
    for device in &pairs {
        ip(HOST, &["link", "del", device]);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{told}");
    let switched = told.matches("/forwarding\", \"1\")").count();
    let left = told.matches(" does not forward: no more devices fit").count();
    // The bridge and the default route's device are there, too.
    assert!(left > 0 && switched + left == 102, "{switched}, {left}: {told}");
    assert_eq!(forward, [""; 0], "they were not so before");
}

fn a_network_in_any_table_is_avoided() {
    needs_a_pretended_internet();
    let beside = Beside::comes();
    for kind in [&["unicast"][..], &["blackhole"], &["throw"]] {
        let route = ["10.77.0.0/16", "table", "52"];
        let device = ["dev", "up0"];
        let device = if kind == ["unicast"] { &device[..] } else { &[] };
        ip(HOST, &[&["route", "add"], kind, &route, device].concat());
        ip(HOST, &["rule", "add", "lookup", "52", "pref", "100"]);
        let container = start(&[]);
        let server = serve(INTERNET, INTERNET_ADDRESS);
        let seen = ask_from(&network(&container), server.address);
        let own = address(&container).octets();
        ip(HOST, &["rule", "del", "pref", "100"]);
        ip(HOST, &["route", "flush", "table", "52"]);
        assert_eq!(seen.expect("out"), HOST_ADDRESS, "{kind:?}");
        // What is thrown back is looked up in the next table.
        let free = if kind == ["throw"] { [10, 77] } else { [172, 29] };
        assert_eq!(own[..2], free, "{kind:?}");
        drop(container.finish());
        needs_a_pretended_internet(); // until the bridge is gone
    }
    drop(beside);
}

/// No network can be chosen against that. What is advised helps.
fn a_rule_that_leads_elsewhere_is_told() {
    needs_a_pretended_internet();
    let told = || {
        let output = Step::telling_all(STEP).sh("exit").output();
        testbed::story::unfolded(&String::from_utf8_lossy(&output.stderr))
    };
    assert!(!told().contains("ip rule add"), "none leads elsewhere");
    let way = ["route", "add", "default", "via", "192.0.2.1", "table", "52"];
    ip(HOST, &way);
    ip(HOST, &["rule", "add", "lookup", "52", "pref", "100"]);
    let diverted = told();
    let advice = diverted.lines().find_map(|line| {
        Some(line.split_once("; ip ")?.1.split(' ').collect::<Vec<_>>())
    });
    if let Some(advice) = &advice {
        ip(HOST, advice);
    }
    let mended = told();
    if advice.is_some() {
        ip(HOST, &["rule", "del", "pref", "1"]);
    }
    ip(HOST, &["rule", "del", "pref", "100"]);
    ip(HOST, &["route", "flush", "table", "52"]);
    assert!(diverted.contains("for containers to eth0"), "{diverted}");
    assert!(advice.is_some() && !mended.contains("ip rule add"), "{mended}");
}

/// Whoever can open a file can lock it, and keep it.
fn the_networks_lock_is_not_everybodys() {
    needs_a_pretended_internet();
    let everybodys = File::open(HOST).unwrap();
    let how = FlockArg::LockExclusive;
    let everybodys = Flock::lock(everybodys, how).map_err(|(_, e)| e).unwrap();
    let container = Step::telling_all(STEP).sh("exit 7").output();
    drop(everybodys);
    assert_eq!(container.status.code(), Some(7), "{container:?}");
    let file = lock_file(&String::from_utf8_lossy(&container.stderr));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{file} is for others, too: {mode:o}");
}

/// Which file it locks, as it says itself.
fn lock_file(told: &str) -> String {
    let call = told.split_once("flock(\"").expect("a lock").1;
    call.split_once('"').expect("its file").0.to_owned()
}

fn a_lock_that_is_not_given_back_is_waited_for_with_a_word_and_a_bound() {
    needs::real_processor();
    needs_a_pretended_internet();
    let before = host();
    let output = Step::telling_all(STEP).sh("exit").output();
    let file = lock_file(&String::from_utf8_lossy(&output.stderr));
    becomes(&before);
    let how = FlockArg::LockExclusive;
    let held = Flock::lock(File::open(&file).unwrap(), how);
    let held = held.map_err(|(_, errno)| errno).unwrap();
    let start = || {
        let mut step = Step::telling_all(STEP).sh("exit 7");
        step.command().stderr(Stdio::piped());
        let mut waiting =
            Limit::over(step.command().spawn().expect("start the step"));
        let told = waiting.child.stderr.take().unwrap();
        let mut told = BufReader::new(told).lines().map_while(Result::ok);
        let word = told.find(|line| line.contains("waiting for it"));
        let word = word.expect("a word while it waits");
        let us = format!("process {} has", std::process::id());
        assert!(word.contains(&us), "{word}");
        (waiting, told)
    };
    // Whoever waits can be told to end, and sees that the lock is free.
    let (mut waiting, _told) = start();
    let pid = Pid::from_raw(waiting.child.id() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(waiting.child.wait().unwrap().code(), Some(143));
    let (mut waiting, mut told) = start();
    let last = told.by_ref().last().unwrap_or_default();
    assert_eq!(waiting.child.wait().unwrap().code(), Some(125), "{last}");
    let us = format!("process {} keeps", std::process::id());
    assert!(last.contains(&us), "{last}");
    let (mut waiting, _told) = start();
    drop(held);
    assert_eq!(waiting.child.wait().unwrap().code(), Some(7));
    becomes(&before);
}

/// By an abstract unix socket a runtime says that it lives, and everybody can
/// take such a name.
fn a_name_that_somebody_took_keeps_nobody_out() {
    needs_a_pretended_internet();
    let before = host();
    let taken: Vec<_> = (1..=254)
        .map(|number| {
            let name = format!("workshop-{number}");
            let name = unix::SocketAddr::from_abstract_name(name).unwrap();
            unix::UnixDatagram::bind_addr(&name).unwrap()
        })
        .collect();
    let container = Step::new(STEP).sh("exit 7").output();
    drop(taken);
    assert_eq!(container.status.code(), Some(7), "{container:?}");
    becomes(&before);
}

fn a_file_that_is_named_wins_over_one_that_is_made() {
    let mine = std::env::temp_dir().join(token());
    fs::write(&mine, "nameserver 192.0.2.77\n").unwrap();
    let read = "read line <$0; echo $line";
    let reads = |place: &str, volumes: &[String]| {
        let step = Step::new(STEP).args(["--network", "none"]).args(volumes);
        step.args(["sh", "-c", read, place]).output()
    };
    let answers = ["/etc/resolv.conf", "/etc/hosts"].map(|place| {
        let volume = ["", ":ro"].map(|mode| {
            let volume = format!("-v{}:{place}{mode}", mine.display());
            reads(place, &[volume])
        });
        (volume, reads(place, &[]))
    });
    fs::remove_file(&mine).unwrap();
    for (volume, without) in answers {
        for named in volume {
            let told = String::from_utf8_lossy(&named.stdout);
            assert_eq!(told, "nameserver 192.0.2.77\n", "{named:?}");
        }
        assert!(without.status.success(), "{without:?}");
        assert_ne!(without.stdout, b"nameserver 192.0.2.77\n");
    }
}

fn an_image_whose_resolv_conf_leads_nowhere_works() {
    needs_a_pretended_internet();
    let layer = std::env::temp_dir().join(token());
    fs::create_dir_all(layer.join("etc")).unwrap();
    let nowhere = "../run/systemd/resolve/stub-resolv.conf";
    symlink(nowhere, layer.join("etc/resolv.conf")).unwrap();
    // And one that would lead to the host's own file, were it followed there.
    let victim = layer.join("victim");
    fs::write(&victim, "the host's").unwrap();
    symlink(&victim, layer.join("etc/hosts")).unwrap();
    let step = Step::new(STEP).args(["--layer"]).args([&layer]);
    let script = "while read l; do echo \"$l\"; done </etc/resolv.conf; \
                  while read l; do echo \"$l\"; done </etc/hosts";
    let output = step.sh(script).output();
    let host = fs::read_to_string(&victim).unwrap();
    fs::remove_dir_all(&layer).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.contains("127.0.0.1 localhost"), "{told}");
    assert_eq!(host, "the host's");
}

fn an_ordinary_user_has_pasta_or_is_told_why_not() {
    needs::ordinary_user();
    let script = "while read l; do echo \"$l\"; done </proc/net/dev";
    let output = Step::telling_all(STEP).sh(script).output();
    let devices = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(devices.contains("lo:"), "{devices}");
    let pasta = devices.contains("eth0:");
    let noted = told.contains("no network but a loopback of its own: ");
    assert_ne!(pasta, noted, "{devices}{told}");
    let bridge = Step::new(STEP).args(["--network", "bridge"]);
    assert_eq!(bridge.sh("exit").output().status.code(), Some(125));
    if pasta {
        let container = Step::new(STEP).start_waiting();
        let helpers = pastas_of(container.runtime());
        assert_eq!(helpers.len(), 1);
        container.signal(Signal::SIGKILL);
        eventually("the end of pasta", || {
            (!proc::runs(helpers[0])).then_some(())
        });
    }
}

/// An ordinary user whose container has more than a loopback.
fn needs_pasta() {
    needs::ordinary_user();
    let devices = Step::new(STEP).sh("cat /proc/net/dev").stdout();
    // The lab has both: there, a step that makes no use of them fails.
    if !needs::in_the_lab() && !devices.contains("eth0:") {
        skip("needs pasta and /dev/net/tun, as in the lab");
    }
}

fn pasta_leads_to_the_internet() {
    needs::lab();
    needs_pasta();
    let script = format!("wget -q -O - http://{INTERNET_ADDRESS}/");
    let alone = Step::new(STEP).args(["--network", "none"]).sh(&script);
    assert!(!alone.output().status.success());
    assert_eq!(
        Step::new(STEP).sh(&script).stdout(),
        "Hello from the internet."
    );
}

fn pasta_publishes_a_port() {
    needs_pasta();
    let (port, word) = (free_port(), token());
    let publish = format!("127.0.0.1:{port}:80");
    let script = format!("echo {word} | nc -l -p 80");
    let container = Step::new(STEP).args(["-p", &publish]).sh(&script).start();
    let said = eventually("an answer", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        (!said.is_empty()).then_some(said)
    });
    assert_eq!(said.trim_end(), word);
    drop(container);
}

/// An old pasta brings no answer back to the host itself.
fn a_udp_port_of_pasta_answers_or_it_is_told() {
    needs_pasta();
    needs::command("perl");
    let publish = ["-p".to_owned(), format!("{}:53/udp", free_port())];
    let telling = Step::telling_all(STEP).args(&publish).sh("exit").output();
    let told = String::from_utf8_lossy(&telling.stderr);
    assert!(telling.status.success(), "{told}");
    let container = Step::new(STEP).args(&publish).start_waiting();
    let enter = ["--user", "--net", "--preserve-credentials", "perl", "-e"];
    let server = Command::new("nsenter")
        .args(["--target", &container.pid().to_string()])
        .args(enter)
        .arg(UDP_ECHO)
        .stdout(Stdio::piped())
        .spawn()
        .expect("run nsenter");
    let Limit { child: server, .. } = &mut Limit::over(server);
    let mut heard = BufReader::new(server.stdout.take().unwrap()).lines();
    assert_eq!(heard.next().expect("a word").unwrap(), "ready");
    let port: u16 = publish[1].split_once(':').unwrap().0.parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SHORT)).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.send(b"hello").unwrap();
    // Once it was heard, the answer is under way.
    assert_eq!(heard.next().expect("a word").unwrap(), "hello");
    let answers = socket.recv(&mut [0; 64]).is_ok();
    server.kill().unwrap();
    let _ = server.wait();
    assert_ne!(answers, told.contains("but this one gets none"), "{told}");
}

const UDP_ECHO: &str = r#"
    use Socket;
    $| = 1;
    socket(S, PF_INET, SOCK_DGRAM, 0) or die;
    bind(S, pack_sockaddr_in(53, INADDR_ANY)) or die;
    print "ready\n";
    while (my $from = recv(S, my $text, 99, 0)) { print "$text\n"; send(S, $text, 0, $from) }
"#;

/// Every pasta of this runtime: between the two is the shell that ends it.
fn pastas_of(runtime: i32) -> Vec<i32> {
    let is_pasta = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline"));
        words.is_ok_and(|words| words.starts_with(b"pasta\0"))
    };
    let children = proc::children(runtime).into_iter();
    children.flat_map(proc::children).filter(is_pasta).collect()
}

fn bad_input_is_told_in_one_line() {
    needs::root();
    let cases: [&[&str]; 20] = [
        &["-p", "0:80"],
        &["-p", "80:0"],
        &["-p", "65536:80"],
        &["-p", "80:65536"],
        &["-p", "-1:80"],
        &["-p", "+80:80"],
        &["-p", "http:80"],
        &["-p", "80"],
        &["-p", ""],
        &["-p", ":"],
        &["-p", "1:2:3:4"],
        &["-p", "8080:80/sctp"],
        &["-p", "8080:80/"],
        &["-p", "300.0.0.1:8080:80"],
        &["-p", "[::1]:8080:80"],
        &["-p", "8099:80", "-p", "8099:81"],
        &["-p", "8099:80", "-p", "127.0.0.1:8099:81"],
        &["-p", "8099:80", "--network", "none"],
        &["-p", "8099:80", "--network", "host"],
        &["--network", "bridged"],
    ];
    for case in cases {
        let output = Step::new(STEP).args(case).sh("echo started").output();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{case:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{case:?}: {told}");
        assert!(output.stdout.is_empty(), "{case:?} started");
    }
}

// ── how it is judged ────────────────────────────────────────────────────────

fn needs_a_pretended_internet() {
    needs::disposable_host();
    needs::root();
    needs::command("ip");
    needs::command("nft");
    // Where a claim before this one killed a runtime, its bridge is still
    // there. The next one to end takes it away.
    if ip(HOST, &["-br", "link"]).contains(BRIDGE) {
        let _ = Step::new(STEP).sh("exit").output();
    }
    eventually("a host without the bridge", || {
        let links = ip(HOST, &["-br", "link"]);
        (!links.contains("workshop") && rules().is_empty()).then_some(())
    });
}

fn start(options: &[&str]) -> Running {
    Step::new(STEP).args(options).start_waiting()
}

fn network(container: &Running) -> String {
    format!("/proc/{}/ns/net", container.pid())
}

/// Does something in another network namespace. What it opens there stays
/// there, whoever uses it later.
fn in_network<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(namespace).expect(namespace);
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("setns");
            act()
        });
        thread.join().expect("what was done in the namespace")
    })
}

/// What ip(8) says there.
fn ip(namespace: &str, arguments: &[&str]) -> String {
    let output = in_network(namespace, || {
        Command::new("ip").args(arguments).output().expect("run ip")
    });
    assert!(output.status.success(), "ip {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn address_of(namespace: &str, device: &str) -> Ipv4Addr {
    let told = ip(namespace, &["-4", "-o", "address", "show", "dev", device]);
    let mut words = told.split_whitespace();
    words.find(|&word| word == "inet").expect("an address");
    let address = words.next().and_then(|word| word.strip_suffix("/24"));
    address.expect("a /24 network").parse().unwrap()
}

fn address(container: &Running) -> Ipv4Addr {
    address_of(&network(container), "eth0")
}

fn bridge_address() -> Ipv4Addr {
    address_of(HOST, BRIDGE)
}

fn free_port() -> u16 {
    let probe = TcpListener::bind("0.0.0.0:0").expect("a free port");
    probe.local_addr().unwrap().port()
}

/// A service, which tells everybody the address that they come from. It ends
/// with this: an open socket keeps a network namespace alive.
struct Service {
    address: SocketAddr,
    _open: Arc<()>,
}

impl Service {
    fn port(&self) -> u16 {
        self.address.port()
    }
}

fn serve(namespace: &str, address: &str) -> Service {
    serve_at(namespace, &format!("{address}:0"))
}

fn serve_at(namespace: &str, address: &str) -> Service {
    let listener =
        in_network(namespace, || TcpListener::bind(address).expect("bind"));
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let open = Arc::new(());
    let still_open = Arc::downgrade(&open);
    thread::spawn(move || {
        while still_open.upgrade().is_some() {
            match listener.accept() {
                Ok((mut connection, peer)) => {
                    let _ = writeln!(connection, "{}", peer.ip());
                }
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    Service { address, _open: open }
}

/// Connects from there, and returns what the service says.
fn ask_from(namespace: &str, service: SocketAddr) -> io::Result<String> {
    in_network(namespace, || {
        let mut stream = TcpStream::connect_timeout(&service, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said.trim_end().to_owned())
    })
}

fn rules() -> String {
    let output = Command::new("nft")
        .args(["list", "table", "inet", "workshop"])
        .output()
        .expect("run nft");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What nft(8) says there.
fn nft(namespace: &str, arguments: &[&str]) -> String {
    let output = in_network(namespace, || {
        Command::new("nft").args(arguments).output().expect("run nft")
    });
    assert!(output.status.success(), "nft {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Counts packets at a hook, before or after all that others do there.
struct Counter {
    namespace: String,
    table: String,
}

impl Counter {
    fn new(namespace: &str, hook: &str, what: &str) -> Counter {
        let table = token();
        // A rule that drops, and NAT, are in between.
        let priority = if hook == "prerouting" { -301 } else { 301 };
        let script = format!(
            "table inet {table} {{ chain {hook} {{ type filter hook {hook} \
             priority {priority}; {what} counter; }}; }}"
        );
        nft(namespace, &[&script]);
        Counter { namespace: namespace.to_owned(), table }
    }

    fn packets(&self) -> u64 {
        let listed =
            nft(&self.namespace, &["list", "table", "inet", &self.table]);
        let mut words = listed.split_whitespace();
        words.find(|&word| word == "packets").expect("a counter");
        words.next().unwrap().parse().expect("a number")
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = in_network(&self.namespace, || {
            Command::new("nft")
                .args(["delete", "table", "inet", &self.table])
                .status()
        });
    }
}

/// Fails unless somebody says at once that nobody listens there.
fn refused(from: &str, service: SocketAddr) {
    let kind = ask_from(from, service).map_err(|error| error.kind());
    assert_eq!(kind, Err(io::ErrorKind::ConnectionRefused), "{service}");
}

/// Knocks until it is heard at the host: what came of it on the way in, and on
/// the way on?
fn knock(from: &str, service: SocketAddr) -> (bool, u64, u64) {
    let (address, port) = (service.ip(), service.port());
    let what = format!("ip daddr {address} tcp dport {port}");
    let [arrived, entered, left] = ["prerouting", "input", "postrouting"]
        .map(|hook| Counter::new(HOST, hook, &what));
    let answered = eventually(&format!("a knock for {service}"), || {
        let answered = in_network(from, || {
            TcpStream::connect_timeout(&service, SHORT).is_ok()
        });
        (answered || arrived.packets() > 0).then_some(answered)
    });
    (answered, entered.packets(), left.packets())
}

/// Fails unless what comes from there is dropped by the host's rules.
fn turned_away(from: &str, service: SocketAddr) {
    assert_eq!(knock(from, service), (false, 0, 0), "{service}");
}

/// Fails unless the host routes it.
fn passed_on(from: &str, service: SocketAddr) {
    let (_, entered, left) = knock(from, service);
    assert!(entered == 0 && left > 0, "{service}: {entered}, {left}");
}

const FORWARD_ALL: &str = "/proc/sys/net/ipv4/conf/all/forwarding";

fn forwards_for_all() -> bool {
    fs::read_to_string(FORWARD_ALL).unwrap().trim() == "1"
}

/// A file of the host, as long as this lives. Then it is as it was.
struct Setting(&'static str, Vec<u8>);

impl Setting {
    fn change(file: &'static str, value: &str) -> Setting {
        let before = fs::read(file).expect(file);
        fs::write(file, value).expect(file);
        Setting(file, before)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(self.0, &self.1);
    }
}

/// The host with others on it, as long as this lives.
struct Company {
    _forwards: Setting,
}

impl Company {
    fn arrives() -> Company {
        let company = Company { _forwards: Setting::change(FORWARD_ALL, "1") };
        let script = Step::script("lib/company.sh").args(["--arrive"]).output();
        assert!(script.status.success(), "{script:?}");
        company
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        let _ = Step::script("lib/company.sh").args(["--leave"]).output();
    }
}

/// Whatever is on the machine, the kernel may give to each namespace: tunl0.
fn devices_of_a_new_namespace() -> BTreeSet<String> {
    let fresh = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        devices("/proc/thread-self/ns/net")
    });
    fresh.join().expect("a new namespace")
}

fn devices(namespace: &str) -> BTreeSet<String> {
    let links = ip(namespace, &["-br", "link"]);
    let names = links.lines().filter_map(|line| line.split([' ', '@']).next());
    names.map(str::to_owned).collect()
}

/// A child that is killed when it does not end.
struct Limit {
    child: Child,
    _over: mpsc::Sender<()>,
}

impl Limit {
    fn over(child: Child) -> Limit {
        let pid = Pid::from_raw(child.id() as i32);
        let (over, is_over) = mpsc::channel::<()>();
        thread::spawn(move || {
            let waited = is_over.recv_timeout(PATIENCE * 3);
            if waited == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Limit { child, _over: over }
    }
}

/// What of the host step 08 changes.
fn host() -> Vec<String> {
    let forwarding = ["all", "eth0"].map(|device| {
        fs::read_to_string(format!(
            "/proc/sys/net/ipv4/conf/{device}/forwarding"
        ))
        .unwrap()
    });
    let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
    let told = ip(HOST, &["-br", "address"]);
    [told, String::from_utf8_lossy(&tables.stdout).into_owned()]
        .into_iter()
        .chain(forwarding)
        .collect()
}

fn becomes(before: &[String]) {
    let end = Instant::now() + PATIENCE;
    while host() != before && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(host(), before, "the host is not as it was");
}
