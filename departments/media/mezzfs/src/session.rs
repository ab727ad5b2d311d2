//! From a manifest to a reader: opens the objects, the caches and the recording.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use backlot_store::Store;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;

use crate::cache::peer::Peer;
use crate::cache::{Cache, CacheFolder};
use crate::manifest::{FileEntry, MountManifest, ObjectManifest, ObjectSource, VERSION};
use crate::meters::Meters;
use crate::object::{Object, Opener};
use crate::plan::{Parallel, Planner, Policy};
use crate::reader::Reader;
use crate::replay::{Metadata, RecordedObject, Recorder};
use crate::seal::WrappingKey;
use crate::source::{Clients, Patience};
use crate::tree::Tree;
use crate::{Error, Location};

/// The default limit of what is buffered: enough for 16 blocks of 4 MiB on their way.
pub const MAX_BUFFER: u64 = 64 << 20;
/// The least that a limit may be: a read of the kernel's largest size, whose ends lie in two blocks of the longest length.
pub const LEAST_BUFFER: u64 = 9 << 20;
/// How many objects are looked at at a time when a mount begins.
const OPENED_AT_A_TIME: usize = 32;

/// How a mount reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the length of a buffer is chosen.
    pub policy: Policy,
    /// The limit of what is buffered, in bytes; at least [`LEAST_BUFFER`].
    pub max_buffer: u64,
    /// How buffers are split into requests; as is right for the policy unless given.
    pub parallel: Option<Parallel>,
    /// How long servers may take.
    pub patience: Patience,
    /// The cache on this machine.
    pub cache: Option<CacheFolder>,
    /// Whose caches are asked before the origin.
    pub peers: Vec<Peer>,
    /// The key that opens the keys of encrypted objects.
    pub key: Option<WrappingKey>,
    /// Where the replay is recorded.
    pub record: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::Adaptive,
            max_buffer: MAX_BUFFER,
            parallel: None,
            patience: Patience::default(),
            cache: None,
            peers: Vec::new(),
            key: None,
            record: None,
        }
    }
}

impl Settings {
    /// What objects are opened with.
    ///
    /// # Errors
    /// A cache folder that cannot be used.
    pub fn opener(&self, store: Option<Store>) -> Result<Opener, Error> {
        let meters = Arc::new(Meters::default());
        let cache = Cache::open(self.cache.clone(), self.peers.clone(), Arc::clone(&meters))?;
        let clients = Clients::new(store, self.patience, meters)?;
        Ok(Opener { clients: Arc::new(clients), cache: Arc::new(cache), key: self.key.clone() })
    }

    /// How buffers are chosen, as replays tell it.
    pub fn buffer_text(&self) -> String {
        match self.policy {
            Policy::Adaptive => "adaptive".to_owned(),
            Policy::Fixed(bytes) => format!("fixed:{bytes}"),
        }
    }
}

/// Objects that can be read, as files.
#[derive(Debug)]
pub struct Session {
    /// Reads them.
    pub reader: Reader,
    /// Records what is read, if that was asked for.
    pub recorder: Option<Arc<Recorder>>,
    /// The caches, to be served to peers.
    pub cache: Arc<Cache>,
}

impl Session {
    /// Opens what a manifest names. Runs on the present tokio runtime, and so do the fetches later.
    ///
    /// # Errors
    /// Objects that are not there or cannot be read in ranges, files that no object has, a missing key.
    pub async fn open(
        name: &str,
        manifest: &MountManifest,
        store: Option<Store>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        if settings.max_buffer < LEAST_BUFFER {
            return Err(Error::low_buffer(settings.max_buffer, LEAST_BUFFER));
        }
        let opener = settings.opener(store)?;
        let opened: Vec<(String, Location, Object)> = stream::iter(manifest.objects.clone())
            .map(|(key, source)| {
                let opener = opener.clone();
                async move {
                    let (location, object) = open_object(&source, &opener).await?;
                    Ok::<_, Error>((key, location, object))
                }
            })
            .buffered(OPENED_AT_A_TIME)
            .try_collect()
            .await?;
        let sizes: HashMap<String, (u32, u64)> =
            opened.iter().zip(0..).map(|((key, _, object), at)| (key.clone(), (at, object.size()))).collect();
        let tree = Arc::new(Tree::build(name, &manifest.files, &sizes)?);
        let recorder = match &settings.record {
            None => None,
            Some(path) => {
                let objects = opened.iter().zip(0..).map(|((key, location, object), at)| RecordedObject {
                    name: object.name().to_owned(),
                    place: location.to_string(),
                    is_manifest: matches!(manifest.objects[key], ObjectSource::Manifest(_)),
                    size: object.size(),
                    regions: tree.regions(at).iter().map(|region| (region.start, region.end)).collect(),
                });
                let metadata = metadata(settings, objects.collect());
                Some(Arc::new(Recorder::create(path, &metadata)?))
            }
        };
        let objects = opened.into_iter().map(|(_, _, object)| Arc::new(object)).collect();
        let parallel = settings.parallel.unwrap_or_else(|| Parallel::of(settings.policy));
        let planner = Planner::new(settings.policy, settings.max_buffer, parallel);
        let meters = Arc::clone(&opener.clients.meters);
        let reader = Reader::new(objects, tree, planner, meters, recorder.clone(), Handle::current());
        Ok(Self { reader, recorder, cache: opener.cache })
    }
}

async fn open_object(source: &ObjectSource, opener: &Opener) -> Result<(Location, Object), Error> {
    match source {
        ObjectSource::Source(text) => {
            let location = text.parse()?;
            let object = Object::plain(&location, opener).await?;
            Ok((location, object))
        }
        ObjectSource::Manifest(text) => {
            let location: Location = text.parse()?;
            let manifest = ObjectManifest::parse(text, &opener.manifest_text(&location).await?)?;
            Ok((location, Object::assembled(manifest, opener)?))
        }
    }
}

fn metadata(settings: &Settings, objects: Vec<RecordedObject>) -> Metadata {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let kernel = rustix::system::uname();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Metadata {
        program: format!("backlot {}", env!("CARGO_PKG_VERSION")),
        began,
        environment: format!(
            "{} {}, {processors} processors",
            kernel.sysname().to_string_lossy(),
            kernel.release().to_string_lossy()
        ),
        buffer: settings.buffer_text(),
        max_buffer: settings.max_buffer,
        objects,
    }
}

/// A manifest in the making, from what a command line names.
#[derive(Clone, Debug, Default)]
pub struct ManifestBuilder {
    objects: BTreeMap<String, ObjectSource>,
    files: Vec<FileEntry>,
}

impl ManifestBuilder {
    /// Adds everything of another manifest, whose objects keep their names apart from those added here.
    pub fn manifest(mut self, manifest: MountManifest, tag: usize) -> Self {
        let rename = |name: &str| format!("manifest {tag}: {name}");
        self.objects.extend(manifest.objects.into_iter().map(|(name, source)| (rename(&name), source)));
        self.files.extend(
            manifest.files.into_iter().map(|file| FileEntry { object: rename(&file.object), ..file }),
        );
        self
    }

    /// Adds an object as a file.
    pub fn object(self, source: ObjectSource, path: String) -> Self {
        self.range(source, 0, None, path)
    }

    /// Adds bytes of an object as a file.
    pub fn range(mut self, source: ObjectSource, offset: u64, length: Option<u64>, path: String) -> Self {
        let key = match &source {
            ObjectSource::Source(text) => format!("object {text}"),
            ObjectSource::Manifest(text) => format!("assembled {text}"),
        };
        self.objects.insert(key.clone(), source);
        self.files.push(FileEntry { path, object: key, offset, length, count: None });
        self
    }

    /// The manifest.
    pub fn build(self) -> MountManifest {
        MountManifest { mezz_mount: VERSION, objects: self.objects, files: self.files }
    }
}
