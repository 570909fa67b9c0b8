/** Linux 6.1 with cgroup v2 only, in full: the cases that ../cases/guest-uml.test.ts omits, and the exec suite. */
import { btrfsHolds, crunHolds, debianTree, execSuiteHolds, scenes, sizesHold } from "../src/guest.ts";

const none = "tsbox run --rm --net none";
/** The kernel's NFS server with Debian's programs: it serves /tmp/served to clients in the guest itself. */
const nfs = debianTree(
  "nfs-server",
  ..."nfs-kernel-server nfs-common libtirpc3 libwrap0 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0 libkeyutils1".split(" "),
);
const serveNfs = [
  `export LD_LIBRARY_PATH=${nfs.tree}/usr/lib/x86_64-linux-gnu:${nfs.tree}/lib/x86_64-linux-gnu`,
  "modprobe nfsd; modprobe nfs; modprobe nfsv4; mount -t nfsd nfsd /proc/fs/nfsd",
  "mkdir -p /tmp/served /var/lib/nfs; mount -t tmpfs none /tmp/served; echo served >/tmp/served/file; touch /var/lib/nfs/etab /var/lib/nfs/rmtab",
  "echo '/tmp/served 127.0.0.1(rw,fsid=0,no_root_squash,no_subtree_check,insecure)' >/etc/exports",
  `(cd ${nfs.tree}/usr/sbin && ./exportfs -ra && ./rpc.nfsd -N 3 2 && ./rpc.mountd -N 2 -N 3)`,
  // The files that Debian's nfs-common installs.
  `cp ${nfs.tree}/sbin/mount.nfs /sbin/; cp ${nfs.tree}/lib/x86_64-linux-gnu/libtirpc.so.3 ${nfs.tree}/usr/lib/x86_64-linux-gnu/libtirpc.so.3 /lib/x86_64-linux-gnu/ 2>/dev/null`,
  "unset LD_LIBRARY_PATH",
].join("\n");

scenes("Linux 6.1, cgroup v2, at length (User-Mode-Linux)", "uml", [
  {
    title: "more memory than the limit is killed: 137",
    script: `${none} -m 16m host:/ dd if=/dev/zero of=/dev/null bs=64M`,
    code: 137,
    stdout: "",
  },
  {
    title: "more processes than the limit are refused",
    script: `${none} --pids-limit 6 host:/ sh -c 'for each in 1 2 3 4 5 6 7 8; do sleep 60 & done 2>/dev/null; echo all'`,
    code: 2,
    stdout: "",
  },
  {
    title: "cp, diff and commit: of what runs and what does not, through a volume that no detached tree takes here",
    script:
      "tsbox create --name box --net none -v kept:/v host:/ sh -c 'cat /v/f; echo made > /made; sleep 100' >/dev/null; echo in > f; tsbox cp -q f box:/v/f; tsbox cp box:/v/f - | tar -xO; tsbox start box >/dev/null; tsbox cp -q f box:/v/g; until tsbox cp box:/made - 2>/dev/null | tar -xO 2>/dev/null; do :; done; tsbox diff box | grep made; tsbox commit box own:1 >/dev/null; tsbox rm -f box >/dev/null; tsbox run --rm --net none own:1 cat /made; tsbox volume rm kept",
    code: 0,
    stdout: "in\nmade\nA /made\nmade\nkept\n",
  },
  {
    title: "volumes: named, a part of one, and read-only all the way down",
    script: `${none} -v kept:/v host:/ sh -c 'mkdir /v/a; echo kept > /v/a/f'; ${none} --mount src=kept,dst=/v,volume-subpath=a host:/ cat /v/f; mkdir -p /tmp/out/in; mount -t tmpfs tmpfs /tmp/out/in; ${none} -v /tmp/out:/d:ro host:/ sh -c 'touch /d/x /d/in/x 2>/dev/null; ls /d/in'; umount /tmp/out/in; tsbox volume rm kept`,
    code: 0,
    stdout: "kept\nkept\n",
  },
  {
    title: "an image as a mount, and a part of it",
    script: `for more in '' ,image-subpath=usr/bin; do ${none} --mount type=image,src=host:/,dst=/i$more host:/ sh -c 'ls -d /i/usr/bin/env /i/env 2>/dev/null; touch /i/x 2>/dev/null || echo refused'; done`,
    code: 0,
    stdout: "/i/usr/bin/env\nrefused\n/i/env\nrefused\n",
  },
  {
    title: "propagation: an rslave bind sees a later mount",
    script: `mount --make-rshared /; mkdir -p /tmp/peer/sub; tsbox run -d --name peer --net none -v /tmp/peer:/d:rslave host:/ sleep 1000 >/dev/null; mount -t tmpfs tmpfs /tmp/peer/sub; tsbox exec peer mountpoint /d/sub; umount /tmp/peer/sub; tsbox exec peer mountpoint /d/sub; tsbox rm -f peer; mount --make-rprivate /`,
    code: 0,
    stdout: "/d/sub is a mountpoint\n/d/sub is not a mountpoint\npeer\n",
  },
  {
    title: "a policy brings it back",
    script: `mkdir -p /tmp/again; tsbox run -d --name again --net none --restart on-failure:2 -v /tmp/again:/d host:/ sh -c 'echo x >> /d/n; exit 1' >/dev/null; until [ "$(tsbox inspect -f '{{.State.Status}} {{.RestartCount}}' again)" = 'exited 2' ]; do sleep 0.1; done; wc -l < /tmp/again/n; tsbox rm again`,
    code: 0,
    stdout: "3\nagain\n",
  },
  ...sizesHold("ext4"),
  {
    title: "nfs volumes: the server by address or by name as Docker has it, or in the device, where mount.nfs helps; nothing stays mounted",
    reason: nfs.reason,
    script: [
      serveNfs,
      "use() { tsbox volume create --opt type=nfs --opt o=$1 --opt device=$2 shared >/dev/null; " +
        `${none} -v shared:/v host:/ sh -c 'cat /v/file && echo "$0" >>/v/written' "$1 $2"; tsbox volume rm shared >/dev/null; }`,
      "use addr=127.0.0.1,rw,nfsvers=4 :/; use addr=localhost,rw,nfsvers=4 :/; use rw,nfsvers=4 127.0.0.1:/; use addr=127.0.0.1,ro,nfsvers=4 :/",
      "use addr=nowhere.invalid,nfsvers=4 :/ 2>&1 | grep -c 'address: nowhere.invalid: '; use addr=127.0.0.1,nfsvers=4 :/nothing 2>&1 | grep -c :/nothing",
      "cat /tmp/served/written; grep -c ' nfs4 ' /proc/mounts",
    ].join("\n"),
    code: 1,
    stdout: [
      ..."served served served served 1 1".split(" "),
      "addr=127.0.0.1,rw,nfsvers=4 :/",
      "addr=localhost,rw,nfsvers=4 :/",
      "rw,nfsvers=4 127.0.0.1:/",
      "0\n",
    ].join("\n"),
  },
  {
    title: "a file system that can't map ids is named: this guest's / is an overlay",
    script: `${none} --userns private host:/ true`,
    code: 125,
    stdout: "",
    stderr: "tsbox: the file system of / can't map ids for a user namespace\n",
  },
  {
    title: "on a file system that can: root inside is nobody outside, and its files are root's on disk",
    script: [
      "truncate -s 256M /tmp/disk && mkfs.ext4 -q /tmp/disk && mkdir -p /tmp/ext4 && modprobe loop && mount -t ext4 $(losetup -f --show /tmp/disk) /tmp/ext4",
      "mkdir -p /tmp/tree/bin && cp /bin/busybox /tmp/tree/bin && ln -s busybox /tmp/tree/bin/sh",
      "export TSBOX_ROOT=/tmp/ext4/root TSBOX_STATE=/run/tsbox-ext4 TSBOX_HOST=unix:///run/tsbox-ext4/tsbox.sock",
      "tar -C /tmp/tree -c . | tsbox import - bb:1 >/dev/null",
      `${none} --userns private --mount type=image,src=bb:1,dst=/i --mount type=image,src=bb:1,dst=/p,image-subpath=bin bb:1 /bin/busybox sh -c 'busybox touch /x; busybox stat -c %u /x /bin/busybox /i/bin/busybox /p/busybox; busybox cat /proc/self/uid_map'`,
      "tsbox daemon stop; umount /tmp/ext4",
    ].join("\n"),
    code: 0,
    stdout: /^0\n0\n0\n0\n +0 +\d+ +65536\n$/,
  },
  {
    title: "what this kernel lacks is said: time namespaces",
    script: `${none} --time-offset 1h host:/ true`,
    code: 125,
    stdout: "",
    stderr: "tsbox: this kernel has no time namespaces: leave the time offset out\n",
  },
  {
    title: "out of memory is reported while the container goes on",
    script: [
      "tsbox run -d --name box --net none -m 16m host:/ sh -c 'dd if=/dev/zero of=/dev/null bs=64M; echo survived; sleep 1000' >/dev/null",
      'until [ "$(tsbox logs box 2>/dev/null)" = survived ]; do sleep 0.1; done',
      "tsbox events --since 10m --until 0s --filter event=oom --filter container=box --format '{{.Action}} {{.Actor.Attributes.name}}'",
      "tsbox rm -f box",
    ].join("\n"),
    code: 0,
    stdout: "oom box\nbox\n",
  },
  {
    title: "tools beside a container",
    script:
      "tsbox run -d --name box --net none host:/ sh -c 'echo x > /own; exec sleep 1000' >/dev/null; tsbox debug box sh -c 'cat /proc/1/root/own /own; ps -o comm= -p 1' </dev/null 2>/dev/null; tsbox rm -f box",
    code: 0,
    stdout: "x\nsleep\nbox\n",
  },
  {
    title: "a host without memory ends containers and no shim: they have scores of their own",
    script: `tsbox run -d --name scored --net none host:/ sleep 999 >/dev/null; for pid in /proc/[0-9]*; do [ "$(cat $pid/comm)" = 'tsbox:[shim]' ] && cat $pid/oom_score_adj; done; tsbox exec scored cat /proc/1/oom_score_adj /proc/self/oom_score_adj; tsbox rm -f scored`,
    code: 0,
    stdout: "-999\n0\n0\nscored\n",
  },
  {
    title: "bridge networks are refused with what the kernel lacks",
    script: "tsbox info --why",
    code: 0,
    stdout: /^ {2}not bridge: .*needs a kernel with bridge, veth, and nftables/m,
  },
  {
    title: "when the engine has stopped no cgroup is left",
    script: "tsbox daemon stop && find /sys/fs/cgroup -name 'tsbox*'",
    code: 0,
    stdout: "",
  },
  execSuiteHolds,
  crunHolds,
  btrfsHolds,
]);
