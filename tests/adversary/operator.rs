//! The operator of the host in a plan: deploys, reloads, signals.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::host::{self, Process};
use super::plan::{Act, Component, Plan, REMOVABLE, Settings};
use super::run::World;

/// SIGTERM ends the process within `drain_timeout` (12 s), and some time for a
/// busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(25);
/// A reload is done within this time, even on a busy machine.
const RELOADS_WITHIN: Duration = Duration::from_secs(20);

pub async fn work(world: &World, process: &mut Process, plan: &Plan) {
    for timed in &plan.operator {
        let at = world.judge.borrow().began + Duration::from_millis(timed.at_ms);
        sleep_until(at).await;
        act(world, process, &timed.what).await;
        if process.exited().is_some() {
            world.judge.borrow_mut().down = true;
            let text = "the host has ended by itself".into();
            return world.judge.borrow_mut().break_rule("process", text);
        }
    }
    process.fill_disk(false);
}

async fn act(world: &World, process: &mut Process, act: &Act) {
    match act {
        Act::Deploy {
            function,
            component,
            migration,
            weight,
            pace,
        } => {
            let pace = pace.map(|it| it.to_string());
            let weight = weight.map(|it| it.to_string());
            let query = [
                ("migration", migration.clone()),
                ("weight", weight),
                ("drain_connections_per_second", pace),
            ];
            let told = migration.as_deref();
            deploy_version(world, *function, *component, query, told).await;
        }
        Act::Add(component, migration) => {
            let query = format!("route=/{REMOVABLE}/%7Broom%7D&migration={migration}");
            let answer = deploy(world, REMOVABLE, &query, *component).await;
            let made = &answer["version_is_new"];
            world.judge.borrow_mut().added(*made == true);
        }
        Act::Remove => {
            world.judge.borrow_mut().removing();
            let path = format!("/v1/functions/{REMOVABLE}");
            ask(world, "DELETE", &path, "text/plain", b"").await;
        }
        Act::Rollback(function) => roll_back(world, *function).await,
        Act::Weights(function, weight) => {
            world.judge.borrow_mut().lost_sight_of(*function);
            weights(world, *function, *weight).await;
        }
        Act::Reload {
            function,
            settings,
            component,
        } => {
            change(world, process, *function, settings, *component).await;
        }
        Act::Away(function, time) => take_away(world, process, *function, *time).await,
        Act::Terminate => {
            world.judge.borrow_mut().count("terminate");
            end(world, process).await;
            start(world, process).await;
        }
        Act::Freeze(time) => freeze(world, process, *time).await,
        Act::FillDisk => {
            world.judge.borrow_mut().fill_disk();
            process.fill_disk(true);
        }
        Act::FreeDisk => process.fill_disk(false),
        Act::Kill => {
            world.judge.borrow_mut().count("kill");
            world.judge.borrow_mut().ends(false);
            process.kill();
            start(world, process).await;
        }
    }
}

/// A function leaves the configuration for a while.
async fn take_away(world: &World, process: &mut Process, function: usize, time_ms: u64) {
    for away in [true, false] {
        world.plan.borrow_mut().functions[function].away = away;
        reload(world, process).await;
        if away {
            sleep(Duration::from_millis(time_ms)).await;
        }
    }
    world.judge.borrow_mut().lost_sight_of(function);
}

/// The process is stopped for a while.
async fn freeze(world: &World, process: &mut Process, time_ms: u64) {
    world.judge.borrow_mut().count("freeze");
    process.signal("STOP");
    sleep(Duration::from_millis(time_ms)).await;
    process.signal("CONT");
}

/// A deploy; `told` is the migration in its query.
async fn deploy_version(
    world: &World,
    function: usize,
    component: Component,
    query: [(&str, Option<String>); 3],
    told: Option<&str>,
) {
    let whole = query[1].1.is_none();
    let mut text = String::from("note=plan");
    for (key, value) in query {
        if let Some(value) = value {
            text += &format!("&{key}={value}");
        }
    }
    let name = plan_name(world, function);
    world.judge.borrow_mut().moves(function);
    let answer = deploy(world, &name, &text, component).await;
    let mut judge = world.judge.borrow_mut();
    match whole && answer["alias_moved"] == true {
        true => judge.moved(function, component, told),
        false => judge.lost_sight_of(function),
    }
}

async fn roll_back(world: &World, function: usize) {
    let name = plan_name(world, function);
    let path = format!("/v1/functions/{name}/aliases/live/rollback");
    world.judge.borrow_mut().moves(function);
    let answer = ask(world, "POST", &path, "application/json", b"").await;
    let mut judge = world.judge.borrow_mut();
    match answer["shares"].is_array() {
        true => judge.rolled_back(function),
        false => judge.lost_sight_of(function),
    }
}

/// Other settings, and perhaps another component.
async fn change(
    world: &World,
    process: &mut Process,
    function: usize,
    settings: &Settings,
    component: Component,
) {
    let same = {
        let mut plan = world.plan.borrow_mut();
        let now = &mut plan.functions[function];
        now.settings = settings.clone();
        std::mem::replace(&mut now.component, component) == component
    };
    world.judge.borrow_mut().configured[function] = settings.clone();
    let done = reload(world, process).await;
    if !(done && same) {
        world.judge.borrow_mut().lost_sight_of(function);
    }
}

/// A graceful end.
pub async fn end(world: &World, process: &mut Process) {
    if process.exited().is_some() {
        return;
    }
    world.judge.borrow_mut().ends(true);
    process.signal("TERM");
    let code = process.wait(ENDS_WITHIN).await;
    let mut judge = world.judge.borrow_mut();
    match code {
        Some(0) => {}
        Some(code) => judge.break_rule("process", format!("SIGTERM ended it with {code}")),
        None => judge.break_rule(
            "process",
            format!("SIGTERM did not end it within {ENDS_WITHIN:?}"),
        ),
    }
    process.kill();
}

/// Makes the host read the configuration again. Returns whether it certainly
/// has: an impatient operator does not wait for it.
async fn reload(world: &World, process: &mut Process) -> bool {
    let path = process.log_path();
    let reloads = || {
        let log = fs::read_to_string(&path).unwrap_or_default();
        log.matches("reloaded: ").count()
    };
    let before = reloads();
    world.configure(process);
    process.signal("HUP");
    world.judge.borrow_mut().count("reload");
    if !world.plan.borrow().patient {
        return false;
    }
    let begun = Instant::now();
    while reloads() == before {
        if begun.elapsed() > RELOADS_WITHIN {
            let text = format!("SIGHUP is not answered within {RELOADS_WITHIN:?}");
            world.judge.borrow_mut().break_rule("process", text);
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}

async fn start(world: &World, process: &mut Process) {
    world.judge.borrow_mut().lost_sight_of_all();
    if let Err(error) = process.start().await {
        return world.judge.borrow_mut().break_rule("process", error);
    }
    world.moved(process);
    let mut judge = world.judge.borrow_mut();
    judge.start += 1;
    judge.down = false;
}

fn plan_name(world: &World, function: usize) -> String {
    world.judge.borrow().name(function)
}

async fn deploy(world: &World, name: &str, query: &str, component: Component) -> Value {
    let bytes = fs::read(world.component(component)).unwrap();
    let path = format!("/v1/functions/{name}/versions?{query}");
    ask(world, "POST", &path, "application/wasm", &bytes).await
}

async fn weights(world: &World, function: usize, weight: u32) {
    let name = plan_name(world, function);
    let listed = ask(
        world,
        "GET",
        &format!("/v1/functions/{name}/versions"),
        "text/plain",
        b"",
    )
    .await;
    let digests: Vec<_> = listed["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|version| version["digest"].as_str())
        .collect();
    let [first, .., last] = digests.as_slice() else {
        return;
    };
    let shares = json!({ "shares": [
        { "version": first, "weight": weight },
        { "version": last, "weight": 100 - weight },
    ] });
    let path = format!("/v1/functions/{name}/aliases/live");
    ask(
        world,
        "PUT",
        &path,
        "application/json",
        shares.to_string().as_bytes(),
    )
    .await;
}

/// Sends a request to the admin interface, which always answers.
async fn ask(world: &World, method: &str, path: &str, kind: &str, body: &[u8]) -> Value {
    let answer = host::ask(world.admin.get(), method, path, kind, body).await;
    let status = answer.status;
    let mut judge = world.judge.borrow_mut();
    let word = path.split(['/', '?']).nth(4).unwrap_or("functions");
    judge.count(&format!("{method} {word} {status}"));
    // A deployment is written first.
    let excused = status == 503 && judge.plan.fills_disk();
    if (status == 0 || status >= 500) && !excused {
        judge.break_rule(
            "alive",
            format!("{method} {path} is answered with {status}"),
        );
    }
    serde_json::from_slice(&answer.body).unwrap_or_default()
}
