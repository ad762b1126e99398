"""The tools of the chaos run do what they say: the proxy lies as it is told, plans repeat, mutations still fit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import plan
from tests.chaos.cases import CASES
from tests.chaos.checker.evidence import public
from tests.chaos.checker.promises import ENDS
from tests.chaos.faults import Faults
from tests.chaos.guards import GUARDS, SCENES
from tests.chaos.proxy import Link
from tests.chaos.stage import CHECKOUT, Stage

SENT = bytes(range(256)) * 40


@asynccontextmanager
async def echo() -> AsyncIterator[Link]:
    """A link before a server that answers what it is sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link = Link("echo", [server.sockets[0].getsockname()[1]], "seed")
    await link.open()
    try:
        yield link
    finally:
        await link.close()
        server.close()


async def exchange(link: Link, limit_s: float = 5.0) -> bytes:
    """Send, and read as much again, or up to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(SENT)
        async with asyncio.timeout(limit_s):
            return await reader.readexactly(len(SENT))
    finally:
        writer.close()


@pytest.mark.parametrize("weather", [{}, {"latency_s": 0.05, "jitter_s": 0.05}, {"slice_bytes": 100}])
async def test_weather_that_loses_nothing(weather: dict[str, Any]) -> None:
    async with echo() as link:
        await link.turn(**weather)
        began = asyncio.get_running_loop().time()
        assert await exchange(link) == SENT
        assert asyncio.get_running_loop().time() - began >= 2 * weather.get("latency_s", 0)


@pytest.mark.parametrize("weather", [{"reset_p": 1.0}, {"drop_p": 1.0}])
async def test_weather_that_ends_connections(weather: dict[str, Any]) -> None:
    async with echo() as link:
        await link.turn(**weather)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await exchange(link)
        await link.heal()
        assert await exchange(link) == SENT
        assert sum(link.counts.values()) >= 1


async def test_a_black_hole_swallows_and_never_gives_back() -> None:
    async with echo() as link:
        await link.turn(black_hole=True)
        with pytest.raises(TimeoutError):
            await exchange(link, limit_s=0.3)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(SENT)
        await asyncio.sleep(0.1)
        await link.heal()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        assert await exchange(link) == SENT


async def test_a_link_that_is_down_refuses() -> None:
    async with echo() as link:
        await link.turn(down=True)
        with pytest.raises(ConnectionRefusedError):
            await exchange(link)
        await link.heal()
        assert await exchange(link) == SENT


async def test_a_link_that_stalls_keeps_who_connects_waiting() -> None:
    async with echo() as link:
        await link.turn(stall=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection("127.0.0.1", link.port), 0.5)
        await link.heal()
        assert await exchange(link) == SENT


def test_a_seed_is_a_plan() -> None:
    assert plan.plan(5, 120) == plan.plan(5, 120) != plan.plan(6, 120)
    assert plan.skews(5) == plan.skews(5)
    for fault in plan.plan(5, 600):
        assert fault.at_s > 0
        assert fault.at_s + fault.lasts_s <= 600


def test_a_long_plan_has_every_fault_on_every_target(tmp_path: Path) -> None:
    links = Stage(tmp_path, seed=1, pace=1.0, tree=tmp_path, skews={}).links
    faults = plan.plan(5, 20_000)
    assert {fault.kind for fault in faults} == plan.KINDS.keys()
    assert set(plan.LINKS) == links.keys() == {f.target[5:] for f in faults if f.target.startswith("link ")}
    assert {f.target for f in faults if f.kind == "kill"} == set(plan.PROCESSES)
    assert {f.how["point"].split(":")[0] for f in faults if f.kind == "crash_point"} == plan.POINTS.keys()
    weather = {"latency", "reset", "drop_reply", "slice", "black_hole", "down", "stall"}
    assert all(hasattr(Faults, f"_{kind}") for kind in plan.KINDS.keys() - weather)


def test_every_case_of_the_load_has_a_promise() -> None:
    assert {(case.provider, case.name) for case in CASES} == ENDS.keys()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_mutation_still_fits_the_code(guard: Any) -> None:
    for edit in guard.edits:
        assert (CHECKOUT / edit.file).read_text().count(edit.old) == 1, edit
        assert edit.old != edit.new
    assert guard.scene in SCENES


def test_ids_are_shown_as_typeids() -> None:
    """The examples of the TypeID specification, v0.3."""
    assert public("prefix", "00000000-0000-0000-0000-000000000000") == "prefix_00000000000000000000000000"
    assert public("prefix", "01890a5d-ac96-774b-bcce-b302099a8057") == "prefix_01h455vb4pex5vsknk084sn02q"
