//! What a run leaves in the file.

use backlot_notebooks::{RunError, Start};
use backlot_notebooks_model::{Param, markers, scraps};

use crate::{Bench, notebook, states};

#[tokio::test]
async fn a_notebook_runs_with_its_parameters_and_is_saved() {
    let Some(bench) = Bench::new() else { return };
    let mut request = bench.request(&notebook(&[
        "n = 1 |parameters",
        "print(n * 2)",
        "from IPython.display import display\ndisplay({'application/scrapbook.scrap.json+json': {'name': 'n', 'data': n, 'encoder': 'json', 'version': 1}}, raw=True, metadata={'scrapbook': {'name': 'n', 'data': True, 'display': False}})",
        "1/0 |skip-execution",
    ]));
    request.parameters.set("n", Param::from_word("21"));
    let finished = bench.run(&request).await.unwrap();
    let written = bench.written();
    assert_eq!(written, finished.notebook);
    assert_eq!(states(&written), ["completed"; 5]);
    assert_eq!(written.cells[1].source(), "# Parameters\nn = 21\n");
    assert_eq!(written.cells[2].outputs()[0].get("text").unwrap().as_str(), Some("42\n"));
    assert_eq!(written.cells[3].execution_count(), Some(4));
    assert_eq!(scraps::read(&written)["n"].data.as_ref().unwrap().as_i64(), Some(21));
    assert_eq!(written.language(), Some("python"));
}

#[tokio::test]
async fn a_failed_run_is_marked_and_resumed_from_the_failed_cell() {
    let Some(bench) = Bench::new() else { return };
    let cells = [
        "limit = 3 |parameters",
        "open('ran', 'a').write('x')",
        "import os\nassert os.path.exists('mended'), limit",
        "print(limit)",
    ];
    let mut request = bench.request(&notebook(&cells));
    let failure = bench.run(&request).await.unwrap_err();
    let RunError::Cell(error) = &failure.error else { panic!("{}", failure.error) };
    assert_eq!((error.name.as_str(), error.message.as_str(), error.count), ("AssertionError", "3", Some(3)));
    let written = bench.written();
    assert!(written.cells[0].has_tag(markers::TAG) && written.cells[3].has_tag(markers::TAG));
    assert_eq!(states(&written)[1..], ["completed", "completed", "none", "failed", "pending"]);

    std::fs::write(bench.path("mended"), "").unwrap();
    request.start = Start::Resume;
    bench.run(&request).await.unwrap();
    let written = bench.written();
    assert_eq!(states(&written), ["completed"; 4]);
    assert_eq!(written.cells[3].outputs()[0].get("text").unwrap().as_str(), Some("3\n"));
    assert_eq!(std::fs::read(bench.path("ran")).unwrap(), b"x", "what was completed did not run again");

    request.parameters.set("limit", Param::from_word("4"));
    let refused = bench.run(&request).await.unwrap_err().error.to_string();
    assert!(refused.starts_with("the run cannot be resumed: cell 2 has changed since"), "{refused}");
}
