"""Images for tests, made from a static busybox and put into a registry by its own protocol.

No Docker Engine takes part, so the engines under test have to pull what they run. Web page images differ in one file, the
page, and so share the layer with busybox.
"""

import gzip
import hashlib
import http.client
import io
import json
import tarfile
from urllib.parse import urlsplit

from engines.commands import ran
from engines.errors import EngineError
from engines.packages import busybox_program
from engines.registry import Registry

SERVE = """\
#!/bin/sh
# busybox's httpd as process 1 would ignore SIGTERM
trap 'kill "$child"; exit 0' TERM INT
httpd -f -p 80 -h /www &
child=$!
wait "$child"
"""
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIGURATION = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Web:
    """Images of a small web server on port 80 whose page is `NAME VERSION`; ends at SIGTERM with exit code 0.

    All of busybox's commands are in it, for commands of a test's own.
    """

    def __init__(self, registry: Registry, name: str = "web") -> None:
        self._registry = registry
        self._name = name
        self._pushed: set[str] = set()

    def tag(self, version: str) -> str:
        """Make the image of `version` and push it, once; its reference, `127.0.0.1:PORT/web:v1`. Raises EngineError."""
        if version not in self._pushed:
            push(self._registry.address, self._name, version, [_system(), _page(f"{self._name} {version}\n")])
            self._pushed.add(version)
        return f"{self._registry.address}/{self._name}:{version}"

    def page(self, version: str) -> str:
        """What the server of that version answers at `/`."""
        return f"{self._name} {version}\n"

    def digest(self, version: str) -> str:
        """The manifest's digest, `sha256:...`, as the registry knows it. Raises EngineError."""
        self.tag(version)
        headers = {"Accept": MANIFEST}
        _, answer = _call(
            self._registry.address, "HEAD", f"/v2/{self._name}/manifests/{version}", b"", headers
        )
        return answer.get("Docker-Content-Digest", "")


def push(address: str, name: str, tag: str, layers: list[bytes]) -> None:
    """Push an image of these layers (plain tar archives), with `/serve` as its command. Raises EngineError."""
    packed = [gzip.compress(layer, 6, mtime=0) for layer in layers]
    configuration = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Cmd": ["/serve"], "Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
            "history": [{"created_by": "roj's tests"} for _ in layers],
        }
    ).encode()
    for blob in (configuration, *packed):
        _push_blob(address, name, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIGURATION, "size": len(configuration), "digest": _digest(configuration)},
        "layers": [{"mediaType": LAYER, "size": len(blob), "digest": _digest(blob)} for blob in packed],
    }
    _call(
        address,
        "PUT",
        f"/v2/{name}/manifests/{tag}",
        json.dumps(manifest).encode(),
        {"Content-Type": MANIFEST},
    )


def _push_blob(address: str, name: str, blob: bytes) -> None:
    _, headers = _call(address, "POST", f"/v2/{name}/blobs/uploads/", b"", {})
    place = urlsplit(headers["Location"])
    query = f"{place.query}&digest={_digest(blob)}".lstrip("&")
    _call(address, "PUT", f"{place.path}?{query}", blob, {"Content-Type": "application/octet-stream"})


def _call(
    address: str, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"registry at {address}: {method} {path}: {error}") from error
    finally:
        connection.close()
    if answer.status >= 300:
        raise EngineError(f"registry at {address}: {method} {path}: {answer.status} {content[:300]!r}")
    return content, dict(answer.getheaders())


def _system() -> bytes:
    busybox = busybox_program()
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for directory in ("bin", "etc", "proc", "sys", "dev", "var", "www", "root"):
                _add(archive, directory, kind=tarfile.DIRTYPE)
            _add(archive, "tmp", kind=tarfile.DIRTYPE, mode=0o1777)
            _add(archive, "bin/busybox", busybox.read_bytes())
            for applet in ran([str(busybox), "--list"]).split():
                if applet != "busybox":
                    _add(archive, f"bin/{applet}", kind=tarfile.SYMTYPE, target="busybox")
            _add(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", mode=0o644)
            _add(archive, "etc/group", b"root:x:0:\n", mode=0o644)
            _add(archive, "serve", SERVE.encode())
        return buffer.getvalue()


def _page(text: str) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            _add(archive, "www/index.html", text.encode(), mode=0o644)
        return buffer.getvalue()


def _add(
    archive: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o755,
    target: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
    archive.addfile(entry, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _architecture() -> str:
    return {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "i386": "386"}.get(
        ran(["dpkg", "--print-architecture"]).strip(), "amd64"
    )
