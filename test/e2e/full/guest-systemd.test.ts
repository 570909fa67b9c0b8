/** A host that systemd manages, with cgroup v2 alone: systemd as cgroup driver, in a QEMU guest whose first process is the host's own systemd. */
import { suite } from "@tsbox/harness";
import { scenes } from "../src/guest.ts";

scenes(
  suite("systemd as cgroup driver (QEMU)", { timeout: 600_000 }),
  "systemd",
  [
    {
      title: "systemd is the first process, and the engine says who owns the cgroups",
      script: "cat /proc/1/comm; tsbox info -f '{{.CgroupDriver}} {{.CgroupVersion}}'",
      code: 0,
      stdout: "systemd\nsystemd 2\n",
    },
    {
      title: "a container is a scope of systemd's, and its limits lie inside",
      script: [
        "tsbox run -d --name limited --net none -m 64m --pids-limit 50 host:/ sleep 1000 >/dev/null",
        "pid=$(tsbox inspect -f '{{.State.Pid}}' limited)",
        "path=$(cut -d: -f3 /proc/$pid/cgroup)",
        "echo $path | sed 's/[0-9a-f]\\{12\\}-[0-9]*/ID/'",
        "cat /sys/fs/cgroup$path/memory.max /sys/fs/cgroup$path/pids.max",
        "systemctl is-active $(basename $(dirname $path)); systemctl show -p Delegate --value $(basename $(dirname $path))",
      ].join("\n"),
      code: 0,
      stdout: `/tsbox.slice/tsbox-ID.scope/container\n${64 << 20}\n50\nactive\nyes\n`,
    },
    {
      title: "systemd's own change of units takes nothing away",
      script:
        "systemctl daemon-reload; cat /sys/fs/cgroup$(cut -d: -f3 /proc/$(tsbox inspect -f '{{.State.Pid}}' limited)/cgroup)/memory.max",
      code: 0,
      stdout: `${64 << 20}\n`,
    },
    {
      title: "a slice of the operator's",
      script:
        "tsbox run --rm --net none --cgroup-parent mine.slice --cgroupns host host:/ cat /proc/self/cgroup | sed 's/[0-9a-f]\\{12\\}-[0-9]*/ID/'; tsbox run --rm --net none --cgroup-parent /plain host:/ true",
      code: 125,
      stdout: "0::/mine.slice/tsbox-ID.scope/container\n",
      stderr: "tsbox: cgroup-parent /plain: with systemd as cgroup driver it must be the name of a slice, as tsbox.slice\n",
    },
    {
      title: "when its containers have ended systemd has no scope of ours",
      script:
        "tsbox rm -f limited; tsbox daemon stop; for each in $(seq 50); do systemctl list-units --all --plain --no-legend 'tsbox-*.scope' | grep -q . || break; sleep 0.2; done; systemctl list-units --all --plain --no-legend 'tsbox-*.scope'; find /sys/fs/cgroup -name 'tsbox-*.scope'",
      code: 0,
      stdout: "limited\n",
    },
  ],
  400,
  { plugins: [{ package: "@tsbox/containers", config: { cgroupDriver: "systemd" } }] },
);
