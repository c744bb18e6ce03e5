"""Peers of the benches: asked a round at a time over pipes, installed each by itself, and pinned to the byte."""

import os
import re
import sys
from pathlib import Path

import pytest

from bench.install_peers import install, main, peer_names
from bench.peer import PEERS, Peer, PeerError, is_current, why_absent

SERVE = """
import os, sys
from serving import serve

def add(a, b):
    print("a library that prints")
    os.write(1, b"and one that writes to the descriptor\\n")
    return {"sum": a + b}

def measured():
    return {"ns": 7, "cpu_ns": 5}

def broken():
    raise ValueError("no such order")

def die():
    sys.stderr.write("out of luck\\n")
    os._exit(3)

def never():
    sys.stdin.read()

serve(add=add, measured=measured, broken=broken, die=die, never=never)
"""


@pytest.fixture
def peer(tmp_path: Path):
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    with Peer("scratch", python=Path(sys.executable), script=script) as made:
        yield made


def test_a_round_is_answered_with_its_result_and_its_cost(peer: Peer) -> None:
    answer = peer.ask("add", a=2, b=3)
    assert answer["sum"] == 5
    assert answer["ns"] > 0
    assert answer["cpu_ns"] >= 0
    assert peer.ask("add", a=1, b=1)["sum"] == 2


def test_a_task_that_measured_itself_is_believed(peer: Peer) -> None:
    assert peer.ask("measured") == {"ns": 7, "cpu_ns": 5}


def test_a_task_that_fails_says_so_and_the_next_is_answered(peer: Peer) -> None:
    with pytest.raises(PeerError, match="ValueError: no such order"):
        peer.ask("broken")
    with pytest.raises(PeerError, match="no such task"):
        peer.ask("unheard_of")
    assert peer.ask("add", a=2, b=2)["sum"] == 4


def test_a_peer_that_dies_is_told_with_what_it_wrote(peer: Peer) -> None:
    with pytest.raises(PeerError, match=r"(?s)ended with code 3.*out of luck"):
        peer.ask("die")


def test_a_peer_that_does_not_answer_in_time_is_told(peer: Peer) -> None:
    with pytest.raises(PeerError, match="did not answer in 0 s"):
        peer.ask("never", timeout_s=0.2)


def test_a_peer_sees_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "ours"))
    script = tmp_path / "serve.py"
    script.write_text("import sys\nfrom serving import serve\nserve(path=lambda: {'path': sys.path})\n")
    with Peer("scratch", python=Path(sys.executable), script=script) as made:
        assert str(tmp_path / "ours") not in made.ask("path")["path"]


def test_a_second_installation_does_nothing_and_a_changed_list_installs_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, environments = tmp_path / "peers", tmp_path / "environments"
    (peers / "empty").mkdir(parents=True)
    (peers / "empty" / "requirements.txt").write_text("# nothing\n")
    assert main(peers=peers, environments=environments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "peer empty: installed"
    assert main(peers=peers, environments=environments) == 0
    assert capsys.readouterr().out == "peer empty: there already\n"
    assert is_current("empty", peers=peers, environments=environments)
    (peers / "empty" / "requirements.txt").write_text("# something else\n")
    assert not is_current("empty", peers=peers, environments=environments)


def test_a_peer_that_cannot_be_installed_is_named_with_the_reason_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, environments = tmp_path / "peers", tmp_path / "environments"
    for name, needs in (("broken", "not a requirement at all !\n"), ("later", "# nothing\n")):
        (peers / name).mkdir(parents=True)
        (peers / name / "requirements.txt").write_text(needs)
    assert main(peers=peers, environments=environments) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert re.match(r"peer broken: NOT INSTALLED: .+", said[1])
    assert said[3] == "peer later: installed"
    assert not (environments / "broken").exists()
    assert install("broken", peers=peers, environments=environments) != ""


def test_every_peer_is_pinned_by_hash_and_names_no_host() -> None:
    assert peer_names() == ["clob", "hft", "nautilus", "spy", "ws"]
    for name in peer_names():
        wanted = (PEERS / name / "requirements.in").read_text().split()
        text = (PEERS / name / "requirements.txt").read_text()
        assert "://" not in text
        pins = re.findall(r"^([\w-]+==[\w.]+)[^\n]*\\\n\s+--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0
        assert {pin.replace("_", "-") for pin in wanted} <= {pin.replace("_", "-") for pin in pins}


def test_every_peer_has_a_decision(request: pytest.FixtureRequest) -> None:
    decisions = request.config.rootpath / "docs" / "decisions"
    for name in peer_names():
        for pin in (PEERS / name / "requirements.in").read_text().split():
            library = pin.partition("==")[0].replace("_", "-")
            assert (decisions / f"{library}.md").exists(), library


def test_absent_peer_is_named_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.peer.is_current", lambda name: False)
    assert "make peers" in why_absent("clob")
    assert os.fspath(PEERS).endswith("bench/peers")
