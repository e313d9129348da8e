"""The check before every run, against grants in a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.capabilities import Authority, Broker, Capability, parse_capability
from subgraph.catalog import ActivatedSkill, Catalog, InstallSource, SkillRoot
from subgraph.errors import CapabilityDenied, GrantRequired, GrantStale, SkillRevoked, StorageUnavailable
from subgraph.storage import Database
from tests.support.postgres import empty_database, settings_for
from tests.support.skills import Loop, event_loop, write_skill

READ = Capability("read_file")
TOOLS = "read_file fetch_url(https://a.vn/*) Bash(git:*)"


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with event_loop() as one:
        yield one


@pytest.fixture(scope="module")
def authority(server: str, loop: Loop) -> Iterator[Authority]:
    with (
        empty_database(server) as dsn,
        loop.entered(Database(settings_for(dsn))) as database,
        loop.entered(Authority(database)) as one,
    ):
        yield one


class Desk:
    """One skill of its own for each test, and what people decide about it."""

    def __init__(self, loop: Loop, authority: Authority, root: Path, name: str) -> None:
        self.loop = loop
        self.authority = authority
        self.broker = Broker(authority)
        self.root = root
        self.path = f"a/{name[:50].replace('_', '-').strip('-')}"
        self.catalog = Catalog([SkillRoot(root, InstallSource.LOCAL, trusted=True)])
        self.write()

    def write(self, tools: str = TOOLS, body: str = "") -> None:
        write_skill(self.root, self.path, tools=tools, body=body)
        self.loop.run(self.catalog.scan())

    @property
    def skill(self) -> ActivatedSkill:
        self.loop.run(self.authority.refresh())
        return self.loop.run(self.catalog.activate(self.path))

    def grant(self, capability: str, content_hash: str | None = None) -> None:
        self.loop.run(
            self.authority.grant(self.path, [capability], content_hash or self.skill.content_hash, "ann")
        )

    def check(self, *requested: str) -> None:
        self.broker.check(self.skill, map(parse_capability, requested))


@pytest.fixture
def desk(loop: Loop, authority: Authority, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(loop, authority, tmp_path, str(request.node.originalname))


def test_nothing_requested_needs_no_grant(desk: Desk) -> None:
    desk.check()


def test_what_is_not_declared_is_denied(desk: Desk) -> None:
    with pytest.raises(CapabilityDenied, match="does not declare write_file in allowed-tools; it declares"):
        desk.check("write_file")


def test_a_skill_that_declares_nothing_is_said_to(desk: Desk) -> None:
    desk.write(tools="")
    with pytest.raises(CapabilityDenied, match="it declares nothing"):
        desk.check("read_file")


def test_what_nobody_granted_is_required_and_the_mutation_is_told(desk: Desk) -> None:
    with pytest.raises(GrantRequired) as caught:
        desk.check("read_file")
    expected = f'grantCapability(skillName: "{desk.path}", capability: "read_file")'
    assert expected in caught.value.message


def test_the_mutation_that_is_told_is_valid_whatever_the_pattern(desk: Desk) -> None:
    desk.write(tools="""'read_file(a"b)'""")
    with pytest.raises(GrantRequired) as caught:
        desk.check('read_file(a"b)')
    assert r'capability: "read_file(a\"b)")' in caught.value.message


def test_what_was_granted_passes(desk: Desk) -> None:
    desk.grant("read_file")
    desk.check("read_file")
    desk.check()
    with pytest.raises(GrantRequired, match="fetch_url"):
        desk.check("read_file", "fetch_url(https://a.vn/*)")


def test_a_grant_without_a_pattern_covers_patterns(desk: Desk) -> None:
    desk.grant("read_file")
    desk.check("read_file(data/x)")


def test_a_grant_with_a_pattern_covers_that_pattern_alone(desk: Desk) -> None:
    desk.grant("read_file(data/x)")
    desk.check("read_file(data/x)")
    for wider in ("read_file", "read_file(data/y)"):
        with pytest.raises(GrantRequired):
            desk.check(wider)


def test_a_declared_pattern_denies_what_is_wider(desk: Desk) -> None:
    desk.grant("fetch_url(https://a.vn/*)")
    desk.check("fetch_url(https://a.vn/*)")
    for wider in ("fetch_url", "fetch_url(https://b.vn/*)"):
        with pytest.raises(CapabilityDenied):
            desk.check(wider)


@pytest.mark.parametrize("requested", [(), ("read_file",), ("fetch_url(https://a.vn/*)",)])
def test_a_grant_for_other_bytes_is_stale_whatever_is_requested(
    desk: Desk, requested: tuple[str, ...]
) -> None:
    desk.grant("read_file")
    desk.write(body="changed " + " ".join(requested))
    with pytest.raises(GrantStale, match="changed since read_file was granted") as caught:
        desk.check(*requested)
    assert f'skillName: "{desk.path}", capability: "read_file"' in caught.value.message


def test_granting_again_makes_it_run_again(desk: Desk) -> None:
    desk.grant("read_file")
    desk.write(body="changed")
    desk.grant("read_file")
    desk.check("read_file")
    desk.check()


def test_bytes_that_come_back_need_a_look_again(desk: Desk) -> None:
    desk.grant("read_file")
    desk.write(body="changed")
    desk.grant("read_file")
    desk.write()
    with pytest.raises(GrantStale):
        desk.check()


def test_an_old_grant_of_what_is_no_longer_declared_hinders_nothing(desk: Desk) -> None:
    desk.grant("read_file")
    desk.write(tools="list_dir")
    desk.check()
    desk.grant("list_dir")
    desk.check("list_dir")


def test_a_revoked_skill_runs_for_nobody(desk: Desk) -> None:
    desk.grant("read_file")
    desk.loop.run(desk.authority.revoke(desk.path, "it leaks", "", "bob"))
    for requested in ((), ("read_file",)):
        with pytest.raises(SkillRevoked, match=rf"{desk.path} was revoked: it leaks\. .*reinstateSkill\("):
            desk.check(*requested)


def test_refusals_come_in_their_order(desk: Desk) -> None:
    desk.grant("read_file")
    desk.write(body="changed")
    with pytest.raises(CapabilityDenied):  # before stale
        desk.check("write_file", "read_file")
    with pytest.raises(GrantStale):  # before required
        desk.check("fetch_url(https://a.vn/*)")
    desk.loop.run(desk.authority.revoke(desk.path, "", "", "bob"))
    with pytest.raises(SkillRevoked):  # before denied
        desk.check("write_file")
    never_started = Broker(Authority(Database(settings_for("postgresql://nowhere"))))
    with pytest.raises(StorageUnavailable):  # before all
        never_started.check(desk.skill, [READ])


def test_only_declared_capabilities_may_be_granted(desk: Desk) -> None:
    desk.broker.check_declared(desk.skill, READ)
    desk.broker.check_declared(desk.skill, Capability("read_file", "x"))
    with pytest.raises(CapabilityDenied):
        desk.broker.check_declared(desk.skill, Capability("get_secret"))


def test_a_private_host_is_lost_with_the_grant_that_names_it(desk: Desk) -> None:
    named, address = "fetch_url(http://tax.internal:8080/*)", "http://tax.internal:8080/codes"
    desk.write(tools=f"fetch_url {named}")
    desk.grant("fetch_url")
    desk.grant(named)
    held = list(map(parse_capability, ("fetch_url", named)))
    assert desk.broker.permits_private(desk.skill, held, address)
    assert not desk.broker.permits_private(desk.skill, held[:1], address)
    desk.loop.run(desk.authority.revoke_capability(desk.path, named, "bob"))
    assert desk.broker.permits(desk.skill, held, "fetch_url", address)
    assert not desk.broker.permits_private(desk.skill, held, address)


def test_a_grant_that_this_version_does_not_know_allows_nothing_and_hinders_nothing(desk: Desk) -> None:
    for unknown in ("read_file(../a)", "dial(555)", "("):
        desk.grant(unknown)
    desk.write(body="changed")
    desk.grant("read_file(a)")
    assert desk.broker.check(desk.skill, None) == (parse_capability("read_file(a)"),)
    assert desk.broker.stale(desk.skill) == []
    assert desk.broker.changes(desk.skill).removed == ()
    assert desk.broker.grant_that_covers(desk.skill, READ) is None
