"""Checks the JSON that completion-load prints: its form, and what the flags name."""

import argparse
import json
import sys

FIELDS = {
    "client", "url", "requests", "succeeded", "cancelled", "failed", "status", "retry_safe",
    "reconnects", "resent", "duration_s", "requests_per_s", "latency_us", "bytes_received",
    "allocations_per_request", "allocated_bytes_per_request", "settings_ack_ms", "pool",
    "peak_rss_kib",
}
POOL = {"capacity", "in_use", "high_water", "rented", "returned", "overflow", "stale"}

flags = argparse.ArgumentParser(description=__doc__)
flags.add_argument("--requests", type=int, required=True, help="so many")
flags.add_argument("--all", action="store_true", help="every request succeeded")
flags.add_argument("--allocations", type=float, help="at most so many a request")
flags.add_argument("--cancelled", type=int, help="some cancelled, at most so many, none failed")
flags.add_argument("--overflow", action="store_true", help="every round overflowed")
flags = flags.parse_args()


def check(run: dict) -> None:
    assert set(run) == FIELDS, f"fields differ: {set(run) ^ FIELDS}"
    assert run["requests"] == flags.requests, f"requests: {run['requests']}"
    failed = sum(run["failed"].values())
    assert run["requests"] == run["succeeded"] + run["cancelled"] + failed, "requests do not add up"
    assert sum(run["status"].values()) == run["succeeded"], "a success without a status"
    if flags.all:
        assert run["succeeded"] == run["requests"], f"not all succeeded: {run['failed']}"
    if flags.cancelled is not None:
        assert failed == 0, f"failed: {run['failed']}"
        assert 0 < run["cancelled"] <= flags.cancelled, f"cancelled: {run['cancelled']}"
    if flags.allocations is not None:
        assert run["allocations_per_request"] <= flags.allocations, (
            f"allocations per request: {run['allocations_per_request']}"
        )
    pool = run["pool"]
    if run["client"] != "completion":
        assert pool is None
        return
    assert set(pool) == POOL, f"fields of pool differ: {set(pool) ^ POOL}"
    assert pool["in_use"] == 0, "sources still lent"
    assert pool["rented"] == pool["returned"], "sources not returned"
    assert pool["stale"] == 0
    rounds = pool["rented"] + pool["overflow"]
    assert rounds >= run["succeeded"], "a success without a round"
    if flags.overflow:
        assert pool["rented"] == 0
    elif flags.all:
        assert pool["overflow"] == 0, "the pool was exhausted"
    assert run["settings_ack_ms"] > 0


printed = json.load(sys.stdin)
if "runs" in printed:
    assert set(printed) == {"runs", "ratios"}
    assert [run["client"] for run in printed["runs"]] == ["completion", "h2", "hyper"]
    for run in printed["runs"]:
        check(run)
    ours, floor, _ = (run["allocations_per_request"] for run in printed["runs"])
    assert ours <= floor + 0.1, f"allocations per request: {ours}, and {floor} with h2 alone"
else:
    check(printed)
print("the load tool's report is as it should be")
