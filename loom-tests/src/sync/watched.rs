//! Loom's atomics and lock, and how a model is run: shared by the stand-ins for the `sync` modules of both crates.

use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    pub(crate) static TOUCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `body` in every interleaving that loom tries, or those of at most `preemptions`; then in those that
/// loom misses otherwise, of at most two, or one where there is a bound.
///
/// `PREEMPTIONS` in the environment is another bound, for more time, except where the bound is one: there every further
/// one takes ten times as long.
///
/// # Panics
///
/// If a model fails, or `PREEMPTIONS` is no number.
pub fn explore(preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    let mut model = loom::model::Builder::new();
    // What loom's own variables would cut short.
    (model.max_duration, model.max_permutations) = (None, None);
    let more = std::env::var("PREEMPTIONS").ok();
    let more: Option<usize> = more.map(|it| it.parse().expect("PREEMPTIONS is a number"));
    model.preemption_bound = preemptions.map(|bound| match more {
        Some(more) if bound > 1 => more,
        _ => bound,
    });
    let every = body.clone();
    model.check(move || every());
    model.preemption_bound = Some(if preemptions.is_some() { 1 } else { 2 });
    model.max_branches = 4_000;
    touching(|| model.check(move || body()));
}

/// Runs `model` so that loom tries the orders that it misses otherwise.
///
/// Loom remembers one last access to each atomic, so a thread's own load hides that of another from its
/// exchange: that the exchange comes first is never tried. Before each access we make one to an atomic
/// beside it, a read-modify-write, which hides nothing; relaxed, so that it orders nothing. It also
/// squares the number of orders: such a model needs a bound.
fn touching(model: impl FnOnce()) {
    TOUCHING.set(true);
    model();
    TOUCHING.set(false);
}

/// Loom's atomics, with two things added.
///
/// They look at their end: loom then checks that every access to them happened before the memory is freed.
///
/// And where a model asks for it, they make another access before each of their own, to an atomic of which
/// nothing depends; see [`touching`].
macro_rules! watched {
    ($($name:ident $(<$parameter:ident>)?: $loom:ty, $value:ty: $($operation:ident = $apply:expr),*;)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name $(<$parameter>)? {
            atomic: $loom,
            touched: loom::sync::atomic::AtomicBool,
        }

        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self { atomic: <$loom>::new(value), touched: loom::sync::atomic::AtomicBool::new(false) }
            }

            fn touch(&self) -> &$loom {
                if $crate::sync::watched::TOUCHING.get() {
                    self.touched.swap(true, $crate::sync::Ordering::Relaxed);
                }
                &self.atomic
            }

            pub(crate) fn load(&self, ordering: $crate::sync::Ordering) -> $value {
                self.touch().load(ordering)
            }

            pub(crate) fn store(&self, value: $value, ordering: $crate::sync::Ordering) {
                self.touch().store(value, ordering);
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: $crate::sync::Ordering,
                failure: $crate::sync::Ordering,
            ) -> Result<$value, $value> {
                if let Some((load, store)) = $crate::sync::weakened::split(success) {
                    let found = self.load(load);
                    if found != current {
                        if failure == $crate::sync::Ordering::Acquire {
                            loom::sync::atomic::fence(failure);
                        }
                        return Err(found);
                    }
                    self.store(new, store);
                    return Ok(found);
                }
                self.touch().compare_exchange(current, new, success, failure)
            }

            $(pub(crate) fn $operation(&self, operand: $value, ordering: $crate::sync::Ordering) -> $value {
                if let Some((load, store)) = $crate::sync::weakened::split(ordering) {
                    let found = self.load(load);
                    self.store($apply(found, operand), store);
                    return found;
                }
                self.touch().$operation(operand, ordering)
            })*
        }

        impl $(<$parameter>)? Drop for $name $(<$parameter>)? {
            fn drop(&mut self) {
                self.atomic.with_mut(|_| ());
            }
        }
    )*};
}
pub(crate) use watched;

/// Loom's lock.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }
}
