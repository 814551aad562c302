//! `completion-load` as its users run it: arguments, the JSON object, exit codes, misbehaving servers.

mod load;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use load::{Manner, Run, count, server, telling_server, tls};
use serde_json::Value;

const CLIENTS: [&str; 3] = ["completion", "h2", "hyper"];

/// The exit codes of the contract.
const OK: Option<i32> = Some(0);
const SOME_FAILED: Option<i32> = Some(1);
const UNUSABLE: Option<i32> = Some(2);
const NEVER_CONNECTED: Option<i32> = Some(3);
const INTERRUPTED: Option<i32> = Some(130);

#[test]
fn unusable_arguments_get_one_line_and_exit_2() {
    let unusable: &[&[&str]] = &[
        &["--requests", "0"],
        &["--concurrency", "0"],
        &["--connections", "0"],
        &["--threads", "0"],
        &["--timeout", "0"],
        &["--settings-timeout", "0"],
        &["--cancel-percent", "101"],
        &["--requests", "many"],
        &["--requests", "-1"],
        &["--requests"],
        &["--pool", "65536"],
        &["--method", "G@T"],
        &["--client", "curl"],
        &["--compare", "--client", "h2"],
        &["--json=yes"],
        &["--no-such-option"],
        &["--line\nbreak"],
        &["ftp://localhost/"],
        &["localhost:80"],
        &["http://"],
        &["http://localhost:99999/"],
        &["http://user@localhost/"],
        &["http://localhost/", "http://localhost/"],
        &["--cacert", "/dev/null"],
        &["--cacert", "/dev/null", "http://localhost/"],
        &["--cacert", "/dev/null", "https://localhost/"],
        &["--cacert", "/no/such/file", "https://localhost/"],
    ];
    for args in unusable {
        let run = Run::of(args);
        assert_eq!(run.code, UNUSABLE, "{args:?}");
        assert_eq!(run.stdout, "", "{args:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{args:?}: {:?}", run.stderr);
        assert!(
            run.stderr.starts_with("completion-load: "),
            "{:?}",
            run.stderr
        );
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = Run::of(&["--help"]);
    assert_eq!(help.code, OK);
    assert!(help.stdout.contains("--cancel-percent"));
    let version = Run::of(&["--version"]);
    assert_eq!(version.code, OK);
    assert_eq!(
        version.stdout,
        format!("completion-load {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_object_has_every_field() {
    for client in CLIENTS {
        let run = Run::of(&["--json", "--requests", "300", "--client", client]);
        assert_eq!(run.code, OK, "{}", run.stderr);
        assert_eq!(run.stderr, "", "no progress bar when piped");
        let object = run.json();
        let fields: Vec<_> = object.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            [
                "client",
                "url",
                "requests",
                "succeeded",
                "cancelled",
                "failed",
                "status",
                "retry_safe",
                "reconnects",
                "resent",
                "duration_s",
                "requests_per_s",
                "latency_us",
                "bytes_received",
                "allocations_per_request",
                "allocated_bytes_per_request",
                "settings_ack_ms",
                "pool",
                "peak_rss_kib",
            ]
        );
        assert_eq!(object["client"], client);
        assert_eq!(object["requests"], 300);
        assert_eq!(object["succeeded"], 300);
        assert_eq!(object["status"]["2xx"], 300);
        assert_eq!(
            object["failed"].as_object().map(serde_json::Map::len),
            Some(0)
        );
        let latency = object["latency_us"].as_object().expect("an object");
        let quantiles: Vec<_> = latency.keys().collect();
        assert_eq!(quantiles, ["p50", "p90", "p99", "p999", "max"]);
        let values: Vec<_> = latency.values().map(count).collect();
        assert!(values.is_sorted(), "{latency:?}");
        assert!(
            object["allocations_per_request"]
                .as_f64()
                .is_some_and(|n| n >= 2.0)
        );
        if client == "completion" {
            assert!(
                object["settings_ack_ms"]
                    .as_f64()
                    .is_some_and(|ms| ms > 0.0),
                "{object}"
            );
            let pool = object["pool"].as_object().expect("an object");
            let fields: Vec<_> = pool.keys().collect();
            let expected = [
                "capacity",
                "in_use",
                "high_water",
                "rented",
                "returned",
                "overflow",
                "stale",
            ];
            assert_eq!(fields, expected);
            assert_eq!(pool["capacity"], 256);
            assert_eq!(pool["overflow"], 0);
            assert!(count(&pool["rented"]) >= 300);
        } else {
            assert_eq!(object["settings_ack_ms"], Value::Null);
            assert_eq!(object["pool"], Value::Null);
        }
    }
}

#[test]
fn few_requests_say_nothing_about_allocations() {
    let object = Run::of(&["--json", "--requests", "99"]).json();
    assert_eq!(object["allocations_per_request"], Value::Null);
    assert_eq!(object["allocated_bytes_per_request"], Value::Null);
}

#[test]
fn without_a_pool_every_round_overflows() {
    let run = Run::of(&["--json", "--requests", "200", "--pool", "0"]);
    assert_eq!(run.code, OK, "{}", run.stderr);
    let pool = &run.json()["pool"];
    assert_eq!(pool["capacity"], 0);
    assert!(count(&pool["overflow"]) >= 200);
}

#[test]
fn bodies_come_back_whole_over_several_connections_and_threads() {
    for client in CLIENTS {
        // Larger than a window, so that both directions must flow at once.
        let body = 100_000;
        let run = Run::of(&[
            "--json",
            "--requests",
            "40",
            "--concurrency",
            "6",
            "--connections",
            "2",
            "--threads",
            "2",
            "--body",
            &body.to_string(),
            "--client",
            client,
        ]);
        assert_eq!(run.code, OK, "{client}: {}", run.stdout);
        assert_eq!(run.json()["bytes_received"], 40 * body);
    }
}

#[test]
fn more_workers_than_the_peer_allows_streams() {
    for client in CLIENTS {
        let run = Run::of(&[
            "--json",
            "--requests",
            "1200",
            "--concurrency",
            "600",
            "--client",
            client,
        ]);
        assert_eq!(run.code, OK, "{client}: {}", run.stdout);
        let object = run.json();
        assert_eq!(object["succeeded"], 1200);
        // The peer refused no stream: a request that it refuses is sent again.
        assert_eq!(object["resent"], 0, "{object}");
    }
}

#[test]
fn more_connections_than_workers() {
    for client in CLIENTS {
        let run = Run::of(&[
            "--json",
            "--requests",
            "50",
            "--concurrency",
            "2",
            "--connections",
            "5",
            "--client",
            client,
        ]);
        assert_eq!(run.code, OK, "{client}: {}", run.stdout);
        assert_eq!(run.json()["succeeded"], 50);
    }
}

#[test]
fn the_table_is_for_reading() {
    let run = Run::of(&["--requests", "200"]);
    assert_eq!(run.code, OK, "{}", run.stderr);
    for name in [
        "client",
        "succeeded",
        "latency p50",
        "allocations/request",
        "peak memory",
    ] {
        assert!(
            run.stdout.lines().any(|line| line.starts_with(name)),
            "{name}: {}",
            run.stdout
        );
    }
}

#[test]
fn compare_reports_all_three_and_their_ratios() {
    let args = [
        "--compare",
        "--json",
        "--requests",
        "600",
        "--cancel-percent",
        "10",
    ];
    let run = Run::of(&args);
    assert_eq!(run.code, OK, "{}", run.stderr);
    let object = run.json();
    let runs = object["runs"].as_array().expect("a list");
    let clients: Vec<_> = runs.iter().map(|run| run["client"].as_str()).collect();
    assert_eq!(clients, CLIENTS.map(Some));
    assert!(runs.iter().all(|run| run["requests"] == 600));
    for against in ["completion/h2", "completion/hyper"] {
        let ratios = object["ratios"][against].as_object().expect("an object");
        assert!(
            ratios
                .values()
                .all(|ratio| ratio.as_f64().is_some_and(|ratio| ratio > 0.0)),
            "{object}"
        );
    }
    let table = Run::of(&args.map(|arg| if arg == "--json" { "--compare" } else { arg }));
    assert_eq!(table.code, OK, "{}", table.stderr);
    assert!(table.stdout.contains("completion/hyper"));
}

/// Nobody answers, so that each of the chosen is dropped in time and all the others time out.
#[test]
fn exactly_the_percentage_is_cancelled() {
    let url = server(Manner::Silent);
    for client in CLIENTS {
        let run = Run::of(&[
            &url,
            "--json",
            "--requests",
            "149",
            "--concurrency",
            "149",
            "--cancel-percent",
            "30",
            "--timeout",
            "400",
            "--client",
            client,
        ]);
        assert_eq!(run.code, SOME_FAILED, "{client}: {}", run.stderr);
        let object = run.json();
        assert_eq!(object["cancelled"], 44, "{object}");
        assert_eq!(object["failed"]["timeout"], 105, "{object}");
        assert_eq!(object["latency_us"], Value::Null);
    }
}

#[test]
fn cancelling_fails_nobody() {
    for client in CLIENTS {
        for percent in ["30", "100"] {
            let run = Run::of(&[
                "--json",
                "--requests",
                "3000",
                "--cancel-percent",
                percent,
                "--client",
                client,
            ]);
            assert_eq!(run.code, OK, "{client}: {}", run.stdout);
            let object = run.json();
            let most = 30 * percent.parse::<u64>().expect("a number");
            assert!(
                (1..=most).contains(&count(&object["cancelled"])),
                "{object}"
            );
        }
    }
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    for client in CLIENTS {
        let run = Run::of(&[&url, "--json", "--requests", "150", "--client", client]);
        assert_eq!(run.code, NEVER_CONNECTED, "{client}: {}", run.stdout);
        let object = run.json();
        assert_eq!(object["failed"]["connect"], 150, "{object}");
        assert_eq!(object["retry_safe"], 150, "{object}");
    }
}

#[test]
fn silence_ends_in_timeouts() {
    // Not a word; not a word and not reading; a response that does not end.
    for manner in [Manner::Silent, Manner::Deaf, Manner::StallBody] {
        let url = server(manner);
        for client in CLIENTS {
            let run = Run::of(&[
                &url,
                "--json",
                "--requests",
                "8",
                "--concurrency",
                "4",
                "--body",
                "10000000",
                "--timeout",
                "300",
                "--client",
                client,
            ]);
            assert_eq!(run.code, SOME_FAILED, "{client}: {}", run.stderr);
            let object = run.json();
            assert_eq!(object["failed"]["timeout"], 8, "{manner:?}: {object}");
            assert_eq!(object["bytes_received"], 0, "{object}");
        }
    }
}

/// A server that accepts, and never begins TLS: there is no connection, and no hanging either.
#[test]
fn silence_under_tls_ends_in_timeouts() {
    let url = server(Manner::Silent).replace("http:", "https:");
    for client in CLIENTS {
        let run = Run::of(&[
            &url,
            "--json",
            "--insecure",
            "--requests",
            "8",
            "--timeout",
            "300",
            "--client",
            client,
        ]);
        assert_eq!(run.code, NEVER_CONNECTED, "{client}: {}", run.stdout);
        assert_eq!(run.json()["failed"]["timeout"], 8, "{}", run.stdout);
    }
}

/// Ctrl-C: what was measured so far, be there something or nothing.
#[cfg(unix)]
#[test]
fn an_interrupted_run_tells_what_it_has() {
    for client in CLIENTS {
        for (manner, events, least) in [(Manner::NeverAcknowledge, 11, 9), (Manner::Silent, 1, 0)] {
            let (url, told) = telling_server(manner);
            let args = [
                &url,
                "--json",
                "--requests",
                "100000000",
                "--concurrency",
                "1",
                "--client",
                client,
            ];
            let run = Run::meanwhile(&args, |id| {
                // A connection and ten requests, of which nine have ended; or only a connection.
                for _ in 0..events {
                    told.recv().expect("the server goes on");
                }
                let killed = Command::new("kill")
                    .args(["-INT", &id.to_string()])
                    .status();
                assert!(killed.expect("kill runs").success());
            });
            assert_eq!(run.code, INTERRUPTED, "{client}: {}", run.stderr);
            let object = run.json();
            assert!(count(&object["requests"]) >= least, "{object}");
            assert_eq!(object["requests"], object["succeeded"], "{object}");
            assert_eq!(object["latency_us"].is_null(), least == 0, "{object}");
        }
    }
}

#[test]
fn the_method_is_get_or_post_or_what_was_asked_for_and_any_status_is_a_success() {
    let url = server(Manner::ByMethod);
    let cases: [(&[&str], &str); 4] = [
        (&[], "2xx"),
        (&["--body", "10"], "3xx"),
        (&["--body", "10", "--method", "GET"], "2xx"),
        (&["--method", "DELETE"], "4xx"),
    ];
    for client in CLIENTS {
        for (method, class) in cases {
            let mut args = vec![&*url, "--json", "--requests", "20", "--client", client];
            args.extend(method);
            let run = Run::of(&args);
            assert_eq!(run.code, OK, "{args:?}: {}", run.stdout);
            let object = run.json();
            assert_eq!(object["status"][class], 20, "{args:?}: {object}");
            assert_eq!(object["succeeded"], 20, "{object}");
        }
    }
}

#[test]
fn a_connection_that_is_retired_is_replaced_without_a_loss() {
    let url = server(Manner::Retire);
    for client in CLIENTS {
        // Few at a time: each connection leaves all but ten of them unprocessed, and three resends are all there are.
        let run = Run::of(&[
            &url,
            "--json",
            "--requests",
            "95",
            "--concurrency",
            "4",
            "--client",
            client,
        ]);
        assert_eq!(run.code, OK, "{client}: {}", run.stdout);
        let object = run.json();
        assert_eq!(object["succeeded"], 95, "{object}");
        assert!(count(&object["reconnects"]) >= 9, "{object}");
        if client == "completion" {
            assert!(object["settings_ack_ms"].is_number(), "{object}");
        }
    }
}

#[test]
fn settings_that_nobody_acknowledges() {
    let url = server(Manner::Silent);
    let run = Run::of(&[
        &url,
        "--json",
        "--requests",
        "4",
        "--concurrency",
        "4",
        "--settings-timeout",
        "200",
        "--timeout",
        "8000",
    ]);
    assert_eq!(run.code, SOME_FAILED, "{}", run.stderr);
    let object = run.json();
    assert_eq!(object["failed"]["settings_timeout"], 4, "{object}");
    assert_eq!(object["settings_ack_ms"], Value::Null);

    let answers = server(Manner::NeverAcknowledge);
    let run = Run::of(&[&answers, "--json", "--requests", "10"]);
    assert_eq!(
        run.code, OK,
        "requests do not wait for the acknowledgment: {}",
        run.stdout
    );
    assert_eq!(run.json()["settings_ack_ms"], Value::Null);
}

#[test]
fn tls_is_trusted_by_file_or_not_at_all() {
    let (server, other) = (
        tls::server("server", &["h2"]),
        tls::certificate("other").path,
    );
    let old = tls::server("old", &["http/1.1"]);
    let mute = tls::server("mute", &[]);
    for client in CLIENTS {
        let run = |server: &tls::Server, trust: &[&str]| {
            let mut args = vec![
                server.url.as_str(),
                "--json",
                "--requests",
                "120",
                "--client",
                client,
            ];
            args.extend(trust);
            let run = Run::of(&args);
            (run.code, run.json())
        };
        for trust in [&["--cacert", &server.certificate][..], &["--insecure"]] {
            let (code, object) = run(&server, trust);
            assert_eq!(code, OK, "{object}");
            assert_eq!(object["succeeded"], 120, "{object}");
        }
        let untrusted = run(&server, &["--cacert", &other]);
        // Those that do not agree upon h2.
        let unfit = run(&old, &["--insecure"]);
        let unsaid = run(&mute, &["--insecure"]);
        for (code, object) in [untrusted, unfit, unsaid] {
            assert_eq!(code, NEVER_CONNECTED, "{object}");
            assert_eq!(object["failed"]["tls"], 120, "{object}");
            assert_eq!(object["retry_safe"], 120, "{object}");
        }
    }
}

/// One request at a time, so that a request's failure is its own.
fn failures(manner: Manner, client: &str) -> Value {
    let url = server(manner);
    let run = Run::of(&[
        &url,
        "--json",
        "--requests",
        "3",
        "--concurrency",
        "1",
        "--timeout",
        "5000",
        "--client",
        client,
    ]);
    assert_eq!(
        run.code, SOME_FAILED,
        "{manner:?}, {client}: {}",
        run.stdout
    );
    run.json()
}

#[test]
fn misbehaviour_is_called_by_its_name() {
    const INTERNAL_ERROR: u32 = 2;
    const REFUSED_STREAM: u32 = 7;
    const ENHANCE_YOUR_CALM: u32 = 11;
    const ANY_STREAM: u32 = 0x7fff_ffff;
    for client in CLIENTS {
        let object = failures(Manner::Reset(INTERNAL_ERROR), client);
        assert_eq!(object["failed"]["reset_by_peer"], 3, "{object}");
        assert_eq!(object["retry_safe"], 0, "{object}");
        assert_eq!(object["resent"], 0, "{object}");

        let object = failures(Manner::Reset(REFUSED_STREAM), client);
        assert_eq!(object["failed"]["refused"], 3, "{object}");
        assert_eq!(object["retry_safe"], 3, "{object}");
        assert!(count(&object["resent"]) >= 3, "{object}");

        let object = failures(Manner::GoAway(0, ENHANCE_YOUR_CALM), client);
        assert_eq!(object["failed"]["go_away"], 3, "{object}");
        assert_eq!(object["retry_safe"], 3, "{object}");
        assert!(count(&object["reconnects"]) >= 3, "{object}");

        let object = failures(Manner::GoAway(ANY_STREAM, 0), client);
        // hyper's interface hides a GOAWAY that came before the end.
        let kind = if client == "hyper" {
            "connection_lost"
        } else {
            "go_away"
        };
        assert_eq!(object["failed"][kind], 3, "{object}");
        assert_eq!(object["retry_safe"], 0, "{object}");

        let object = failures(Manner::Close, client);
        assert_eq!(object["failed"]["connection_lost"], 3, "{object}");
        assert_eq!(object["reconnects"], 2, "{object}");

        let object = failures(Manner::CutBody, client);
        assert_eq!(object["failed"]["connection_lost"], 3, "{object}");
        assert_eq!(object["bytes_received"], 0, "{object}");

        let object = failures(Manner::ResetBody(INTERNAL_ERROR), client);
        assert_eq!(object["failed"]["reset_by_peer"], 3, "{object}");
        assert_eq!(object["bytes_received"], 0, "{object}");

        let object = failures(Manner::Http1, client);
        assert_eq!(object["failed"]["protocol"], 3, "{object}");
    }
}
