//! Where the suite runs: a folder, moto's server, and s3s-fs in the test's own process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use backlot_store::Store;
use backlot_store::testing::Moto;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tempfile::TempDir;

/// An empty store and the back door to its files.
pub(crate) struct Place {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) scratch: TempDir,
    back_door: BackDoor,
}

enum BackDoor {
    /// The folder in which the keys are files.
    Folder(PathBuf),
    /// The server's port, and the path before the keys.
    Moto { port: u16, path: String },
}

impl Place {
    /// A store in a folder.
    pub(crate) fn folder() -> Place {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("a store"); // a name that must be escaped in a URL
        let url = format!("file://{}", root.display()).replace(' ', "%20");
        Place { store: Store::open(&url).unwrap(), url, scratch, back_door: BackDoor::Folder(root) }
    }

    /// A store in moto's server, which all tests share; each has a prefix of its own.
    pub(crate) async fn moto() -> Option<Place> {
        static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
        static PREFIXES: AtomicU32 = AtomicU32::new(0);

        let moto = tokio::task::spawn_blocking(|| MOTO.get_or_init(Moto::start)).await.unwrap().as_ref()?;
        let prefix = format!("some titles/{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        let url = moto.url("backlot-test", &prefix).replace(' ', "%20");
        let port = moto.endpoint().rsplit_once(':').unwrap().1.parse().unwrap();
        let back_door =
            BackDoor::Moto { port, path: format!("/backlot-test/{}", prefix.replace(' ', "%20")) };
        let scratch = tempfile::tempdir().unwrap();
        Some(Place { store: Store::open(&url).unwrap(), url, scratch, back_door })
    }

    /// A store in an s3s-fs server of its own, which checks signatures.
    pub(crate) async fn s3s() -> Place {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("s3");
        let bucket = root.join("titles");
        std::fs::create_dir_all(&bucket).unwrap();
        let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
        // The pair that the store signs with when it has none and the endpoint is on this machine.
        service.set_auth(s3s::auth::SimpleAuth::from_single("backlot", "backlot"));
        let service = service.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        let url = format!("s3://titles/dailies?endpoint=http://127.0.0.1:{port}");
        let back_door = BackDoor::Folder(bucket.join("dailies"));
        Place { store: Store::open(&url).unwrap(), url, scratch, back_door }
    }

    /// Puts bytes under a key behind the store's back, as a failing disk would.
    pub(crate) fn overwrite(&self, key: &str, content: &[u8]) {
        match &self.back_door {
            BackDoor::Folder(root) => {
                let path = root.join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                let _ = std::fs::remove_file(&path);
                std::fs::write(&path, content).unwrap();
            }
            BackDoor::Moto { port, path } => {
                let mut connection = TcpStream::connect(("127.0.0.1", *port)).unwrap();
                let length = content.len();
                let head = format!(
                    "PUT {path}/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: AWS backlot:any\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                connection.write_all(head.as_bytes()).unwrap();
                connection.write_all(content).unwrap();
                let mut answer = String::new();
                connection.read_to_string(&mut answer).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
    }

    pub(crate) fn is_folder(&self) -> bool {
        self.url.starts_with("file:")
    }
}

/// Runs each function of the suite on each place, as a test of its own.
macro_rules! on_every_place {
    ($($name:ident)+) => {
        mod on_folder { $( #[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::place::Place::folder()).await;
        } )+ }
        mod on_moto { $( #[tokio::test(flavor = "multi_thread")] async fn $name() {
            let Some(place) = $crate::place::Place::moto().await else { return };
            super::$name(place).await;
        } )+ }
        mod on_s3s { $( #[tokio::test(flavor = "multi_thread")] async fn $name() {
            super::$name($crate::place::Place::s3s().await).await;
        } )+ }
    };
}

pub(crate) use on_every_place;

/// Bytes that neither repeat nor compress, the same for the same seed: the output of BLAKE3 at any length.
pub(crate) fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}
