//! Each test runs in a new network namespace.

use super::firewall::{ChainKind, Element, Hook, Part, Set, Step, Test, Verdict};
use super::*;
use std::process::Command;

fn skip() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    !root
}

fn bridge() -> Bridge {
    Bridge {
        name: "br-test".to_owned(),
        addresses: vec!["10.99.0.1/24".to_owned()],
        mac: Some("02:00:0a:63:00:01".to_owned()),
        mtu: None,
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_pair_joins_a_bridge_and_a_namespace() {
    if skip() {
        return;
    }
    namespace::in_new(|| {
        ensure_bridge(&bridge()).unwrap();
        ensure_bridge(&bridge()).unwrap();
        set_up("lo").unwrap();
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let netns = format!("/proc/{}/ns/net", child.id());
        let mut veth = Veth {
            name: "tsb-e1".to_owned(),
            bridge: "br-test".to_owned(),
            netns: netns.clone(),
            interface: "eth0".to_owned(),
            alias: Some("whose it is".to_owned()),
            hairpin: true,
            mac: Some("02:42:0a:63:00:02".to_owned()),
            mtu: Some(1400),
            addresses: vec!["10.99.0.2/24".to_owned(), "fd99::2/64".to_owned()],
            routes: vec![NewRoute {
                to: "0.0.0.0/0".to_owned(),
                via: Some("10.99.0.1".to_owned()),
            }],
        };
        assert_eq!(attach(&veth).unwrap().mac, "02:42:0a:63:00:02");
        let inside = |arguments: &[&str]| output("nsenter", &[&[format!("--net={netns}").as_str()], arguments].concat());
        assert!(inside(&["ip", "-o", "addr", "show", "eth0"]).contains("10.99.0.2/24"));
        assert!(inside(&["ip", "-o", "addr", "show", "eth0"]).contains("fd99::2/64"));
        assert!(inside(&["ip", "route"]).contains("default via 10.99.0.1 dev eth0"));
        assert!(inside(&["ip", "-o", "link", "show", "eth0"]).contains("mtu 1400"));
        assert!(inside(&["ip", "-o", "link", "show", "lo"]).contains("UP"));
        let found = links("tsb-").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].kind.as_str(), found[0].alias.as_deref()),
            ("tsb-e1", "veth", Some("whose it is"))
        );
        assert!(host_routes().unwrap().iter().any(|route| route.to == "10.99.0.0/24"));
        let again = attach(&veth).unwrap_err();
        assert_eq!(again.code, Code::AlreadyExists, "{again}");
        (veth.name, veth.interface) = ("tsb-e2".to_owned(), "eth1".to_owned());
        veth.routes = vec![NewRoute {
            to: "0.0.0.0/0".to_owned(),
            via: Some("nowhere".to_owned()),
        }];
        assert_eq!(attach(&veth).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(links("tsb-").unwrap().len(), 1, "a failed one stays");
        remove_link("tsb-e1").unwrap();
        assert_eq!(remove_link("tsb-e1").unwrap_err().code, Code::NotFound);
        drop(child.stdin.take());
        child.wait().unwrap();
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_name_of_another_kind_is_not_taken_over() {
    if skip() {
        return;
    }
    namespace::in_new(|| {
        let failure = ensure_bridge(&Bridge {
            name: "lo".to_owned(),
            ..bridge()
        })
        .unwrap_err();
        assert_eq!(failure.code, Code::AlreadyExists, "{failure}");
        let failure = ensure_bridge(&Bridge {
            name: "much-too-long-a-name".to_owned(),
            ..bridge()
        })
        .unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument);
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_firewall_reads_as_nft_would_write_it() {
    if skip() {
        return;
    }
    namespace::in_new(|| {
        let text = |text: &str| text.to_owned();
        let table = || text("tsbox-t");
        let set = |name: &str, key: &[Part], value: Option<&[Part]>, interval| Set {
            name: text(name),
            key: key.to_vec(),
            value: value.map(<[Part]>::to_vec),
            interval,
        };
        let key = [Part::Protocol, Part::Port];
        let ports = set("ports", &key, Some(&[Part::Address, Part::Port]), false);
        let subnets = set("subnets", &[Part::Address], None, true);
        let make = |set: &Set| Step::Set {
            table: table(),
            set: set.clone(),
        };
        let chain = |chain: &str, kind, hook, priority| Step::Chain {
            table: table(),
            chain: text(chain),
            kind,
            hook,
            priority,
        };
        let rule = |chain: &str, tests, verdict| Step::Rule {
            table: table(),
            chain: text(chain),
            tests,
            verdict,
        };
        let element = |port: &str, to: &str| Step::Element {
            table: table(),
            set: ports.clone(),
            element: Element {
                key: vec![text("tcp"), text(port)],
                value: Some(vec![text(to), text("80")]),
                comment: Some(text("an endpoint")),
            },
        };
        let steps = [
            Step::Table { table: table() },
            make(&set("bridges", &[Part::Interface], None, false)),
            make(&set("pairs", &[Part::Interface, Part::Interface], None, false)),
            make(&subnets),
            make(&ports),
            chain("pre", ChainKind::Nat, Hook::Prerouting, -100),
            chain("post", ChainKind::Nat, Hook::Postrouting, 100),
            chain("forward", ChainKind::Filter, Hook::Forward, 0),
            rule(
                "pre",
                vec![Test::DestinationLocal],
                Verdict::Translate {
                    map: text("ports"),
                    key: key.to_vec(),
                },
            ),
            rule(
                "post",
                vec![
                    Test::SourceIn { set: text("subnets") },
                    Test::InterfaceOut {
                        set: text("bridges"),
                        not: true,
                    },
                ],
                Verdict::Masquerade,
            ),
            rule("post", vec![Test::Source { cidr: text("127.0.0.0/8") }], Verdict::Masquerade),
            rule("forward", vec![Test::Established], Verdict::Accept),
            rule("forward", vec![Test::DestinationTranslated], Verdict::Accept),
            rule("forward", vec![Test::InterfacePair { set: text("pairs") }], Verdict::Accept),
            rule(
                "forward",
                vec![Test::InterfaceIn {
                    set: text("bridges"),
                    not: false,
                }],
                Verdict::Drop,
            ),
            Step::Element {
                table: table(),
                set: subnets.clone(),
                element: Element {
                    key: vec![text("10.99.0.1/24")],
                    value: None,
                    comment: None,
                },
            },
            element("8080", "10.99.0.2"),
        ];
        firewall::commit(&steps).unwrap();
        firewall::commit(&steps).unwrap();
        let listing = output("nft", &["list", "table", "ip", "tsbox-t"]);
        for line in [
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "tcp . 8080 comment \"an endpoint\" : 10.99.0.2 . 80",
            "elements = { 10.99.0.0/24 }",
            "fib daddr type local dnat ip to meta l4proto . th dport map @ports",
            "ip saddr @subnets oifname != @bridges masquerade",
            "ip saddr 127.0.0.0/8 masquerade",
            "ct state established,related accept",
            "ct status dnat accept",
            "iifname . oifname @pairs accept",
            "iifname @bridges drop",
            "type filter hook forward priority filter; policy accept;",
            "type nat hook prerouting priority dstnat; policy accept;",
        ] {
            assert_eq!(listing.matches(line).count(), 1, "{line} in {listing}");
        }
        let found = firewall::elements("tsbox-t", &ports).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].key.join(" "), found[0].comment.as_deref()),
            (text("tcp 8080"), Some("an endpoint"))
        );
        // The failure of one step cancels all.
        let failure = firewall::commit(&[element("9090", "10.99.0.3"), element("8080", "10.99.0.4")]).unwrap_err();
        assert_eq!(failure.code, Code::AlreadyExists, "{failure}");
        assert_eq!(firewall::elements("tsbox-t", &ports).unwrap(), found);
        firewall::commit(&[Step::DeleteElement {
            table: table(),
            set: ports.clone(),
            key: found[0].key.clone(),
        }])
        .unwrap();
        assert!(firewall::elements("tsbox-t", &ports).unwrap().is_empty());
        assert_eq!(firewall::tables("tsbox-").unwrap(), ["tsbox-t"]);
        firewall::commit(&[Step::DeleteTable { table: table() }]).unwrap();
        assert_eq!(
            firewall::commit(&[Step::DeleteTable { table: table() }]).unwrap_err().code,
            Code::NotFound
        );
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_port_in_use_is_an_error() {
    let (held, port) = reserve_port("tcp", "127.0.0.1", 0).unwrap();
    let failure = reserve_port("tcp", "127.0.0.1", port).unwrap_err();
    assert_eq!(failure.code, Code::AlreadyExists);
    assert!(failure.message.contains(&port.to_string()), "{failure}");
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
    drop(held);
    reserve_port("udp", "0.0.0.0", 0).unwrap();
    assert_eq!(reserve_port("icmp", "127.0.0.1", 1).unwrap_err().code, Code::Unsupported);
}

#[test]
fn the_probe_changes_nothing() {
    if skip() {
        return;
    }
    probe().unwrap();
}

#[test]
fn a_macvlan_is_made_in_its_namespace() {
    if skip() {
        return;
    }
    namespace::in_new(|| {
        // The parent; and an interface of the name that the container's has.
        output("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "up0"]);
        output("ip", &["link", "set", "eth0", "up"]);
        let mut child = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let netns = format!("/proc/{}/ns/net", child.id());
        let mut macvlan = Macvlan {
            parent: "eth0".to_owned(),
            mode: MacvlanMode::Vepa,
            netns: netns.clone(),
            interface: "eth0".to_owned(),
            mac: Some("02:42:0a:63:00:02".to_owned()),
            mtu: Some(1400),
            addresses: vec!["10.99.0.2/24".to_owned()],
            routes: vec![NewRoute {
                to: "0.0.0.0/0".to_owned(),
                via: Some("10.99.0.1".to_owned()),
            }],
        };
        assert_eq!(attach_macvlan(&macvlan).unwrap().mac, "02:42:0a:63:00:02");
        let inside = |arguments: &[&str]| output("nsenter", &[&[format!("--net={netns}").as_str()], arguments].concat());
        assert!(inside(&["ip", "-o", "addr", "show", "eth0"]).contains("10.99.0.2/24"));
        assert!(inside(&["ip", "-d", "-o", "link", "show", "eth0"]).contains("macvlan mode vepa"));
        assert!(inside(&["ip", "route"]).contains("default via 10.99.0.1 dev eth0"));
        assert_eq!(attach_macvlan(&macvlan).unwrap_err().code, Code::AlreadyExists);
        macvlan.interface = "eth1".to_owned();
        macvlan.addresses = vec!["nowhere".to_owned()];
        assert_eq!(attach_macvlan(&macvlan).unwrap_err().code, Code::InvalidArgument);
        assert!(!inside(&["ip", "-o", "link"]).contains("eth1"), "a failed one stays");
        macvlan.parent = "eth7".to_owned();
        assert_eq!(attach_macvlan(&macvlan).unwrap_err().code, Code::NotFound);
        remove_link_within(&netns, "eth0").unwrap();
        assert_eq!(remove_link_within(&netns, "eth0").unwrap_err().code, Code::NotFound);
        assert_eq!(links("eth0").unwrap().len(), 1, "the host's own stays");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(remove_link_within(&netns, "eth0").unwrap_err().code, Code::NotFound);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_vlan_is_an_interface_of_its_own() {
    if skip() {
        return;
    }
    namespace::in_new(|| {
        output("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "up0"]);
        output("ip", &["link", "set", "eth0", "up"]);
        let vlan = Vlan {
            name: "eth0.10".to_owned(),
            parent: "eth0".to_owned(),
            id: 10,
            alias: Some("whose it is".to_owned()),
        };
        match make_vlan(&vlan) {
            Err(failure) => assert_eq!(failure.code, Code::Unsupported, "{failure}"),
            Ok(()) => {
                let found = links("eth0.10").unwrap();
                assert_eq!((found[0].kind.as_str(), found[0].alias.as_deref()), ("vlan", Some("whose it is")));
                assert!(output("ip", &["-d", "-o", "link", "show", "eth0.10"]).contains("vlan protocol 802.1Q id 10"));
                assert_eq!(make_vlan(&vlan).unwrap_err().code, Code::AlreadyExists);
            }
        }
        Ok(())
    })
    .unwrap();
}
