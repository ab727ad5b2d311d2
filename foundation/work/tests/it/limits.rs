//! Budgets, keys, concurrency and priorities.

use std::sync::atomic::Ordering;

use backlot_work::{RunSpec, RunState, SubmitOptions};

use crate::house::House;

fn toml(text: &str) -> RunSpec {
    RunSpec::from_toml(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_and_the_concurrency_of_a_map_hold() {
    for (extra, most) in [
        ("cpus=2.0", 2),
        ("cpus=1.0", 4),
        ("cpus=64.0", 1),
        ("cpus=0.0", 8),
        ("map={over=[1,2,3,4,5,6,7,8],concurrency=3}", 3),
    ] {
        let house = House::new();
        let worker = house.worker().await;
        let map = if extra.starts_with("map") { "" } else { "map={over=[1,2,3,4,5,6,7,8]}\n" };
        let run = house
            .submit(toml(&format!("name='x'\ncache=false\n[[step]]\nname='m'\nkind='gate'\n{map}{extra}")))
            .await;
        // As many as may run at once come to the gate; then, one by one, never more.
        house.until_at_gate(most).await;
        for _ in 0..8 {
            house.let_one_pass().await;
        }
        assert_eq!(house.end(&run).await.state, RunState::Succeeded, "{extra}");
        assert_eq!(house.most_at_gate.load(Ordering::SeqCst), most, "{extra}");
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lets_through_only_so_many_across_runs() {
    let house = House::new();
    house.work.set_limit("licence", 2).await.unwrap();
    let worker = house.worker().await;
    let text = "name='x'\ncache=false\n[[step]]\nname='m'\nkind='gate'\nkeys=['licence','device-${item}']\nmap={over=[1,2,3,4,5]}";
    let first = house.submit(toml(text)).await;
    let second = house.submit(toml(text)).await;
    house.until_at_gate(2).await;
    let limits = house.work.limits().await.unwrap();
    let licence = limits.iter().find(|limit| limit.key == "licence").unwrap();
    assert_eq!((licence.capacity, licence.held), (2, 2));
    house.gate.add_permits(10);
    assert_eq!(house.end(&first).await.tasks.succeeded, 5);
    assert_eq!(house.end(&second).await.tasks.succeeded, 5);
    assert!(house.most_at_gate.load(Ordering::SeqCst) <= 2);
    assert!(house.work.limits().await.unwrap().iter().all(|limit| limit.held == 0 && limit.parked == 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn higher_priority_starts_first() {
    let house = House::new();
    let spec =
        |name: &str| toml(&format!("name='{name}'\ncache=false\n[[step]]\nname='a'\nkind='gate'\ncpus=4.0"));
    let mut runs = Vec::new();
    for (name, priority) in [("low", -1), ("plain", 0), ("high", 5)] {
        let options = SubmitOptions { priority, ..SubmitOptions::default() };
        runs.push(house.work.submit(spec(name), Default::default(), options, None).await.unwrap());
    }
    let worker = house.worker().await;
    for _ in 0..3 {
        house.let_one_pass().await;
    }
    let mut started = Vec::new();
    for run in &runs {
        started.push(house.end(run).await.started.unwrap());
    }
    assert!(started[2] < started[1] && started[1] < started[0], "{started:?}");
    worker.stop().await;
}
