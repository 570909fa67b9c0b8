/**
 * The bridge network on Linux 6.1 with cgroup v2 only and without a firewall of the host: an engine in a QEMU guest, which takes minutes
 * without KVM.
 */
import { execSuiteHolds, scenes, sizesHold } from "../src/guest.ts";

const address = String.raw`(\d+\.){3}\d+`;

scenes("Linux 6.1, cgroup v2, bridge network (QEMU)", "qemu", [
  {
    title: "a container has an address on the bridge, and reaches the host there",
    script:
      "tsbox run --rm host:/ sh -c 'ip -o -4 addr show eth0; ping -c 1 -W 10 $(ip route | awk \"/default/ { print \\$3 }\") | grep received'",
    code: 0,
    stdout: new RegExp(`eth0 +inet ${address}/16 [^]*1 packets transmitted, 1 (packets )?received`),
  },
  {
    title: "a published port answers on the host's loopback",
    script: [
      "tsbox run -d --name web -p 8081:80 host:/ busybox httpd -f -p 80 -h /usr/share/doc/busybox-static",
      "for each in $(seq 50); do busybox wget -qO /dev/null http://127.0.0.1:8081/copyright && break; sleep 0.2; done",
      "busybox wget -qO- http://127.0.0.1:8081/copyright | grep -c -i busybox",
    ].join("\n"),
    code: 0,
    stdout: /^[0-9a-f]{64}\n\d+\n$/,
  },
  {
    title: "another container reaches it by its address",
    script: `tsbox run --rm host:/ busybox wget -qO /dev/null http://$(tsbox inspect -f '{{.NetworkSettings.IPAddress}}' web)/copyright && echo reached`,
    code: 0,
    stdout: "reached\n",
  },
  {
    title: "cpus and huge pages by cgroup v2",
    script: [
      "echo 8 >/proc/sys/vm/nr_hugepages",
      "tsbox run --rm --net none --cpuset-cpus 1 --hugepages 2MB=4m host:/ sh -c 'cd /sys/fs/cgroup; cat cpuset.cpus.effective hugetlb.2MB.max; nproc'",
    ].join("\n"),
    code: 0,
    stdout: `1\n${4 << 20}\n1\n`,
  },
  {
    title: "AppArmor: the engine's own profile, or the one that is named, stands behind what options take away",
    script: [
      "mount -t securityfs none /sys/kernel/security 2>/dev/null",
      "run='tsbox run --rm --net none --cap-add SYS_ADMIN --security-opt systempaths=unconfined --security-opt seccomp=unconfined'",
      "try='cat /proc/self/attr/current; mount -t tmpfs none /mnt 2>/dev/null && echo mounted; (echo core >/proc/sys/kernel/core_pattern) 2>/dev/null && echo written; true'",
      '$run host:/ sh -c "$try"',
      '$run --security-opt apparmor=unconfined host:/ sh -c "$try"',
      "printf 'profile mine { file, capability, mount, }' >/tmp/profile && apparmor_parser -r /tmp/profile",
      "tsbox run --rm --net none --security-opt apparmor=mine host:/ cat /proc/self/attr/current",
      "tsbox run -d --name kept --net none host:/ sleep 1000 >/dev/null; tsbox exec kept cat /proc/self/attr/current; tsbox stop -t 5 kept",
    ].join("\n"),
    code: 0,
    stdout: "tsbox-default (enforce)\nunconfined\nmounted\nwritten\nmine (enforce)\ntsbox-default (enforce)\nkept\n",
  },
  ...sizesHold("xfs"),
  {
    title: "when the engine has stopped no interface, table or cgroup is left",
    script: "tsbox rm -f web; tsbox daemon stop; ls /sys/class/net; nft list tables; find /sys/fs/cgroup -name 'tsbox*'",
    code: 0,
    stdout: "web\nlo\n",
  },
  execSuiteHolds,
]);
