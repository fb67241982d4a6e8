use super::*;

type Name = &'static str;

impl Named for Name {
    fn name(&self) -> String {
        (*self).to_owned()
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// A succession and its clock.
struct Story {
    succession: Succession<Name>,
    now: Instant,
}

impl Story {
    fn of(chosen: Result<Name, &str>) -> Self {
        let now = Instant::now();
        Self { succession: Succession::new(chosen.map_err(str::to_owned), "builtin", now), now }
    }

    /// Two policies, the first of which is good.
    fn swapped() -> Self {
        let mut story = Self::of(Ok("old"));
        story.good();
        story.succession.choose("new", story.now);
        story
    }

    fn good(&mut self) -> Turn {
        self.succession.planned(Ok(()), self.now)
    }

    fn bad(&mut self) -> Turn {
        self.succession.planned(Err((Tries::One, "trap".to_owned())), self.now)
    }

    fn timeout(&mut self) -> Turn {
        self.succession.planned(Err((Tries::Two, "timeout".to_owned())), self.now)
    }

    fn plans(&self) -> Name {
        self.succession.policy()
    }

    /// A minute later: tries out all that are due. Returns whom.
    fn minute(&mut self, good: &[Name]) -> Vec<Name> {
        self.now += TRIAL;
        let mut tried = Vec::new();
        while let Some((rank, policy)) = self.succession.due(self.now) {
            tried.push(policy);
            self.succession.tried(rank, good.contains(&policy), self.now);
        }
        tried
    }
}

#[test]
fn three_failures_in_a_row_pass_the_turn_on_and_fewer_do_not() {
    let mut story = Story::swapped();
    assert_eq!([story.bad(), story.bad(), story.good()], [Turn::AskAgain, Turn::AskAgain, Turn::Stays]);
    assert_eq!([story.bad(), story.bad()], [Turn::AskAgain, Turn::AskAgain]);
    assert!(story.succession.stand_in().is_none());
    assert_eq!((story.bad(), story.plans()), (Turn::Passed, "old"));
    let text = story.succession.stand_in().unwrap().to_string();
    assert_eq!(text, "old, the last good policy, plans: new failed 3 times in a row: trap");
    assert_eq!([story.bad(), story.bad(), story.bad()], [Turn::AskAgain, Turn::AskAgain, Turn::Passed]);
    let text = story.succession.stand_in().unwrap().to_string();
    assert_eq!(
        text,
        "the built-in builtin stands in and only moves addresses off nodes that cannot carry them: \
         new failed 3 times in a row: trap"
    );
    assert_eq!(story.succession.excuse(), "policy new fails; the built-in one stands in, and gives no addresses out");
    for _ in 0..9 {
        assert_eq!((story.bad(), story.plans()), (Turn::Stays, "builtin"), "nobody is left");
    }
}

#[test]
fn a_plan_that_ran_out_of_time_was_tried_twice() {
    let mut story = Story::swapped();
    assert_eq!([story.timeout(), story.timeout()], [Turn::AskAgain, Turn::Passed]);
}

#[test]
fn without_a_good_predecessor_the_built_in_stands_in() {
    let mut story = Story::of(Ok("only"));
    assert_eq!((story.bad(), story.bad(), story.bad()), (Turn::AskAgain, Turn::AskAgain, Turn::Passed));
    assert_eq!((story.plans(), story.succession.rank()), ("builtin", Rank::BuiltIn));
}

#[test]
fn who_failed_is_back_after_three_good_trials_in_a_row_a_minute_apart() {
    let mut story = Story::swapped();
    for _ in 0..3 {
        story.bad();
    }
    assert_eq!(story.succession.next_trial(), Some(story.now + TRIAL));
    assert!(story.succession.due(story.now + TRIAL - Duration::from_millis(1)).is_none());
    for (good, plans) in [(true, "old"), (true, "old"), (false, "old"), (true, "old"), (true, "old"), (true, "new")] {
        let good: &[Name] = if good { &["new"] } else { &[] };
        assert_eq!(story.minute(good), ["new"]);
        assert_eq!(story.plans(), plans);
    }
    assert!(story.succession.stand_in().is_none() && story.succession.next_trial().is_none());
    assert_eq!(story.minute(&["new"]), [""; 0], "who plans is not tried out");
    assert_eq!([story.bad(), story.bad(), story.bad()][2], Turn::Passed, "it may fail again");
}

#[test]
fn everyone_who_should_plan_is_tried_and_the_first_in_line_wins() {
    let mut story = Story::swapped();
    for _ in 0..6 {
        story.bad();
    }
    assert_eq!(story.plans(), "builtin");
    for _ in 0..2 {
        assert_eq!(story.minute(&["old"]), ["new", "old"]);
    }
    story.minute(&["old"]);
    assert_eq!(story.plans(), "old");
    for _ in 0..3 {
        assert_eq!(story.minute(&["new", "old"]), ["new"]);
    }
    assert_eq!(story.plans(), "new");
    // A late verdict about somebody who plans already, or comes after who plans, changes nothing.
    assert_eq!(story.succession.tried(Rank::LastGood, true, story.now), Turn::Stays);
    assert_eq!(story.plans(), "new");
}

#[test]
fn only_who_made_a_good_plan_that_counted_becomes_the_last_good_one() {
    // "bad" never planned well: "old" stays the one to fall back on.
    let mut story = Story::swapped();
    story.bad();
    story.succession.choose("newer", story.now);
    for _ in 0..3 {
        story.bad();
    }
    assert_eq!(story.plans(), "old");
    // While somebody stands in, the failing one is not good either.
    story.succession.choose("newest", story.now);
    for _ in 0..3 {
        story.bad();
    }
    assert_eq!(story.plans(), "old");
}

#[test]
fn the_same_policy_again_is_no_predecessor_of_itself() {
    let mut story = Story::swapped();
    story.good();
    story.succession.choose("new", story.now);
    for _ in 0..3 {
        story.bad();
    }
    assert_eq!(story.plans(), "old");
}

#[test]
fn a_start_without_a_usable_policy_waits_for_one() {
    let mut story = Story::of(Err("policy.wasm: no component"));
    assert_eq!(story.plans(), "builtin");
    assert!(story.succession.next_trial().is_none(), "there is nobody to try");
    story.succession.refused("policy.wasm: still none");
    let text = story.succession.stand_in().unwrap().to_string();
    assert!(text.ends_with("cannot carry them: policy.wasm: still none"), "{text}");
    assert!(story.succession.excuse().starts_with("the policy cannot be used; "));
    story.succession.choose("good", story.now);
    assert_eq!((story.plans(), story.succession.rank()), ("good", Rank::Chosen));
    // A later refusal is no reason to say anything about who plans.
    story.succession.refused("worse");
    assert!(story.succession.stand_in().is_none());
}
