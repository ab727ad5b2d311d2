//! Graphs in each format.

use backlot_atlas::demo::Demo;
use backlot_atlas::graph::{Defaults, Graph, Request};
use backlot_atlas::{Error, zone};

fn graph(query: &str) -> Result<Graph, Error> {
    let defaults =
        Defaults { now: 1_325_408_400_000, step: 60_000, zone: zone("US/Pacific").expect("a zone") };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Graph::evaluate(Request::read(pairs, &defaults)?, &Demo::small())
}

fn text(query: &str) -> String {
    let (_, bytes) = graph(query).expect("it evaluates").render();
    String::from_utf8(bytes).expect("text")
}

/// The example of Atlas' documentation that needs no data.
const CLOCK: &str = "e=2012-01-01T09:00&q=hourOfDay,:time,minuteOfHour,:time,NaN&s=e-5m&tz=UTC";

#[test]
fn the_worked_example_is_equal_to_the_byte() {
    let expected = concat!(
        r#"{"start":1325408160000,"step":60000,"legend":["hourOfDay","minuteOfHour","NaN"],"#,
        r#""metrics":[{"atlas.offset":"0w","name":"hourOfDay"},{"atlas.offset":"0w","name":"minuteOfHour"},{"atlas.offset":"0w","name":"NaN"}],"#,
        r#""values":[[8.0,56.0,"NaN"],[8.0,57.0,"NaN"],[8.0,58.0,"NaN"],[8.0,59.0,"NaN"],[9.0,0.0,"NaN"]],"notices":[]}"#
    );
    assert_eq!(text(&format!("{CLOCK}&format=std.json")), expected);
    assert_eq!(
        text(&format!("{CLOCK}&format=json")),
        expected.replace("\"NaN\"]", "NaN]").replace("\"minuteOfHour\",NaN]", "\"minuteOfHour\",\"NaN\"]")
    );
}

#[test]
fn statistics_and_tables() {
    let stats = text(&format!("{CLOCK}&format=stats.json"));
    assert!(stats.starts_with(r#"{"start":1325408160000,"end":1325408460000,"step":60000,"#), "{stats}");
    assert!(
        stats.contains(r#"{"count":5,"avg":46.0,"total":230.0,"max":59.0,"min":0.0,"last":0.0}"#),
        "{stats}"
    );
    assert!(stats.contains(r#"{"count":0,"avg":NaN,"#), "{stats}");
    let csv = text(&format!("{CLOCK}&format=csv"));
    assert_eq!(csv.lines().next(), Some(r#""timestamp","hourOfDay","minuteOfHour","NaN""#));
    assert_eq!(csv.lines().nth(1), Some("2012-01-01T08:56:00Z,8.000000,56.000000,NaN"));
    assert_eq!(
        text(&format!("{CLOCK}&format=txt")).lines().nth(5),
        Some("2012-01-01T09:00:00Z\t9.000000\t0.000000\tNaN")
    );
    let local = text("e=2012-01-01T01:00&s=e-1m&q=1&format=csv");
    assert_eq!(local.lines().nth(1), Some("2012-01-01T01:00:00-08:00,1.000000"));
}

#[test]
fn v2_is_a_list_of_items() {
    let items: serde_json::Value = serde_json::from_str(&text("e=2012-01-01T09:00&s=e-3m&tz=UTC&q=name,sps,:eq,:sum,f00,:color,1,:axis,$name,:legend,1,:vspan&format=v2.json")).unwrap();
    let kinds: Vec<&str> =
        items.as_array().unwrap().iter().filter_map(|item| item["type"].as_str()).collect();
    assert_eq!(kinds, ["graph-metadata", "plot-metadata", "plot-metadata", "timeseries", "vspan"]);
    assert_eq!(items[3]["color"], "ff0000ff");
    assert_eq!(items[3]["label"], "sps");
    assert_eq!(items[3]["plot"], 1);
    assert_eq!(items[3]["query"], "name,sps,:eq,:sum");
    assert_eq!(items[4]["t1"], 1_325_408_220_000_i64);
    assert_eq!(items[4]["t2"], 1_325_408_400_000_i64);
}

#[test]
fn pictures_are_pictures() {
    let svg = text("e=2012-01-01T09:00&s=e-1d&q=name,sps,:eq,(,nf.cluster,),:by,:stack&format=svg");
    assert!(svg.starts_with("<svg") && svg.contains("nf.cluster=nccp-ps3"), "{}", &svg[..200]);
    let (media_type, png) = graph("e=2012-01-01T09:00&q=name,sps,:eq").unwrap().render();
    assert_eq!((media_type, &png[..8]), ("image/png", &b"\x89PNG\r\n\x1a\n"[..]));
}

#[test]
fn offsets_sorting_and_limits() {
    let list = text("e=2012-01-08T09:00&s=e-2m&tz=UTC&q=name,sps,:eq,(,0h,1d,1w,),:offset&format=json");
    assert!(
        list.contains(
            r#""legend":["sum(name=sps)","sum(name=sps) (offset=1d)","sum(name=sps) (offset=1w)"]"#
        ),
        "{list}"
    );
    assert!(list.contains(r#"{"atlas.offset":"1w","name":"sps"}"#), "{list}");
    let top = text(
        "e=2012-01-08T09:00&s=e-2m&tz=UTC&q=name,sps,:eq,(,nf.cluster,),:by,max,:sort,desc,:order,2,:limit,$nf.cluster,:legend&format=json",
    );
    assert!(top.contains(r#""legend":["nccp-silverlight","nccp-ps3"]"#), "{top}");
}

#[test]
fn a_wrong_parameter_is_told_with_its_status() {
    let status = |query: &str| graph(query).map(|_| ()).unwrap_err().status();
    assert_eq!(status("s=e-1h"), 400);
    assert_eq!(status("q=:foo"), 400);
    assert_eq!(status("q=1&format=gif"), 400);
    assert_eq!(status("q=1&tz=Mars/Olympus"), 400);
    assert_eq!(status("q=1&s=now&e=now-1h"), 400);
    assert_eq!(status("q=k,:get"), 404);
    assert_eq!(graph("q=:foo").unwrap_err().to_string(), "IllegalStateException: unknown word ':foo'");
    assert_eq!(graph("q=1&w=1000000000").unwrap().request.width, 4096);
}
