//! What departments offer one another, keyed by trait.
//!
//! The foundation defines a trait; one department offers an implementation; another asks for the trait. Neither names the
//! other, and a service that is missing is an error that says so, not a crash in the middle of the night.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use crate::Error;

/// A registry of services. A cheap handle; complete before any department starts.
///
/// ```
/// use std::sync::Arc;
/// use backlot_department::Services;
///
/// trait Greeter: Send + Sync { fn greet(&self) -> String; }
/// struct English;
/// impl Greeter for English { fn greet(&self) -> String { "hello".into() } }
///
/// # fn main() -> Result<(), backlot_department::Error> {
/// let mut services = Services::default();
/// services.offer::<dyn Greeter>(Arc::new(English))?;
/// assert_eq!(services.require::<dyn Greeter>()?.greet(), "hello");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Services(HashMap<TypeId, Offer>);

#[derive(Clone)]
struct Offer {
    name: &'static str,
    /// Holds an `Arc<S>` for the `S` of the key.
    service: Arc<dyn Any + Send + Sync>,
}

impl Services {
    /// Offers a service under a trait (or a type).
    ///
    /// # Errors
    /// [`Error::OfferedTwice`] when there is one already.
    pub fn offer<S: ?Sized + Send + Sync + 'static>(&mut self, service: Arc<S>) -> Result<(), Error> {
        let name = type_name::<S>();
        if self.0.contains_key(&TypeId::of::<S>()) {
            return Err(Error::OfferedTwice { service: name });
        }
        self.0.insert(TypeId::of::<S>(), Offer { name, service: Arc::new(service) });
        Ok(())
    }

    /// The service offered under a trait, if there is one.
    pub fn get<S: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        self.0.get(&TypeId::of::<S>())?.service.downcast_ref::<Arc<S>>().cloned()
    }

    /// The service offered under a trait.
    ///
    /// # Errors
    /// [`Error::NotOffered`], naming the trait.
    pub fn require<S: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<S>, Error> {
        self.get().ok_or(Error::NotOffered { service: type_name::<S>() })
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.values().map(|offer| offer.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    trait One: Send + Sync {
        fn number(&self) -> u32;
    }
    trait Two: Send + Sync {}

    impl One for u32 {
        fn number(&self) -> u32 {
            *self
        }
    }

    #[test]
    fn a_service_is_found_by_its_trait_and_by_no_other() {
        let mut services = Services::default();
        services.offer::<dyn One>(Arc::new(7_u32)).unwrap();
        assert_eq!(services.get::<dyn One>().unwrap().number(), 7);
        assert!(services.get::<u32>().is_none());
        let missing = services.require::<dyn Two>().err().unwrap().to_string();
        assert!(missing.contains("Two"), "{missing}");
        let twice = services.offer::<dyn One>(Arc::new(8_u32)).unwrap_err().to_string();
        assert!(twice.contains("One"), "{twice}");
        assert_eq!(services.get::<dyn One>().unwrap().number(), 7);
    }
}
