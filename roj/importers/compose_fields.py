"""What becomes of each key of a Compose service that is not taken as it is: one table each, with the reason."""

from __future__ import annotations

LEFT_OUT: dict[str, str] = {
    "attach": "left out: it is about the output of `docker compose up`; `docker logs` has it",
    "container_name": "left out: roj names containers; the others reach it by the service's name, and not by this one",
    "develop": "left out: it is for `docker compose watch`",
    "expose": "left out: the containers of an instance reach every port of each other",
    "profiles": "left out: the service is imported",
}
"""Changed: they change nothing of how the container runs under roj."""

REFUSED: dict[str, str] = {
    "annotations": "roj has labels, and no annotations",
    "blkio_config": "roj has no limits of block devices",
    "cap_add": "roj adds no capabilities yet",
    "cgroup": "roj's containers have Docker's own control group",
    "cgroup_parent": "roj's containers have Docker's own control group",
    "configs": "roj has no configs: put the file on the node, and mount it as a volume",
    "cpu_count": "it is for Windows",
    "cpu_percent": "it is for Windows",
    "cpu_rt_period": "roj has no limits of real-time scheduling",
    "cpu_rt_runtime": "roj has no limits of real-time scheduling",
    "cpu_period": "write it as cpus: the quota by the period",
    "cpu_quota": "write it as cpus: the quota by the period",
    "credential_spec": "it is for Windows",
    "device_cgroup_rules": "roj gives containers no devices yet",
    "devices": "roj gives containers no devices yet",
    "dns_opt": "roj has no options of the resolver",
    "dns_search": "roj has no search domains",
    "domainname": "roj has no domain names; `hostname` may have dots",
    "extends": "roj reads one service as it stands; `docker compose config` writes a file in which it is resolved",
    "external_links": "an instance has a network of its own: containers of others are not in it",
    "gpus": "roj gives containers no devices yet",
    "group_add": "roj has no further groups",
    "healthcheck": "roj has no health checks yet",
    "ipc": "roj's containers have IPC of their own",
    "isolation": "it is for Windows",
    "mac_address": "roj gives no hardware addresses",
    "mem_reservation": "roj has limits, and no reservations",
    "mem_swappiness": "roj leaves it to the node",
    "models": "roj runs no models",
    "oom_kill_disable": "roj leaves it to the node",
    "oom_score_adj": "roj leaves it to the node",
    "pid": "roj's containers have processes of their own",
    "platform": "roj takes the node's own platform",
    "post_start": "roj runs no hooks",
    "pre_stop": "roj runs no hooks",
    "privileged": "roj runs no privileged containers yet",
    "provider": "roj runs containers only",
    "pull_refresh_after": "roj pulls an image that is missing, and not again",
    "runtime": "roj takes the node's own runtime",
    "secrets": "roj has no secrets yet",
    "security_opt": "roj has no security options yet",
    "stdin_open": "roj's containers have no standard input",
    "storage_opt": "roj leaves it to the node",
    "sysctls": "roj sets no sysctls yet",
    "tty": "roj's containers have no terminal",
    "use_api_socket": "roj hands no Docker socket to containers",
    "userns_mode": "roj leaves it to the node",
    "uts": "roj's containers have a host's name of their own",
    "volumes_from": "name the volumes themselves: roj has none of another container",
}
"""Refused: the container would not be what the file says."""

DEPLOY_LEFT_OUT: dict[str, str] = {
    "endpoint_mode": "left out: it is for Swarm",
    "labels": "left out: Swarm puts them on the service, and not on its containers",
    "placement": "left out: `roj deploy` names the nodes",
    "rollback_config": "left out: `roj rollout` is told",
    "update_config": "left out: `roj rollout` is told, and `update:` of the app file has the order",
    "mode": "left out: `roj deploy` names the nodes",
}
"""Of `deploy`: what Compose itself leaves to Swarm."""
