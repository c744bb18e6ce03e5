"""No way into the settings for a secret: by name, by looks, by file, by number, by interpolation, by a bare word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from polybot.cli import EXIT_CONFIG, main
from polybot.config_secrets import is_secret_name, is_secret_value, refuse_secret_settings
from polybot.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
KEY = "4c" * 32
TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz012345"
WORDS = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.mark.parametrize(
    "name",
    ["private_key", "PRIVATEKEY", "api_key", "apikey", "api_secret", "secret", "bot_token", "TELEGRAM_BOT_TOKEN",
     "passphrase", "password", "passwd", "mnemonic", "seed_phrase", "credentials", "POLYMARKET_RELAYER_API_KEY"],
)  # fmt: skip
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["private_key_env", "private_key_file", "THE_KEY_FILE", "CREDENTIALS_DIRECTORY", "PATH", "min_edge", "seed"]
)
def test_names_of_variables_and_files_and_ordinary_names_are_not_secrets(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", [KEY, "0x" + KEY, "0X" + KEY.upper(), f"x={KEY}", TOKEN, WORDS, int(KEY, 16)])
def test_values_that_look_like_secrets_are_known(value: object) -> None:
    assert is_secret_value(value)


@pytest.mark.parametrize("value", ["0x" + "4c" * 20, "btc-up-or-down-5m", 10**15, True, None, 0.5, "ab" * 40])
def test_ordinary_values_are_not_secrets(value: object) -> None:
    assert not is_secret_value(value)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"a": {"private_key": ""}}, "a.private_key"),
        ({"a": [{"b": KEY}]}, r"a\[0\]\.b=\(hidden\)"),
        ({"strategy": {"mine": {"note": TOKEN}}}, r"strategy\.mine\.note=\(hidden\)"),
        ({"a": int(KEY, 16)}, r"a=\(hidden\)"),
        ({"a": "${oc.env:POLYMARKET_PRIVATE_KEY}"}, "a would copy the secret POLYMARKET_PRIVATE_KEY"),
    ],
)
def test_a_secret_anywhere_in_the_settings_is_refused_by_its_place(settings: dict[str, object], where: str) -> None:
    with pytest.raises(ConfigError, match=where) as caught:
        refuse_secret_settings(settings)
    for value in (KEY, TOKEN, str(int(KEY, 16))):
        assert value not in str(caught.value)


@pytest.mark.parametrize("words", [[KEY], ["0x" + KEY], ["run", TOKEN], ["--config-dir", KEY], [f"--cfg={KEY}"]])
def test_a_bare_secret_on_the_command_line_is_refused_and_not_repeated(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == EXIT_CONFIG
    out, err = capsys.readouterr()
    assert "looks like a secret" in err
    assert KEY not in out + err
    assert TOKEN not in out + err


@pytest.mark.parametrize(
    "yaml",
    [
        f"private_key: '0x{KEY}'",
        f"note: '0x{KEY}'",
        f"note: 0x{KEY}",
        f"note: {TOKEN}",
        "note: ${oc.env:POLYMARKET_PRIVATE_KEY}",
        f"venue:\n  clob_url: {KEY}",
    ],
)
def test_a_secret_in_a_file_of_ones_own_is_refused_before_anything_is_shown(
    yaml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYMARKET_PRIVATE_KEY", "0x" + KEY)
    (tmp_path / "strategy").mkdir()
    body = "_target_: polybot.strategies.example.Example\nenabled: false\nmin_edge: 0.04\n" + yaml
    text = "# @package strategy.mine\n" + body if "venue" not in yaml else "# @package _global_\n" + yaml
    (tmp_path / "strategy" / "mine.yaml").write_text(text)
    assert main(["--config-dir", str(tmp_path), "strategy=[mine]", "--cfg", "job", "--resolve"]) == EXIT_CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert "secret" in err
    for value in (KEY, TOKEN, str(int(KEY, 16))):
        assert value not in err


@pytest.mark.parametrize("value", ["key.txt", "4c4c", "C:/key"])
def test_what_is_no_path_is_refused_as_a_file_without_being_shown(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"venue.private_key_file={value}", "--cfg", "job"]) == EXIT_CONFIG
    err = capsys.readouterr().err
    assert "must be a path that starts with" in err
    assert value not in err


def test_hydra_keeps_no_copy_of_settings_or_command_line(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    for words in (["--cfg", "job"], ["mode=paper", "venue.attach=http://127.0.0.1:9"]):
        command = [sys.executable, "-m", "polybot", "risk=conservative", f"telemetry.out_dir={tmp_path}/out", *words]
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60)
    names = [path.name for path in tmp_path.rglob("*")]
    assert not {".hydra", "outputs", "multirun", "overrides.yaml", "hydra.yaml", "config.yaml"} & set(names)
