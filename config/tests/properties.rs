//! Whatever the text, parsing ends with a value or with mistakes inside of it.

use proptest::prelude::{Strategy, prop, prop_assert, proptest};
use redan_config::{Appliance, diff, parse_duration};

const EXAMPLE: &str = include_str!("../examples/redan.toml");

/// The example with some of its lines removed, doubled, swapped or cut.
fn mangled() -> impl Strategy<Value = String> {
    let lines = EXAMPLE.lines().count();
    prop::collection::vec((0..lines, 0..lines, 0u8..6, 0usize..40), 1..6).prop_map(|edits| {
        let mut text: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
        for (a, b, edit, at) in edits {
            let (a, b) = (a.min(text.len() - 1), b.min(text.len() - 1));
            match edit {
                0 => drop(text.remove(a)),
                1 => text.insert(a, text[b].clone()),
                2 => text.swap(a, b),
                3 => text[a] = text[a].chars().take(at).collect(),
                4 => text[a] = text[a].chars().skip(at).collect(),
                _ => text[a] = text[a].replace(['"', '[', '='], ""),
            }
        }
        text.join("\n")
    })
}

fn holds(text: &str) -> Result<(), proptest::test_runner::TestCaseError> {
    match Appliance::parse_with_warnings(text, "x") {
        Ok((appliance, warnings)) => {
            prop_assert!(warnings.errors.is_empty());
            prop_assert!(diff(&appliance, &appliance).is_empty());
            prop_assert!(appliance.console_address().is_some());
        }
        Err(mistakes) => {
            prop_assert!(!mistakes.errors.is_empty());
            let lines = text.split('\n').count();
            for mistake in mistakes.errors.iter().chain(&mistakes.warnings) {
                prop_assert!((1..=lines).contains(&mistake.line) && mistake.column >= 1);
            }
            prop_assert!(mistakes.to_string().contains("error: "));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_mistakes(text in "\\PC{0,200}") {
        holds(&text)?;
    }

    #[test]
    fn toml_like_text_gives_a_value_or_mistakes(text in "([a-z.\\[\\]={}\"', \n0-9-]|schema|zones|true|\\[\\[policies\\]\\]){0,80}") {
        holds(&text)?;
    }

    #[test]
    fn a_mangled_example_gives_a_value_or_mistakes(text in mangled()) {
        holds(&text)?;
    }

    #[test]
    fn a_duration_reads_what_it_prints(millis in 0u64..=10_000_000_000) {
        let duration = std::time::Duration::from_millis(millis);
        prop_assert!(parse_duration(&redan_config::duration_text(duration)) == Ok(duration));
    }
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    for text in [
        format!("a = {}", "[".repeat(200_000)),
        format!("a = {}", "{a=".repeat(200_000)),
        "a.".repeat(200_000),
    ] {
        assert!(Appliance::parse(&text, "x").is_err());
    }
}

#[test]
fn the_largest_documents_are_checked_in_bounded_time() {
    let started = std::time::Instant::now();
    let policies: String = (0..9_000)
        .map(|n| format!("[[policies]]\nname=\"p{n}\"\nfrom=[\"a\"]\nto=[\"b\"]\nports=[{n}]\naction=\"drop\"\n"))
        .collect();
    let names: String = (0..20_000)
        .map(|n| format!("[services.s{n}]\nlisten=[{{zone=\"z{n}\"}}]\n"))
        .collect();
    let roles: String = (0..20_000)
        .map(|n| format!("[identity.roles.r{n}]\nincludes=[\"r{}\"]\n", n + 1))
        .collect();
    let networks: Vec<String> = (0..4_000)
        .map(|n| format!("\"10.{}.{}.0/24\"", n / 250, n % 250))
        .collect();
    let groups = format!("groups.g.addresses = [{}]\n", networks.join(","));
    let used: String = (1..4_000)
        .map(|n| {
            format!("[[policies]]\nname=\"p{n}\"\nfrom=[\"a\"]\nto=[\"a\"]\nprotocol=\"tcp\"\nports=[{n}]\nsources=[\"@g\"]\naction=\"drop\"\n")
        })
        .collect();
    let dense = |roles: usize, included: usize| -> String {
        let role = |n: usize| {
            let includes: Vec<_> = (n.saturating_sub(included)..n).map(|m| format!("\"r{m}\"")).collect();
            format!("[identity.roles.r{n}]\nincludes=[{}]\n", includes.join(","))
        };
        (0..roles).map(role).collect()
    };
    let zones = "[zones.a]\n[interfaces.e]\nzone=\"a\"\naddresses=[\"10.0.0.1/8\"]\n";
    let few = format!(
        "[identity.roles.r0]\nincludes=[\"r255\"]\n{}",
        dense(256, 32).split_once("r1]").unwrap().1
    );
    let few = few.replacen("includes=[\"r0\"]", "\n[identity.roles.r1]\nincludes=[\"r0\"]", 1);
    for text in [
        policies,
        names,
        roles,
        dense(250, 250),
        few,
        format!("{groups}{used}{zones}"),
    ] {
        assert!(text.len() <= redan_config::LARGEST, "{}", text.len());
        let refused = Appliance::parse(&text, "x").is_err();
        assert!(refused);
    }
    assert!(
        started.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
