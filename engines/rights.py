"""Whether engines can run here at all."""

import os
from pathlib import Path

from engines.commands import is_root, tried


def missing_rights() -> str | None:
    """Why the engines cannot run here, in one line; None if they can.

    Looks only: what it tries happens in namespaces that end with it.
    """
    if not is_root():
        if tried(["sudo", "-n", "true"]).returncode == 0:
            return None
        return "this is not root, and `sudo -n` asks for a password"
    if tried(["unshare", "--net", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]).returncode != 0:
        return "this is a container without privileges: it may not mount or make network namespaces"
    if tried(["ip", "-V"]).returncode == 0:
        bridge = tried(["unshare", "--net", "ip", "link", "add", "probe0", "type", "bridge"])
        if bridge.returncode != 0:
            return f"no network bridge can be made: {bridge.stderr.strip()}"
    if tried(["iptables", "--version"]).returncode == 0:
        tables = tried(["unshare", "--net", "iptables", "-t", "nat", "-L", "-n"])
        if tables.returncode != 0:
            return f"iptables does not work: {(tables.stderr.strip() or 'no reason given').splitlines()[0]}"
    if not _control_groups_writable():
        return "control groups are not mounted, or only to read"
    return None


def _control_groups_writable() -> bool:
    for top in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        if top.is_dir():
            probe = top / f"roj-engines-probe-{os.getpid()}"
            try:
                probe.mkdir()
                probe.rmdir()
            except OSError:
                return False
            return True
    return False
