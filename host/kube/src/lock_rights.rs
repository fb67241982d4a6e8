//! Whether the operator that Sluice replaces can be in a namespace: what its service accounts may do.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use http::{Request, header};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::failure;
use crate::index::WriteRights;
use crate::kind::Kind;

/// Longest that one request may take. There is none for all together: a tenant with many accounts would have it pass.
const DEADLINE: Duration = Duration::from_secs(5);
/// Most service accounts of a namespace that are asked about, in the order of their names.
///
/// A tenant can make as many as he likes, and none with rights. If more counted as no answer, he could stop all writes by
/// making them; if all of them were asked about first, he could for as long as that takes. Where redhat-cop's operator is,
/// there are about four.
const MOST_ACCOUNTS: usize = 500;
/// Questions at once.
const AT_ONCE: usize = 8;

/// Asks the API server whether one of the service accounts of `namespace` may patch NetNamespaces.
pub async fn write_rights(client: &Client, namespace: &str) -> WriteRights {
    let accounts = match in_time(accounts(client, namespace)).await {
        Ok(Some(accounts)) => accounts,
        Ok(None) => return WriteRights::NoAnswer("serviceaccounts: a row of the table has no name".to_owned()),
        Err(why) => return WriteRights::NoAnswer(format!("serviceaccounts: {why}")),
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answers = stream::iter(accounts).map(|account| review(&reviews, namespace, account)).buffer_unordered(AT_ONCE);
    futures::pin_mut!(answers);
    let mut found = WriteRights::NotGranted;
    while let Some(answer) = answers.next().await {
        match answer {
            WriteRights::Granted => return WriteRights::Granted,
            WriteRights::NotGranted => {}
            WriteRights::NoAnswer(why) => found = WriteRights::NoAnswer(why),
        }
    }
    found
}

/// Whether one service account may. What the answer says beside yes and no is for people.
async fn review(reviews: &Api<SubjectAccessReview>, namespace: &str, account: String) -> WriteRights {
    let net_namespaces = Kind::NetNamespace.api_resource();
    let groups = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned);
    let question = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{account}")),
            groups: Some(groups.into_iter().chain([format!("system:serviceaccounts:{namespace}")]).collect()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(net_namespaces.group),
                resource: Some(net_namespaces.plural),
                verb: Some("patch".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = in_time(reviews.create(&PostParams::default(), &question)).await;
    match answer.map(|answer| answer.status) {
        Ok(Some(status)) if status.allowed => WriteRights::Granted,
        Ok(Some(status)) => match status.evaluation_error.filter(|error| !error.is_empty()) {
            Some(error) => WriteRights::NoAnswer(failure::bounded(&format!("subjectaccessreviews: {error}"))),
            None => WriteRights::NotGranted,
        },
        Ok(None) => WriteRights::NoAnswer("subjectaccessreviews: the answer has no status".to_owned()),
        Err(why) => WriteRights::NoAnswer(format!("subjectaccessreviews: {why}")),
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, String> {
    let answer = timeout(DEADLINE, request).await;
    answer
        .map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))?
        .map_err(|error| failure::of_request(&error))
}

/// A list as a table of a few columns, which stays small whatever the objects have in them.
#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

/// The first column is the name; how many others there are differs from version to version.
#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// Names; none: a row has none.
async fn accounts(client: &Client, namespace: &str) -> kube::Result<Option<Vec<String>>> {
    let address = format!("/api/v1/namespaces/{namespace}/serviceaccounts?limit={MOST_ACCOUNTS}&includeObject=None");
    let request = Request::get(address).header(header::ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io");
    let request = request.body(Vec::new()).map_err(kube::Error::HttpError)?;
    let table: Table = client.request(request).await?;
    let name = |row: &Row| row.cells.first().and_then(Value::as_str).map(str::to_owned);
    Ok(table.rows.iter().take(MOST_ACCOUNTS).map(name).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::write_rights;
    use crate::index::WriteRights;
    use crate::testing::{Answer, with_server};

    /// What comes of these answers, to a list and to questions about accounts.
    fn found(answers: &[(&'static str, Value)]) -> (WriteRights, Vec<String>) {
        let type_of_body = "\r\ncontent-type: application/json";
        let answer = |(status, body): &(&'static str, Value)| Answer {
            head: Box::leak(format!("{status}{type_of_body}").into_boxed_str()),
            body: body.to_string(),
        };
        with_server(answers.iter().map(answer).collect(), |client| async move { write_rights(&client, "ops").await })
    }

    fn accounts(names: &[&str]) -> (&'static str, Value) {
        let rows: Vec<Value> = names.iter().map(|name| json!({"cells": [name, "5m"]})).collect();
        ("200 OK", json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": rows}))
    }

    fn review(status: &Value) -> (&'static str, Value) {
        let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {}});
        let mut review = review;
        review["status"] = status.clone();
        ("201 Created", review)
    }

    #[test]
    fn it_is_asked_for_each_account_with_its_groups() {
        let (rights, requests) = found(&[accounts(&["manager"]), review(&json!({"allowed": true}))]);
        assert_eq!(rights, WriteRights::Granted);
        assert!(requests[0].starts_with("GET /api/v1/namespaces/ops/serviceaccounts?limit=500&includeObject=None "));
        assert!(requests[0].contains("as=Table"), "{}", requests[0]);
        let (_, body) = requests[1].split_once("\r\n\r\n").unwrap();
        let spec = &serde_json::from_str::<Value>(body).unwrap()["spec"];
        assert_eq!(spec["user"], "system:serviceaccount:ops:manager");
        let groups = ["system:serviceaccounts", "system:authenticated", "system:serviceaccounts:ops"];
        assert_eq!(spec["groups"], json!(groups));
        let asked = json!({"group": "network.openshift.io", "resource": "netnamespaces", "verb": "patch"});
        assert_eq!(spec["resourceAttributes"], asked);
    }

    #[test]
    fn only_a_no_to_all_is_a_no() {
        assert_eq!(found(&[accounts(&[])]).0, WriteRights::NotGranted);
        let no = review(&json!({"allowed": false, "reason": "RBAC: clusterrole gone"}));
        assert_eq!(found(&[accounts(&["a", "b"]), no.clone(), no.clone()]).0, WriteRights::NotGranted);
        let yes = review(&json!({"allowed": true}));
        assert_eq!(found(&[accounts(&["a", "b"]), no.clone(), yes.clone()]).0, WriteRights::Granted);
        let failed = review(&json!({"allowed": false, "evaluationError": "webhook down"}));
        let unknown = |answers: &[(&'static str, Value)], expected: &str| match found(answers).0 {
            WriteRights::NoAnswer(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        };
        unknown(&[accounts(&["a", "b"]), failed.clone(), no.clone()], "webhook down");
        assert_eq!(found(&[accounts(&["a", "b"]), failed, yes]).0, WriteRights::Granted);
        let refused = |message: &str| {
            let status =
                json!({"kind": "Status", "status": "Failure", "message": message, "reason": "Forbidden", "code": 403});
            ("403 Forbidden", status)
        };
        unknown(&[refused("no list for you")], "serviceaccounts: no list for you");
        unknown(&[accounts(&["a"]), refused("no review for you")], "subjectaccessreviews: no review for you");
        unknown(&[("200 OK", json!({"kind": "ServiceAccountList", "items": []}))], "serviceaccounts: ");
    }
}
