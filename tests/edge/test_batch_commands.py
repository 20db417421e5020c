from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).parent / "costsvc"


@pytest.fixture
async def command(serve, sim):
    """Give the way to run `costsvc batch` against a service whose batches end at once."""
    sim.settings.batch_delay_s = 0.0
    async with serve(batches={"poll_s": 0.05}) as service:

        async def run(*words):
            whole = (PROGRAM, "batch", *words, "--target", service.running.address)
            return await asyncio.to_thread(
                subprocess.run, whole, capture_output=True, text=True, timeout=50, check=False
            )

        yield run


def line(custom_id, **params):
    """Return a line as the provider's own batch files have it."""
    body = {"max_tokens": 500, "messages": [{"role": "user", "content": f"Hello {custom_id}"}], **params}
    return json.dumps({"custom_id": custom_id, "params": body})


async def test_a_file_of_the_provider_goes_in_and_comes_out(command, tmp_path):
    """Submitted, waited for, shown, and its results in the provider's own words."""
    file, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    file.write_text(f"{line('a')}\n\n{line('b', model='claude-haiku-5-5')}\n{line('c', stream=True)}\n")
    sent = await command("submit", str(file), "--wait", "--label", "team=x", "--json")
    assert sent.returncode == 0, sent.stderr
    assert "refused: c (request 3)" in sent.stderr
    told = json.loads(sent.stdout)
    batch_id = told["batch"]["batch_id"]
    assert told["batch"]["state"] == "BATCH_STATE_ENDED"
    shown = await command("status", batch_id)
    assert "2 succeeded, 1 refused" in shown.stdout
    assert "50.0 % of standard" in shown.stdout
    assert batch_id in (await command("list")).stdout
    assert (await command("results", batch_id, "--output", str(out))).returncode == 0
    rows = {row["custom_id"]: row["result"] for row in map(json.loads, out.read_text().splitlines())}
    assert {name: row["type"] for name, row in rows.items()} == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "refused",
    }
    assert rows["b"]["message"]["model"] == "claude-haiku-5-5"
    assert rows["b"]["message"]["usage"]["service_tier"] == "batch"


async def test_a_bad_line_is_named_and_nothing_is_sent(command, tmp_path):
    """One sentence with the file and the line."""
    file = tmp_path / "in.jsonl"
    file.write_text(f'{line("a")}\n{{"custom_id": "b"}}\n')
    sent = await command("submit", str(file))
    assert sent.returncode != 0
    assert "line 2" in sent.stderr
    assert "Traceback" not in sent.stderr
    assert (await command("list")).stdout.count("\n") == 1


async def test_a_batch_is_canceled_from_the_command_line(command, tmp_path, sim):
    """It ends early."""
    sim.settings.batch_delay_s = 3600.0
    file = tmp_path / "in.jsonl"
    file.write_text(line("a"))
    sent = await command("submit", str(file), "--json")
    batch_id = json.loads(sent.stdout)["batch"]["batch_id"]
    assert (await command("cancel", batch_id)).returncode == 0
    ended = await command("status", batch_id, "--wait")
    assert "1 canceled" in ended.stdout
