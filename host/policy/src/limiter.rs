//! Memory, tables and instances of one call, summed over everything the component creates.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// Which limit was met; travels through wasm as the error of the growth that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Breach {
    #[error("memory: asked for {asked} bytes, limit {limit}")]
    Memory { asked: usize, limit: usize },
    #[error("tables: asked for {asked} elements, limit {limit}")]
    TableElements { asked: usize, limit: usize },
    #[error("time")]
    Wall,
    #[error("cancelled")]
    Cancelled,
}

/// Sums what wasmtime's own limiter bounds for each memory or table alone.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: Sum,
    elements: Sum,
    memories: usize,
    tables: usize,
    core_instances: usize,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: Sum::new(limits.memory_bytes),
            elements: Sum::new(limits.table_elements),
            memories: limits.memories,
            tables: limits.tables,
            core_instances: limits.core_instances,
        }
    }

    /// The most memory in use so far; memories never shrink.
    pub(crate) fn peak_memory(&self) -> usize {
        self.memory.used
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let breach = |asked, limit| Breach::Memory { asked, limit };
        Ok(self.memory.grow(current, desired, maximum, breach)?)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let breach = |asked, limit| Breach::TableElements { asked, limit };
        // One that is not below the limit may be the room that the engine has for it, and not the guest's own.
        let maximum = maximum.filter(|maximum| *maximum < self.elements.limit);
        Ok(self.elements.grow(current, desired, maximum, breach)?)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.core_instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// An amount with a limit.
#[derive(Debug)]
struct Sum {
    used: usize,
    limit: usize,
    last_grant: usize,
}

impl Sum {
    fn new(limit: usize) -> Self {
        Self { used: 0, limit, last_grant: 0 }
    }

    /// Grants the growth, refuses it because of the guest's own maximum, or ends the call.
    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        breach: impl FnOnce(usize, usize) -> Breach,
    ) -> Result<bool, Breach> {
        self.last_grant = 0;
        // The guest's own maximum is its own affair: growing past it returns -1, as the specification says.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        let asked = self.used.saturating_add(more);
        // An error ends the call with this reason; a refusal would surface as a bare `unreachable` in the guest.
        if asked > self.limit {
            return Err(breach(asked, self.limit));
        }
        self.used = asked;
        self.last_grant = more;
        Ok(true)
    }

    /// The operating system did not follow: the last grant was never used.
    fn take_back(&mut self) {
        self.used = self.used.saturating_sub(self.last_grant);
        self.last_grant = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_summed_over_memories_and_taken_back_on_failure() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        let error = limiter.memory_growing(40, 41, None).unwrap_err();
        assert_eq!(error.downcast_ref::<Breach>(), Some(&Breach::Memory { asked: 101, limit: 100 }));
        assert_eq!(limiter.peak_memory(), 100);

        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert_eq!(limiter.peak_memory(), 0);
    }

    #[test]
    fn growing_past_the_engines_room_is_over_the_limit() {
        let mut limiter = Limiter::new(&Limits { table_elements: 100, ..Limits::default() });
        assert!(limiter.table_growing(0, 60, Some(100)).unwrap());
        let error = limiter.table_growing(60, 101, Some(100)).unwrap_err();
        assert_eq!(error.downcast_ref::<Breach>(), Some(&Breach::TableElements { asked: 101, limit: 100 }));
    }

    #[test]
    fn growing_past_the_guests_own_maximum_is_refused_and_costs_nothing() {
        let mut limiter = Limiter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("maximum")).unwrap();
        assert_eq!(limiter.peak_memory(), 0);
        assert!(!limiter.memory_growing(0, 200, Some(150)).unwrap());
    }
}
