//! What the cluster makes of our CRD: an older version of it may be installed.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use tokio::time::timeout;

use crate::api::pruned_fields;
use crate::failure;
use crate::names;

/// Longest this may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// Fields of ours that the API server would drop, as [`pruned_fields`]; empty also if the CRD is not there at all,
/// which the watch reports. The error is a text for people.
pub async fn pruned_in_cluster(client: &Client) -> Result<Vec<String>, String> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    match timeout(DEADLINE, crds.get_opt(names::POOL_CRD)).await {
        Err(_) => Err(format!("CRD {}: no answer within {} s", names::POOL_CRD, DEADLINE.as_secs())),
        Ok(Err(error)) => Err(format!("CRD {}: {}", names::POOL_CRD, failure::of_request(&error))),
        Ok(Ok(served)) => Ok(served.as_ref().map(pruned_fields).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::pruned_in_cluster;
    use crate::testing::{Answer, with_server};

    const OLD: &str = include_str!("../tests/fixtures/redhat-cop-egressipams.yaml");

    fn ask(head: &'static str, body: String) -> Result<Vec<String>, String> {
        let (result, requests) =
            with_server(vec![Answer { head, body }], |client| async move { pruned_in_cluster(&client).await });
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/egressipams.redhatcop.redhat.io";
        assert!(requests[0].starts_with(&format!("GET {path}")));
        result
    }

    #[test]
    fn the_served_crd_is_compared() {
        let old: serde_json::Value = serde_yaml_ng::from_str(OLD).unwrap();
        assert!(ask("200 OK", old.to_string()).unwrap().contains(&"status.zones".to_owned()));
        let missing = r#"{"kind":"Status","status":"Failure","code":404,"reason":"NotFound","message":"not found"}"#;
        assert_eq!(ask("404 Not Found", missing.to_owned()), Ok(Vec::new()));
        let forbidden = r#"{"kind":"Status","status":"Failure","code":403,"reason":"Forbidden","message":"no rights"}"#;
        let text = "CRD egressipams.redhatcop.redhat.io: no rights".to_owned();
        assert_eq!(ask("403 Forbidden", forbidden.to_owned()), Err(text));
    }
}
