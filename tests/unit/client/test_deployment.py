"""Deploy and apps: what is refused, before anything is written, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from roj.api import keys
from roj.api.app import AppSpec, Pin
from roj.api.faults import Fault
from roj.api.instance import Revision
from roj.api.rollout import RolloutStatus, Step
from roj.client.apps import MAX_HOST_PORTS, create_app, get_app, remove_apps
from roj.client.deployment import deploy
from roj.client.errors import ClientError, Conflict, Failed, Invalid, NotFound
from roj.client.goals import set_goals
from roj.client.rollouts import Terms, start_rollout
from roj.store.interface import Entry, StoreUnavailable
from tests.unit.client.world import WHEN, World, Wrapper, spec, violations


@pytest.fixture
def apps(world: World) -> World:
    create_app(world.client, "web", "v1", spec(8080))
    create_app(world.client, "job", "v1", spec(None))
    return world


def refusal(world: World, kind: type[ClientError], *nodes: str, app: str = "web", **more: Any) -> str:
    """What a deploy is refused with; nothing may have been written."""
    before = world.keys()
    with pytest.raises(kind) as refused:
        deploy(world.client, app, "v1", nodes, **more)
    assert world.keys() == before
    error = refused.value
    return "\n".join([error.message, *map(str, error.faults), error.hint])


def test_a_deploy_writes_instance_claims_and_guard(apps: World) -> None:
    (launch,) = deploy(apps.client, "web", "v1", ["n1"], why="because")
    instance = apps.get("n1", launch.id)
    assert (instance.goal, instance.generation, instance.who, instance.why) == (
        "start",
        1,
        "anna@desk",
        "because",
    )
    assert instance.app == get_app(apps.client, "web", "v1").reference
    assert instance.revision.id == instance.change == apps.guard("web")
    assert list(apps.claims()) == [keys.port("n1", "tcp", 8080)]
    assert instance.id.startswith("web-")
    assert not list(violations(apps))


def test_the_port_of_a_node_is_no_other_nodes(apps: World) -> None:
    deploy(apps.client, "web", "v1", ["n1"], id="first")
    deploy(apps.client, "web", "v1", ["n2"])
    assert "port 8080/tcp is held by instance first" in refusal(apps, Conflict, "n1")


def test_every_node_that_refuses_is_named(apps: World) -> None:
    apps.node("n3", cordoned="new disk")
    apps.node("n4", forgotten=True)
    deploy(apps.client, "web", "v1", ["n1"], id="first")
    words = refusal(apps, Conflict, "n1", "n2", "n3", "n4")
    assert "n1: port 8080/tcp is held by instance first" in words
    assert "n3: was cordoned by otto@desk: new disk" in words
    assert "n4: was forgotten" in words
    assert "n2" not in words


def test_a_node_that_is_not_there_is_answered_with_those_that_are(apps: World) -> None:
    assert "There are the nodes n1, n2." in refusal(apps, NotFound, "n1", "n")


def test_all_that_is_wrong_is_told_at_once(apps: World) -> None:
    deploy(apps.client, "web", "v1", ["n1"], id="first")
    words = refusal(apps, NotFound, "n1", "n2", "n9")
    assert "n1: port 8080/tcp is held by instance first" in words
    assert "there is no node n9" in words
    words = refusal(
        apps, Invalid, "n9", "n9", app="nothing", id="A_b", faults=[Fault("--timeout", "is none")]
    )
    for said in ("--timeout: is none", "--id: 'A_b'", "no app nothing:v1", "no node n9", "n9 is named twice"):
        assert said in words
    words = refusal(apps, Conflict, "n1", id="first", app="job")
    assert "runs web:v1" in words
    words = refusal(apps, Invalid, "n1", "n2", count=2)
    assert "only one instance fits there" in words
    assert "port 8080/tcp is held by instance first" in words


def test_what_is_nonsense_is_so_whatever_the_store_says(apps: World) -> None:
    nobody = apps.person("anna@desk", Unreachable(apps.store))
    with pytest.raises(Invalid, match="A_b"):
        deploy(nobody, "web", "v1", ["n1"], id="A_b")
    with pytest.raises(StoreUnavailable):
        deploy(nobody, "web", "v1", ["n1"], id="a-b")


class Unreachable(Wrapper):
    """A store that does not answer."""

    def get(self, key: str, *, consistent: bool = False) -> Entry | None:
        raise StoreUnavailable("memory: no answer")


def test_without_any_node_the_next_step_is_named(apps: World) -> None:
    apps.wipe(keys.DESIRED)
    assert "roj agent" in refusal(apps, NotFound, "n1")


def test_an_app_that_is_not_there_is_answered_with_its_versions(apps: World) -> None:
    create_app(apps.client, "other", "v2", spec())
    assert "other:v2" in refusal(apps, NotFound, "n1", app="other")
    assert "roj apps" in refusal(apps, NotFound, "n1", app="nothing")


@pytest.mark.parametrize(
    ("nodes", "more"),
    [
        (["n1"], {"count": 0}),
        (["n1", "n2"], {"id": "a"}),
        (["n1"], {"id": "a", "count": 2}),
        (["n1"], {"id": "A"}),
        (["n1", "n2", "n1"], {}),
        (["n/1"], {}),
        ([], {}),
    ],
)
def test_what_cannot_be_meant_is_invalid(apps: World, nodes: list[str], more: dict[str, Any]) -> None:
    refusal(apps, Invalid, *nodes, app="job", **more)


def test_a_fixed_port_is_for_one(apps: World) -> None:
    assert "8080/tcp" in refusal(apps, Invalid, "n1", count=2)


def test_the_same_again_with_an_id_is_no_change(apps: World) -> None:
    (first,) = deploy(apps.client, "web", "v1", ["n1"], id="mine")
    before = apps.keys(), apps.guard("web")
    (again,) = deploy(apps.client, "web", "v1", ["n1"], id="mine")
    assert again.existed
    assert again.uid == first.uid
    assert (apps.keys(), apps.guard("web")) == before
    assert "the id mine is taken: n1/mine" in refusal(apps, Conflict, "n2", id="mine")
    assert "runs web:v1" in refusal(apps, Conflict, "n1", app="job", id="mine")
    set_goals(apps.client, ["mine"], "undeploy")
    assert "being undeployed" in refusal(apps, Conflict, "n1", id="mine")


def test_the_id_of_an_unclaimed_instance_is_taken(apps: World) -> None:
    (launch,) = deploy(apps.client, "job", "v1", ["n1"], id="lost")
    apps.report("n1", launch.id, "unclaimed", believed=apps.get("n1", "lost"))
    apps.drop(keys.instance("n1", "lost"))
    assert "roj adopt n1/lost" in refusal(apps, Conflict, "n2", app="job", id="lost")


def test_a_node_that_is_away_gets_its_order(apps: World) -> None:
    apps.node("n3", ready=False)
    launches = deploy(apps.client, "job", "v1", ["n1", "n3"])
    assert [launch.away for launch in launches] == [False, True]


def test_pins_of_the_apps_images_go_into_the_revision(apps: World) -> None:
    apps.put(keys.pin("job", "v1", "web"), Pin(image="nginx:1.7.1", digest="sha256:1").encode())
    (first,) = deploy(apps.client, "job", "v1", ["n1"])
    assert apps.get("n1", first.id).revision.images == {"web": "sha256:1"}
    apps.put(keys.pin("job", "v1", "web"), Pin(image="nginx:0.1", digest="sha256:0").encode())
    (second,) = deploy(apps.client, "job", "v1", ["n1"])
    assert apps.get("n1", second.id).revision.images == {}, "a pin of another image is none of this app"


def test_more_than_a_transaction_takes_goes_in_several(apps: World) -> None:
    launches = deploy(apps.client, "job", "v1", ["n1"], count=130)
    assert len({launch.id for launch in launches}) == 130
    assert {i.id for i in apps.instances()} == {launch.id for launch in launches}
    assert len({instance.change for instance in apps.instances()}) == 5


def test_a_record_that_is_not_understood_is_not_worked_with(apps: World) -> None:
    apps.put(keys.node("n1"), b'{"format": 99}')
    assert "upgrade roj" in refusal(apps, Conflict, "n1")
    apps.put(keys.app("web", "v1"), b"{")
    assert "app web:v1" in refusal(apps, Failed, "n2")


def test_an_app_is_written_once(world: World) -> None:
    assert create_app(world.client, "web", "v1", spec(8080))
    digest = get_app(world.client, "web", "v1").reference.digest
    world.clock.sleep(3600)
    assert not create_app(world.person("otto@desk"), "web", "v1", spec(8080), "another reason")
    assert get_app(world.client, "web", "v1").reference.digest == digest
    with pytest.raises(Conflict, match="another specification"):
        create_app(world.client, "web", "v1", spec(8081))


def test_an_app_with_its_largest_number_of_ports_can_be_deployed(world: World) -> None:
    create_app(world.client, "web", "v1", spec(*range(1000, 1000 + MAX_HOST_PORTS)))
    deploy(world.client, "web", "v1", ["n1"], id="a")
    assert len(world.claims()) == MAX_HOST_PORTS
    with pytest.raises(Invalid, match="fixed ports"):
        create_app(world.client, "web", "v2", spec(*range(1000, 1001 + MAX_HOST_PORTS)))


def test_an_app_that_is_too_large_is_refused_before_it_is_sent(world: World) -> None:
    large = AppSpec.checked(
        {"containers": [{"name": "web", "image": "nginx", "env": {f"V{n}": "x" * 1000 for n in range(400)}}]}
    )
    with pytest.raises(Invalid, match="too large"):
        create_app(world.client, "web", "v1", large)
    assert not world.apps()


def test_an_app_in_use_stays(apps: World) -> None:
    deploy(apps.client, "web", "v1", ["n1"], id="a")
    deploy(apps.client, "job", "v1", ["n2"], id="b")
    set_goals(apps.client, ["b"], "undeploy")
    for references in ([("web", "v1")], [("web", "v1"), ("job", "v1")]):
        with pytest.raises(Conflict, match="n1/a"):
            remove_apps(apps.client, references)
    with pytest.raises(Conflict, match=r"n2/b \(is being undeployed\)"):
        remove_apps(apps.client, [("job", "v1")])
    assert len(apps.apps()) == 2


def test_an_app_that_may_be_rolled_back_to_stays(apps: World) -> None:
    (launch,) = deploy(apps.client, "web", "v1", ["n1"], id="a")
    before = apps.get("n1", launch.id)
    job = get_app(apps.client, "job", "v1").reference
    revision = Revision(id="other", app=job, generation=2, when=WHEN)
    upgraded = before.model_copy(update={"app": job, "revisions": (revision, *before.revisions)})
    apps.put(keys.instance("n1", "a"), upgraded.encode())
    with pytest.raises(Conflict, match=r"n1/a \(an earlier revision\)"):
        remove_apps(apps.client, [("web", "v1")])


def test_an_app_that_a_rollout_goes_to_stays_until_that_has_ended(apps: World) -> None:
    create_app(apps.client, "web", "v2", spec(8081))
    deploy(apps.client, "web", "v1", ["n1"], id="a")
    rollout = start_rollout(apps.client, "two", ("web", "v2"), "web", Terms())
    with pytest.raises(Conflict, match=r"rollout two \(running\)") as refused:
        remove_apps(apps.client, [("web", "v2")])
    assert "roj rollout abort" in refused.value.hint
    status = RolloutStatus(
        name="two", uid=rollout.uid, observed_generation=1, phase="aborted", since=WHEN, steps=(Step(),)
    )
    apps.put(keys.rollout_status("two"), status.encode())
    remove_apps(apps.client, [("web", "v2")])
    apps.put(keys.rollout("odd"), b"{}")
    with pytest.raises(Conflict, match="rollout odd is not understood"):
        remove_apps(apps.client, [("job", "v1")])


def test_what_is_not_understood_may_use_an_app(apps: World) -> None:
    apps.put(keys.instance("n1", "a"), b"{}")
    with pytest.raises(Conflict, match="n1/a is not understood"):
        remove_apps(apps.client, [("web", "v1")])


def test_of_several_apps_one_that_is_not_there_keeps_all(apps: World) -> None:
    with pytest.raises(NotFound, match="nothing:v1"):
        remove_apps(apps.client, [("web", "v1"), ("nothing", "v1")])
    assert len(apps.apps()) == 2


def test_pins_go_with_their_app(apps: World) -> None:
    apps.put(keys.pin("job", "v1", "web"), Pin(image="nginx:1.7.1", digest="sha256:1").encode())
    remove_apps(apps.client, [("job", "v1")])
    assert not apps.store.list(keys.PINS).entries
