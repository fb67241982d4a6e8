//! Where an Azure cloud's endpoints are.

use std::net::IpAddr;

use reqwest::{Client, Url};
use serde_json::Value;

use crate::arm::bounded;

/// The endpoints of one cloud. Plain `http` is allowed on loopback only: tokens and secrets go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    manager: Url,
    authority: Url,
    audience: String,
}

/// What is known of the cloud: from the cluster's Infrastructure object, flags and environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentOptions {
    /// `cloudName`; none or empty: the public cloud.
    pub cloud: Option<String>,
    /// `armEndpoint`, of Azure Stack.
    pub stack_endpoint: Option<String>,
    /// `--azure-arm-endpoint`: Resource Manager is here, whatever the cloud.
    pub manager: Option<String>,
    /// `--azure-authority-host`, else `AZURE_AUTHORITY_HOST`: tokens come from here, whatever the cloud.
    pub authority: Option<String>,
}

/// Why the endpoints are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// A cloud that is not known.
    #[error("cloudName {0}: not a cloud known here; set --azure-arm-endpoint and --azure-authority-host")]
    UnknownCloud(String),
    /// Azure Stack without its endpoint.
    #[error("cloudName AzureStackCloud needs armEndpoint in the Infrastructure object, or --azure-arm-endpoint")]
    NoStackEndpoint,
    /// Something that should be an address is none, or not a safe one.
    #[error("{what}: {text}")]
    Endpoint {
        /// Which one.
        what: &'static str,
        /// What is wrong.
        text: String,
    },
    /// Azure Stack does not say where its authority is.
    #[error("the endpoints of the Azure Stack at {endpoint} cannot be read: {text}")]
    Discovery {
        /// Where it was asked.
        endpoint: String,
        /// What is wrong.
        text: String,
    },
}

const MANAGER_FLAG: &str = "--azure-arm-endpoint";
const AUTHORITY_FLAG: &str = "--azure-authority-host or AZURE_AUTHORITY_HOST";

impl Environment {
    /// Whether the endpoints that were chosen are addresses to which a token may be sent. No network is asked.
    pub fn check(options: &EnvironmentOptions) -> Result<(), EnvironmentError> {
        let chosen = [(MANAGER_FLAG, &options.manager), (AUTHORITY_FLAG, &options.authority)];
        let chosen = chosen.into_iter().filter_map(|(flag, text)| Some((flag, text.as_deref()?)));
        chosen.filter(|(_, text)| !text.is_empty()).try_for_each(|(flag, text)| address(flag, text).map(drop))
    }

    /// The endpoints of a cloud. Those of Azure Stack are asked for over the network.
    pub async fn find(options: &EnvironmentOptions, http: &Client) -> Result<Self, EnvironmentError> {
        let cloud = options.cloud.as_deref().filter(|cloud| !cloud.is_empty()).unwrap_or("AzurePublicCloud");
        if !cloud.eq_ignore_ascii_case("AzureStackCloud") {
            return Self::known(cloud, options);
        }
        let endpoint = options.manager.as_deref().or(options.stack_endpoint.as_deref());
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty()).ok_or(EnvironmentError::NoStackEndpoint)?;
        let manager = address("armEndpoint", endpoint)?;
        let failed = |text: String| EnvironmentError::Discovery { endpoint: manager.to_string(), text: bounded(&text) };
        let url =
            manager.join("metadata/endpoints?api-version=2015-01-01").map_err(|error| failed(error.to_string()))?;
        let answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.map_err(|error| failed(crate::http::cause(&error)))?;
        let body = crate::http::body(answer).await.map_err(failed)?;
        let found: Value = serde_json::from_str(&body).map_err(|error| failed(error.to_string()))?;
        Self::of_metadata(manager, &found, options)
    }

    fn known(cloud: &str, options: &EnvironmentOptions) -> Result<Self, EnvironmentError> {
        let known = match cloud.to_ascii_lowercase().as_str() {
            "azurepubliccloud" | "azurecloud" => {
                Some(("https://management.azure.com", "https://login.microsoftonline.com"))
            }
            "azureusgovernmentcloud" | "azureusgovernment" => {
                Some(("https://management.usgovcloudapi.net", "https://login.microsoftonline.us"))
            }
            "azurechinacloud" => Some(("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn")),
            _ => None,
        };
        let chosen = |option: &Option<String>, known: Option<&str>| {
            let own = option.as_deref().filter(|text| !text.is_empty());
            own.or(known).map(str::to_owned).ok_or_else(|| EnvironmentError::UnknownCloud(bounded(cloud)))
        };
        let manager = address(MANAGER_FLAG, &chosen(&options.manager, known.map(|(manager, _)| manager))?)?;
        let authority = address(AUTHORITY_FLAG, &chosen(&options.authority, known.map(|(_, authority)| authority))?)?;
        let audience = manager.as_str().trim_end_matches('/').to_owned();
        Ok(Self { manager, authority, audience })
    }

    fn of_metadata(manager: Url, found: &Value, options: &EnvironmentOptions) -> Result<Self, EnvironmentError> {
        let endpoint = manager.to_string();
        let missing =
            |name: &str| EnvironmentError::Discovery { endpoint: endpoint.clone(), text: format!("no {name}") };
        let authentication = found.get("authentication").ok_or_else(|| missing("authentication"))?;
        let told = authentication.get("loginEndpoint").and_then(Value::as_str);
        let authority = options.authority.as_deref().filter(|text| !text.is_empty()).or(told);
        let authority = address(AUTHORITY_FLAG, authority.ok_or_else(|| missing("loginEndpoint"))?)?;
        let audience = authentication.pointer("/audiences/0").and_then(Value::as_str);
        let audience = audience.ok_or_else(|| missing("audiences"))?.trim_end_matches('/').to_owned();
        Ok(Self { manager, authority, audience })
    }

    /// Resource Manager.
    pub fn manager(&self) -> &Url {
        &self.manager
    }

    /// Where tokens of a tenant come from. A path that the authority has, as ADFS does, stays.
    pub(crate) fn token_url(&self, tenant: &str) -> Option<Url> {
        let mut url = self.authority.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend([tenant, "oauth2", "v2.0", "token"]);
        Some(url)
    }

    /// What a token is to be good for.
    pub(crate) fn scope(&self) -> String {
        format!("{}/.default", self.audience)
    }

    /// Whether a token may be sent there.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.manager.origin()
    }

    /// Whether all of it is on this machine, where no proxy is on the way.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.manager) && is_loopback(&self.authority)
    }
}

fn address(what: &'static str, text: &str) -> Result<Url, EnvironmentError> {
    let failed = |text: String| EnvironmentError::Endpoint { what, text };
    // Before an @ may be a password.
    let shown = if text.contains('@') { "what it is set to".to_owned() } else { bounded(text) };
    let no_address = || failed(format!("{shown} is not an address such as https://host"));
    let mut url = Url::parse(text).map_err(|_| no_address())?;
    if url.host_str().is_none_or(str::is_empty) || url.cannot_be_a_base() {
        return Err(no_address());
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(failed("an address without user, query and fragment is needed".to_owned()));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(failed(format!("plain http to {} would show tokens; use https", bounded(text)))),
        other => return Err(failed(format!("only https is served, not {}", bounded(other)))),
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(cloud: &str, manager: &str, authority: &str) -> Result<Environment, EnvironmentError> {
        let options = EnvironmentOptions {
            manager: Some(manager.to_owned()),
            authority: Some(authority.to_owned()),
            ..EnvironmentOptions::default()
        };
        Environment::known(cloud, &options)
    }

    #[test]
    fn each_cloud_has_its_endpoints() {
        let clouds = [
            ("AzurePublicCloud", "management.azure.com", "login.microsoftonline.com"),
            ("AzureUSGovernmentCloud", "management.usgovcloudapi.net", "login.microsoftonline.us"),
            ("AzureChinaCloud", "management.chinacloudapi.cn", "login.chinacloudapi.cn"),
        ];
        for (cloud, manager, authority) in clouds {
            let found = known(cloud, "", "").unwrap();
            assert_eq!(found.manager().host_str(), Some(manager));
            assert_eq!(found.scope(), format!("https://{manager}/.default"));
            assert_eq!(found.token_url("t").unwrap().as_str(), format!("https://{authority}/t/oauth2/v2.0/token"));
        }
        let unknown = Err(EnvironmentError::UnknownCloud("AzureGermanCloud".to_owned()));
        for (manager, authority) in [("", ""), ("https://arm.example", ""), ("", "https://login.example")] {
            assert_eq!(known("AzureGermanCloud", manager, authority), unknown);
        }
        let found = known("AzureGermanCloud", "https://arm.example", "https://login.example").unwrap();
        assert_eq!(found.scope(), "https://arm.example/.default");
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for text in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://arm.example"] {
            assert!(known("AzurePublicCloud", text, "").is_ok(), "{text}");
        }
        for text in ["http://10.0.0.1", "http://localhost.evil.example", "ftp://x", "x", "https://u:p@x", "https://x?y"]
        {
            let error = known("AzurePublicCloud", text, "").unwrap_err().to_string();
            assert!(error.starts_with("--azure-arm-endpoint: "), "{error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }

    #[test]
    fn a_token_goes_to_the_endpoint_only() {
        let cloud = known("AzurePublicCloud", "https://arm.example", "").unwrap();
        for (url, owned) in [
            ("https://arm.example/x?t=1", true),
            ("https://ARM.example:443/x", true),
            ("https://arm.example:444/x", false),
            ("http://arm.example/x", false),
            ("https://arm.example.evil/x", false),
        ] {
            assert_eq!(cloud.owns(&Url::parse(url).unwrap()), owned, "{url}");
        }
    }

    #[test]
    fn azure_stack_says_where_its_authority_is() {
        let manager = address("armEndpoint", "https://management.local.azurestack.external").unwrap();
        let found = json!({"authentication": {
            "loginEndpoint": "https://adfs.local.azurestack.external/adfs",
            "audiences": ["https://management.adfs.azurestack.local/1234"],
        }});
        let cloud = Environment::of_metadata(manager.clone(), &found, &EnvironmentOptions::default()).unwrap();
        assert_eq!(cloud.scope(), "https://management.adfs.azurestack.local/1234/.default");
        let token = cloud.token_url("t").unwrap();
        assert_eq!(token.as_str(), "https://adfs.local.azurestack.external/adfs/t/oauth2/v2.0/token");
        let error = Environment::of_metadata(manager, &json!({}), &EnvironmentOptions::default()).unwrap_err();
        assert!(error.to_string().ends_with("no authentication"), "{error}");
    }
}
