//! Serving and stopping, and the blobs that departments keep.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backlot_department::{Config, Department, Error, House};
use backlot_ledger::Ledger;
use backlot_store::{Digest, Store};

type Diary = Arc<Mutex<Vec<String>>>;

/// Writes down what is asked of it; one named `closed` cannot serve.
struct Scribe {
    name: &'static str,
    diary: Diary,
}

impl Scribe {
    fn write(&self, what: &str) {
        self.diary.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

#[async_trait]
impl Department for Scribe {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        "Writes down what is asked of it"
    }

    async fn start(&self, _house: &House) -> Result<(), Error> {
        self.write("starts");
        Ok(())
    }

    async fn serve(&self, _house: &House) -> Result<(), Error> {
        if self.name == "closed" {
            return Err(Error::start(self.name, "its port is taken"));
        }
        self.write("serves");
        Ok(())
    }

    async fn stop(&self, _house: &House) {
        self.write("stops");
    }

    async fn referenced_blobs(&self, _house: &House) -> Result<Vec<Digest>, Error> {
        Ok(vec![Digest::of(self.name.as_bytes())])
    }
}

async fn house(names: &[&'static str], home: &Path) -> (House, Vec<Box<dyn Department>>, Diary) {
    let diary = Diary::default();
    let departments: Vec<Box<dyn Department>> = names
        .iter()
        .map(|&name| Box::new(Scribe { name, diary: diary.clone() }) as Box<dyn Department>)
        .collect();
    let ledger = Ledger::open("sqlite::memory:").unwrap();
    let store = Store::open(&format!("file://{}/blobs", home.display())).unwrap();
    let house = House::open(home, Config::default(), store, ledger, &departments).unwrap();
    house.start(&departments).await.unwrap();
    (house, departments, diary)
}

#[tokio::test]
async fn a_command_starts_departments_and_only_a_server_lets_them_serve() {
    let home = tempfile::tempdir().unwrap();
    let (house, departments, diary) = house(&["one", "two"], home.path()).await;
    assert_eq!(*diary.lock().unwrap(), ["one starts", "two starts"]);
    house.serve(&departments).await.unwrap();
    house.stop(&departments).await;
    assert_eq!(diary.lock().unwrap()[2..], ["one serves", "two serves", "one stops", "two stops"]);
}

#[tokio::test]
async fn what_served_already_stops_when_a_later_one_cannot() {
    let home = tempfile::tempdir().unwrap();
    let (house, departments, diary) = house(&["one", "closed", "three"], home.path()).await;
    let error = house.serve(&departments).await.unwrap_err().to_string();
    assert!(error.contains("closed") && error.contains("its port is taken"), "{error}");
    assert_eq!(diary.lock().unwrap()[3..], ["one serves", "one stops"]);
}

#[tokio::test]
async fn blobs_of_every_department_are_in_use() {
    let home = tempfile::tempdir().unwrap();
    let (house, departments, _) = house(&["one", "two"], home.path()).await;
    let referenced = house.referenced_blobs(&departments).await.unwrap();
    let expected = ["one", "two"].map(|name| Digest::of(name.as_bytes()).to_string());
    assert!(expected.iter().all(|digest| referenced.contains(digest)), "{referenced:?}");
}
