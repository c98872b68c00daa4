//! A compiled rule set: what the compiler makes and transactions run through. Immutable and shared between all transactions.

use std::{collections::HashSet, sync::Arc};

use crate::{
    operator::{Operator, PatternKind},
    seclang::{Action, Disruptive, Settings, Severity, Slots, Target, Template},
    transform::Transformation,
};

/// A compiled rule set.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) settings: Settings,
    pub(crate) slots: Slots,
    pub(crate) rules: Vec<Rule>,
    /// For each phase (index 0 is unused) the indices of its rules in order.
    pub(crate) phases: [Vec<usize>; 6],
    pub(crate) lists: Vec<List>,
    /// The transformations that any rule uses; chains name them by their index here.
    pub(crate) steps: Vec<Transformation>,
    /// Lists of steps. The first chain is empty.
    pub(crate) chains: Vec<Vec<usize>>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) strands: Vec<Strand>,
    pub(crate) removals: Vec<Removal>,
    /// The slots of the anomaly scores that single rules add to, with their paranoia levels.
    pub(crate) scores: Vec<(usize, u8)>,
}

/// A rule or a chain of rules.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) links: Vec<Link>,
    pub(crate) meta: Arc<RuleMeta>,
    pub(crate) disruptive: Disruptive,
    pub(crate) status: Option<u16>,
    pub(crate) log: bool,
    pub(crate) audit: bool,
    /// Where the phase goes on after a match: a position in its list of rules.
    pub(crate) jump: Option<usize>,
}

/// What a rule says about itself.
#[derive(Debug)]
pub struct RuleMeta {
    /// The rule's id; 0 if it has none.
    pub id: u64,
    /// The phase, 1 to 5.
    pub phase: u8,
    /// The file it is in.
    pub file: Arc<str>,
    /// The line it begins on.
    pub line: usize,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `ver`.
    pub version: Option<String>,
    /// `rev`.
    pub revision: Option<String>,
    /// `maturity`.
    pub maturity: Option<u8>,
    /// `accuracy`.
    pub accuracy: Option<u8>,
    pub(crate) message: Option<Template>,
    pub(crate) logdata: Option<Template>,
    pub(crate) tags: Vec<Template>,
}

/// One condition of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    /// The targets: an index into the lists.
    pub(crate) list: usize,
    /// The transformations: an index into the chains.
    pub(crate) chain: usize,
    /// The batch of list and chain, if the values cannot change while the phase runs.
    pub(crate) batch: Option<usize>,
    /// The same without one target, for each removal by a `ctl` that concerns this link.
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) test: Test,
    pub(crate) negated: bool,
    pub(crate) capture: bool,
    pub(crate) multi_match: bool,
    pub(crate) run: Vec<Action>,
}

/// A link's targets once a removal is in force.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) removal: usize,
    pub(crate) list: usize,
    pub(crate) batch: Option<usize>,
}

/// What a link asks of a value.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    /// Nothing: `SecAction`.
    Always,
    /// An operator whose argument has macros.
    Dynamic(DynamicOperator),
    /// A comparison of numbers.
    Number(Comparison, Operand),
    /// Anything else.
    Static(Arc<Operator>),
}

/// An operator that is known only when its argument's macros are.
#[derive(Clone, Debug)]
pub(crate) struct DynamicOperator {
    pub(crate) kind: crate::operator::OperatorKind,
    pub(crate) argument: Template,
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "eq" => Some(Self::Equal),
            "ge" => Some(Self::GreaterOrEqual),
            "gt" => Some(Self::Greater),
            "le" => Some(Self::LessOrEqual),
            "lt" => Some(Self::Less),
            _ => None,
        }
    }

    pub(crate) fn holds(self, value: i64, operand: i64) -> bool {
        match self {
            Self::Equal => value == operand,
            Self::Greater => value > operand,
            Self::GreaterOrEqual => value >= operand,
            Self::Less => value < operand,
            Self::LessOrEqual => value <= operand,
        }
    }
}

/// The number a value is compared with.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Constant(i64),
    Slot(usize),
    Template(Template),
}

/// A list of targets.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) include: Vec<Target>,
    pub(crate) exclude: Vec<Target>,
    /// Whether a value can change while a phase runs.
    pub(crate) volatile: bool,
    /// What the values depend on: bits of [`Variable::domain`].
    pub(crate) domains: u8,
    /// Parallel to `include`: the slots that a pattern on `TX` names picks.
    pub(crate) picked_slots: Vec<Vec<usize>>,
    /// The slot, if that is all there is.
    pub(crate) only_slot: Option<OnlySlot>,
}

/// A list of one `TX` variable, or of its count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnlySlot {
    pub(crate) slot: usize,
    pub(crate) count: bool,
}

/// The texts of a list after a chain of transformations: found once for all rules that look at the same.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Batch {
    /// The strands it is made of.
    pub(crate) strands: Vec<usize>,
    pub(crate) domains: u8,
    /// The batch of the same list without transformations, if this is not it.
    pub(crate) base: Option<usize>,
    /// The transformations: if none of them does anything to the base, this is the base.
    pub(crate) steps: Vec<usize>,
}

/// The distinct texts of one target, without what a list excludes from it, after a chain of transformations. Lists share targets and
/// chains share beginnings, so strands form trees: each is its parent after one more transformation.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Strand {
    pub(crate) source: Source,
    pub(crate) domains: u8,
}

/// Where the texts of a strand come from.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Source {
    /// A list of one target.
    List(usize),
    /// Several strands together: the stages that `multiMatch` looks at.
    Stages(Vec<usize>),
    /// Another strand after a step.
    Step { parent: usize, step: usize },
}

/// What a `ctl:ruleRemove…` takes away.
#[derive(Debug)]
pub(crate) struct Removal {
    /// Indices of the rules concerned.
    pub(crate) rules: Vec<usize>,
    /// The target, or the whole rule.
    pub(crate) target: Option<Target>,
}

impl RuleSet {
    /// The settings that the directives made.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many rules there are; a chain counts as one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules say about themselves, in file order.
    pub fn rules(&self) -> impl Iterator<Item = &RuleMeta> {
        self.rules.iter().map(|rule| rule.meta.as_ref())
    }
}

impl RuleSet {
    /// The patterns of the rules, each once for each link of a chain that has it: the rule and the engine that runs it.
    pub fn patterns(&self) -> impl Iterator<Item = (&RuleMeta, PatternKind)> {
        self.rules.iter().flat_map(|rule| {
            let patterns = rule.links.iter().filter_map(|link| link.operator()?.pattern());
            patterns.map(|kind| (rule.meta.as_ref(), kind))
        })
    }

    /// About how many bytes of memory the rule set takes: what is compiled, not what transactions use. Operators that several rules
    /// share count once.
    #[must_use]
    pub fn memory(&self) -> usize {
        let mut seen = HashSet::new();
        let links = self.rules.iter().flat_map(|rule| &rule.links);
        let operators = links.clone().filter_map(Link::operator);
        let operators = operators.filter(|operator| seen.insert(std::ptr::from_ref(*operator)));
        let operators: usize = operators.map(Operator::memory).sum();
        let rules: usize = self
            .rules
            .iter()
            .map(|rule| size_of::<Rule>() + size_of::<RuleMeta>() + rule.meta.length())
            .sum();
        let links: usize = links
            .map(|link| {
                size_of::<Link>()
                    + link.alternatives.len() * size_of::<Alternative>()
                    + link.run.len() * size_of::<Action>()
            })
            .sum();
        let targets = |list: &List| (list.include.len() + list.exclude.len()) * size_of::<Target>();
        let lists: usize = self.lists.iter().map(|list| size_of::<List>() + targets(list)).sum();
        let strands = self.strands.len() * size_of::<Strand>();
        let batches: usize = self
            .batches
            .iter()
            .map(|batch| size_of::<Batch>() + (batch.strands.len() + batch.steps.len()) * size_of::<usize>())
            .sum();
        operators + rules + links + lists + strands + batches
    }
}

impl Link {
    /// The operator, if it is known before a transaction.
    fn operator(&self) -> Option<&Operator> {
        match &self.test {
            Test::Static(operator) => Some(operator),
            Test::Always | Test::Dynamic(_) | Test::Number(..) => None,
        }
    }
}

impl RuleMeta {
    /// The message as written, with its macros.
    #[must_use]
    pub fn message(&self) -> String {
        self.message.as_ref().map(Template::text).unwrap_or_default()
    }

    fn length(&self) -> usize {
        let texts = self.message.iter().chain(&self.logdata).chain(&self.tags);
        texts.map(|text| text.text().len()).sum()
    }

    /// The paranoia level that the tags name (`paranoia-level/2`), if they do.
    #[must_use]
    pub fn paranoia(&self) -> Option<u8> {
        self.tags()
            .find_map(|tag| tag.strip_prefix("paranoia-level/")?.parse().ok())
    }

    /// The tags that need no transaction to be known.
    pub fn tags(&self) -> impl Iterator<Item = String> {
        self.tags
            .iter()
            .filter_map(|tag| tag.as_plain())
            .map(|tag| String::from_utf8_lossy(tag).into_owned())
    }
}
