"""Tests of what can be set, what is refused, and the table in the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsvc.addresses import is_loopback, join_address, split_address
from costsvc.settings import Settings, SettingsError, read_settings, settings_table

OPERATIONS = Path(__file__).parent.parent / "docs" / "operations.md"
KEY = "sk-ant-very-secret"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of the machine out of the environment."""
    for name in [name for name in os.environ if name.startswith(("COSTSVC_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)


def refusal(**options: object) -> str:
    """Return the sentence with which settings are refused."""
    with pytest.raises(SettingsError) as refused:
        read_settings(options)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


def test_defaults_stay_on_this_machine() -> None:
    """Nothing set means loopback, an embedded store and the simulated provider."""
    settings = read_settings()
    assert (settings.listen, settings.ops) == ("127.0.0.1:50051", "127.0.0.1:8080")
    assert (settings.redis_url, settings.provider, settings.allow_unauthenticated) == (
        None,
        "simulated",
        False,
    )
    assert settings.grace_s == settings.max_call_s == 600
    assert "~" not in str(settings.data_dir)


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option replaces the variable of the same name; an option that is not given does not."""
    monkeypatch.setenv("COSTSVC_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("COSTSVC_CATALOG", "a.toml, b.toml")
    settings = read_settings({"listen": "127.0.0.1:2", "catalog": (), "policy": None})
    assert settings.listen == "127.0.0.1:2"
    assert settings.catalog == (Path("a.toml"), Path("b.toml"))


def test_nested_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double underscore names a setting inside a group, and its neighbours keep their defaults."""
    monkeypatch.setenv("COSTSVC_ADMISSION__MAX_CALLS", "7")
    assert read_settings().admission.max_calls == 7
    assert read_settings().admission.max_calls_per_tenant == 500


@pytest.mark.parametrize(
    ("key", "options", "provider"),
    [
        (None, {}, "simulated"),
        ("", {}, "simulated"),
        (" \n", {}, "simulated"),
        (KEY, {}, "anthropic"),
        (KEY, {"upstream": "simulated"}, "simulated"),
        (None, {"upstream_url": "http://127.0.0.1:8787"}, "anthropic"),
        (None, {"upstream": "anthropic", "upstream_url": "http://127.0.0.1:8787"}, "anthropic"),
    ],
)
def test_the_provider_follows_from_what_is_there(
    monkeypatch: pytest.MonkeyPatch, key: str | None, options: dict[str, str], provider: str
) -> None:
    """The real provider is used where there is a key or a URL for it, unless a choice is stated."""
    if key is not None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    assert read_settings(options).provider == provider


def test_a_key_from_a_file_loses_its_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whitespace around the key is not part of it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", f"{KEY}\n")
    key = read_settings().anthropic_api_key
    assert key is not None
    assert key.get_secret_value() == KEY


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is shown nor the representation holds the key or a password of a URL."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    settings = read_settings(
        {
            "redis_url": "rediss://user:pass-word@store:6379/0?token=abc",
            "upstream_url": "https://u:pass-word@gw/v",
            "alerts": {"webhook_url": "https://hooks/T0-path", "webhook_secret": "whsec"},
        }
    )
    shown = json.dumps(settings.shown()) + repr(settings) + str(settings)
    assert not any(secret in shown for secret in (KEY, "pass-word", "abc", "T0-path", "whsec"))
    assert settings.shown()["redis_url"] == "rediss://store:6379/0"
    assert settings.shown()["has_api_key"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"upstream": "anthropic"}, ("ANTHROPIC_API_KEY", "--upstream simulated")),
        ({"upstream": "simulated", "upstream_url": "http://x"}, ("real adapter",)),
        ({"upstream": "openai"}, ("--upstream", "'anthropic' or 'simulated'")),
        ({"upstream_url": "gateway"}, ("--upstream-url", "URL such as")),
        ({"listen": "0.0.0.0:50051"}, ("not authenticated", "--allow-unauthenticated")),
        ({"listen": "costsvc:50051"}, ("--allow-unauthenticated",)),
        ({"listen": "50051"}, ("--listen", "address such as")),
        ({"ops": "127.0.0.1:99999"}, ("--ops", "address such as")),
        ({"listen": "::1:50051"}, ("--listen", "brackets")),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, str], words: tuple[str, ...]) -> None:
    """The sentence names the option and what to do."""
    sentence = refusal(**options)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("COSTSVC_ADMISSION__MAX_CALLS", "0", ("COSTSVC_ADMISSION__MAX_CALLS", "greater than 0")),
        (
            "COSTSVC_ADMISSION__MAX_COLS",
            "5",
            ("no setting COSTSVC_ADMISSION__MAX_COLS", "MAX_CALLS is meant"),
        ),
        ("COSTSVC_REDISURL", "redis://x", ("no setting COSTSVC_REDISURL", "COSTSVC_REDIS_URL")),
        ("COSTSVC_MAX_CALL_S", "long", ("COSTSVC_MAX_CALL_S", "valid number")),
        ("COSTSVC_MAX_CALL_S", "inf", ("COSTSVC_MAX_CALL_S", "finite")),
        ("COSTSVC_DRAIN_S", "-1", ("COSTSVC_DRAIN_S",)),
        ("COSTSVC_ADMISSION", "{", ("admission",)),
    ],
)
def test_a_bad_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: tuple[str, ...]
) -> None:
    """The sentence names the variable as the operator wrote it."""
    monkeypatch.setenv(name, value)
    sentence = refusal()
    assert all(word in sentence for word in words), sentence


def test_a_refused_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given may be a secret in the wrong place."""
    monkeypatch.setenv("COSTSVC_UPSTREAM", KEY)
    assert KEY not in refusal()


def test_variables_that_a_cluster_injects_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kubernetes service named costsvc or costsvc-redis adds variables that look like ours."""
    for name in ("COSTSVC_PORT", "COSTSVC_SERVICE_HOST", "COSTSVC_PORT_50051_TCP_ADDR", "COSTSVC_REDIS_PORT"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:50051")
    assert read_settings().listen == "127.0.0.1:50051"


def test_listening_beyond_loopback_can_be_allowed() -> None:
    """The operator can say that something else keeps strangers out; the ops address just follows."""
    settings = read_settings({"listen": "[::]:50051", "allow_unauthenticated": True, "ops": "0.0.0.0:8080"})
    assert settings.listen == "[::]:50051"


@given(port=st.integers(0, 65535), host=st.sampled_from(["127.0.0.1", "::1", "localhost", "example.org"]))
def test_an_address_survives_joining_and_splitting(port: int, host: str) -> None:
    """Host and port come back as they went in, also for IPv6."""
    assert split_address(join_address(host, port)) == (host, port)


@given(st.text(max_size=20))
def test_any_other_text_is_no_address(text: str) -> None:
    """A text is an address or a ValueError, nothing else."""
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert host
    assert 0 <= port < 2**16


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("host:1", False),
    ],
)
def test_only_this_machine_is_loopback(address: str, *, expected: bool) -> None:
    """A name other than localhost may be anyone's."""
    assert is_loopback(address) is expected


def test_every_setting_is_described() -> None:
    """The table has no empty meaning."""
    assert all(field.description for field in Settings.model_fields.values())
    assert not any(line.endswith("|  |") for line in settings_table().splitlines())


def test_the_documentation_has_the_table_as_generated() -> None:
    """UPDATE_GOLDEN=1 writes it."""
    text = OPERATIONS.read_text()
    head, start, rest = text.partition(
        "<!-- settings: generated by tests/test_settings.py with UPDATE_GOLDEN=1 -->\n"
    )
    _, end, tail = rest.partition("<!-- end of settings -->")
    assert start
    assert end
    expected = f"{head}{start}{settings_table()}{end}{tail}"
    if os.environ.get("UPDATE_GOLDEN"):
        OPERATIONS.write_text(expected)
    assert OPERATIONS.read_text() == expected
