use proptest::prelude::*;

use super::*;
use crate::mysql::greeting::Greeting;
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, greeting, hex};

fn offered(digits: &str) -> Capabilities {
    let Greeting { capabilities, .. } = greeting(digits);
    (capabilities & Capabilities::FORWARDED) | Capabilities::LOGIN
}

#[test]
fn the_response_of_mysqls_client_is_parsed() {
    // MySQL 9.7.4's client, to MySQL's greeting.
    let payload = hex(
        "8da2bf1900000001ff0000000000000000000000000000000000000000000000780020ee2a74b6475bed68e1e4221b686c1a3a96e56cf9f6ac8e6e7d57388cffe7e8d6\
         6d7973716c0063616368696e675f736861325f70617373776f72640072045f706964053135323030095f706c6174666f726d067838365f3634035f6f73054c696e7578\
         0c5f636c69656e745f6e616d65086c69626d7973716c076f735f7573657204726f6f740f5f636c69656e745f76657273696f6e05392e372e340c70726f6772616d5f\
         6e616d65056d7973716c",
    );
    let response = HandshakeResponse::parse(&payload, offered(MYSQL_97)).unwrap();
    assert_eq!(
        (response.params.user.as_str(), response.params.database.as_deref()),
        ("x", Some("mysql"))
    );
    assert_eq!((response.params.collation, response.params.max_packet), (255, 1 << 24));
    assert_eq!(
        (response.plugin.as_deref(), response.proof.len()),
        (Some("caching_sha2_password"), 32)
    );
    assert_eq!(response.params.attributes[0], (b"_pid".to_vec(), b"15200".to_vec()));
    assert_eq!(response.params.attributes.len(), 7);
    assert!(response.params.capabilities.has(
        Capabilities::DEPRECATE_EOF | Capabilities::QUERY_ATTRIBUTES | Capabilities::PROTOCOL_41
    ));
    assert!(
        !response
            .params
            .capabilities
            .has_any(Capabilities::SSL | Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_WITH_DB)
    );
}

#[test]
fn the_response_of_mariadbs_client_is_parsed() {
    // MariaDB 10.11's client, with MariaDB's half of the capabilities.
    let payload = hex(
        "8ca2bf000000100021000000000000000000000000000000000000001d000000780014eaa71113e71f6750e1d5d1eef73bd300cd20439c6d7973716c006d7973716c5f6e\
         61746976655f70617373776f7264007f035f6f73054c696e75780c5f636c69656e745f6e616d650a6c69626d617269616462045f7069640531353139360f5f636c69\
         656e745f76657273696f6e06332e332e3230095f706c6174666f726d067838365f36340c70726f6772616d5f6e616d65056d7973716c0c5f7365727665725f686f73\
         74093132372e302e302e31",
    );
    let response = HandshakeResponse::parse(&payload, offered(MARIADB_1011)).unwrap();
    assert!(response.params.capabilities.has(
        Capabilities::CACHE_METADATA | Capabilities::EXTENDED_METADATA | Capabilities::PROGRESS
    ));
    assert!(!response.params.capabilities.has_any(Capabilities::DEPRECATE_EOF));
    let names: Vec<_> = response
        .params
        .pool_key()
        .attributes
        .into_iter()
        .map(|(name, _)| String::from_utf8(name).unwrap())
        .collect();
    assert_eq!(names, ["_os", "_client_name", "_client_version", "_platform", "program_name"]);
    // MySQL's servers ignore that half.
    let response = HandshakeResponse::parse(&payload, offered(MYSQL_97)).unwrap();
    assert!(!response.params.capabilities.has_any(Capabilities::CACHE_METADATA));
    for cut in 0..payload.len() {
        let _ = HandshakeResponse::parse(&payload[..cut], offered(MARIADB_1011));
    }
    // Without the end of its attributes it is malformed; without their length, it has none.
    assert_eq!(
        HandshakeResponse::parse(&payload[..payload.len() - 1], offered(MARIADB_1011)).unwrap_err(),
        Malformed::Layout
    );
    assert!(
        HandshakeResponse::parse(&payload[..payload.len() - 128], offered(MARIADB_1011))
            .unwrap()
            .params
            .attributes
            .is_empty()
    );
}

#[test]
fn names_are_utf8_and_limited() {
    let params = LoginParams::new("x".repeat(MAX_NAME), None);
    let payload = encode(&params, Capabilities::LOGIN, "p", &[]).unwrap();
    assert!(HandshakeResponse::parse(&payload, Capabilities::LOGIN).is_ok());
    let payload = encode(
        &LoginParams { user: "x".repeat(MAX_NAME + 1), ..params.clone() },
        Capabilities::LOGIN,
        "p",
        &[],
    )
    .unwrap();
    assert_eq!(
        HandshakeResponse::parse(&payload, Capabilities::LOGIN).unwrap_err(),
        Malformed::Layout
    );
    let mut payload = encode(&LoginParams::new("xy", None), Capabilities::LOGIN, "p", &[]).unwrap();
    payload[SSL_REQUEST_LEN] = 0xff;
    assert_eq!(
        HandshakeResponse::parse(&payload, Capabilities::LOGIN).unwrap_err(),
        Malformed::Encoding
    );
    assert!(
        encode(&LoginParams { collation: 256, ..params.clone() }, Capabilities::LOGIN, "p", &[])
            .is_err()
    );
    assert!(
        encode(
            &params,
            Capabilities::LOGIN.without(Capabilities::PLUGIN_AUTH_LENENC),
            "p",
            &[0; 256]
        )
        .is_err()
    );
}

#[test]
fn attributes_are_limited() {
    let capabilities = Capabilities::LOGIN | Capabilities::CONNECT_ATTRS;
    let with = |length: usize| LoginParams {
        attributes: vec![(b"n".to_vec(), vec![b'x'; length])],
        ..LoginParams::new("x", None)
    };
    let parse = |length| {
        HandshakeResponse::parse(
            &encode(&with(length), capabilities, "p", &[]).unwrap(),
            capabilities,
        )
        .map(|response| response.params)
    };
    let fits = MAX_ATTRIBUTES - 2 - 3;
    assert_eq!(parse(fits - 10).unwrap().attributes, with(fits - 10).attributes);
    assert_eq!(parse(MAX_ATTRIBUTES).unwrap_err(), Malformed::Layout);
}

fn login_params() -> impl Strategy<Value = (LoginParams, Capabilities)> {
    let text = "[^\0]{0,40}";
    let names = (text, proptest::option::of("[^\0]{1,40}"));
    let attributes = proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5);
    (names, any::<(u32, u32)>(), any::<u32>(), any::<u8>(), attributes, any::<u8>()).prop_map(
        |(names, bits, max_packet, collation, attributes, level)| {
            let offered = Capabilities::new(bits.0, bits.1)
                .without(Capabilities::MYSQL)
                .without(Capabilities::SSL)
                | Capabilities::LOGIN;
            let has = |capability| offered.has(capability);
            let params = LoginParams {
                user: names.0,
                database: names.1,
                capabilities: (offered & Capabilities::FORWARDED).with(Capabilities::PROTOCOL_41),
                collation: collation.into(),
                max_packet,
                attributes: if has(Capabilities::CONNECT_ATTRS) { attributes } else { Vec::new() },
                zstd_level: has(Capabilities::ZSTD).then_some(level),
            };
            (params, offered)
        },
    )
}

proptest! {
    #[test]
    fn encoded_response_is_parsed(
        (params, offered) in login_params(),
        proof in proptest::collection::vec(any::<u8>(), 0..2000),
        plugin in "[a-z_]{1,30}",
    ) {
        let capabilities = offered.set(Capabilities::CONNECT_WITH_DB, params.database.is_some());
        let response = HandshakeResponse::parse(
            &encode(&params, capabilities, &plugin, &proof).unwrap(),
            offered,
        ).unwrap();
        prop_assert_eq!(&response.params, &params);
        prop_assert_eq!((&*response.proof, response.plugin), (&proof, Some(plugin)));
    }

    #[test]
    fn encoded_change_user_is_parsed((params, offered) in login_params(), collation: u16) {
        let params = LoginParams { collation, ..params };
        let current = LoginParams {
            capabilities: params.capabilities,
            max_packet: params.max_packet,
            zstd_level: params.zstd_level,
            ..LoginParams::new("current", None)
        };
        let response = HandshakeResponse::parse_change_user(
            &encode_change_user(&params, offered, "unused"),
            &current,
        ).unwrap();
        prop_assert_eq!(response.params, params);
        prop_assert!(response.proof.is_empty());
    }

    #[test]
    fn no_input_panics(payload: Vec<u8>, (params, offered) in login_params()) {
        let _ = HandshakeResponse::parse(&payload, offered);
        let head = [&[0xff_u8; 32], payload.as_slice()].concat();
        let _ = HandshakeResponse::parse(&head, offered);
        let _ = HandshakeResponse::parse_change_user(
            &[&[command::CHANGE_USER], payload.as_slice()].concat(),
            &params,
        );
    }
}
