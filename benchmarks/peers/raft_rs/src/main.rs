//! A harness for the `raft` crate: the same workloads as benchmarks/workloads, on request. One JSON object a line, in and
//! out; benchmarks/worker.py describes them.

mod bench;
mod nodes;
mod workloads;

use std::io::{self, BufRead, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

use bench::{Bench, Clock, Shape};
use serde_json::{json, Value};

fn main() {
    let mut prepared: Option<Box<dyn Bench>> = None;
    for line in io::stdin().lock().lines() {
        let line = line.expect("standard input");
        let answer = match catch_unwind(AssertUnwindSafe(|| serve(&line, &mut prepared))) {
            Ok(answer) => answer,
            Err(panic) => {
                prepared = None;
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("panic");
                json!({ "error": text })
            }
        };
        let mut output = io::stdout().lock();
        writeln!(output, "{answer}").and_then(|_| output.flush()).expect("standard output");
    }
}

fn serve(line: &str, prepared: &mut Option<Box<dyn Bench>>) -> Value {
    let request: Value = serde_json::from_str(line).expect("a request");
    match request["do"].as_str() {
        Some("hello") => json!({ "name": "raft-rs", "version": "0.7.0", "runtime": "rust" }),
        Some("prepare") => {
            *prepared = None;
            prepare(&request, prepared)
        }
        Some("run") => {
            let operations = request["operations"].as_u64().expect("operations") as usize;
            run(prepared.as_mut().expect("nothing is prepared").as_mut(), operations)
        }
        Some("drop") => {
            *prepared = None;
            json!({})
        }
        other => json!({ "error": format!("no such request: {other:?}") }),
    }
}

fn prepare(request: &Value, prepared: &mut Option<Box<dyn Bench>>) -> Value {
    let shape = Shape::new(&request["shape"]);
    let name = request["workload"].as_str().expect("workload");
    let before = resident_bytes();
    let started = Clock::now();
    let Some(made) = workloads::build(name, &shape) else {
        return json!({ "unsupported": format!("no workload {name}") });
    };
    let elapsed = Clock::now().minus(started).wall;
    made.verify();
    let counts = made.counts();
    let answer = json!({
        "nanoseconds": elapsed,
        "resident_bytes": resident_bytes() - before,
        "granularity": made.granularity(),
        "messages": counts.messages,
    });
    *prepared = Some(made);
    answer
}

fn run(bench: &mut dyn Bench, operations: usize) -> Value {
    assert!(operations > 0 && operations % bench.granularity() == 0, "{operations} operations do not fit");
    bench.settle();
    let before = bench.counts();
    let started = Clock::now();
    bench.run(operations);
    let elapsed = Clock::now().minus(started);
    bench.verify();
    let after = bench.counts();
    let elapsed = elapsed.minus(after.paused.minus(before.paused));
    json!({
        "nanoseconds": elapsed.wall,
        "cpu_nanoseconds": elapsed.cpu,
        "operations": operations,
        "messages": after.messages - before.messages,
        "readies": after.readies - before.readies,
        "wire_bytes": after.wire_bytes - before.wire_bytes,
        "digest": after.digest,
    })
}

/// Memory of this process, or 0 where the system does not tell.
fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * 4096
}
