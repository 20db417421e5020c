"""Tests of the command line: help texts, and the real program against a real service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import click
import pytest
from click.testing import CliRunner

from costsvc.cli.commands import costsvc
from costsvc.core.money import format_usd
from costsvc.data import read_text
from costsvc.settings import OPTIONS
from costsvc.store import keys
from costsvc.store.connection import open_store
from costsvc.store.embedded import EmbeddedValkey

GOLDEN = Path(__file__).parent / "golden"
PROGRAM = Path(sys.executable).parent / "costsvc"
COMMANDS = (
    *(
        "serve",
        "provider-sim",
        "complete",
        "defer",
        "deferred",
        "route",
        "plan",
        "estimate",
        "batch",
        "report",
        "budget",
        "at-risk",
    ),
    *("router", "cache", "prompt-cache", "tenant", "audit", "check-config"),
)
SUBCOMMANDS = (
    *("budget set", "budget get", "budget list", "budget delete"),
    *("router fit", "router status", "router record-outcome", "router pairs"),
    *("at-risk list", "at-risk resolve", "tenant delete-data"),
    *("cache invalidate", "cache report-mistake", "deferred get", "deferred cancel"),
    "prompt-cache report",
    *("batch submit", "batch status", "batch list", "batch cancel", "batch results"),
)
SIMULATED = ("serve", "--upstream", "simulated", "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0")
READY_S = 30
RAKE = ("Can I return a rake?", "--task", "faq")
"""A question whose simulated answer is short enough to be complete."""


def environment() -> dict[str, str]:
    """Return the environment without any setting of the machine."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("COSTSVC_", "ANTHROPIC_"))}


def program(*args: str | Path, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program to its end."""
    return subprocess.run(
        [PROGRAM, *args],
        input=stdin,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def start(*args: str | Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start a service, and return it with its ready line."""
    process = subprocess.Popen(
        [PROGRAM, *args], env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    deadline = monotonic() + READY_S
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("{") and (event := json.loads(line))["event"] == "ready":
            return process, event
        assert monotonic() < deadline
    raise AssertionError(f"the service ended: {said}")


def stop(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Stop a service, and return its exit code and the rest of its log."""
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    return process.returncode, log


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the ready line of a running service."""
    process, ready = start(*SIMULATED, "--data-dir", tmp_path_factory.mktemp("service"))
    yield ready
    stop(process)


@pytest.fixture
def target(service: dict[str, str]) -> tuple[str, str]:
    """Give the option that names the running service."""
    return ("--target", service["listen"])


def sentence(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a command that ended with exit code 2; its log lines are JSON."""
    return _sentence(result, 2)


def _sentence(result: subprocess.CompletedProcess[str], code: int) -> str:
    said = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, result.stderr
    assert said[0].startswith("costsvc: ")
    assert result.stdout == ""
    assert result.returncode == code
    return said[0]


@pytest.mark.parametrize("command", ["", *COMMANDS, *SUBCOMMANDS])
def test_help_is_as_agreed(command: str) -> None:
    """A change of the command line shows as a change of a file; UPDATE_GOLDEN=1 writes them."""
    result = CliRunner().invoke(costsvc, [*command.split(), "--help"], prog_name="costsvc", terminal_width=80)
    assert result.exit_code == 0
    golden = GOLDEN / f"{command.replace(' ', '_') or 'costsvc'}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(result.output)
    assert result.output == golden.read_text()


def test_the_overview_names_every_command() -> None:
    """Each command that the group knows loads, under its own name."""
    context = click.Context(costsvc)
    assert tuple(costsvc.list_commands(context)) == COMMANDS
    for name in COMMANDS:
        command = costsvc.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_every_setting_that_is_an_option_is_one() -> None:
    """The table of settings and the options of serve agree."""
    command = costsvc.get_command(click.Context(costsvc), "serve")
    assert command is not None
    assert {parameter.name for parameter in command.params} == set(OPTIONS)


def test_help_loads_nothing_heavy() -> None:
    """The overview imports neither gRPC nor a provider's SDK, so that it answers at once."""
    code = (
        "import sys; from costsvc.cli.commands import costsvc; costsvc(['--help'], standalone_mode=False);"
        "sys.exit(bool({'grpc', 'anthropic', 'aiohttp', 'pydantic', 'redis', 'google'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_version_is_printed() -> None:
    """As the package has it."""
    assert re.fullmatch(r"costsvc \d+\.\d+\.\d+\n", program("--version").stdout)


def test_a_base_install_says_what_is_missing() -> None:
    """Without the extra the program names it instead of showing a traceback."""
    code = "import sys; sys.modules['click'] = None; from costsvc.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        "costsvc: click is not installed: install costsvc[server]\n",
    )


def test_fitting_says_what_is_missing() -> None:
    """Without the extra `router` it is one sentence; everything else works without."""
    code = "import sys; sys.modules['numpy'] = None; sys.argv[1:] = ['router', 'fit']; "
    code += "from costsvc.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        "costsvc: numpy is not installed: install costsvc[router]\n",
    )


def test_check_config_prints_what_is_in_force() -> None:
    """Models with prices, tiers, tasks and both hashes."""
    result = program("check-config")
    assert result.returncode == 0
    assert re.search(r"^catalogue [0-9a-f]{16}", result.stdout)
    assert re.search(r"^claude-sonnet-4-20250514 .* 3 .* 15 ", result.stdout, re.MULTILINE)
    assert re.search(r"^policy [0-9a-f]{16}", result.stdout, re.MULTILINE)
    assert re.search(r"^complex +claude-opus", result.stdout, re.MULTILINE)
    assert re.search(r"^faq +simple +512$", result.stdout, re.MULTILINE)
    assert re.search(r"^repeated +3600 s +off +classification, extraction, faq", result.stdout, re.MULTILINE)
    assert re.search(r"^classifier +off$", result.stdout, re.MULTILINE)


def test_check_config_shows_what_is_switched_on(tmp_path: Path) -> None:
    """The classifier's model, learned tasks, shares that are compared, and tasks that are only deferred."""
    policy, shipped = tmp_path / "policy.toml", read_text("policy.toml")
    shipped = shipped.replace("[classifier]\nenabled = false", "[classifier]\nenabled = true")
    tables = ("[router.support]", "[defer]", "tasks = ['summary']", "[shadow]", "price = 'standard'")
    policy.write_text("\n".join((shipped, *tables, "[shadow.shares]", "faq = '0.01'", "")))
    printed = program("check-config", "--policy", policy).stdout
    assert "\nclassifier     the cheapest of the simple tier\n" in printed
    assert "\nlearned tasks  support\n" in printed
    assert "\ncompared       1.00% of faq\n" in printed
    assert "\ndeferred only  summary\n" in printed


def test_check_config_shows_what_makes_calls_shorter(tmp_path: Path) -> None:
    """By task, where the policy has any; a cap that nobody accepts is a mistake with its line."""
    policy, shipped = tmp_path / "policy.toml", read_text("policy.toml")
    policy.write_text(f"{shipped}\n[length.faq]\neffort = 'low'\nprobe_share = '0'\n")
    assert program("check-config", "--policy", policy).stdout.splitlines()[-2:] == [
        "task  shortened by",
        "faq   effort low",
    ]
    policy.write_text(f"{shipped}\n[length.faq]\ncap_tokens = 9\n")
    line = len(shipped.splitlines()) + 3
    assert f":{line}: length.faq: cap_tokens: needs truncate_ok = true" in sentence(
        program("check-config", "--policy", policy)
    )


def test_check_config_takes_overlays(tmp_path: Path) -> None:
    """A discount changes the prices printed, and the catalogue's hash."""
    overlay = tmp_path / "contract.toml"
    overlay.write_text('schema = "costsvc/catalog/1"\n[[discount]]\nmodels = ["*"]\npercent = "50"\n')
    result = program("check-config", "--catalog", overlay)
    assert re.search(r"^claude-sonnet-4-20250514 .* 1\.5 .* 7\.5 ", result.stdout, re.MULTILINE)
    assert result.stdout.split()[1] != program("check-config").stdout.split()[1]


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--policy", "version = 1", ("tiers", "is missing")),
        ("--policy", "version = ", ("is not TOML",)),
        ("--policy", None, ("cannot be read",)),
        ("--catalog", 'schema = "costsvc/catalog/1"\nprize = 1', ("prize", "is not a known field")),
    ],
)
def test_a_bad_file_is_one_sentence(
    tmp_path: Path, option: str, text: str | None, words: tuple[str, ...]
) -> None:
    """The sentence names file and field; the service refuses to start with the same one."""
    path = tmp_path / "bad.toml"
    if text is not None:
        path.write_text(text)
    said = sentence(program("check-config", option, path))
    assert all(word in said for word in ("bad.toml", *words)), said
    assert sentence(program(*SIMULATED, "--data-dir", tmp_path / "data", option, path)) == said


def test_a_missing_key_is_one_sentence() -> None:
    """It says which variable to set, and what to do without one."""
    said = sentence(program("serve", "--upstream", "anthropic"))
    assert "ANTHROPIC_API_KEY" in said
    assert "--upstream simulated" in said


def test_a_store_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    """It says what to correct."""
    said = sentence(program(*SIMULATED, "--redis-url", f"unix://{tmp_path}/none.sock"))
    assert "store does not answer" in said
    assert "--redis-url" in said


@pytest.mark.parametrize("option", ["--listen", "--ops"])
def test_a_port_in_use_is_one_sentence(tmp_path: Path, option: str) -> None:
    """It names the address and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = sentence(program(*SIMULATED, "--data-dir", tmp_path, option, address))
    assert said == (
        f"costsvc: cannot listen on {address}: address already in use; name another address with {option}"
    )


def test_a_data_directory_in_use_is_one_sentence(tmp_path: Path) -> None:
    """It says which process uses it."""
    process, _ = start(*SIMULATED, "--data-dir", tmp_path)
    said = sentence(program(*SIMULATED, "--data-dir", tmp_path))
    assert str(process.pid) in said
    assert stop(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_told_to_stop_ends_well(tmp_path: Path, number: int) -> None:
    """Exit code 0 and a last line, without a traceback."""
    process, _ = start(*SIMULATED, "--data-dir", tmp_path)
    code, log = stop(process, number)
    assert code == 0
    assert json.loads(log.splitlines()[-1])["event"] == "stopped"


def test_no_service_is_one_sentence() -> None:
    """It says what to start; the exit code tells it from a bad configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = f"127.0.0.1:{taken.getsockname()[1]}"
    said = _sentence(program("complete", "hi", "--target", free), 1)
    assert f"no service answers at {free}" in said
    assert "costsvc serve" in said


def test_a_service_that_dies_under_a_call_is_not_one_that_never_ran(tmp_path: Path) -> None:
    """Whoever reads it must not believe that nothing was spent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        simulator = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process, ready = start(
            *("serve", "--upstream-url", simulator, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"),
            *("--data-dir", tmp_path),
        )
        caller = subprocess.Popen(
            [PROGRAM, "complete", "hi", "--target", ready["listen"]],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(READY_S)
        with silent.accept()[0]:
            process.kill()
            _, said = caller.communicate(timeout=READY_S)
        process.communicate(timeout=READY_S)
    assert caller.returncode == 1
    assert "went away before it answered" in said


def test_complete_prints_the_answer_and_its_bill(target: tuple[str, str]) -> None:
    """The answer alone is on standard output, one line of money on standard error."""
    result = program("complete", "What is a monad?", "--task", "faq", *target)
    assert result.returncode == 0
    assert "monad" in result.stdout
    (bill,) = result.stderr.splitlines()
    assert re.fullmatch(
        r"claude-haiku-5-5 \| end_turn \| \d+ tokens in, \d+ out \| cost \$0\.\d+ "
        r"\| baseline \$0\.\d+ \| saved \$0\.\d+, \d+\.\d % \(routing \$0\.\d+\)",
        bill,
    )


def test_complete_as_json_has_every_field(target: tuple[str, str]) -> None:
    """Scripts find amounts as integers in strings, zeros included."""
    result = program("complete", "hi", "--json", "--label", "team=search", *target)
    answer = json.loads(result.stdout)
    bill = answer["bill"]
    assert answer["text"]
    assert answer["attempt_count"] == 1
    assert int(bill["baseline_nano_usd"]) - int(bill["cost_nano_usd"]) == int(
        bill["savings"]["total_nano_usd"]
    )
    assert bill["savings"]["batch_nano_usd"] == "0"
    assert result.stderr == ""


def test_a_streamed_answer_is_the_same_answer(target: tuple[str, str]) -> None:
    """Text and bill are printed as for a unary call."""
    whole = program("complete", "Explain entropy", "--max-tokens", "60", *target)
    streamed = program("complete", "Explain entropy", "--max-tokens", "60", "--stream", *target)
    assert streamed.returncode == 0
    assert streamed.stdout == whole.stdout
    assert streamed.stderr == whole.stderr


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_an_answer_without_text_says_so(target: tuple[str, str], stream: tuple[str, ...]) -> None:
    """Nothing is on standard output, not even an empty line; the bill is where it always is."""
    tool = {"name": "look_up", "input_schema": {"type": "object"}}
    body = {"max_tokens": 99, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    body["tool_choice"] = {"type": "tool", "name": "look_up"}
    args = ("complete", "--messages-json", "-", "--model", "claude-haiku-4-5", *stream, *target)
    result = program(*args, stdin=json.dumps(body))
    assert result.stdout == ""
    said, bill = result.stderr.splitlines()
    assert said == "no text in this answer: --json, without --stream, prints all of it"
    assert "| tool_use |" in bill


def test_a_stream_as_json_is_one_event_a_line(target: tuple[str, str]) -> None:
    """First started, last completed, text between."""
    result = program("complete", "Explain entropy", "--stream", "--json", *target)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert "started" in events[0]
    assert "completed" in events[-1]
    assert "".join(event.get("text_delta", "") for event in events)


def test_a_full_body_is_read_from_a_file_or_standard_input(target: tuple[str, str], tmp_path: Path) -> None:
    """The provider's own JSON goes through as it is."""
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": messages})
    path = tmp_path / "body.json"
    path.write_text(body)
    piped = program("complete", "--messages-json", "-", *target, stdin=body)
    assert piped.returncode == 0
    assert program("complete", "--messages-json", path, *target).stdout == piped.stdout != ""


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("text", "--messages-json", "-"),
        ("text", "--label", "team"),
        ("text", "--tenant", "line\nend"),
        ("text", "--max-tokens", "99999999999"),
        (os.fsdecode(b"not UTF-8: \xff"),),
    ],
)
def test_a_request_that_is_not_clear_is_a_usage_error(args: tuple[str, ...]) -> None:
    """Before anything is sent."""
    result = program("complete", *args)
    assert result.returncode == 2
    assert "Usage: costsvc complete" in result.stderr


def test_route_prints_the_decision(target: tuple[str, str]) -> None:
    """The model first, then reasons, expected cost, and candidates."""
    lines = program("route", "hello", "--task", "greeting", *target).stdout.splitlines()
    assert lines[0] == "claude-haiku-5-5 (simple)"
    assert any(line.startswith("  task_hint: ") for line in lines)
    assert any(re.match(r"claude-haiku-5-5 +simple +\$", line) for line in lines)


def test_plan_explains_and_prompt_cache_reports(target: tuple[str, str], tmp_path: Path) -> None:
    """Where a breakpoint is and what it costs, or why there is none; then what came of it."""
    path, short = tmp_path / "request.json", tmp_path / "short.json"
    question = [{"role": "user", "content": "Why?"}]
    rules = "Answer in one sentence, and say where you know it from. " * 400
    path.write_text(json.dumps({"max_tokens": 9, "system": rules, "messages": question}))
    short.write_text(json.dumps({"max_tokens": 9, "messages": question}))
    said = program("plan", str(path), "--task", "planned", *target).stdout
    assert re.search(r"^model: claude-", said)
    assert re.search(r"^  after system\[0\]: [\d,]+ tokens for 5m, \d+ % to come again", said, re.MULTILINE)
    assert re.search(r"^the prompt now: \$[\d.]+, uncached \$[\d.]+; 0 tokens", said, re.MULTILINE)
    assert "later calls are expected to save $" in said
    said = program("plan", str(short), *target).stdout
    assert re.search(r"prompt cache: no breakpoints\n  too short by about [\d,]+ tokens", said)
    for _ in range(2):
        program("complete", "--messages-json", str(path), "--task", "planned", *target)
    said = program("prompt-cache", "report", *target).stdout
    assert said.startswith("advice: none\n")
    assert re.search(r"^_first +planned +claude-\S+ +1 +0 ", said, re.MULTILINE)
    nobody = program("prompt-cache", "report", "--tenant", "nobody", *target).stdout
    assert nobody == "no prompts that could be cached\n"


def test_a_call_may_have_a_highest_price(target: tuple[str, str]) -> None:
    """Models that may cost more than --max-cost are ruled out; where all are, each says so."""
    said = _sentence(program("route", "hello", "--max-cost", "0.000001", *target), 1)
    assert "may cost" in said
    assert program("route", "hello", "--max-cost", "1", *target).returncode == 0


def test_estimate_prints_a_row_a_model(target: tuple[str, str]) -> None:
    """One row, or one for each model of the policy."""
    assert len(program("estimate", "hello", *target).stdout.splitlines()) == 2
    table = program("estimate", "hello", "--all", *target).stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == [
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-sonnet-5",
        "claude-opus-5-5",
        "claude-opus-5",
    ]


def test_report_adds_up_what_was_spent(target: tuple[str, str]) -> None:
    """The cost of the calls made, under the label that they had; nothing for other tenants."""
    mine = ("--tenant", "report-test")
    costs = []
    for team in ("search", "search", "ads"):
        answer = program("complete", "hi", "--json", "--label", f"team={team}", *mine, *target)
        costs.append(int(json.loads(answer.stdout)["bill"]["cost_nano_usd"]))
    text = program("report", "--by", "label:team", *mine, *target).stdout
    search, total = (re.search(rf"^.*{word}.*$", text, re.MULTILINE) for word in ("search", "total"))
    assert search is not None
    assert total is not None
    assert f"  {format_usd(costs[0] + costs[1])}  " in search[0]
    assert total[0].split()[:2] == ["total", "3"]
    assert f"  {format_usd(sum(costs))}  " in total[0]
    assert text.splitlines()[0].split()[:2] == ["label:team", "calls"]
    assert "period" not in text
    whole = program("report", *mine, *target).stdout.splitlines()
    assert [line.split()[0] for line in whole if line] == ["calls", "total", "average"]
    daily = program("report", "--granularity", "day", *mine, *target).stdout.splitlines()
    assert daily[0].split()[:2] == ["period", "calls"]
    assert re.match(r"\d{4}-\d\d-\d\d +\d", daily[1])
    tasks = program("report", "--by", "task", *mine, *target).stdout
    assert tasks.startswith("task ")
    techniques = program("report", "--by", "technique", "--granularity", "day", *mine, *target).stdout
    assert re.search(r"^\d{4}-\d\d-\d\d +routing +\$0\.\d+ +\d+\.\d %$", techniques, re.MULTILINE)
    empty = json.loads(program("report", "--json", "--tenant", "nobody", *target).stdout)
    assert empty["rows"] == []
    assert empty["totals"]["call_count"] == "0"


def test_report_takes_dates_and_spans(target: tuple[str, str]) -> None:
    """Both ends can be a date, a time or how long ago."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    for args in (
        ("--since", "7d"),
        ("--since", yesterday, "--until", "1h"),
        ("--since", f"{yesterday}T10:00Z"),
    ):
        assert program("report", *args, *target).returncode == 0
    assert program("report", "--since", "yesterday", *target).returncode == 2
    assert program("report", "--since", "0001-01-01T00:00+05:00", *target).returncode == 2
    assert program("report", "--by", "label:", *target).returncode == 2


def test_a_budget_is_set_shown_listed_and_deleted(target: tuple[str, str]) -> None:
    """As it was written, with money exact; what it refuses is one sentence with every number."""
    args = ("--limit", "$1,000.50", "--scope", "tenant=cli", "--per", "day", "--zone", "Europe/Berlin")
    row = r"^cli-day +tenant=cli +day in Europe/Berlin +refuse, overshoot 5 % +\$1,000\.50$"
    assert re.search(row, program("budget", "set", "cli-day", *args, *target).stdout, re.MULTILINE)
    assert re.search(row, program("budget", "list", *target).stdout, re.MULTILINE)
    answer = program("complete", "hi", "--json", "--tenant", "cli", *target)
    spent = format_usd(int(json.loads(answer.stdout)["bill"]["cost_nano_usd"]))
    shown = program("budget", "get", "cli-day", *target).stdout
    assert re.search(row, shown, re.MULTILINE)
    assert re.search(rf"^cli .*  {re.escape(spent)}  ", shown, re.MULTILINE)
    program(
        "budget", "set", "cli-day", "--limit", "0.000000001", "--scope", "tenant=cli", "--strict", *target
    )
    refused = _sentence(program("complete", "hi", "--tenant", "cli", *target), 1)
    assert refused.startswith("costsvc: BUDGET_EXCEEDED: budget cli-day (tenant=cli): ")
    assert "budget cli-day is deleted" in program("budget", "delete", "cli-day", *target).stdout
    gone = _sentence(program("budget", "get", "cli-day", *target), 1)
    assert gone == "costsvc: UNKNOWN_BUDGET: there is no budget 'cli-day'"


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (("--per", "week"), "everything  week in UTC  refuse, overshoot 5 %"),
        (("--rolling", "36h", "--overshoot", "0.5%"), "everything  last 36h  refuse, overshoot 0.5 %"),
        (("--rolling", "90m", "--scope", "each-tenant"), "each-tenant  last 90m  refuse, overshoot 5 %"),
        (("--strict", "--scope", "label:team=a=b"), "label:team=a=b  month in UTC  refuse, strictly"),
        (("--mode", "shadow", "--scope", "each-label=team"), "each-label=team  month in UTC  only count"),
        (("--mode", "soft", "--cap-tier", "simple"), "everything  month in UTC  alert, cap at simple"),
        (("--mode", "soft", "--alert", "80%", "--alert", "50"), "everything  month in UTC  alert"),
        (
            ("--mode", "shadow", "--scope", "model=claude-opus-5-5"),
            "model=claude-opus-5-5  month in UTC  only count",
        ),
    ],
)
def test_scopes_and_windows_are_shown_as_they_are_written(
    target: tuple[str, str], args: tuple[str, ...], shown: str
) -> None:
    """What `set` takes, `list` prints."""
    result = program("budget", "set", "cli-form", "--limit", "9000000", *args, *target)
    assert re.sub(" {2,}", "  ", result.stdout.splitlines()[1]) == f"cli-form  {shown}  $9,000,000.00"
    assert program("budget", "delete", "cli-form", *target).returncode == 0


@pytest.mark.parametrize(
    "args",
    [
        ("--limit", "much"),
        ("--limit", "-1"),
        ("--limit", "0.0000000001"),
        ("--limit", "1e30"),
        ("--limit", "nan"),
        ("--limit", "1", "--scope", "tenant"),
        ("--limit", "1", "--scope", "everything=x"),
        ("--limit", "1", "--scope", "label:team"),
        ("--limit", "1", "--rolling", "1w"),
        ("--limit", "1", "--rolling", "1h", "--per", "day"),
        ("--limit", "1", "--overshoot", "0.05%"),
        ("--limit", "1", "--alert", "1001%"),
    ],
)
def test_a_budget_that_is_not_clear_is_a_usage_error(args: tuple[str, ...]) -> None:
    """Before anything is sent."""
    result = CliRunner().invoke(costsvc, ["budget", "set", "b", *args])
    assert result.exit_code == 2
    assert "Usage: costsvc budget set" in result.output


def test_a_budget_s_webhook_is_set_and_not_listed(target: tuple[str, str]) -> None:
    """It is a secret: only who asks for all fields sees it."""
    args = ("budget", "set", "cli-hook", "--limit", "1", "--webhook-url", "https://example.com/T0")
    assert "example.com" not in program(*args, *target).stdout
    kept = json.loads(program("budget", "get", "cli-hook", "--json", *target).stdout)
    assert kept["status"]["budget"]["webhook_url"] == "https://example.com/T0"
    assert program("budget", "delete", "cli-hook", *target).returncode == 0


def test_what_is_wrong_with_a_budget_is_one_sentence(target: tuple[str, str]) -> None:
    """The service's rules, by field."""
    said = _sentence(program("budget", "set", "b", "--limit", "1", "--zone", "Mars/Phobos", *target), 1)
    assert said.startswith("costsvc: INVALID_FIELD: budget.window.calendar.zone: ")


def test_what_is_at_risk_is_listed_and_resolved(target: tuple[str, str], tmp_path: Path) -> None:
    """Nothing is at risk where nothing broke; an attempt that is not cannot be resolved."""
    assert program("at-risk", "list", *target).stdout.splitlines()[-1].split() == ["total", "$0.00", "$0.00"]
    assert json.loads(program("at-risk", "list", "--json", *target).stdout)["attempts"] == []
    usage = tmp_path / "usage.json"
    usage.write_text('{"input_tokens": 1, "output_tokens": 1}')
    for how in (("--not-spent",), ("--model", "claude-haiku-5-5", "--usage-json", str(usage))):
        said = _sentence(program("at-risk", "resolve", "no.1", *how, *target), 1)
        assert said.startswith("costsvc: NOT_AT_RISK: ")
    assert CliRunner().invoke(costsvc, ["at-risk", "resolve", "no.1", "--model", "x"]).exit_code == 2
    assert CliRunner().invoke(costsvc, ["at-risk", "resolve", "no.1"]).exit_code == 2


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--model", "claude-none"), "UNKNOWN_MODEL: no model 'claude-none' in the catalogue"),
        (("--task", "No Task!"), "INVALID_FIELD: request.task: "),
        (("--tenant", "Not a tenant"), "INVALID_FIELD: costsvc-tenant: "),
    ],
)
def test_a_refused_call_is_one_sentence(target: tuple[str, str], args: tuple[str, ...], said: str) -> None:
    """The reason, then the field or the message; exit code 1."""
    assert _sentence(program("complete", "hi", *args, *target), 1).startswith(f"costsvc: {said}")


def test_the_simulated_provider_runs_alone(tmp_path: Path) -> None:
    """The service reaches it through the real adapter, as it would reach the provider."""
    simulator = subprocess.Popen(
        [PROGRAM, "provider-sim", "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert simulator.stderr is not None
    url = simulator.stderr.readline().split()[-1]
    process, ready = start(
        *("serve", "--upstream-url", url, "--listen", "127.0.0.1:0", "--ops", "127.0.0.1:0"),
        *("--data-dir", tmp_path),
    )
    assert ready["provider"] == "anthropic"
    assert program("complete", "hi", "--target", ready["listen"]).returncode == 0
    assert stop(process)[0] == 0
    assert stop(simulator)[0] == 0


def test_the_simulated_provider_refuses_what_it_cannot_listen_on() -> None:
    """A port in use and a text that is no address: one sentence each."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"cannot listen on {address}" in sentence(program("provider-sim", "--listen", address))
    assert "must be an address" in sentence(program("provider-sim", "--listen", "here"))


def test_audit_checks_a_store_with_and_without_its_service(tmp_path: Path) -> None:
    """It finds the service's own store, running or not; what is wrong ends it with 1, no store with 2."""
    assert "no store in" in sentence(program("audit", "--data-dir", tmp_path))
    process, ready = start(*SIMULATED, "--data-dir", tmp_path)
    try:
        assert program("complete", "Why?", "--target", ready["listen"]).returncode == 0
        clean = program("audit", "--data-dir", tmp_path)
    finally:
        stop(process)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert "entries     1, $" in clean.stdout
    assert clean.stdout.endswith("Everything adds up.\n")
    asyncio.run(_damage(tmp_path))
    damaged = program("audit", "--data-dir", tmp_path)
    assert damaged.returncode == 1
    assert "1 things are wrong" in damaged.stdout
    found = json.loads(program("audit", "--data-dir", tmp_path, "--json").stdout)
    assert [(each["kind"], each["where"], each["kept"]) for each in found["findings"]] == [
        ("unlisted", "default", 0)
    ]
    assert found["exact_count"] == found["entry_count"] == 1


async def _damage(data_dir: Path) -> None:
    """Take the tenants off their list."""
    async with EmbeddedValkey(data_dir) as server:
        client = open_store(server.url)
        await client.delete(keys.TENANTS)
        await client.aclose()


def until_stored(*question: str) -> str:
    """Ask until the answer is stored, which is a moment after it is given; return what is said of it."""
    deadline = monotonic() + READY_S
    while len(said := program("complete", *question).stderr.splitlines()) < 2:
        assert monotonic() < deadline
    return said[1]


def test_a_repeated_question_is_answered_from_the_cache_as_shipped(target: tuple[str, str]) -> None:
    """The second of two costs nothing and says so, as a whole and as a stream, until it is invalidated."""
    question = (
        "Can I return a rake?",
        "--task",
        "faq",
        "--label",
        "team=cli",
        "--tenant",
        "cli-cache",
        *target,
    )
    first = program("complete", *question)
    said = until_stored(*question)
    second = program("complete", *question, "--stream")
    assert second.stdout == first.stdout
    assert "| cost $0.00 |" in second.stderr
    assert re.fullmatch(
        r"stored answer, \d+ s old; if it is wrong: costsvc cache report-mistake \w{32}", said
    )
    invalidate = ("cache", "invalidate", *target, "--tenant", "cli-cache")
    for how in (("--label", "team=cli"), ("--namespace", "repeated"), ()):
        assert program(*invalidate, *how).stdout == "invalidated\n"
        assert len(program("complete", *question).stderr.splitlines()) == 1
        until_stored(*question)


def test_a_stored_answer_is_reported_by_the_id_that_the_caller_got(target: tuple[str, str]) -> None:
    """It is removed; an id of no hit is refused in a sentence."""
    question = (*RAKE, "--tenant", "cli-report", *target)
    program("complete", *question)
    response_id = until_stored(*question).split()[-1]
    deadline = monotonic() + READY_S
    while (told := program("cache", "report-mistake", response_id, *target)).returncode:  # not booked yet
        assert monotonic() < deadline
    assert told.stdout == "removed\n"
    assert len(program("complete", *question).stderr.splitlines()) == 1
    assert _sentence(program("cache", "report-mistake", "nonsense", *target), 1).startswith(
        "costsvc: NOT_A_HIT: "
    )


@pytest.mark.parametrize(
    "how",
    [(), ("--namespace", "n"), ("--tenant", "t", "--everything"), ("--tenant", "t", "--label", "a"),
     ("--tenant", "t", "--label", "=a"), ("--tenant", "t", "--label", "a=b", "--namespace", "n")],
)  # fmt: skip
def test_what_to_invalidate_must_be_said(how: tuple[str, ...]) -> None:
    """Nothing is invalidated by accident: everything only when that is asked for."""
    assert CliRunner().invoke(costsvc, ["cache", "invalidate", *how]).exit_code == 2


def test_a_tenants_contents_are_erased_after_a_question(target: tuple[str, str]) -> None:
    """Without a yes nothing is erased; with it, every kind of content is named with its count."""
    refused = program("tenant", "delete-data", "acme", *target, stdin="n\n")
    assert (refused.returncode, "Aborted" in refused.stderr) == (1, True)
    erased = program("tenant", "delete-data", "acme", "--yes", *target)
    assert (erased.returncode, erased.stdout.splitlines()[0]) == (0, "stored answers: 0 erased")
    found = json.loads(program("tenant", "delete-data", "acme", "--yes", "--json", *target).stdout)
    assert found["contents"][0] == {"kind": "stored_answers", "erased_count": "0"}


def test_a_hang_up_reads_the_policy_again(tmp_path: Path) -> None:
    """SIGHUP takes what the file says, at once, and never ends the process."""
    path = tmp_path / "policy.toml"
    path.write_text(read_text("policy.toml"))
    process, ready = start(*SIMULATED, "--data-dir", tmp_path / "data", "--policy", path)
    try:
        asked = ("route", "Hello?", "--target", ready["listen"])
        assert "claude-sonnet-5-5 (medium)" in program(*asked).stdout
        path.write_text(path.read_text().replace('default_tier = "medium"', 'default_tier = "simple"'))
        process.send_signal(signal.SIGHUP)
        deadline = monotonic() + READY_S
        while "claude-haiku-5-5 (simple)" not in program(*asked).stdout:
            assert monotonic() < deadline
    finally:
        code, _ = stop(process)
    assert code == 0
