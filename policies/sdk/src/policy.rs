//! The trait that policies implement, and the way from it to the component's exports.

use serde::de::DeserializeOwned;

use crate::{Attribute, Description, Plan, PlanError, SettingsError, Snapshot, settings};

/// A policy. The functions are pure: what they return depends on their arguments alone.
pub trait Policy {
    /// What the settings' JSON becomes. Refuse unknown fields, so that no typo goes unnoticed.
    type Settings: DeserializeOwned;

    /// Says what the policy is.
    fn describe() -> Description;

    /// Checks what the settings' type cannot express. Returns all that is wrong.
    fn check_settings(_settings: &Self::Settings) -> Vec<SettingsError> {
        Vec::new()
    }

    /// Plans. The settings have passed [`Policy::check_settings`].
    fn plan(snapshot: &Snapshot, settings: &Self::Settings) -> Result<Plan, PlanError>;
}

/// Reads and checks the settings of a policy.
pub fn validate_settings<P: Policy>(text: &str) -> Result<P::Settings, Vec<SettingsError>> {
    let settings = settings::parse(text)?;
    let errors = P::check_settings(&settings);
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

/// Calls a policy as the host does, with settings as text.
pub fn make_plan<P: Policy>(snapshot: &Snapshot, settings: &str) -> Result<Plan, PlanError> {
    let settings = validate_settings::<P>(settings).map_err(PlanError::Settings)?;
    P::plan(snapshot, &settings)
}

impl Attribute {
    /// Of a [`Description`]: the policy does not look at [`Owner::labels`](crate::Owner::labels), which are then empty.
    /// Copying them takes a third of the time of a plan for many owners.
    pub fn labels_unused() -> Self {
        Self { name: "labels".to_owned(), value: "unused".to_owned() }
    }
}

impl Plan {
    /// An empty plan for this snapshot.
    pub fn answering(snapshot: &Snapshot) -> Self {
        Self { generation: snapshot.generation, patches: Vec::new(), holds: Vec::new(), attributes: Vec::new() }
    }
}

/// Makes a [`Policy`] the component's exports. Expands to nothing unless the target is wasm, so that
/// several policies can be linked into one native program.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::bindings::exports::sluice::policy::allocator as contract;

            struct Component;

            impl contract::Guest for Component {
                fn describe() -> contract::Description {
                    $crate::log_panics();
                    <$policy as $crate::Policy>::describe()
                }

                fn validate_settings(
                    settings: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::vec::Vec<contract::SettingsError>> {
                    $crate::log_panics();
                    $crate::validate_settings::<$policy>(&settings).map(drop)
                }

                fn make_plan(
                    snapshot: contract::Snapshot,
                    settings: ::std::string::String,
                ) -> ::core::result::Result<contract::Plan, contract::PlanError> {
                    $crate::log_panics();
                    let plan = $crate::make_plan::<$policy>(&snapshot, &settings);
                    // The instance ends with the call: to free ten thousand strings is lost time.
                    ::core::mem::forget(snapshot);
                    plan
                }
            }

    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// From here on a panic says what and where through the log, before it becomes a bare trap.
#[doc(hidden)]
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| crate::log::error(&panic.to_string())));
}
