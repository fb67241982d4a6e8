use super::*;

const NIC: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces";

fn error(status: u16, code: &str, message: &str, details: &[(&str, &str)]) -> ArmError {
    let details: Vec<Value> =
        details.iter().map(|(code, message)| serde_json::json!({"code": code, "message": message})).collect();
    let body = serde_json::json!({"error": {"code": code, "message": message, "details": details}});
    ArmError::of_answer(status, None, &body.to_string())
}

#[test]
fn a_taken_address_tells_who_has_it() {
    let message = format!(
        "IP configuration {NIC}/a/ipConfigurations/EgressIP10.2.1.5 is using the private IP address 10.2.1.5 which is \
         already allocated to resource {NIC}/b/ipConfigurations/x."
    );
    let failure = error(400, "PrivateIPAddressIsAllocated", &message, &[]);
    let by = ResourceId::parse(&format!("{NIC}/b/ipConfigurations/x"));
    assert_eq!(failure.kind, ErrorKind::AddressTaken { address: Some("10.2.1.5".parse().unwrap()), by });
    let message = format!(
        "IP configuration {NIC}/a/ipConfigurations/x is using the same private IP address 10.10.16.57 as IP \
         configuration {NIC}/b/ipConfigurations/y."
    );
    let failure = error(400, "PrivateIPAddressInUse", &message, &[]);
    let by = ResourceId::parse(&format!("{NIC}/b/ipConfigurations/y"));
    assert_eq!(failure.kind, ErrorKind::AddressTaken { address: Some("10.10.16.57".parse().unwrap()), by });
}

#[test]
fn an_address_that_can_never_be_given_is_told() {
    let told = [
        (
            "PrivateIPAddressNotInSubnet",
            "Private static IP address 10.0.0.123 does not belong to the range of subnet prefix 10.2.0.0/24.",
        ),
        (
            "PrivateIPAddressInReservedRange",
            "Private static IP address 10.0.0.123 falls within reserved IP range of subnet prefix 10.30.30.0/27.",
        ),
    ];
    for (code, message) in told {
        assert_eq!(error(400, code, message, &[]).kind, ErrorKind::BadAddress("10.0.0.123".parse().unwrap()));
    }
    let message = "Private static IP address value 10.11.12.13.14 is invalid.";
    assert_eq!(error(400, "InvalidPrivateIPAddressFormat", message, &[]).kind, ErrorKind::Permanent);
}

#[test]
fn each_row_of_the_catalogue_has_its_kind() {
    let rows = [
        (400, "SubnetIsFull", ErrorKind::Permanent),
        (400, "IpConfigDeleteNotSupported", ErrorKind::Permanent),
        (400, "AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", ErrorKind::Permanent),
        (400, "NicReservedForAnotherVm", ErrorKind::Busy),
        (400, "InvalidRequestFormat", ErrorKind::Permanent),
        (401, "ExpiredAuthenticationToken", ErrorKind::Unauthenticated),
        (404, "ResourceNotFound", ErrorKind::Gone),
        (404, "ResourceGroupNotFound", ErrorKind::Gone),
        (404, "NotFound", ErrorKind::Gone),
        (409, "AnotherOperationInProgress", ErrorKind::Busy),
        (409, "SomethingElse", ErrorKind::Stale),
        (409, "ScopeLocked", ErrorKind::Forbidden { action: None, scope: None }),
        (412, "PreconditionFailed", ErrorKind::Stale),
        (429, "TooManyRequests", ErrorKind::Throttled),
        (429, "SubscriptionRequestsThrottled", ErrorKind::Throttled),
        (429, "OperationNotAllowed", ErrorKind::Throttled),
        (500, "InternalServerError", ErrorKind::Unknown),
        (503, "ServerTimeout", ErrorKind::Unknown),
        (504, "GatewayTimeout", ErrorKind::Unknown),
        // Whatever it says: with a 5xx nobody knows.
        (500, "PreconditionFailed", ErrorKind::Unknown),
    ];
    for (status, code, kind) in rows {
        assert_eq!(error(status, code, "m", &[]).kind, kind, "{status} {code}");
    }
}

#[test]
fn the_details_of_a_429_tell_whose_it_is() {
    let rows = [
        ("RetryableErrorDueToAnotherOperation", ErrorKind::Busy),
        ("ReferencedResourceNotProvisioned", ErrorKind::Busy),
        ("RetryableErrorDueToTooManyCalls", ErrorKind::Throttled),
        ("RetryableErrorDueTooHighReadDataSize", ErrorKind::Throttled),
    ];
    for (code, kind) in rows {
        let failure = error(429, "RetryableError", "A retryable error occurred.", &[(code, "why")]);
        assert_eq!((failure.kind.clone(), failure.to_string()), (kind, format!("{code}: why")));
    }
}

#[test]
fn a_refusal_for_want_of_permission_tells_which_and_where() {
    let who = "The client 'app' with object id 'oid'";
    let rows = [
        (
            "AuthorizationFailed",
            format!(
                "{who} does not have authorization to perform action 'N/write' over scope '/s/x' or the scope is invalid."
            ),
        ),
        (
            "LinkedAuthorizationFailed",
            format!(
                "{who} has permission to perform action 'N/w' on scope '/s/y'; however, it does not have permission to perform action 'N/write' on the linked scope(s) '/s/x' or the linked scope(s) are invalid."
            ),
        ),
        (
            "DenyAssignmentAuthorizationFailed",
            format!(
                "{who} has permission to perform action 'N/write' on scope '/s/x'; however, the access is denied because of the deny assignment with name 'd' at scope '/s'."
            ),
        ),
    ];
    for (code, message) in rows {
        let wanted = ErrorKind::Forbidden { action: Some("N/write".to_owned()), scope: Some("/s/x".to_owned()) };
        assert_eq!(error(403, code, &message, &[]).kind, wanted, "{code}");
    }
}

#[test]
fn nothing_is_too_long_or_too_odd() {
    let long = error(400, "X", &"word \n".repeat(10_000), &[]);
    assert!(long.to_string().chars().count() <= LONGEST + 3);
    assert!(!long.to_string().contains('\n'));
    for body in ["", "no json", "[]", "{\"error\": 3}", "{\"error\":{\"details\":7}}"] {
        assert_eq!(ArmError::of_answer(502, None, body).kind, ErrorKind::Unknown);
        assert_eq!(ArmError::of_answer(400, None, body).to_string(), "HTTP 400");
    }
}

#[test]
fn the_signature_of_an_operation_is_not_shown() {
    let message = "in progress, use uri: (https://arm.example/operations/1?t=6&c=MII&s=sig) or 'http://x/?s=sig', why?";
    let text = error(409, "AnotherOperationInProgress", message, &[]).to_string();
    assert_eq!(
        text,
        "AnotherOperationInProgress: in progress, use uri: (https://arm.example/operations/1) or 'http://x/', why?"
    );
}

#[test]
fn recorded_errors_are_read() {
    let file = include_str!("../../../../sandbox/azure/recordings/errors-network.jsonl");
    for line in file.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let status = value["response"]["status"].as_u64().unwrap().try_into().unwrap();
        let failure = ArmError::of_answer(status, None, &value["response"]["body"].to_string());
        let wanted = match status {
            404 => ErrorKind::Gone,
            409 => ErrorKind::Busy,
            412 => ErrorKind::Stale,
            500.. => ErrorKind::Unknown,
            _ => continue,
        };
        assert_eq!(failure.kind, wanted, "{line}");
    }
}
