//! Kernels that wait: one for each kernelspec, isolated run from run, ended when nobody comes.

use std::time::{Duration, Instant};

use backlot_notebooks::{KernelPool, Kernels, Launch, Log, run};

use crate::{Bench, notebook};

/// Long enough for a busy machine to start a Python, far below what a hang takes.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn runs_from_the_pool_see_nothing_of_one_another() {
    let Some(bench) = Bench::new() else { return };
    let pool = KernelPool::new();
    let source = "import os, sys\nleft = 'left' in globals() or 'mark' in os.environ or 'marked' in sys.modules\nos.environ['mark'] = '1'\nsys.modules['marked'] = os\nprint(left, os.getpid())";
    let request = bench.request(&notebook(&[source]));
    let mut processes = std::collections::HashSet::new();
    for _ in 0..3 {
        run(&request, &Kernels { search: &bench.search, pool: Some(&pool) }, &Log::silent()).await.unwrap();
        let written = bench.written();
        let text = written.cells[0].outputs()[0].get("text").unwrap().as_str().unwrap().to_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[0], "False", "{text}");
        processes.insert(words[1].to_owned());
        assert_eq!(pool.waiting(), 1, "one waits, however many ran");
    }
    assert_eq!(processes.len(), 3, "each run had a kernel of its own");
}

#[tokio::test]
async fn a_kernel_that_nobody_takes_is_ended() {
    let Some(bench) = Bench::new() else { return };
    let pool = KernelPool::with_idle(Duration::from_millis(200));
    let spec = bench.search.find("python3").unwrap();
    pool.prepare(&Launch { spec, directory: None, patience: DEADLINE });
    let began = Instant::now();
    while pool.waiting() > 0 {
        assert!(began.elapsed() < DEADLINE, "it still waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
