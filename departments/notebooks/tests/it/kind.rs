//! A notebook as a task of a durable run, and its page.

use backlot_department::{Config, Department, House, shell_part};
use backlot_ledger::Ledger;
use backlot_notebooks::Notebooks;
use backlot_notebooks_model::{Notebook, scraps};
use backlot_store::Store;
use backlot_web::testing::{Server, in_time};
use backlot_web::{Shell, Tokens, WebConfig};
use backlot_work::{BlobRef, RunSpec, RunState, SubmitOptions, Worker, WorkerOptions};
use serde_json::{Map, Value, json};

use crate::{kernels, notebook};

struct Lot {
    house: House,
    server: Server,
    admin: String,
    _home: tempfile::TempDir,
    _worker: Worker,
}

impl Lot {
    async fn open() -> Option<Lot> {
        let departments: [Box<dyn Department>; 1] = [Box::new(Notebooks::new(kernels()?))];
        let home = tempfile::tempdir().unwrap();
        let ledger = Ledger::open("sqlite::memory:").unwrap();
        let store = Store::open(&format!("file://{}/blobs", home.path().display())).unwrap();
        let house = House::open(home.path(), Config::default(), store, ledger, &departments).unwrap();
        house.start(&departments).await.unwrap();
        let options = WorkerOptions::new(home.path().join("scratch"));
        let worker = Worker::start(&house.work, house.kinds.clone(), options).await.unwrap();
        let tokens = Tokens::open(home.path()).unwrap();
        let admin = Tokens::admin_token(home.path()).unwrap().unwrap();
        let mut config = WebConfig::new(tokens);
        config.bind.set_port(0);
        let shell = Shell::builder(config).department(shell_part(&*departments[0], &house)).build().unwrap();
        let server = Server::start(shell).await.unwrap();
        Some(Lot { house, server, admin, _home: home, _worker: worker })
    }

    async fn run(&self, input: Value) -> (String, RunState, Value) {
        let spec = json!({ "name": "test", "steps": [{ "name": "report", "kind": "notebook.run", "input": input }] });
        let spec: RunSpec = serde_json::from_value(spec).unwrap();
        let run = self
            .house
            .work
            .submit(spec, Map::new(), SubmitOptions::default(), Some(&self.house.kinds))
            .await
            .unwrap();
        let ended = in_time("the run's end", self.house.work.wait(&run)).await.unwrap();
        let outputs = self.house.work.outputs(&run, "report").await.unwrap_or_default();
        (run, ended.state, outputs)
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let answer = self.server.get(path, &[("authorization", &format!("Bearer {}", self.admin))]).await;
        (answer.status, answer.text())
    }
}

#[tokio::test]
async fn notebooks_are_steps_and_their_values_are_outputs() {
    let Some(lot) = Lot::open().await else { return };
    let cells = [
        "n = 1 |parameters",
        "print(n + 1)\nopen('made.txt', 'w').write('x')",
        "from IPython.display import HTML\nHTML('<script>x</script>')",
    ];
    let blob = lot.house.store.put(notebook(&cells).to_text()).await.unwrap();
    let blob = json!({ "$blob": blob.digest, "size": blob.size, "type": "application/x-ipynb+json" });
    let input = json!({ "notebook": blob, "parameters": { "n": 41 }, "outputs": { "made": "made.txt" } });
    // Twice: the second takes the kernel that waits.
    for _ in 0..2 {
        let (run, state, outputs) = lot.run(input.clone()).await;
        assert_eq!(state, RunState::Succeeded, "{outputs}");
        assert_eq!(outputs["cells"], 4);
        assert!(BlobRef::from_value(&outputs["made"]).is_some());
        let (status, page) = lot.page(&format!("/notebooks/{run}/report")).await;
        assert_eq!(status, 200);
        assert!(page.contains("print(n + 1)") && page.contains("42"), "{page}");
        assert!(page.contains("sandbox=\"\"") && !page.contains("<script>x"), "{page}");
        let (status, file) = lot.page(&format!("/notebooks/{run}/report/notebook.ipynb")).await;
        let file = Notebook::read_as_is(file.as_bytes()).unwrap();
        assert_eq!((status, file.cells[1].source()), (200, "# Parameters\nn = 41\n"));
    }
    let (_, list) = lot.page("/notebooks").await;
    assert!(list.contains("/report\">report</a>"), "{list}");
}

#[tokio::test]
async fn a_failed_notebook_is_shown_with_its_error() {
    let Some(lot) = Lot::open().await else { return };
    let blob = lot.house.store.put(notebook(&["1/0"]).to_text()).await.unwrap();
    let blob = json!({ "$blob": blob.digest, "size": blob.size, "type": "application/x-ipynb+json" });
    let (run, state, _) = lot.run(json!({ "notebook": blob })).await;
    assert_eq!(state, RunState::Failed);
    let steps = lot.house.work.steps(&run).await.unwrap();
    let error = steps[0].error.clone().unwrap();
    assert!(error.contains("ZeroDivisionError in In [1]: division by zero"), "{error}");
    let (status, page) = lot.page(&format!("/notebooks/{run}/report")).await;
    assert!(status == 200 && page.contains("ZeroDivisionError: division by zero"), "{page}");
}

#[tokio::test]
async fn the_report_of_a_premiere_is_a_notebook_with_values() {
    let Some(lot) = Lot::open().await else { return };
    let point = json!({ "codec": "x264", "size": { "width": 640, "height": 360 }, "crf": 23, "rate": 900_000.0, "psnr": 41.5, "ssim": 0.98, "vmaf": 95.0, "on_hull": true });
    let title = json!({
        "metric": "vmaf",
        "points": [point, { "codec": "x264", "size": { "width": 320, "height": 180 }, "crf": 30, "rate": 200_000.0, "psnr": 35.0, "ssim": 0.93, "vmaf": 70.5, "on_hull": true }],
        "ladder": [{ "name": "x264_360p", "codec": "x264", "size": { "width": 640, "height": 360 }, "crfs": [23, 25], "rate": 850_000.0, "psnr": 41.6, "ssim": 0.98, "vmaf": 95.2 }],
        "savings": [{ "codec": "x264", "mean": -0.21, "rows": [] }, { "codec": "svt_av1", "mean": null, "rows": [] }],
        "per_shot": [{ "codec": "x264", "bd_rate": -0.03 }],
    });
    let parameters = json!({
        "name": "bikes", "title": title, "shots": [{ "start": 0, "end": 76 }],
        "probe": { "size": { "width": 640, "height": 360 }, "frames": 110, "duration": 4.4, "pixel_format": "yuv420p" },
        "package": { "rungs": [{ "name": "x264_360p", "codec": "avc1.64001e", "file": "x264_360p.mp4" }], "segments": 5 },
    });
    let (run, state, outputs) = lot
        .run(json!({ "notebook": "premiere-report", "parameters": parameters, "steps_as": "steps" }))
        .await;
    let steps = lot.house.work.steps(&run).await.unwrap();
    assert_eq!(state, RunState::Succeeded, "{:?}", steps[0].error);
    // Its own step is the only one of this run, and has not ended.
    let expected = json!({
        "title": "bikes", "frames": 110, "duration": 4.4, "shots": 1, "metric": "vmaf", "encodes": 2, "trials": 2, "rungs": 1,
        "saving_x264": -0.21, "bd_rate_x264": -0.03, "segments": 5, "seconds": {}, "reused": 0,
    });
    assert_eq!(outputs["scraps"], expected);
    let blob = BlobRef::from_value(&outputs["notebook"]).unwrap();
    let notebook = Notebook::read_as_is(&lot.house.store.get(&blob.digest, 1 << 20).await.unwrap()).unwrap();
    assert_eq!(scraps::read(&notebook).len(), 13);
    let (_, page) = lot.page(&format!("/notebooks/{run}/report")).await;
    assert!(page.contains("data:image/svg+xml;base64,") && page.contains("Report of a premiere"), "{page}");
}
