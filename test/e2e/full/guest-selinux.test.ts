/**
 * SELinux: labels of containers, in a QEMU guest with a test policy (test/vm/selinux.cil) that has container-selinux's types and enforces
 * them.
 */
import { join } from "node:path";
import { home } from "../src/engine.ts";
import { debianTree, scenes } from "../src/guest.ts";

const compiler = debianTree("secilc", "secilc", "libsepol2");
const libraries = ["lib", "usr/lib"].map((folder) => join(compiler.tree, folder, "x86_64-linux-gnu")).join(":");
const run = "tsbox run --rm --net none";
const busybox = [
  "mkdir -p /tmp/tree/bin /tmp/tree/etc; cp /bin/busybox /tmp/tree/bin; echo root:x:0:0::/:/bin/sh >/tmp/tree/etc/passwd",
  "for applet in sh cat ls sleep head echo touch true; do ln -s busybox /tmp/tree/bin/$applet; done; tar -C /tmp/tree -c . | tsbox import - bb:1 >/dev/null",
].join("\n");
/** Replaces categories and the end of the line in a label. */
const plain = "tr -d '\\0' | sed 's/:c[0-9]*,c[0-9]*/:CC/'; echo";

scenes(
  "SELinux (QEMU)",
  "selinux",
  [
    {
      title: "the policy is in force, and the engine says that it labels",
      script: [
        "tsbox daemon stop; rm -rf /tmp/root; mount -t selinuxfs none /sys/fs/selinux",
        `(cat ${join(home, "test/vm/selinux.cil")}; seq -f '(category c%g)' 0 1023; echo "(categoryorder ($(seq -s ' ' -f c%g 0 1023)))") >/tmp/policy.cil`,
        `LD_LIBRARY_PATH=${libraries} ${compiler.tree}/usr/bin/secilc -P -c 33 -o /tmp/policy -f /dev/null /tmp/policy.cil && cat /tmp/policy >/sys/fs/selinux/load`,
        // The label that an operator sets with `semanage fcontext -a -e /var/lib/containers /var/lib/tsbox`.
        "mkdir /tmp/root; setfattr -n security.selinux -v system_u:object_r:container_ro_file_t:s0 /tmp/root",
        "echo 1 >/sys/fs/selinux/enforce; tsbox info -f '{{.SecurityOptions}}'",
        busybox,
      ].join("\n"),
      code: 0,
      stdout: "[name=seccomp,profile=builtin name=cgroupns name=selinux]\n",
    },
    {
      title:
        "processes and files have a container's types and two categories, no two containers the same; an exec has its container's, and who shares its processes",
      script: [
        `${run} bb:1 cat /proc/self/attr/current | ${plain}`,
        `${run} bb:1 sh -c 'echo x >/x; cat /x /etc/hosts >/dev/null; ls -d /dev/mqueue /dev/shm /dev/pts'`,
        "tsbox run -d --name one --net none bb:1 sleep 1000 >/dev/null; tsbox run -d --name two --net none bb:1 sleep 1000 >/dev/null",
        "label() { tsbox inspect -f '{{.ProcessLabel}}' $1; }; [ $(label one) != $(label two) ] && echo apart",
        "[ $(label one) = $(tsbox exec one cat /proc/self/attr/current | tr -d '\\0') ] && echo same",
        `[ $(label one) = $(${run} --pid container:one bb:1 cat /proc/self/attr/current | tr -d '\\0') ] && echo shared`,
        `tsbox inspect -f '{{.MountLabel}}' one | ${plain}`,
      ].join("\n"),
      code: 0,
      stdout: [
        "system_u:system_r:container_t:s0:CC",
        "/dev/mqueue",
        "/dev/pts",
        "/dev/shm",
        "apart",
        "same",
        "shared",
        "system_u:object_r:container_file_t:s0:CC",
        "\n",
      ].join("\n"),
    },
    {
      title: "a directory of the host's is out of reach, until z gives it to all containers, or Z to one",
      script: [
        "mkdir -p /tmp/data/below; echo data >/tmp/data/below/file; see() { tsbox run --rm --net none -v /tmp/data:/d$1 bb:1 cat /d/below/file; }",
        "see; see :z; see; see :ro,Z; see",
        `${run} -v /usr:/u:z bb:1 true`,
      ].join("\n"),
      code: 125,
      stdout: "data\ndata\ndata\n",
      stderr: [
        "cat: can't open '/d/below/file': Permission denied",
        "cat: can't open '/d/below/file': Permission denied",
        "tsbox: SELinux relabeling of /usr is not allowed: leave z and Z out, or mount a directory below it\n",
      ].join("\n"),
    },
    {
      title: "volumes, images as mounts, tmpfs, an init and files of the caller's work as ever",
      script: [
        `${run} -v vol:/v bb:1 sh -c 'echo volume >/v/file'; ${run} -v vol:/v:ro bb:1 cat /v/file`,
        `${run} --mount type=image,src=bb:1,dst=/i bb:1 cat /i/etc/passwd; ${run} --mount type=tmpfs,dst=/t bb:1 sh -c 'echo tmpfs >/t/f; cat /t/f'`,
        `${run} --init bb:1 echo init; echo old >/tmp/file; ${run} bb:1 echo caller >/tmp/file; cat /tmp/file`,
        `${run} --security-opt no-new-privileges bb:1 echo nnp`,
      ].join("\n"),
      code: 0,
      stdout: "volume\nroot:x:0:0::/:/bin/sh\ntmpfs\ninit\ncaller\nnnp\n",
    },
    {
      title: "--security-opt label: disabled, another level, a type that the policy does not know; privileged is without",
      script: [
        `for option in --privileged '--security-opt label=disable' '--ipc host'; do ${run} $option -v /tmp/data:/d bb:1 cat /d/below/file; done`,
        `${run} --security-opt label=level:s0:c7,c8 bb:1 cat /proc/self/attr/current | tr '\\0' '\\n'`,
        `${run} --security-opt label=type:nosuch_t --security-opt label=level:s0:c1,c2 bb:1 true`,
      ].join("\n"),
      code: 125,
      stdout: "data\ndata\ndata\nsystem_u:system_r:container_t:s0:c7,c8\n",
      stderr:
        "tsbox: system_u:system_r:nosuch_t:s0:c1,c2 is no label of this host's SELinux policy: install container-selinux, correct --security-opt label=…, or say label=disable\n",
    },
    {
      title: "an engine without labelling leaves containers as they are",
      script: `tsbox rm -f one two; tsbox daemon stop; export TSBOX_CONFIG=/tmp/none.json; echo '{}' >$TSBOX_CONFIG; tsbox info -f '{{.SecurityOptions}}'; ${run} -v /tmp/data:/d:Z bb:1 sh -c 'cat /d/below/file; cat /proc/self/attr/current' | tr -d '\\0'; echo; tsbox daemon stop`,
      code: 0,
      stdout: "one\ntwo\n[name=seccomp,profile=builtin name=cgroupns]\ndata\nsystem_u:system_r:host_t:s0-s0:c0.c1023\n",
    },
  ],
  { plugins: [{ package: "@tsbox/containers", config: { selinux: true } }] },
);
