/** A host with systemd and cgroup v2 only: systemd as cgroup driver, in a QEMU guest whose first process is the host's systemd. */
import { scenes } from "../src/guest.ts";

/** Retries a condition in a guest's script, with a timeout. */
const until = (condition: string): string => `for each in $(seq 100); do ${condition} && break; sleep 0.2; done`;

scenes(
  "systemd as cgroup driver (QEMU)",
  "systemd",
  [
    {
      title: "systemd is the first process, and the engine reports the cgroup driver",
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
        "echo $path | sed 's/[0-9a-f]\\{8\\}-[0-9a-f]\\{64\\}-[0-9]*/ID/'",
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
        "tsbox run --rm --net none --cgroup-parent mine.slice --cgroupns host host:/ cat /proc/self/cgroup | sed 's/[0-9a-f]\\{8\\}-[0-9a-f]\\{64\\}-[0-9]*/ID/'; tsbox run --rm --net none --cgroup-parent /plain host:/ true",
      code: 125,
      stdout: "0::/mine.slice/tsbox-ID.scope/container\n",
      stderr: "tsbox: cgroup-parent /plain: with systemd as cgroup driver it must be the name of a slice, as tsbox.slice\n",
    },
    {
      title: "a container whose shim is dead is removed with its processes",
      script: [
        "tsbox run -d --name bereft --net none host:/ sleep 5432 >/dev/null",
        "kill -9 $(sed -n 's/^PPid:\\s*//p' /proc/$(tsbox inspect -f '{{.State.Pid}}' bereft)/status)",
        `tsbox rm -f bereft; ${until("! pgrep -xa sleep | grep -q 5432")}; pgrep -xa sleep | grep -q 5432 || echo gone`,
      ].join("\n"),
      code: 0,
      stdout: "bereft\ngone\n",
    },
    {
      title: "when its containers have ended systemd has no scope of ours",
      script:
        "tsbox rm -f limited; tsbox daemon stop; for each in $(seq 50); do systemctl list-units --all --plain --no-legend 'tsbox-*.scope' | grep -q . || break; sleep 0.2; done; systemctl list-units --all --plain --no-legend 'tsbox-*.scope'; find /sys/fs/cgroup -name 'tsbox-*.scope'",
      code: 0,
      stdout: "limited\n",
    },
    {
      title: "as a service of systemd's: it takes over what runs, and its restart leaves containers alone",
      script: [
        "tsbox run -d --name taken --net none host:/ sleep 1000 >/dev/null",
        "tsbox daemon enable; systemctl is-enabled tsbox; systemctl is-active tsbox",
        "systemctl show -p MainPID --value tsbox | xargs -I{} readlink /proc/{}/exe",
        "before=$(tsbox inspect -f '{{.State.Pid}}' taken); systemctl restart tsbox; tsbox exec taken echo in; [ $(tsbox inspect -f '{{.State.Pid}}' taken) = $before ] && echo same",
      ].join("\n"),
      code: 0,
      stdout:
        "tsbox: the engine runs as tsbox.service, and starts with this host (`tsbox daemon disable` undoes it)\nenabled\nactive\n/memfd:tsbox (deleted)\nin\nsame\n",
    },
    {
      title: "killed, it is started again; stopped, by the next command that needs it",
      script: [
        "kill -9 $(systemctl show -p MainPID --value tsbox)",
        until("[ $(systemctl show -p MainPID --value tsbox) -gt 0 ] && [ $(systemctl is-active tsbox) = active ]"),
        "tsbox exec taken echo in; tsbox daemon stop; systemctl is-active tsbox; tsbox exec taken echo again; systemctl is-active tsbox",
      ].join("\n"),
      code: 0,
      stdout: "in\ninactive\nagain\nactive\n",
      stderr: "tsbox: starting the engine (systemctl start tsbox)\n",
    },
    {
      title: "after a restart of the host it starts the containers of its policies, without a command",
      script: [
        "tsbox run -d --name always --restart always --net none host:/ sleep 4321 >/dev/null; tsbox run -d --name once --net none host:/ sleep 4322 >/dev/null",
        // Everything that a reboot clears: processes, cgroups, and files on tmpfs.
        "systemctl stop tsbox; systemctl list-units --plain --no-legend 'tsbox-*.scope' | cut -d' ' -f1 | xargs systemctl kill -s KILL",
        until("! pgrep -xa sleep | grep -qE '432[12]|1000'"),
        `rm -rf /run/tsbox; systemctl start tsbox; ${until("pgrep -f 'sleep 4321' >/dev/null")}`,
        "tsbox ps -a --format '{{.Names}} {{.State}}' | sort",
      ].join("\n"),
      code: 0,
      stdout: "always running\nonce exited\ntaken exited\n",
    },
    {
      title: "disabled, nothing of the service is left; a unit of another origin is not touched",
      script: [
        "cd /etc/systemd/system; tsbox rm -f always once taken; tsbox daemon disable; ls . multi-user.target.wants | grep -c tsbox; systemctl is-active tsbox",
        "echo '[Service]' >tsbox.service; tsbox daemon enable 2>&1; tsbox daemon disable 2>&1; cat tsbox.service; rm tsbox.service; tsbox daemon disable",
      ].join("\n"),
      code: 125,
      stdout: [
        ..."always once taken 0 inactive".split(" "),
        "tsbox: /etc/systemd/system/tsbox.service is there, and not by `tsbox daemon enable`: take it away, or start it with `systemctl start tsbox`",
        "tsbox: /etc/systemd/system/tsbox.service is not by `tsbox daemon enable`: `systemctl disable tsbox`",
        "[Service]\n",
      ].join("\n"),
      stderr: "tsbox: tsbox.service is not enabled\n",
    },
    {
      title: "an engine that can't start becomes no service",
      script: [
        "echo '{' >/tmp/wrong.json; tsbox daemon enable --config /tmp/wrong.json",
        'echo \'{"drivers": {"storage": "nosuch"}}\' >/tmp/wrong.json; tsbox daemon enable --config /tmp/wrong.json',
        "echo $?; ls /etc/systemd/system | grep -c tsbox",
      ].join("\n"),
      code: 1,
      stdout: "125\n0\n",
    },
  ],
  { plugins: [{ package: "@tsbox/containers", config: { cgroupDriver: "systemd" } }] },
);
