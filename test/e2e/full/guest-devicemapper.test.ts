/** storage-devicemapper in a kernel that has a device mapper: its own tests, the storage suite, and an engine that keeps its layers so. */
import { deviceMapperHolds, scenes } from "../src/guest.ts";

const none = "tsbox run --rm --net none";
const begin =
  'export TSBOX_CONFIG=/tmp/dm.json; soon() { for at in $(seq 300); do "$@" && return; sleep 0.2; done; echo "never: $*"; return 1; }';
/** Nothing of the engine's on the host, when it has ended. */
const held = "ls /dev/mapper; losetup -a; grep -h . /sys/block/dm-*/dm/name 2>/dev/null; true";

scenes(
  "storage-devicemapper, Linux 6.1 (User-Mode-Linux)",
  "uml",
  [
    {
      title: "without the module, the engine says in one line what is missing, and its suite is one skip",
      script:
        "tsbox run --rm --net none --storage devicemapper host:/ true; tsbox conformance storage devicemapper 2>/dev/null | grep -c ' # SKIP '",
      code: 0,
      stdout: "1\n",
      stderr: /^tsbox: [^\n]*device mapper[^\n]*modprobe -a dm_thin_pool loop[^\n]*\n$/,
    },
    {
      title: "run, exec, diff, cp, commit and rm, as with any other driver; info has Docker's rows and the warning",
      script: [
        "modprobe -a loop dm_thin_pool; tsbox daemon stop",
        `echo '{"drivers": {"storage": "devicemapper"}, "plugins": [{"package": "@tsbox/storage-devicemapper", "config": {"dataSize": "1200m", "metadataSize": "32m", "baseSize": "600m"}}]}' > /tmp/dm.json`,
        "mkdir -p /tmp/tree/bin /tmp/tree/etc && cp /bin/busybox /tmp/tree/bin && for name in sh cat ls df dd touch sleep rm stat id echo test grep; do ln -s busybox /tmp/tree/bin/$name; done",
        "export TSBOX_CONFIG=/tmp/dm.json; tar -C /tmp/tree -c . | tsbox import - bb:1 >/dev/null",
        `${none} bb:1 echo hello`,
        "tsbox run -d --name box --net none bb:1 sh -c 'echo one > /one; sleep 1000' >/dev/null; tsbox exec box sh -c 'until cat /one; do :; done'",
        "tsbox diff box; echo two > two; tsbox cp -q two box:/two; tsbox commit box own:1 >/dev/null; tsbox rm -f box >/dev/null",
        `${none} own:1 cat /one /two`,
        "tsbox info 2>&1 | grep -E 'Storage Driver|Backing Filesystem|WARNING: devicemapper'",
      ].join("\n"),
      code: 0,
      stdout: [
        "hello\none\nA /one\none\ntwo\n Storage Driver: devicemapper\n  Backing Filesystem: xfs",
        "WARNING: devicemapper: usage of loopback devices is strongly discouraged for production use: name a block device or a thin pool in the config of @tsbox/storage-devicemapper\n",
      ].join("\n"),
    },
    {
      title: "sizes: less than the base device, and more; a full pool ends no container and hangs nothing",
      script: [
        begin,
        `${none} --storage-opt size=8m bb:1 sh -c 'dd if=/dev/zero of=/full bs=1M count=20 2>&1 | grep -c "No space left\\|quota"; test $(stat -c %s /full) -lt 9000000 && echo limited'`,
        `${none} --storage-opt size=700m bb:1 sh -c 'set -- $(df -Pm / | grep mapper); test $2 -ge 700 && echo large'`,
        "for name in one two three; do tsbox run -d --name $name --net none bb:1 sh -c 'dd if=/dev/zero of=/full bs=1M count=580 2>/dev/null; echo $?; sleep 1000' >/dev/null; done",
        "for name in one two three; do soon eval '[ -n \"$(tsbox logs $name)\" ]' || echo $name hangs; done; tsbox logs three",
        `${none} bb:1 true 2>&1 | grep -c 'of its data space left'`,
        `tsbox rm -f one two three >/dev/null; soon ${none} bb:1 echo again 2>/dev/null`,
      ].join("\n"),
      code: 0,
      stdout: "1\nlimited\nlarge\n1\n1\nagain\n",
    },
    {
      title: "in a user namespace the device's files are mapped; images as mounts, and parts of them",
      script: [
        begin,
        `${none} --userns private bb:1 sh -c 'touch /x; stat -c %u /x /bin/busybox; id -u'`,
        `${none} --mount type=image,src=own:1,dst=/i bb:1 sh -c 'cat /i/one; touch /i/x 2>/dev/null || echo refused'`,
        `${none} --mount type=image,src=own:1,dst=/i,image-subpath=bin bb:1 ls /i/busybox`,
        `${none} --userns private --mount type=image,src=own:1,dst=/i bb:1 stat -c %u /i/one`,
      ].join("\n"),
      code: 0,
      stdout: "0\n0\n0\none\nrefused\n/i/busybox\n0\n",
    },
    {
      title: "a daemon that is killed while containers run: they run on, and nothing of them is left",
      script: [
        begin,
        "tsbox run -d --name box --net none bb:1 sh -c 'sleep 1000' >/dev/null",
        "kill -9 $(pgrep -f host/main); soon tsbox exec box echo alive 2>/dev/null",
        "tsbox exec box touch /x && tsbox rm -f box && tsbox rmi -f bb:1 own:1 >/dev/null; tsbox system prune -af >/dev/null; tsbox daemon stop",
        held,
      ].join("\n"),
      code: 0,
      stdout: "alive\nbox\ncontrol\n",
    },
    ...deviceMapperHolds,
  ],
  {},
  { MEMORY: "4096M" },
);
