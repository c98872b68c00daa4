//! Directives that change rules which stand elsewhere: removals, other targets, other actions.

use super::{
    RuleActions,
    directives::{Entry, Update},
};

/// Applies the directives that change rules which stand elsewhere.
pub(super) fn apply(entries: &mut Vec<Entry>, updates: &[Update]) {
    for update in updates {
        let concerned = |entry: &Entry| {
            let Entry::Chain(chain) = entry else { return false };
            let Some(actions) = chain.first().map(|first| &first.actions) else {
                return false;
            };
            match update {
                Update::Remove(which) | Update::Targets { which, .. } => {
                    which.concerns(actions.id.unwrap_or(0), actions.message.as_ref(), &actions.tags)
                }
                Update::Actions { id, .. } => actions.id == Some(*id),
            }
        };
        if matches!(update, Update::Remove(_)) {
            entries.retain(|entry| !concerned(entry));
            continue;
        }
        for entry in entries.iter_mut().filter(|entry| concerned(entry)) {
            let Entry::Chain(chain) = entry else { continue };
            match update {
                Update::Remove(_) => {}
                Update::Targets {
                    link,
                    targets,
                    replaces,
                    ..
                } => {
                    let Some(rule) = chain.get_mut(*link) else { continue };
                    if let Some(replaces) = replaces {
                        rule.targets
                            .retain(|target| !replaces.iter().any(|old| old.text == target.text));
                    }
                    rule.targets.extend(targets.iter().cloned());
                }
                Update::Actions { link, actions, .. } => {
                    if let Some(rule) = chain.get_mut(*link) {
                        change_actions(&mut rule.actions, actions);
                    }
                }
            }
        }
    }
}

/// Puts new actions in the place of old ones; tags, transformations and what a match runs are added to them.
fn change_actions(old: &mut RuleActions, new: &RuleActions) {
    fn replace<T: Clone>(old: &mut Option<T>, new: Option<&T>) {
        if let Some(new) = new {
            *old = Some(new.clone());
        }
    }
    replace(&mut old.accuracy, new.accuracy.as_ref());
    replace(&mut old.audit, new.audit.as_ref());
    replace(&mut old.disruptive, new.disruptive.as_ref());
    replace(&mut old.log, new.log.as_ref());
    replace(&mut old.logdata, new.logdata.as_ref());
    replace(&mut old.maturity, new.maturity.as_ref());
    replace(&mut old.message, new.message.as_ref());
    replace(&mut old.revision, new.revision.as_ref());
    replace(&mut old.severity, new.severity.as_ref());
    replace(&mut old.skip, new.skip.as_ref());
    replace(&mut old.skip_after, new.skip_after.as_ref());
    replace(&mut old.status, new.status.as_ref());
    replace(&mut old.version, new.version.as_ref());
    old.capture |= new.capture;
    old.multi_match |= new.multi_match;
    old.run.extend(new.run.iter().cloned());
    old.tags.extend(new.tags.iter().cloned());
    if new.transform_reset {
        old.transform_reset = true;
        old.transformations.clear();
    }
    old.transformations.extend(new.transformations.iter().copied());
}
